"""Signals are caught, and the end is bounded, whatever the event loop and the threads are busy with."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CAUGHT = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def signals_caught(received: Callable[[str], object]) -> Iterator[None]:
    """Catch SIGTERM and SIGINT in this block. For the main thread.

    Args:
        received: called with the signal's name, in a thread of its own: also while the main thread is stuck.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Python writes the numbers of signals there as they come; the handlers themselves have nothing to do.
    before = {number: signal.signal(number, lambda number, frame: None) for number in _CAUGHT}
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def listen() -> None:
        with os.fdopen(reading, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in _CAUGHT:
                    received(signal.Signals(number[0]).name)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        for number, handler in before.items():
            signal.signal(number, handler)


class EndGuard:
    """Ends the process where its orderly end takes too long.

    Its thread is there from the start: when it is needed, there may be no memory for another.

    Args:
        end: ends it; called in a thread of its own.

    Attributes:
        still_running: says what has not ended; handed to ``end``.
    """

    def __init__(self, end: Callable[[list[str]], object]) -> None:
        self.still_running: Callable[[], list[str]] = list
        self._end, self._changed = end, threading.Condition()
        #: On `time.monotonic`; guarded by _changed. None: nothing is to end.
        self._due: float | None = None
        threading.Thread(target=self._wait, name="end", daemon=True).start()

    def arm(self, seconds: float) -> None:
        """It ends in so many seconds at the latest; an earlier end that was set stays. From any thread."""
        due = time.monotonic() + seconds
        with self._changed:
            self._due = due if self._due is None else min(self._due, due)
            self._changed.notify_all()

    def disarm(self) -> None:
        """It has ended in good order."""
        with self._changed:
            self._due = None
            self._changed.notify_all()

    def _wait(self) -> None:
        with self._changed:
            while self._due is None or (left := self._due - time.monotonic()) > 0:
                self._changed.wait(None if self._due is None else left)
        self._end(self.still_running())
