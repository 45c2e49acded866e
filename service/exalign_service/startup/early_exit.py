"""Leaving before the server serves: SIGTERM is obeyed at once, whatever the process is busy with.

Until the event loop runs, a handler of ours ends the process. Later the loop obeys; while a thread still loads the
model, which nothing can interrupt, it ends the process too, once its ports are closed. Nothing is in flight then.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from exalign.cli_support import DONE
from exalign_service.observability import logs


@contextmanager
def sigterm_obeyed() -> Iterator[None]:
    """SIGTERM ends the process with 0, and lines in the log. Only where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(code: int) -> NoReturn:
    """End the process without waiting for any of its threads."""
    sys.stdout.flush()
    os._exit(code)


def _leave(number: int, frame: object) -> NoReturn:
    logs.write_now("stopping", reason=signal.Signals(number).name)
    logs.write_now("stopped")
    leave(DONE)
