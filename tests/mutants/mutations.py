"""Small changes to a module, each one that a test should notice."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Operators and what takes their place.
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Add,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.MatMult: ast.Mult,
}  # fmt: skip

#: Functions and what takes their place.
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutation:
    """One change.

    Attributes:
        path: fields and places from the module's root to the node that changes.
        place: which change of that node.
        line: of the node, from 1.
        was: its source.
        now: what it becomes.
    """

    path: tuple[str | int, ...]
    place: int
    line: int
    was: str
    now: str


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: from the repository's root.
        mutation: the change.
    """

    file: str
    mutation: Mutation

    @property
    def key(self) -> str:
        """Names it as long as its file stays as it is."""
        text = f"{hashlib.sha256((ROOT / self.file).read_bytes()).hexdigest()} {self.mutation}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def mutations(tree: ast.Module) -> list[Mutation]:
    """Every change of a module, in the order of its source."""
    found = []
    for path, node in _nodes(tree, ()):
        for place, changed in enumerate(_changes(node)):
            was, now = (ast.unparse(ast.fix_missing_locations(n)) for n in (node, changed))
            if was != now:
                line = getattr(node, "lineno", 0)
                found.append(Mutation(path, place, line, _short(was), _short(now)))
    return found


def mutated(tree: ast.Module, mutation: Mutation) -> ast.Module:
    """The module with one change."""
    found = copy.deepcopy(tree)
    *way, last = mutation.path
    holder: object = found
    for step in way:
        holder = holder[step] if isinstance(step, int) else getattr(holder, step)  # type: ignore[index]
    node = holder[last] if isinstance(last, int) else getattr(holder, last)  # type: ignore[index]
    changed = ast.copy_location(list(_changes(node))[mutation.place], node)
    if isinstance(last, int):
        holder[last] = changed  # type: ignore[index]
    else:
        setattr(holder, last, changed)
    return ast.fix_missing_locations(found)


def _nodes(node: ast.AST, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], ast.AST]]:
    """Nodes whose change is one of behaviour: no annotations, texts, imports or protocols."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return
    if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Protocol" for base in node.bases):
        return
    if path:
        yield path, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params", "decorator_list", "bases"):
            continue
        if isinstance(value, ast.AST):
            yield from _nodes(value, (*path, name))
        elif isinstance(value, list):
            for place, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _nodes(item, (*path, name, place))


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may take a node's place."""
    match node:
        case ast.Compare(ops=[op], left=left, comparators=comparators) if type(op) in _SWAPPED:
            yield ast.Compare(left, [_SWAPPED[type(op)]()], comparators)  # type: ignore[list-item]
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(_SWAPPED[type(op)](), values)  # type: ignore[arg-type]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SWAPPED:
            yield ast.BinOp(left, _SWAPPED[type(op)](), right)  # type: ignore[arg-type]
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in _SWAPPED:
            yield ast.AugAssign(target, _SWAPPED[type(op)](), value)  # type: ignore[arg-type]
            yield ast.Pass()
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
        case ast.Constant(value=float(real)):
            yield ast.Constant(real * 2 if real else 1.0)
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test=test, body=chosen, orelse=other):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), chosen, other)
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise():
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in _CALLED:
            yield ast.Call(ast.Name(_CALLED[name], ast.Load()), args, keywords)
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=args, keywords=keywords) if name in _CALLED:
            yield ast.Call(ast.Attribute(owner, _CALLED[name], ast.Load()), args, keywords)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _short(source: str) -> str:
    """The first line of a source, and no more than a reader wants."""
    line = source.splitlines()[0]
    return line if len(line) <= 120 else f"{line[:117]}..."
