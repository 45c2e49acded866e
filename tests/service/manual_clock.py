"""A clock that tests move by hand: nothing that waits by it goes on before the test says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class ManualTimer:
    """See `exalign_service.rpc.clock.Timer`."""

    due: float
    run: Callable[[], object]
    timers: list[ManualTimer] = field(repr=False)

    def cancel(self) -> None:
        if self in self.timers:
            self.timers.remove(self)


class ManualClock:
    """See `exalign_service.rpc.clock.Clock`. It starts at the loop's own time."""

    def __init__(self) -> None:
        self._now = time.monotonic()
        self._timers: list[ManualTimer] = []

    def now(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> ManualTimer:
        timer = ManualTimer(self._now + seconds, lambda: callback(*args), self._timers)
        self._timers.append(timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        over = asyncio.Event()
        timer = self.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    def waits(self, seconds: float) -> bool:
        """Whether something waits until so many seconds from now, to the millisecond."""
        return any(abs(timer.due - self._now - seconds) < 1e-3 for timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Move on, and let everything run that is due on the way, in order."""
        until = self._now + seconds
        while due := [timer for timer in self._timers if timer.due <= until]:
            timer = min(due, key=lambda one: one.due)
            self._timers.remove(timer)
            self._now = max(self._now, timer.due)
            timer.run()
            await settle()
        self._now = until
        await settle()


async def settle() -> None:
    """Let the tasks of this loop run as far as they get without threads, sockets or time."""
    for _ in range(20):
        await asyncio.sleep(0)
