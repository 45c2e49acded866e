"""What every command has in common: usage errors, one line for a failure, exit codes.

Exit codes: 0 done, 1 failed (the server, a file), 2 not called rightly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from exalign_client.errors import ExalignClientError, LocalServerError


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def report(message: str) -> None:
    """Write a line of progress or a failure to standard error."""
    print(message, file=sys.stderr, flush=True)


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


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    )


def describe(error: ExalignClientError | OSError) -> str:
    """One line for an error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def run_to_exit_code(program: str, run: Callable[[], int]) -> int:
    """Run a command; a failure that has a name becomes one line on standard error.

    Args:
        program: name to begin that line with.
        run: the command; returns its exit code.
    """
    # gRPC's C core writes lines of its own when a connection breaks; what they mean reaches us as errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return run()
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except LocalServerError as error:
        if error.log:
            report(error.log)
        report(f"{program}: {error}")
        return 1
    except (ExalignClientError, OSError) as error:
        report(f"{program}: {describe(error)}")
        return 1
    except KeyboardInterrupt:
        report(f"{program}: interrupted")
        return 130
