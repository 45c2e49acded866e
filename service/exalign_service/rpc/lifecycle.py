"""Where the server is in its life."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """The three parts of a server's life, in order."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Lifecycle:
    """The phase, shared by everything that depends on it. It only moves forward."""

    def __init__(self) -> None:
        self._phase = Phase.STARTING
        #: What a starting server is busy with, for whoever calls it.
        self.step = "opening its ports"

    @property
    def phase(self) -> Phase:
        """Now."""
        return self._phase

    @property
    def serving(self) -> bool:
        """Whether requests are answered and more are welcome."""
        return self._phase is Phase.SERVING

    @property
    def draining(self) -> bool:
        """Whether the server is on its way out."""
        return self._phase is Phase.DRAINING

    @property
    def why_not(self) -> str:
        """Why requests are not answered, in one sentence."""
        if self._phase is Phase.STARTING:
            return f"the server is starting: it is {self.step}"
        return "the server is shutting down" if self.draining else "the server is serving"

    def warm(self) -> None:
        """The first answer would be as fast as the next; nothing changes when draining has begun."""
        if self._phase is Phase.STARTING:
            self._phase = Phase.SERVING

    def drain(self) -> None:
        """No more requests are welcome."""
        self._phase = Phase.DRAINING
