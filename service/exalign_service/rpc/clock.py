"""The time by which streams, sessions and shutdown wait. Tests bring a clock that they move by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Do not run it; nothing happens when it has run."""


class Clock(Protocol):
    """Monotonic time, and waiting by it. For the event loop's thread only."""

    def now(self) -> float:
        """Seconds since some moment."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """Call a function after so many seconds."""


class LoopClock:
    """The clock of the running event loop."""

    def now(self) -> float:
        """See `Clock`. It is the loop's own time, `time.monotonic`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> Timer:
        """See `Clock`."""
        return asyncio.get_running_loop().call_later(seconds, callback, *args)
