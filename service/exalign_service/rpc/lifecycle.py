"""Where the server is in its life."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

#: So long after a handler was cancelled gRPC cuts its call; and what has been cut has so long to end, seconds.
CUT_AFTER, CUT_ENDS = 1.0, 2.0

#: Threads have so long to end, and the metrics port, seconds.
THREADS_END, METRICS_END = 4.0, 0.5

#: The longest time from the end of the grace to the end of the server, whatever hangs, and of its process, seconds.
LONGEST_END = CUT_AFTER + CUT_ENDS + THREADS_END + METRICS_END
GONE_AFTER = LONGEST_END + 1.0


class Phase(Enum):
    """The three parts of a server's life, in order."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Lifecycle:
    """The phase, shared by everything that depends on it, and what is wrong meanwhile. For the event loop's thread.

    The phase only moves forward. Troubles come and go; while there is one, the server says that it is not serving.
    """

    def __init__(self) -> None:
        self._phase = Phase.STARTING
        self._troubles: dict[str, str] = {}
        #: What a starting server is busy with, for whoever calls it.
        self.step = "opening its ports"
        #: Called when a trouble has come or gone.
        self.on_trouble: Callable[[], object] = lambda: None

    @property
    def phase(self) -> Phase:
        """Now."""
        return self._phase

    @property
    def serving(self) -> bool:
        """Whether requests are answered and more are welcome."""
        return self._phase is Phase.SERVING and not self._troubles

    @property
    def draining(self) -> bool:
        """Whether the server is on its way out."""
        return self._phase is Phase.DRAINING

    @property
    def why_not(self) -> str:
        """Why requests are not answered, in one sentence."""
        if self._phase is Phase.STARTING:
            return f"the server is starting: it is {self.step}"
        if self.draining:
            return "the server is shutting down"
        return "; ".join(self._troubles.values()) or "the server is serving"

    @property
    def state(self) -> str:
        """The phase in a word; where something is wrong, "not serving" and what it is."""
        troubled = self._phase is Phase.SERVING and self._troubles
        return f"not serving: {self.why_not}" if troubled else self._phase.value

    def warm(self) -> None:
        """The first answer would be as fast as the next; nothing changes when draining has begun."""
        if self._phase is Phase.STARTING:
            self._phase = Phase.SERVING

    def drain(self) -> None:
        """No more requests are welcome."""
        self._phase = Phase.DRAINING

    def troubled(self, cause: str, reason: str) -> bool:
        """Something is wrong.

        Args:
            cause: names it for `recovered`.
            reason: one sentence.

        Returns:
            Whether it is news.
        """
        if cause in self._troubles:
            return False
        self._troubles[cause] = reason
        self.on_trouble()
        return True

    def recovered(self, cause: str) -> bool:
        """It is right again; returns whether it was wrong."""
        if self._troubles.pop(cause, None) is None:
            return False
        self.on_trouble()
        return True
