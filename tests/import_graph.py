"""Who imports whom among the files of our packages, read off their syntax."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Package -> the folder that holds it.
PACKAGES = {
    "exalign_engine": ROOT / "engine",
    "exalign_service": ROOT / "service",
    "exalign_client": ROOT / "clients",
    "exalign_offline": ROOT / "offline",
    "exalign_gateway": ROOT / "gateway",
    "exalign_annotator": ROOT / "annotator",
    "exalign_label_studio": ROOT / "integrations" / "label_studio",
    "exalign": ROOT / "protos",
}

#: Rooms of the engine that nothing on the serving path may import.
OFFLINE = ("evaluation", "train", "calibration", "commands")


@dataclass(frozen=True)
class Import:
    """One file imports another: dotted names, and the line where it does."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{where(self.importer, self.line)} imports {self.imported}"


def sources(package: str) -> list[Path]:
    """The package's files."""
    files = sorted((PACKAGES[package] / package).rglob("*.py"))
    assert files, package
    return files


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, of all our packages; a folder's ``__init__`` has the folder's name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sources(package):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def where(module: str, line: int) -> str:
    """``file:line``, from the repository's root."""
    return f"{modules()[module].relative_to(ROOT)}:{line}"


@cache
def imported_names(path: Path, package: str) -> tuple[tuple[str, int], ...]:
    """Dotted names that a file imports anywhere in it, in functions and for type checkers too; and their lines.

    ``from a import b`` gives ``a.b``. A string that names a module of the file's own package counts.
    """
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}:{node.lineno}: write the import with its full name"
            found += ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.split(":")[0]
            if name.startswith(f"{package}.") and name in modules():
                found.append((name, node.lineno))
    return tuple(found)


@cache
def imports() -> tuple[Import, ...]:
    """All imports between our files; that of a name leads to the file which the name is imported from."""
    known, found = modules(), []
    for importer, path in known.items():
        for name, line in imported_names(path, importer.split(".")[0]):
            target = name if name in known else name.rpartition(".")[0]
            if target in known and target != importer:
                found.append(Import(importer, target, line))
    return tuple(found)


def ancestors(module: str) -> list[str]:
    """The folders that are imported before the module is: ``a.b.c`` gives ``a`` and ``a.b``."""
    parts = module.split(".")
    return [name for n in range(1, len(parts)) if (name := ".".join(parts[:n])) in modules()]


def reachable(starts: Iterable[str]) -> dict[str, Import | None]:
    """What is imported with these modules, each with the import that first led there."""
    onward: dict[str, list[Import]] = {}
    for one in imports():
        onward.setdefault(one.importer, []).append(one)
    found: dict[str, Import | None] = dict.fromkeys(starts)
    queue = list(found)
    for module in queue:
        for one in onward.get(module, []):
            for name in (*ancestors(one.imported), one.imported):
                if name not in found:
                    found[name] = one
                    queue.append(name)
    return found


def circle(arrows: Iterable[Import], node: Callable[[str], str]) -> list[Import]:
    """The shortest circle among the modules' nodes; empty where there is none."""
    onward: dict[str, dict[str, Import]] = {}
    for one in arrows:
        start, end = node(one.importer), node(one.imported)
        if start != end:
            onward.setdefault(start, {}).setdefault(end, one)
    best: list[Import] = []
    for start in sorted(onward):
        steps: dict[str, list[Import]] = {start: []}
        queue = [start]
        for at in queue:
            for end, one in onward.get(at, {}).items():
                if end == start and (not best or len(steps[at]) + 1 < len(best)):
                    best = [*steps[at], one]
                if end not in steps:
                    steps[end] = [*steps[at], one]
                    queue.append(end)
    return best
