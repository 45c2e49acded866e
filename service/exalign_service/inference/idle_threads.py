"""Threads that wait for work: who began to wait last is woken first (docs/decisions/cost-of-a-frame.md).

Its core's caches still hold what it worked with, and its arena of the allocator is the one in use.
`threading.Condition` wakes who has waited for longest, so that the frames of a single stream go round all threads.
"""

from __future__ import annotations

import threading


class IdleThreads:
    """A lock, and the threads that wait for a change of what it guards. Used as `threading.Condition` is."""

    def __init__(self) -> None:
        self._lock, self._waiting = threading.Lock(), list[threading.Lock]()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    @property
    def count(self) -> int:
        """Threads that wait now. With the lock held."""
        return len(self._waiting)

    def wait(self) -> None:
        """Give the lock up, wait to be woken, and take it again. With the lock held."""
        woken = threading.Lock()
        woken.acquire()
        self._waiting.append(woken)
        self._lock.release()
        try:
            woken.acquire()
        finally:
            self._lock.acquire()

    def notify(self, count: int = 1) -> None:
        """Wake so many of those that wait, the last first. With the lock held."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.pop().release()

    def notify_all(self) -> None:
        """Wake all that wait. With the lock held."""
        self.notify(len(self._waiting))
