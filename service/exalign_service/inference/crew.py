"""The threads of a pool: as many that work behind the others, at a lower priority, as work in front (`running`)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from exalign_service.inference.rear import Rear
from exalign_service.inference.workers import start_workers
from exalign_service.scheduling.slices import BEHIND, set_slice

#: By how much the priority of those behind is lower. With more the others gain more, yet whoever waits for the
#: interpreter's lock may have to wait for a thread behind, and on a machine with other work that one hardly runs.
NICE = 3


class Crew:
    """Threads that wait for work by one lock.

    Args:
        name: of the threads, before their numbers.
        front: threads that work in front, and behind.
        rear: bounds those behind; None: nothing does.
    """

    def __init__(self, name: str, front: int, rear: Rear | None = None) -> None:
        self._name, self._count, self._rear = name, front, rear
        self.lock = threading.Lock()
        self._conditions = {behind: threading.Condition(self.lock) for behind in (False, True)}
        self._threads: list[threading.Thread] = []

    def start(self, step: Callable[[bool], bool]) -> None:
        """Start the threads.

        Args:
            step: waits for work and does it, told whether its thread is behind; False where there will be none.
        """
        self._threads = start_workers(self._name, self._count, lambda: step(False))
        self._threads += start_workers(f"{self._name}-behind", self._count, lambda: step(True), _lower_priority)

    def turn(self, *, behind: bool) -> AbstractContextManager[None]:
        """In which a thread works: one behind waits for it. The lock is not held."""
        return self._rear.turn() if behind and self._rear is not None else nullcontext()

    def wait(self, *, behind: bool) -> None:
        """Wait for something to change. The lock is held, by a thread of the crew."""
        self._conditions[behind].wait()

    def notify(self, *, behind: bool, count: int = 1) -> None:
        """Wake threads. The lock is held."""
        self._conditions[behind].notify(count)

    def notify_all(self) -> None:
        """Wake all threads. The lock is held."""
        for condition in self._conditions.values():
            condition.notify_all()

    def join(self, timeout: Callable[[], float | None]) -> bool:
        """Wait for the threads to end.

        Args:
            timeout: seconds that are left; None: for ever.

        Returns:
            Whether all have.
        """
        for thread in self._threads:
            thread.join(timeout())
        return not any(thread.is_alive() for thread in self._threads)


def _lower_priority() -> None:
    """Of this thread, which also lets those in front interrupt it; where the system has no such thing, nothing."""
    set_slice(BEHIND)
    with suppress(OSError, AttributeError):
        tid = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, tid, os.getpriority(os.PRIO_PROCESS, tid) + NICE)
