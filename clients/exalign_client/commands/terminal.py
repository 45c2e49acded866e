"""Progress on a terminal, and how a command of the client runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

from exalign.cli_support import ended_by_sigterm, report, run_command
from exalign_client.errors import ExalignClientError, LocalServerError


class Progress:
    """One line on standard error with how much of a long job is done, and the time left.

    On a terminal the line is written over; elsewhere a line is added now and then.

    Args:
        what: what is counted, such as "frames".
        total: how many there will be; None: not known.
        clock: the time, seconds.
    """

    _EVERY_TERMINAL, _EVERY_ELSEWHERE = 0.2, 10.0

    def __init__(self, what: str, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._terminal = sys.stderr.isatty()
        self._start = self._shown = self._clock()
        self._width = 0

    def at(self, done: int) -> None:
        """So many are done."""
        now = self._clock()
        if now - self._shown >= (self._EVERY_TERMINAL if self._terminal else self._EVERY_ELSEWHERE):
            self._shown = now
            self._show(self._line(done, now))

    def end(self, done: int) -> None:
        """So many were done, and that is all."""
        self._show(self._line(done, self._clock(), over=True))
        if self._terminal:
            print(file=sys.stderr, flush=True)

    def _line(self, done: int, now: float, *, over: bool = False) -> str:
        taken = max(now - self._start, 1e-9)
        rate = done / taken
        if over:
            return f"{done} {self._what} in {_minutes(taken)}, {rate:.1f} a second"
        line = f"{done}{f'/{self._total}' if self._total else ''} {self._what}, {rate:.1f} a second"
        if self._total and done:
            line += f", {_minutes(max(self._total - done, 0) / rate)} left"
        return line

    def _show(self, line: str) -> None:
        if self._terminal:
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._width = len(line)
        else:
            report(line)


class Waiting:
    """A line on standard error now and then, as long as something of unknown length is under way.

    What takes no longer than a few seconds writes nothing.

    Args:
        program: name with which a line begins.
        every: seconds between two lines.
    """

    def __init__(self, program: str, every: float = 5.0) -> None:
        self._program, self._every = program, every
        self._ended = threading.Event()
        self._doing, self._since = "", time.monotonic()
        self._thread = threading.Thread(target=self._run, name="waiting", daemon=True)
        self._thread.start()

    def at(self, doing: str) -> None:
        """So much is under way now."""
        self._doing, self._since = doing, time.monotonic()

    def end(self) -> None:
        """It is over; may be said twice."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            if self._doing:
                report(f"{self._program}: {self._doing}, {time.monotonic() - self._since:.0f} s")


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    )


def run_client_command(program: str, command: Callable[[], int]) -> int:
    """Run a command of the client; see `exalign.cli_support.run_command`.

    Args:
        program: name with which a line about a failure begins.
        command: returns its exit code.
    """
    # gRPC's C core writes lines of its own when a connection breaks; what they mean reaches us as errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    def run() -> int:
        try:
            return command()
        except LocalServerError as error:
            if error.log:
                report(error.log)
            raise

    with ended_by_sigterm():
        return run_command(program, run, failures=(ExalignClientError,), extra="cli")
