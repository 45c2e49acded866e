"""Says that the server is not serving where its work is stuck or its network fails, and that it serves again.

A thread cannot be ended from outside. What can be done is done: load balancers send no more, whoever waits is told,
and a supervisor may replace the process (`exalign_service.startup.supervisor`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from exalign_service.rpc.clock import Clock
from exalign_service.rpc.errors import NotServingError
from exalign_service.rpc.lifecycle import Lifecycle

_log = logging.getLogger(__name__)

#: Looks in the time after which work counts as stuck, and the longest time between two looks, seconds.
_LOOKS, _LONGEST_PAUSE = 16, 1.0

#: A network that fails is tried so often, seconds.
PROBE_INTERVAL = 2.0

_NETWORK = "network"


class Watched(Protocol):
    """Something that works in threads."""

    def oldest_running(self) -> float | None:
        """Seconds since its oldest running job began; None where none runs. From any thread."""


class Faults(Protocol):
    """The network's failures."""

    @property
    def in_a_row(self) -> int:
        """Calls of the network that have failed since the last that did not."""


class WatchObserver(Protocol):
    """Is told what the watchdog finds."""

    def stuck_changed(self, where: str, stuck: bool) -> None:
        """Work is stuck there, or no longer."""


class Watchdog:
    """Watches one server. For the event loop's thread.

    Args:
        watched: what works, by what one piece of its work is called: "stage", "batch".
        stuck_after: work that has been running for so long is stuck, seconds.
        faults: of the network.
        max_faults: so many in a row are looked into.
        probe: puts a crop of our own through the network; raises where that fails.
        lifecycle: is told of troubles.
        observer: see `WatchObserver`.
        end_overdue: called at every look while something is stuck, with an age in seconds and an error: whatever has
            been worked on for longer ends with it.
        clock: the time between looks.
    """

    def __init__(
        self,
        watched: Mapping[str, Watched],
        stuck_after: float,
        faults: Faults,
        max_faults: int,
        probe: Callable[[], Awaitable[object]],
        lifecycle: Lifecycle,
        observer: WatchObserver,
        end_overdue: Callable[[float, Exception], object],
        clock: Clock,
    ) -> None:
        self._watched, self._stuck_after, self._end_overdue = watched, stuck_after, end_overdue
        self._faults, self._max_faults, self._probe = faults, max_faults, probe
        self._lifecycle, self._observer, self._clock = lifecycle, observer, clock
        self._probing: asyncio.Task[None] | None = None
        self._next_probe = clock.now()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        pause = min(self._stuck_after / _LOOKS, _LONGEST_PAUSE)
        try:
            while True:
                try:
                    self.look()
                except Exception:  # noqa: BLE001  # a look that fails must not be the last
                    _log.exception("the watchdog failed")
                await self._clock.sleep(pause)
        finally:
            if self._probing is not None:
                self._probing.cancel()

    def look(self) -> None:
        """Look once."""
        stuck = [what for what, work in self._watched.items() if self._is_stuck(what, work)]
        if stuck:
            self._end_overdue(self._stuck_after, NotServingError(self._lifecycle.why_not))
        if self._faults.in_a_row < self._max_faults:
            self._recovered(_NETWORK)
        elif self._probing is None and self._clock.now() >= self._next_probe:
            self._probing = asyncio.create_task(self._try_network())

    def _is_stuck(self, what: str, work: Watched) -> bool:
        age = work.oldest_running()
        stuck = age is not None and age >= self._stuck_after
        self._observer.stuck_changed(what, stuck)
        if stuck:
            self._troubled(what, f"a {what} has been running for longer than stuck_after = {self._stuck_after:g} s")
        else:
            self._recovered(what)
        return stuck

    async def _try_network(self) -> None:
        """The faults of callers' crops are not held against the network before one of our own fails as well."""
        try:
            await self._probe()
        except Exception as e:  # noqa: BLE001  # whatever it is, it is counted as a fault, or says nothing of the network
            if self._faults.in_a_row >= self._max_faults:
                text = f"the network has failed {self._max_faults} times in a row or more: {type(e).__name__}"
                self._troubled(_NETWORK, text)
        finally:
            self._next_probe = self._clock.now() + PROBE_INTERVAL
            self._probing = None

    def _troubled(self, cause: str, reason: str) -> None:
        if self._lifecycle.troubled(cause, reason):
            _log.error("not serving", extra={"fields": {"cause": cause, "reason": reason}})

    def _recovered(self, cause: str) -> None:
        if self._lifecycle.recovered(cause):
            _log.warning("recovered", extra={"fields": {"cause": cause, "serving": self._lifecycle.serving}})
