"""What the commands `exalign`, `exalign-server` and `exalign-model` have in common. Standard library only.

Exit codes:

    0     done
    1     failed; one line on standard error says why
    2     wrong usage or settings
    130   interrupted
    143   ended by SIGTERM (`exalign` and `exalign-model`)
"""

from __future__ import annotations

import argparse
import codecs
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any, NoReturn

DONE, FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

#: Signs of ours that a terminal may lack, as ASCII.
_PLAIN = {
    "×": "x", "±": "+-", "−": "-", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "…": "...", "°": " deg", "÷": "/",
    "µ": "u", "σ": "sigma", "τ": "tau", "→": "->", "·": "*", "²": "^2", "’": "'", "‖": "||",
}  # fmt: skip


class UsageError(Exception):
    """What was requested cannot be: it ends a command with `WRONG_USAGE`. Its message is one line."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything under way is left as after Ctrl-C."""


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, that takes no abbreviated flags, and whose help has no backticks.

    Args:
        arguments: those of `argparse.ArgumentParser`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **arguments})

    def format_help(self) -> str:
        """The help without the marks of reStructuredText, which a terminal shows as they are."""
        return super().format_help().replace("`", "")

    def add_version(self) -> None:
        """Add ``--version``: the program's name and the version of the distribution."""
        try:
            number = version("exalign")
        except PackageNotFoundError:  # run from a folder of sources
            number = "unknown"
        self.add_argument("--version", action="version", version=f"{self.prog} {number}")

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with `WRONG_USAGE`."""
        self.exit(WRONG_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _replace_unprintable(error: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, as ASCII: our signs in words, a byte of a file name that is no text as ``\\xe9``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = []
    for sign in error.object[error.start : error.end]:
        if "\udc80" <= sign <= "\udcff":
            written.append(f"\\x{ord(sign) - 0xDC00:02x}")
        else:
            written.append(_PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii"))
    return "".join(written), error.end


codecs.register_error("exalign", _replace_unprintable)


def print_anything() -> None:
    """Let standard output and standard error take every text, whatever their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="exalign")


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON that standard output can encode: other signs, and bytes of file names that are no text, are escaped.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, indent=indent)
    return text


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


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """In this block SIGTERM raises `Terminated`, so that files in the making are removed; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


#: Set once a thread was left; a process that goes on, as that of tests, clears it.
abandoned = threading.Event()


def abandon_thread() -> None:
    """A thread is left in the middle of native code, where an orderly end of the interpreter would crash.

    `run_command` then ends the process at once, after everything of its own is cleared away.
    """
    abandoned.set()


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
        failures: errors that are failures, beside `OSError` and `MemoryError`. Any other error is a bug and leaves with
            a traceback.
        extra: the extra of the distribution to install where a module is missing.
        extra_of: extras by top-level module, where it is another one.

    Returns:
        The exit code.
    """
    code = _run(program, command, (*failures, OSError), extra, extra_of or {})
    if abandoned.is_set():
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(code)
    return code


def _run(
    program: str,
    command: Callable[[], int],
    named: tuple[type[Exception], ...],
    extra: str,
    extra_of: Mapping[str, str],
) -> int:
    print_anything()
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except UsageError as e:
        report(f"{program}: {describe(e)}")
        return WRONG_USAGE
    except ModuleNotFoundError as e:
        module = (e.name or "").partition(".")[0]
        if module.startswith("exalign"):
            raise  # ours: no extra would bring it
        name = extra_of.get(module, extra)
        report(f"{program}: needs the extra {name!r} (no module named {e.name!r}): pip install 'exalign[{name}]'")
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except named as e:
        report(f"{program}: {describe(e)}")
        return FAILED
    except MemoryError:
        report(f"{program}: not enough memory")
        return FAILED
    except Terminated:
        report(f"{program}: terminated")
        return TERMINATED
    except KeyboardInterrupt:
        report(f"{program}: interrupted")
        return INTERRUPTED
