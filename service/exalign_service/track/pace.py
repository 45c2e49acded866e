"""How fast the messages of one stream are read."""

from __future__ import annotations

from exalign_service.rpc.clock import Clock


class MessagePace:
    """Reading at a bounded rate after a burst: who sends more is slowed down by flow control, not refused.

    A message costs the event loop about the same whatever is in it, and the loop is everybody's.

    Args:
        rate: messages a second.
        burst: messages that are read as fast as they come, after a rest.
        clock: the time.
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._interval, self._burst, self._clock = 1 / rate, burst, clock
        #: When all messages so far would have come, had they come at the rate.
        self._due = clock.now()

    async def wait(self) -> None:
        """After each message: wait until the next may be read."""
        now = self._clock.now()
        self._due = max(self._due, now) + self._interval
        early = self._due - now - self._burst * self._interval
        if early > 0:
            await self._clock.sleep(early)
