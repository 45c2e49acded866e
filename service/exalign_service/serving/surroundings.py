"""What goes wrong around a server that goes on serving is seen, said once, and shown (docs/decisions/faults.md).

Nothing here ends a call or a session: what is in memory answers, and time limits are by a clock that does not jump.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from exalign_engine.bundle.bundle import MANIFEST
from exalign_engine.tables.store import not_kept
from exalign_service.observability.logs import lines_lost
from exalign_service.rpc.clock import Clock
from exalign_service.serving.own_thread import in_own_thread

_log = logging.getLogger(__name__)

#: Looks are so far apart, seconds.
LOOK = 1.0

#: The time of day may differ by so much from the time that passed between two looks; what sets it slowly does less.
JUMP = 2.0


class SurroundingsObserver(Protocol):
    """Shows what is found.

    Attributes:
        certificate_ends: when the certificate in use ends, seconds since 1970; infinite without TLS.
    """

    certificate_ends: float

    def tasks_counted(self, tasks: int) -> None:
        """So many tasks has the event loop."""

    def clock_jumped(self, seconds: float) -> None:
        """The time of day went so much further than the time that passed; < 0: back."""

    def certificate_expired(self, expired: bool) -> None:
        """Whether the certificate in use has ended."""

    def bundle_missing(self, missing: bool) -> None:
        """Whether the bundle that answers is no longer where it was loaded from."""

    def not_written(self, tables: int, lines: int) -> None:
        """So many tables could not be kept so far, and so many more lines of the log were lost."""


class Surroundings:
    """Looks at them. For the event loop's thread.

    Args:
        bundle: directory of the bundle that answers.
        observer: see `SurroundingsObserver`.
        clock: does not jump.
        wall: the time of day, seconds since 1970; None: this machine's.
    """

    def __init__(
        self,
        bundle: Callable[[], Path],
        observer: SurroundingsObserver,
        clock: Clock,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._bundle, self._observer, self._clock = bundle, observer, clock
        self._wall = wall or (lambda: time.time())  # as it is then: tests set it
        self._offset = self._wall() - clock.now()
        self._expired, self._missing, self._lost = False, False, 0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # a look that fails must not be the last
                _log.exception("the surroundings cannot be looked at")
            await self._clock.sleep(LOOK)

    async def look(self) -> None:
        """Look once."""
        self._observer.tasks_counted(len(asyncio.all_tasks()))
        self._look_at_clock()
        self._look_at_certificate()
        path, lost = self._bundle(), lines_lost()
        self._look_at_bundle(path, missing=not await in_own_thread((path / MANIFEST).is_file))
        self._observer.not_written(not_kept(), lost - self._lost)
        self._lost = lost

    def _look_at_clock(self) -> None:
        before, self._offset = self._offset, self._wall() - self._clock.now()
        jump = self._offset - before
        if abs(jump) > JUMP:
            self._observer.clock_jumped(jump)
            _log.warning("the clock has jumped", extra={"fields": {"seconds": round(jump, 3)}})

    def _look_at_certificate(self) -> None:
        ends = self._observer.certificate_ends
        expired = ends <= self._wall()
        self._observer.certificate_expired(expired)
        if expired and not self._expired:
            ended = datetime.fromtimestamp(ends, UTC).isoformat(timespec="seconds")
            _log.error("the certificate has expired: new callers refuse it", extra={"fields": {"ended": ended}})
        self._expired = expired

    def _look_at_bundle(self, path: Path, *, missing: bool) -> None:
        self._observer.bundle_missing(missing)
        if missing and not self._missing:
            text = "the bundle is gone: what is in memory answers, and no other process can start with it"
            _log.error(text, extra={"fields": {"bundle": path}})
        self._missing = missing
