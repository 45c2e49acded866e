"""What every command has in common: usage errors, one line for a failure, exit codes.

Exit codes: 0 done, 1 failed (the server, a file), 2 not called rightly, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from exalign_client.errors import ExalignClientError, LocalServerError


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def say(message: str) -> None:
    """Write a line of progress or a failure to standard error."""
    print(message, file=sys.stderr, flush=True)


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
            say(error.log)
        say(f"{program}: {error}")
        return 1
    except (ExalignClientError, OSError) as error:
        say(f"{program}: {describe(error)}")
        return 1
    except KeyboardInterrupt:
        say(f"{program}: interrupted")
        return 130
