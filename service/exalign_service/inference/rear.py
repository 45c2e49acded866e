"""Turns of the threads that work behind the others (`running`), over all pools of a process together."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Rear:
    """So many threads behind the others work at once; the next begins when one of them ends, in the order of coming.

    A pool leaves a thread to others; but a caller that has work in two pools would fill two processors all the same. So
    one processor is left to those in front.

    Args:
        most: threads that work at once, of all pools.
    """

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        # Guarded by _lock.
        self._free = most
        self._waiting: deque[threading.Event] = deque()

    @classmethod
    def of_this_machine(cls) -> Rear:
        """All processors that this process may use but one; one where there is no other."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(max(cores - 1, 1))

    @property
    def waiting(self) -> int:
        """Threads that wait for their turn."""
        with self._lock:
            return len(self._waiting)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends."""
        mine = None
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                mine = threading.Event()
                self._waiting.append(mine)
        if mine is not None:
            mine.wait()  # whoever ends hands the turn over, so that nobody who comes later is sooner
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._free += 1
