"""Leaving without waiting for any thread: before the server serves, and where its end takes too long.

Until the event loop runs, a handler of ours ends the process at SIGTERM, whatever it is busy with. Later
`startup.signals` catches it; while a thread still loads the model, which nothing can interrupt, the process is left as
soon as its ports are closed. Nothing is in flight then.

Imported before anything else: little of the standard library, and no logging.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import NoReturn

DONE, FAILED = 0, 1

_STDERR = 2

#: Where the log goes, whether it wants lines as little severe as "info", and what every line has.
_log_descriptor, _log_info = _STDERR, True
_log_fields: dict[str, object] = {}


def obey_sigterm() -> None:
    """From now on SIGTERM ends the process with 0, and lines in the log. For the main thread."""
    signal.signal(signal.SIGTERM, _leave)


def disobey_sigterm() -> None:
    """Take `obey_sigterm` back."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def log_to(descriptor: int, *, info: bool, fields: Mapping[str, object] = MappingProxyType({})) -> None:
    """Say where the log goes from now on.

    Args:
        descriptor: of a file.
        info: whether it wants lines as little severe as "info".
        fields: what every line has.
    """
    global _log_descriptor, _log_info, _log_fields
    _log_descriptor, _log_info, _log_fields = descriptor, info, dict(fields)


def leave(code: int) -> NoReturn:
    """End the process without waiting for any of its threads."""
    sys.stdout.flush()
    os._exit(code)


def leave_unfinished(still_running: list[str]) -> NoReturn:
    """End the process with 1 and a line in the log, whatever else hangs: nothing of ours is waited for.

    Args:
        still_running: what has not ended.
    """
    _write_line("error", {"event": "not stopped in time", "still_running": still_running})
    os._exit(FAILED)


def _leave(number: int, frame: object) -> NoReturn:
    if _log_info:
        _write_line("info", {"event": "stopping", "reason": signal.Signals(number).name})
        _write_line("info", {"event": "stopped"})
    leave(DONE)


def _write_line(level: str, fields: dict[str, object]) -> None:
    # Written past `logging`, which may be interrupted or stuck here, and may not have been imported yet.
    now = time.time()
    ts = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}+00:00"
    with suppress(OSError):  # nobody reads the log any more
        os.write(_log_descriptor, (json.dumps({"ts": ts, "level": level, **fields, **_log_fields}) + "\n").encode())
