"""The time of one call, and the one place that honours a busy server's wish to be asked again later.

UNAVAILABLE is retried by gRPC itself (`exalign_client.channel`), inside each attempt made here.
"""

from __future__ import annotations

import random
import time

from exalign_client.arguments import check_timeout
from exalign_client.channel import MAX_ATTEMPTS
from exalign_client.errors import DeadlineError, ExalignClientError, ServerBusyError, UnavailableError
from exalign_client.health import HealthStatus

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
