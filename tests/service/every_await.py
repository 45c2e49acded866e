"""Something may happen at each await of a module, before what is awaited and after it: they are read off its syntax.

A module is compiled once more, each ``await X`` in it as ``await at(site, X)``. So an await that is new is met without
anybody having to name it, and one that does not let others go on today is met as if it did.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

#: The names under which awaits find `at` and their sites in a module that is compiled so.
_AT, _SITES = "__at__", "__at_sites__"


@dataclass(frozen=True)
class Site:
    """An await.

    Attributes:
        where: ``module.Class.function``, and which await in it, from 1.
        awaits: its source.
    """

    where: str
    awaits: str

    def __str__(self) -> str:
        return f"{self.where}: {self.awaits}"


#: Awaits what is to be awaited at a site.
At = Callable[[Site, Awaitable[Any]], Awaitable[Any]]


class _Awaits(ast.NodeTransformer):
    def __init__(self, module: str) -> None:
        self._way, self.sites, self._counts = [module], list[Site](), dict[str, int]()

    def _named(self, node: Any) -> Any:
        self._way.append(node.name)
        self.generic_visit(node)
        self._way.pop()
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _named  # noqa: N815

    def visit_AsyncWith(self, node: ast.AsyncWith) -> Any:
        raise NotImplementedError(f"line {node.lineno}: awaits that cannot be seen")

    visit_AsyncFor = visit_AsyncWith  # noqa: N815

    def visit_Await(self, node: ast.Await) -> Any:
        self.generic_visit(node)
        way = ".".join(self._way)
        self._counts[way] = self._counts.get(way, 0) + 1
        self.sites.append(Site(f"{way} {self._counts[way]}", ast.unparse(node.value)))
        sites = ast.Subscript(ast.Name(_SITES, ast.Load()), ast.Constant(len(self.sites) - 1), ast.Load())
        return ast.Await(ast.Call(ast.Name(_AT, ast.Load()), [sites, node.value], []))


def compiled(names: list[str], at: At) -> tuple[dict[str, ModuleType], list[Site]]:
    """Modules once more, beside those that are imported; and their awaits.

    Args:
        names: of the modules, each after those of them that it imports.
        at: is awaited in the place of each await.
    """
    made: dict[str, ModuleType] = {}
    sites: list[Site] = []
    for name in names:
        path = Path(str(import_module(name).__file__))
        awaits = _Awaits(name.rpartition(".")[2])
        tree = ast.fix_missing_locations(awaits.visit(ast.parse(path.read_text("utf-8"))))
        module = ModuleType(name)
        vars(module).update({"__file__": str(path), _AT: at, _SITES: awaits.sites})
        before = {one: sys.modules[one] for one in [*made, name]}
        sys.modules |= {**made, name: module}  # what it imports of the others, it imports of those made here
        try:
            exec(compile(tree, str(path), "exec", dont_inherit=True), vars(module))
        finally:
            sys.modules |= before
        made[name] = module
        sites += awaits.sites
    return made, sites
