"""A module's tests in a process of their own, with a module compiled from a changed syntax tree: no file is changed."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any

from mutations import Mutant, Mutation, mutated
from reach import ROOT, Chosen, of_process_group

sys.path.insert(0, str(ROOT / "tests"))
from import_graph import imports, modules

#: Looks at a process, this often and so many of them; whoever has not done anything in all of these hangs.
_LOOK, _LOOKS = 0.1, 150

#: What threads that only wait may use meanwhile, ticks, for tests look a thousand times a second whether something has
#: happened; and how often one of them may be seen at work. One that gets no CPU is seen every time.
_TICKS, _SEEN = 100, 45


class _Changed(importlib.abc.SourceLoader):
    """Loads one module from a changed syntax tree."""

    def __init__(self, path: Path, mutation: Mutation) -> None:
        self._path, self._mutation = path, mutation

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return Path(os.fsdecode(path)).read_bytes()

    def get_code(self, fullname: str) -> CodeType:
        tree = mutated(ast.parse(self._path.read_text("utf-8")), self._mutation)
        return compile(tree, str(self._path), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that module."""

    def __init__(self, mutant: Mutant) -> None:
        *_, path = mutant.file.partition("/")
        self._name = path.removesuffix(".py").replace("/", ".")
        self._loader = _Changed(ROOT / mutant.file, mutant.mutation)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.get_filename(fullname), loader=self._loader
        )


@cache
def _kernels_of(path: Path) -> dict[str, frozenset[str]]:
    """Kernels of a file, each with the names that it reads."""
    return {
        node.name: frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and any("njit" in ast.unparse(one) for one in node.decorator_list)
    }


@cache
def _files_affected(file: str) -> frozenset[Path]:
    """Files whose kernels may hold something of a file: it, and files of kernels that import it."""
    (name,) = (name for name, path in modules().items() if path == ROOT / file)
    with_kernels = {name for name, path in modules().items() if _kernels_of(path)}
    found = {name}
    while more := {one.importer for one in imports() if one.imported in found} & with_kernels - found:
        found |= more
    return frozenset(modules()[one] for one in found)


def stale(mutant: Mutant) -> set[tuple[str, str]]:
    """Kernels that a change may be in, by their file's stem and their name: others are taken from numba's cache."""
    body = ast.parse((ROOT / mutant.file).read_text("utf-8")).body
    changed, files = body[int(mutant.mutation.path[1])], _files_affected(mutant.file)
    every = {(path, name) for path in files for name in _kernels_of(path)}
    if not isinstance(changed, ast.FunctionDef | ast.ClassDef):  # who reads what follows from it is not looked for
        return {(path.stem, name) for path, name in every}
    names = {changed.name}
    while more := {name for path, name in every if names & _kernels_of(path)[name]} - names:
        names |= more
    return {(path.stem, name) for path, name in every if name in names}


def preload(names: Iterable[str]) -> None:
    """Import what all trials import and is not ours, for all of them."""
    ours = {name.partition(".")[0] for name in modules()}
    for name in names:
        package = name.partition(".")[0]
        if name == "__main__" or "pytest" in name or package in ours:
            continue
        with suppress(Exception):
            spec = find_spec(package)
            if spec is not None and not str(spec.origin).startswith(str(ROOT / "tests")):
                importlib.import_module(name)
    if there := {name for name in sys.modules if name.partition(".")[0] in ours}:
        raise RuntimeError(f"imported already, so no mutant would be seen: {sorted(there)}")


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        what: "survived", "killed", "hangs" or "too slow".
        by: the test that failed first.
        cpu: CPU-seconds.
    """

    what: str
    by: str
    cpu: float


class Trial:
    """Tests in a process that is forked from this one.

    Args:
        tests: ids or files, below the repository's root, in order, and the CPU-seconds after which each is too slow.
        kernels: numba's cache, of the source as it is.
        mutant: None: the source as it is.
        plugin: instead of what runs these tests alone, in this order.
    """

    def __init__(
        self, tests: Mapping[str, float], kernels: Path, mutant: Mutant | None = None, plugin: object | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self.mutant, own, self._by = mutant, kernels, Path(self._folder.name, "by")
        if mutant is not None:
            own = Path(self._folder.name, "numba")
            _linked(kernels, own, stale(mutant))
        self._looks: list[tuple[int, bool]] = []
        self._child = os.fork()
        if self._child == 0:
            _run(lambda: _pytest(tests, mutant, own, plugin or Chosen(tests, self._by)), self._folder.name)

    def look(self) -> Outcome | None:
        """What became of it; None: it goes on."""
        child, status, used = os.wait4(self._child, os.WNOHANG)
        if not child:
            self._looks = [*self._looks[1 - _LOOKS :], of_process_group(self._child)]
            if not self._hangs():
                return None
        with suppress(ProcessLookupError):  # what it has started ends with it
            os.killpg(self._child, signal.SIGKILL)
        what = "hangs"
        if child:
            code = os.waitstatus_to_exitcode(status)
            what = "survived" if code == 0 else "too slow" if code == -signal.SIGPROF else "killed"
        else:
            used = os.wait4(self._child, 0)[2]
        by = self._by.read_text("utf-8") if self._by.exists() else ""
        self._folder.cleanup()
        return Outcome(what, by, round(used.ru_utime + used.ru_stime, 2))

    def _hangs(self) -> bool:
        """Whether nothing goes on; one that gets no CPU, or is stopped, does not hang."""
        some = self._looks
        return (
            len(some) == _LOOKS
            and some[-1][0] - some[0][0] <= _TICKS
            and sum(could_run for _, could_run in some) <= _SEEN
        )

    def ended(self) -> Outcome:
        """Wait for its end."""
        while (outcome := self.look()) is None:
            time.sleep(_LOOK)
        return outcome


def _linked(whole: Path, own: Path, without: set[tuple[str, str]]) -> None:
    """The same cache by links: numba writes a file anew, and then renames it. Its files are STEM.NAME-LINE.…"""
    for path in whole.rglob("*"):
        stem, _, rest = path.name.partition(".")
        if path.is_file() and (stem, rest.partition("-")[0]) not in without:
            place = own / path.relative_to(whole)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, place)


def _run(what: Callable[[], int], folder: str) -> None:
    """Do it in this process, and end that."""
    code = 99
    try:
        os.setpgrp()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        code = what()
    finally:
        os._exit(code)


def _pytest(tests: Iterable[str], mutant: Mutant | None, kernels: Path, plugin: object) -> int:
    import numba
    import pytest

    os.environ["NUMBA_CACHE_DIR"] = str(kernels)
    numba.config.CACHE_DIR = str(kernels)
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(mutant))
    os.chdir(ROOT)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "0"]
    options += ["--basetemp", f"{tempfile.tempdir}/pytest"]
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    return int(pytest.main([*options, *files], plugins=[plugin]))
