"""What the commands `exalign`, `exalign-server` and `exalign-model` have in common. Standard library only.

Exit codes:

    0     done
    1     failed; one line on standard error says why
    2     wrong usage or settings
    130   interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with `WRONG_USAGE`."""
        self.exit(WRONG_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def report(message: str) -> None:
    """Write a line to standard error."""
    print(message, file=sys.stderr, flush=True)


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def describe(error: BaseException) -> str:
    """One line for an error; of an operating system's error about a file, the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return first_line(error)


def run_command(
    program: str,
    command: Callable[[], int],
    *,
    failures: tuple[type[Exception], ...] = (),
    extra: str,
    extra_of: Mapping[str, str] | None = None,
) -> int:
    """Run a command; what ends it becomes an exit code, and one line on standard error.

    Args:
        program: name with which that line begins.
        command: returns its exit code.
        failures: errors that are failures, beside `OSError`. Any other error is a bug and leaves with a traceback.
        extra: the extra of the distribution to install where a module is missing.
        extra_of: extras by top-level module, where it is another one.

    Returns:
        The exit code.
    """
    named: tuple[type[Exception], ...] = (*failures, OSError)
    try:
        code = command()
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as e:
        module = (e.name or "").partition(".")[0]
        if module.startswith("exalign"):
            raise  # ours: no extra would bring it
        name = (extra_of or {}).get(module, extra)
        report(f"{program}: needs the extra {name!r} (no module named {e.name!r}): pip install 'exalign[{name}]'")
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except named as e:
        report(f"{program}: {describe(e)}")
        return FAILED
    except KeyboardInterrupt:
        report(f"{program}: interrupted")
        return INTERRUPTED
