"""Leaving before the server serves: SIGTERM is obeyed at once, whatever the process is busy with.

Until the event loop runs, a handler of ours ends the process. Later the loop obeys; while a thread still loads the
model, which nothing can interrupt, it ends the process too, once its ports are closed. Nothing is in flight then.

Imported before anything else: little of the standard library, and no logging.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import NoReturn

DONE = 0

_STDERR = 2

#: Where the log goes; None: it wants no line as little severe as these.
_log_descriptor: int | None = _STDERR


def obey_sigterm() -> None:
    """From now on SIGTERM ends the process with 0, and lines in the log. For the main thread."""
    signal.signal(signal.SIGTERM, _leave)


def disobey_sigterm() -> None:
    """Take `obey_sigterm` back."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def log_to(descriptor: int | None) -> None:
    """Say where the log goes from now on.

    Args:
        descriptor: of a file; None: it wants no line as little severe as these.
    """
    global _log_descriptor
    _log_descriptor = descriptor


def leave(code: int) -> NoReturn:
    """End the process without waiting for any of its threads."""
    sys.stdout.flush()
    os._exit(code)


def _leave(number: int, frame: object) -> NoReturn:
    # Written past `logging`, which this may have interrupted, and may not have imported yet.
    now = time.time()
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}+00:00"
    for fields in ({"event": "stopping", "reason": signal.Signals(number).name}, {"event": "stopped"}):
        if _log_descriptor is not None:
            os.write(_log_descriptor, (json.dumps({"ts": ts, "level": "info", **fields}) + "\n").encode())
    leave(DONE)
