"""How soon callers are told that a call is refused: who sends too much of that waits for each answer."""

from __future__ import annotations

import grpc

from exalign_service.rpc.call_context import Call
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.errors import OverloadedError, QueueFullError, status_of

#: Refusals of one caller a second, after a burst of as many; and the longest time by which one is put off, seconds. A
#: shorter one would tell all that wait at the same moment, and their next requests would come together.
RATE, LONGEST = 50.0, 6.0

#: A request of so many bytes that is refused costs as much as one refusal more: it was received, and that takes the
#: event loop's time.
BYTES = 512 * 1024

#: Callers that are remembered, before those whose refusals are over are forgotten.
_REMEMBERED = 256

#: What a caller can be blamed for.
_REFUSED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


class RefusalPace:
    """The refusals of each caller. For the event loop's thread only.

    Args:
        clock: by which it waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: When the refusals of each caller will have been told at their rate.
        self._until: dict[str, float] = {}

    async def wait(self, call: Call, error: Exception) -> None:
        """Wait before an error is told, where its caller has caused too many.

        Nothing of the request is needed meanwhile: whoever waits here lets go of it first.

        Args:
            call: that ends so; never put off beyond half of the time that it has left.
            error: its end.
        """
        if status_of(error, call.request_id).code not in _REFUSED:
            return
        now = self._clock.now()
        if len(self._until) > _REMEMBERED:
            self._until = {caller: until for caller, until in self._until.items() if until > now}
        # Whatever its size, the first one is told at once.
        cost = isinstance(error, OverloadedError | QueueFullError) + min(call.size / BYTES, RATE / 2)
        until = max(self._until.get(call.caller, now), now) + cost / RATE
        pause = until - now - 1.0  # a second's refusals are the burst
        self._until[call.caller] = min(until, now + 1.0 + LONGEST)
        if pause > 0:
            await self._clock.sleep(min(pause, LONGEST, max(call.deadline - now, 0.0) / 2))
