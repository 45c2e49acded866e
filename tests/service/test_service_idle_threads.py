"""Threads that wait for work are woken in the order that keeps caches warm, and none is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from exalign_service.inference.idle_threads import IdleThreads


class Waiters:
    """Threads that began to wait one after the other, and the order in which they woke."""

    def __init__(self, count: int) -> None:
        self.idle, self.woken = IdleThreads(), list[int]()
        self.threads = [threading.Thread(target=self._wait, args=(i,), daemon=True) for i in range(count)]
        for i, thread in enumerate(self.threads):
            thread.start()
            self.until(lambda i=i: self.idle.count == i + 1)

    def _wait(self, number: int) -> None:
        with self.idle:
            self.idle.wait()
            self.woken.append(number)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds with the lock held."""
        give_up = time.monotonic() + 20
        while True:
            with self.idle:
                if holds():
                    return
            assert time.monotonic() < give_up
            time.sleep(0.001)

    def wake(self, count: int) -> None:
        with self.idle:
            self.idle.notify(count)


def test_who_began_to_wait_last_is_woken_first() -> None:
    waiters = Waiters(3)
    for expected in ([2], [2, 1], [2, 1, 0]):
        waiters.wake(1)
        waiters.until(lambda expected=expected: waiters.woken == expected)


def test_as_many_are_woken_as_wait() -> None:
    waiters = Waiters(3)
    waiters.wake(2)
    waiters.until(lambda: sorted(waiters.woken) == [1, 2])
    waiters.wake(5)
    for thread in waiters.threads:
        thread.join(20)
    assert sorted(waiters.woken) == [0, 1, 2]
    assert waiters.idle.count == 0


def test_all_are_woken_at_once() -> None:
    waiters = Waiters(4)
    with waiters.idle:
        waiters.idle.notify_all()
        assert waiters.woken == []  # the lock is still held
    for thread in waiters.threads:
        thread.join(20)
    assert sorted(waiters.woken) == [0, 1, 2, 3]
