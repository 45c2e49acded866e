"""Which tests reach which lines, and how long they take: so that a mutant meets few tests, the fastest first."""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]


class _Item(Protocol):
    nodeid: str


class Learned:
    """What the tests of a module take and reach.

    Attributes:
        seconds: a test's CPU time, by its id.
        lines: ``file:line`` that a test reaches, by its id.
        modules: that they import.
    """

    def __init__(self, seconds: dict[str, float], lines: dict[str, list[str]], modules: list[str]) -> None:
        self.seconds, self.lines = seconds, {test: set(some) for test, some in lines.items()}
        self.modules = modules

    def slowest(self, test: str) -> float:
        """CPU of the test of its file that takes most: whichever comes first makes what they share."""
        file = test.split("::")[0]
        return max(seconds for one, seconds in self.seconds.items() if one.split("::")[0] == file)

    def tests_for(self, file: str, lines: range | None) -> list[str]:
        """Those that reach one of the lines of a file; all where it is not known who does."""
        if lines is None:
            return list(self.seconds)
        wanted = {f"{file}:{line}" for line in lines}
        return [test for test in self.seconds if self.lines[test] & wanted]

    def in_order(self, tests: Sequence[str], killers: Mapping[str, int]) -> list[str]:
        """Test files that have killed most first, then those that take least; in a file the same."""
        files: dict[str, list[str]] = {}
        for test in tests:
            files.setdefault(test.split("::")[0], []).append(test)
        kills = Counter[str]()
        for test, count in killers.items():
            kills[test.split("::")[0]] += count
        cost = {file: sum(self.seconds[test] for test in some) for file, some in files.items()}
        in_turn = sorted(files, key=lambda file: cost[file] / (1 + kills[file]))
        return [
            test
            for file in in_turn
            for test in sorted(files[file], key=lambda test: self.seconds[test] / (1 + killers.get(test, 0)))
        ]


class Learning:
    """A pytest plugin that notes it.

    Args:
        sources: files from the repository's root whose lines count.
        path: where to leave it.
    """

    def __init__(self, sources: Sequence[str], path: Path) -> None:
        self._files = {str(ROOT / file): file for file in sources}
        self._path, self._test, self._begin = path, "", 0.0
        self._seconds: dict[str, float] = {}
        self._lines: dict[str, set[str]] = {}
        #: Reached by fixtures, which may be made for one test and used by others of its file.
        self._around: dict[str, set[str]] = {}
        self._now: set[str] = set()

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        self._test, self._begin = nodeid, time.process_time()
        self._now = self._around.setdefault(nodeid.split("::")[0], set())
        sys.settrace(self._called)
        threading.settrace(self._called)

    def pytest_runtest_call(self, item: _Item) -> None:
        self._now = self._lines.setdefault(item.nodeid, set())

    def pytest_runtest_teardown(self, item: _Item) -> None:
        self._now = self._around[item.nodeid.split("::")[0]]

    def pytest_runtest_logfinish(self, nodeid: str, location: object) -> None:
        self._seconds[nodeid] = round(time.process_time() - self._begin, 4)

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        lines = {
            test: sorted(self._lines.get(test, set()) | self._around[test.split("::")[0]]) for test in self._seconds
        }
        modules = [name for name, module in sys.modules.items() if getattr(module, "__file__", None)]
        found = {"seconds": self._seconds, "lines": lines, "modules": modules}
        self._path.write_text(json.dumps(found), "utf-8")

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        file = self._files.get(frame.f_code.co_filename)
        if file is None:
            return None

        def line(frame: FrameType, event: str, argument: object) -> Any:
            self._now.add(f"{file}:{frame.f_lineno}")
            return line

        return line(frame, event, argument)


class Chosen:
    """A pytest plugin that runs some tests, in this order, and says which of them fails.

    Args:
        tests: their ids, and the CPU-seconds after which each ends this process.
        path: where to leave the id of the first that fails.
    """

    def __init__(self, tests: Mapping[str, float], path: Path) -> None:
        self._place, self._path = {test: place for place, test in enumerate(tests)}, path
        self._limits = tests

    def pytest_runtest_logstart(self, nodeid: str, location: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, self._limits[nodeid])  # SIGPROF: whoever loops here loops for ever

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self._path.exists():
            self._path.write_text(report.nodeid, "utf-8")


def lines_of(tree: ast.Module, path: Sequence[str | int]) -> range | None:
    """Lines whose run runs a node; None where that is not seen: code of a module or class, and kernels of numba."""
    node: Any = tree
    statement: ast.stmt | None = None
    function = None
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if not isinstance(node, ast.Lambda) and any("njit" in ast.unparse(one) for one in node.decorator_list):
                return None
            function = node
        elif isinstance(node, ast.stmt) and function is not None:
            statement = node
    if statement is None or path[-2:-1] == ("defaults",):
        return None
    last = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if body and node is not statement:
        first = body[0]
        last = max(statement.lineno, getattr(first, "lineno", getattr(first, "pattern", first).lineno) - 1)
    elif isinstance(statement, ast.If):
        last = max(statement.lineno, getattr(statement.test, "end_lineno", None) or statement.lineno)
    return range(statement.lineno, last + 1)


def of_process_group(group: int) -> tuple[int, bool]:
    """Ticks of CPU that a process group has had, and whether one of its threads could run."""
    ticks, could_run = 0, False
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) != group:
                continue
            ticks += sum(map(int, fields[11:15]))
            for thread in os.scandir(f"{entry.path}/task"):
                could_run |= Path(thread.path, "stat").read_text().rpartition(")")[2].split()[0] in "RD"
        except (FileNotFoundError, ProcessLookupError):
            continue
    return ticks, could_run
