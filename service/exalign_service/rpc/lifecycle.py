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

    @property
    def phase(self) -> Phase:
        """Now."""
        return self._phase

    @property
    def serving(self) -> bool:
        """Whether requests are answered and more are welcome."""
        return self._phase is Phase.SERVING

    def warm(self) -> None:
        """The first answer would be as fast as the next; nothing changes when draining has begun."""
        if self._phase is Phase.STARTING:
            self._phase = Phase.SERVING

    def drain(self) -> None:
        """No more requests are welcome."""
        self._phase = Phase.DRAINING
