"""Time and attempts of one call, and of a stream that breaks. The pause that a busy server names is kept here.

UNAVAILABLE is retried by gRPC itself (`exalign_client.transport.channel`), inside each attempt made here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from exalign_client.errors import (
    DeadlineError,
    ExalignClientError,
    InternalServerError,
    PreconditionError,
    ServerBusyError,
    UnavailableError,
)
from exalign_client.requests.arguments import check_timeout
from exalign_client.transport.channel import MAX_ATTEMPTS
from exalign_client.transport.health import HealthStatus

#: Seconds before a broken stream is opened again: the first pause, which doubles, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Seconds between two health checks of a server that is not ready yet.
READY_PAUSE = 0.1

#: Factors, drawn evenly, of the pause that a server named, and of our own. Callers turned away by one server together
#: must not come back together; none may come back before the time that the server named.
NAMED_PAUSE_JITTER, OWN_PAUSE_JITTER = (1.0, 1.25), (0.5, 1.0)

#: Seconds of some clock that never goes back.
Clock = Callable[[], float]

#: A random number between two bounds.
Uniform = Callable[[float, float], float]


class CallBudget:
    """What is left of one call: its time, shared by all attempts and pauses, and its attempts.

    Args:
        timeout: seconds for all of it, > 0.
        clock: the time.
        uniform: draws the jitter of pauses.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0.
    """

    def __init__(self, timeout: float, *, clock: Clock = time.monotonic, uniform: Uniform = random.uniform) -> None:
        self._clock, self._uniform = clock, uniform
        self._end = clock() + check_timeout(timeout)
        self._attempts_left = MAX_ATTEMPTS

    def remaining(self) -> float:
        """Seconds left, ≥ 0; the deadline of the next attempt."""
        return max(self._end - self._clock(), 0.0)

    def pause_after(self, error: ExalignClientError) -> float | None:
        """Seconds to wait before the next attempt; None: there should be none.

        There is none when the server named none, when all attempts are used up, and when the pause
        would outlast the time left.
        """
        self._attempts_left -= 1
        if not isinstance(error, ServerBusyError) or error.retry_after is None or self._attempts_left == 0:
            return None
        pause = error.retry_after * self._uniform(*NAMED_PAUSE_JITTER)
        return pause if pause < self.remaining() else None

    def pause_until_ready(self, seen: HealthStatus | UnavailableError, address: str) -> float:
        """Seconds to wait before the health of a server is checked again.

        Args:
            seen: what the last check found: a status other than SERVING, or that nobody answers.
            address: the server, for messages.

        Raises:
            DeadlineError: the time is up.
        """
        if self.remaining() <= READY_PAUSE:
            found = seen.value if isinstance(seen, HealthStatus) else str(seen)
            raise DeadlineError(f"{address}: not ready in time; last seen: {found}")
        return READY_PAUSE


class ReconnectBudget:
    """What a broken stream may still try: time and attempts, both counted from the last thing that it brought.

    Args:
        timeout: seconds from the first failure on, > 0.
        clock: the time.
        uniform: draws the jitter of pauses.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0.
    """

    def __init__(self, timeout: float, *, clock: Clock = time.monotonic, uniform: Uniform = random.uniform) -> None:
        self._clock, self._uniform = clock, uniform
        self._timeout = check_timeout(timeout)
        self._failures = 0
        self._end = 0.0

    def progressed(self) -> None:
        """The stream has brought something new."""
        self._failures = 0

    def pause_after(self, error: ExalignClientError, *, opened: bool) -> float | None:
        """Seconds to wait before the stream is opened again; None: it should not be.

        A server that dies is seen as UNAVAILABLE, behind a proxy also as CANCELLED or INTERNAL. INTERNAL may as
        well be a fault that comes again with the same frame, so it is tried only a few times, as is a server that
        has never been reached. So is one that has not got the bundle of a session: another may have it.

        Args:
            error: what the stream ended with.
            opened: whether there has been an open stream of this video.
        """
        if self._failures == 0:
            self._end = self._clock() + self._timeout
        self._failures += 1
        few = not opened or isinstance(error, InternalServerError)
        match error:
            case ServerBusyError() if error.retry_after is not None:
                few, least = False, error.retry_after * self._uniform(*NAMED_PAUSE_JITTER)
            case UnavailableError() | InternalServerError() | DeadlineError():
                least = 0.0
            case PreconditionError(reason="TOKEN_OTHER_BUNDLE") if opened:
                few, least = True, 0.0
            case _:
                return None
        if few and self._failures >= MAX_ATTEMPTS:
            return None
        bound = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        pause = max(least, bound * self._uniform(*OWN_PAUSE_JITTER))
        return pause if self._clock() + pause < self._end else None
