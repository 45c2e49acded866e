"""Sizes and names: no file and no function too long to read, the field's words, and nothing cited that is not here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60

#: Written right above a longer function, with the reason.
LONG = re.compile(r"^\s*# Long: \S.*")

#: Made by protoc.
GENERATED = tuple(ROOT / "protos" / "exalign" / package for package in ("v1", "open_inference"))

#: Where our files are; what tools leave beside them is not ours.
ROOMS = (
    "engine", "service", "clients", "gateway", "annotator", "integrations", "protos", "tests", "benchmarks", "docs",
    "findings", "examples", "models", "deploy", "docs_site", "offline",
)  # fmt: skip

#: Folders of what is made.
NOT_OURS = {"__pycache__", "node_modules", "out"}

TEXT = {".py", ".pyi", ".md", ".toml", ".proto", ".yaml", ".yml", ".cfg", ".txt", ".sh", ""}

#: Names of the private dialect that this code was first written in, and the field's word for each.
DIALECT = {
    "CAUTION": "the quantity that it bounds",
    "FAREWELL": "GO_AWAY_TIMEOUT",
    "FRESH": "the quantity that it bounds",
    "FULL_TELLING": "a constant of the emission exponent",
    "Followed": "UpdatedTrack",
    "Joined": "FilteredFrame",
    "Joiner": "FrameFilter",
    "Kept": "RetainedAnswer",
    "Known": "RequestLimits",
    "LAZINESS": "a constant of the self-transition",
    "Line": "ResponseWriter",
    "Look": "BoxObservation",
    "Looker": "CropScorer",
    "Moment": "TrackPoint",
    "Reading": "FaceViews",
    "SETTLED": "MIN_MOVE_DETECTED",
    "SETTLED_GIVEN": "MIN_MOVE_GIVEN",
    "Seen": "Observation",
    "Sketch": "PosteriorSample",
    "Start": "FilterState",
    "Subject": "CachedFace",
    "Wishes": "Options",
    "_Around": "_RpcHandler",
    "_look_after": "_check_liveness",
    "_speak": "_serve",
    "begun": "initial",
    "displacing": "displacement",
    "faded": "decay",
    "follow": "update_track",
    "following": "track_update",
    "given_evidence": "posterior_given_evidence",
    "heard": "touch",
    "hurry": "end_grace",
    "joining": "filter_step",
    "leaning": "displacement_covariance",
    "nudge": "keepalive_message",
    "of_state": "state_error_to_precondition",
    "patience": "timeout",
    "read_views": "compute_views",
    "resettled": "with_revised",
    "resketched": "with_samples",
    "reweighted": "with_weights",
    "should_move": "should_reconnect",
    "squared_share": "what is squared",
    "staying": "self_transition",
    "steadied": "triangular_mean",
    "steadying": "temporal_mean",
    "tell": "face_message, or what is answered",
    "telling": "emission_strength",
    "told": "the message, or what is stated",
    "weighed": "emission_exponent",
}

#: Names that the dialect made by rule: AskedBox, SuggestionWish.
DIALECT_PATTERN = re.compile(r"_?Asked\w*|\w*Wish(es)?")


@cache
def files(*suffixes: str) -> tuple[Path, ...]:
    """Our files with these suffixes, generated ones aside."""
    found = [p for p in ROOT.iterdir() if p.is_file()]
    found += [p for room in ROOMS for p in (ROOT / room).rglob("*") if p.is_file()]
    return tuple(
        sorted(
            p
            for p in found
            if p.suffix in suffixes
            and not any(folder in p.parents for folder in GENERATED)
            and not any(part in NOT_OURS or part.endswith(".egg-info") for part in p.parts)
        )
    )


@dataclass(frozen=True)
class Parsed:
    """What the rules ask of a file; its tree is let go of, for a thousand of them are slow to keep.

    Attributes:
        functions: name, line, lines, and the line above it and its decorators, from 0.
        identifiers: every name that it uses, and its line; text and comments are not names.
    """

    functions: tuple[tuple[str, int, int, int], ...]
    identifiers: frozenset[tuple[str, int]]


@cache
def parsed(path: Path) -> Parsed:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    functions = [
        (n.name, n.lineno, (n.end_lineno or n.lineno) - n.lineno + 1, min([n.lineno, *lines_of(n.decorator_list)]) - 2)
        for n in nodes
        if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return Parsed(tuple(functions), frozenset(pair for n in nodes for pair in names_of(n)))


def lines_of(nodes: list[ast.expr]) -> list[int]:
    return [node.lineno for node in nodes]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name)


def too_long(path: Path) -> list[str]:
    """The file, where it has too many lines."""
    lines = len(path.read_text("utf-8").splitlines())
    return [f"{named(path)}:{lines} has {lines} lines"] if lines > MOST_LINES else []


def long_functions(path: Path) -> list[str]:
    """Functions that are too long, and give no reason right above themselves."""
    lines = path.read_text("utf-8").splitlines()
    return [
        f"{named(path)}:{line} {name} has {length} lines"
        for name, line, length, above in parsed(path).functions
        if length > MOST_LINES_OF_A_FUNCTION and not (above >= 0 and LONG.match(lines[above]))
    ]


def names_of(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a node of a tree has itself, and their line."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name, node.lineno
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, node.lineno
        case ast.keyword(arg=str(name)):
            yield name, node.value.lineno
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((part, node.lineno) for a in names for part in (*a.name.split("."), a.asname or ""))
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, node.lineno


@cache
def contract_names() -> frozenset[str]:
    """Names of the contract: they stay."""
    text = "\n".join(p.read_text("utf-8") for folder in GENERATED for p in sorted(folder.glob("*.proto")))
    return frozenset(re.findall(r"\w+", re.sub(r"//.*", "", text)))


def dialect(path: Path) -> list[str]:
    """Names of the old dialect in a file, each once a line; the file's own name too."""
    found = [f"{named(path)}:1 is called {path.stem}: say {DIALECT[path.stem]}"] if path.stem in DIALECT else []
    for name, line in sorted(parsed(path).identifiers, key=lambda pair: pair[::-1]):
        if name in contract_names():
            continue
        if name in DIALECT:
            found.append(f"{named(path)}:{line} {name}: say {DIALECT[name]}")
        elif DIALECT_PATTERN.fullmatch(name):
            found.append(f"{named(path)}:{line} {name}: say ...Options, or Requested...")
    return found


def dangling(path: Path) -> list[str]:
    """Lines that cite a section of the design, which is not in the repository."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    cited = re.compile(r"design(\.md)?,? *" + "§", re.IGNORECASE)
    return [f"{named(path)}:{i} {line.strip()[:80]}" for i, line in enumerate(lines, 1) if cited.search(line)]


def report(found: list[str], remedy: str) -> str:
    return "\n".join(["", *found, f"{len(found)} in all. {remedy}"])


def test_no_file_is_too_long_to_read() -> None:
    found = [line for path in files(".py") for line in too_long(path)]
    assert not found, report(found, f"split it by concern: {MOST_LINES} lines are the most")


def test_no_function_is_long_without_a_reason() -> None:
    found = [line for path in files(".py") for line in long_functions(path)]
    remedy = (
        f"split it, or say why it has more than {MOST_LINES_OF_A_FUNCTION} in a line '# Long: reason' right above it"
    )
    assert not found, report(found, remedy)


def test_names_are_the_fields_words() -> None:
    found = [line for path in files(".py") if path != Path(__file__) for line in dialect(path)]
    assert not found, report(found, "docs/glossary.md has the words")


def test_nothing_cites_the_design() -> None:
    found = [line for path in files(*TEXT) for line in dangling(path)]
    assert not found, report(found, "cite docs/architecture.md#anchor, or the paper's equation")


LONG_FUNCTION = "def f():\n" + "    x = 1\n" * MOST_LINES_OF_A_FUNCTION


@pytest.mark.parametrize(
    ("rule", "text", "line"),
    [
        (too_long, "\n" * (MOST_LINES + 1), MOST_LINES + 1),
        (long_functions, LONG_FUNCTION, 1),
        (long_functions, f"# Long:\n{LONG_FUNCTION}", 2),
        (long_functions, f"# Long: a table.\n\n{LONG_FUNCTION}", 3),
        (long_functions, f"@f\nasync {LONG_FUNCTION}", 2),
        (dialect, "\nx = joining()", 2),
        (dialect, "import a.steadying", 1),
        (dialect, "f(\n    patience=1)", 2),
        (dialect, "class AskedBox: ...", 1),
        (dialect, "def f(wish: SuggestionWish): ...", 1),
        (dangling, "\n# see design " + "§4", 2),
        (dangling, "Design.md, " + "§ 4", 1),
    ],
)
def test_what_breaks_a_rule_is_named_with_its_line(tmp_path: Path, rule: object, text: str, line: int) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    assert callable(rule)
    (found,) = rule(path)
    assert found.startswith(f"broken.py:{line} ")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "\n" * MOST_LINES),
        (long_functions, f"# Long: a table of what is refused.\n{LONG_FUNCTION}"),
        (long_functions, f"# Long: a table of what is refused.\n@f\n{LONG_FUNCTION}"),
        (dialect, '"""Joining is telling."""\nx = "patience"  # hurry\njoin = seen = 1'),
        (dangling, "the design of rooms, §4 of the paper"),
    ],
)
def test_what_keeps_the_rules_is_not_named(tmp_path: Path, rule: object, text: str) -> None:
    path = tmp_path / "whole.py"
    path.write_text(text)
    assert callable(rule)
    assert rule(path) == []
