"""The time of one call, and the one place that honours a busy server's wish to be asked again later.

UNAVAILABLE is retried by gRPC itself (`exalign_client.transport.channel`), inside each attempt made here.
"""

from __future__ import annotations

import random
import time

from exalign_client.errors import (
    DeadlineError,
    ExalignClientError,
    InternalServerError,
    ServerBusyError,
    UnavailableError,
)
from exalign_client.requests.arguments import check_timeout
from exalign_client.transport.channel import MAX_ATTEMPTS
from exalign_client.transport.health import HealthStatus

#: Seconds before a broken stream is opened again: the first pause, which doubles, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

#: Seconds between two looks at a server that is not ready yet.
_READY_PAUSE = 0.1


class CallBudget:
    """What is left of one call: its time, shared by all attempts and pauses, and its attempts.

    Args:
        timeout: seconds for all of it, > 0.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0.
    """

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + check_timeout(timeout)
        self._attempts_left = MAX_ATTEMPTS

    def remaining(self) -> float:
        """Seconds left, ≥ 0; the deadline of the next attempt."""
        return max(self._end - time.monotonic(), 0.0)

    def pause_after(self, error: ExalignClientError) -> float | None:
        """Seconds to wait before the next attempt; None: there should be none.

        There is none when the server did not ask for one, when all attempts are used up, and when the pause
        would outlast the time left.
        """
        self._attempts_left -= 1
        if not isinstance(error, ServerBusyError) or error.retry_after is None or self._attempts_left == 0:
            return None
        # Callers turned away together must not come back together.
        pause = error.retry_after * random.uniform(1.0, 1.25)
        return pause if pause < self.remaining() else None

    def pause_until_ready(self, seen: HealthStatus | UnavailableError, address: str) -> float:
        """Seconds to wait before looking again whether a server is ready.

        Args:
            seen: what the last look found: a status other than SERVING, or that nobody answers.
            address: the server, for messages.

        Raises:
            DeadlineError: the time is up.
        """
        if self.remaining() <= _READY_PAUSE:
            found = seen.value if isinstance(seen, HealthStatus) else str(seen)
            raise DeadlineError(f"{address}: not ready in time; last seen: {found}")
        return _READY_PAUSE


class ReconnectBudget:
    """What a broken stream may still try: time and attempts, both counted from the last thing that it brought.

    Args:
        patience: seconds from the first failure on, > 0.

    Raises:
        InvalidRequestError: ``patience`` is not a finite number > 0.
    """

    def __init__(self, patience: float) -> None:
        self._patience = check_timeout(patience)
        self._failures = 0
        self._end = 0.0

    def progressed(self) -> None:
        """The stream has brought something new."""
        self._failures = 0

    def pause_after(self, error: ExalignClientError, *, opened: bool) -> float | None:
        """Seconds to wait before the stream is opened again; None: it should not be.

        A server that dies is seen as UNAVAILABLE, behind a proxy also as CANCELLED or INTERNAL. INTERNAL may as
        well be a fault that comes again with the same frame, so it is tried only a few times, as is a server that
        has never been reached.

        Args:
            error: what the stream ended with.
            opened: whether there has been an open stream of this video.
        """
        if self._failures == 0:
            self._end = time.monotonic() + self._patience
        self._failures += 1
        few = not opened or isinstance(error, InternalServerError)
        match error:
            case ServerBusyError() if error.retry_after is not None:
                few, least = False, error.retry_after * random.uniform(1.0, 1.25)
            case UnavailableError() | InternalServerError() | DeadlineError():
                least = 0.0
            case _:
                return None
        if few and self._failures >= MAX_ATTEMPTS:
            return None
        # Many callers may have lost the same server: they must not come back together.
        growing = min(_FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        pause = max(least, growing)
        return pause if time.monotonic() + pause < self._end else None
