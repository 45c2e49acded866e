"""Servers in processes of their own, and the CPU time of all that they consist of."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class CannotServeError(Exception):
    """A backend cannot be had here; one line says why."""


@dataclass(frozen=True)
class Backend:
    """A running server.

    Attributes:
        address: of its gRPC port.
        pid: of its first process.
        model: name of its model.
    """

    address: str
    pid: int
    model: str = "exalign"

    def cpu_seconds(self) -> float:
        """CPU time of its process and all below it up to now; in steps of 10 ms."""
        return sum(_cpu_seconds(pid) for pid in _tree(self.pid))


@contextmanager
def started(command: Sequence[str], env: dict[str, str] | None = None) -> Iterator[Backend]:
    """Start a server for the length of a ``with`` block.

    Args:
        command: writes a line of JSON with ``address`` when it serves, and ends with its standard input.
        env: its environment variables; None: those of this process.

    Raises:
        CannotServeError: it ended before.
    """
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with ended_by(process, process.stdin.close):
        line = process.stdout.readline()
        if not line:
            raise CannotServeError(f"it ended with {process.wait()}")
        yield Backend(json.loads(line)["address"], process.pid)


@contextmanager
def ended_by(process: subprocess.Popen[bytes], end: Callable[[], object]) -> Iterator[None]:
    """End a process with the block, by force where it does not end by itself."""
    try:
        yield
    finally:
        end()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tree(pid: int) -> list[int]:
    """A process and those that it has started, and so on."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
