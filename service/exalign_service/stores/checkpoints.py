"""Writes sessions to a shared store: one task, which takes all that is to be written in one round trip.

While a round trip lasts, whatever is answered meanwhile waits for the next, and of each session only the newest
record goes. So there is one write of a session at a time, and a slow store slows nobody down but those who wait for it.

Where the store fails, nothing waits for it any more, and it is asked again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from exalign_service.rpc.clock import Clock
from exalign_service.stores.link import StoreAwayError, StoreLink
from exalign_service.stores.owned import OwnedSession, Sent
from exalign_service.stores.script import Reply

_log = logging.getLogger(__name__)

#: The first pause after a failure, and the longest, seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

#: Sessions in one round trip, and bytes after which no more go with it.
_MOST, _MOST_BYTES = 64, 4 * 1024 * 1024

#: What became of a checkpoint.
OUTCOMES = ("written", "fenced", "failed", "too_large")


class CheckpointObserver(Protocol):
    """Counts checkpoints."""

    def store_changed(self, up: bool, reason: str) -> None:
        """The store answers again, or does not any more, for this reason."""

    def checkpoint(self, outcome: str, size: int, seconds: float) -> None:
        """A session was written, or not: one of `OUTCOMES`, its bytes, and how long that took."""

    def sessions_behind(self, count: int) -> None:
        """So many sessions have frames that are answered and not in the store."""


class Checkpoints:
    """The writing task of one server. For the event loop's thread only.

    Args:
        link: the store.
        ttl: seconds for which a session is kept after its last write.
        closed_ttl: the same where it has ended.
        max_bytes: of one session.
        observer: see `CheckpointObserver`.
        clock: of pauses, and of sessions that are due.
        fenced: called with a session that belongs to another claim.
        kept: whether a session without a stream is still kept here; while the store is away, no other is remembered.

    Attributes:
        up: whether the store has answered when it was last asked.
    """

    def __init__(
        self,
        link: StoreLink,
        ttl: float,
        closed_ttl: float,
        max_bytes: int,
        observer: CheckpointObserver,
        clock: Clock,
        fenced: Callable[[OwnedSession], object],
        kept: Callable[[OwnedSession], bool],
    ) -> None:
        self._link, self._ttl, self._closed_ttl, self._max_bytes = link, ttl, closed_ttl, max_bytes
        self._observer, self._clock, self._fenced, self._kept = observer, clock, fenced, kept
        self.up, self._reason = True, ""
        self._pause = _FIRST_PAUSE
        #: Sessions that are to be written now, or later; in the order in which they came.
        self._waiting: dict[OwnedSession, None] = {}
        self._wake, self._ending = asyncio.Event(), False
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, owned: OwnedSession) -> None:
        """A session has something that is to be written: now where it is `wanted`, else when it is due."""
        self._waiting[owned] = None
        self._idle.clear()
        self._observer.sessions_behind(len(self._waiting))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if owned.wanted:
            self._wake.set()
        elif owned.due is not None:
            self._clock.call_later(max(owned.due - self._clock.now(), 0.0), self._wake.set)

    def failed(self, error: StoreAwayError) -> None:
        """Somebody has asked the store in vain: it is asked again from here until it answers."""
        self._away(error)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._wake.set()

    async def covered(self, owned: OwnedSession, number: int) -> None:
        """Wait until write ``number`` of a session, or a later one, has succeeded; while the store answers."""
        while self.up and not owned.fenced and (owned.base is None or owned.base < number) and owned in self._waiting:
            await owned.changed.wait()

    async def close(self, seconds: float) -> None:
        """Write what there is, within so many seconds, and end."""
        for owned in self._waiting:
            owned.wanted = True
        self._wake.set()
        if self._task is not None:
            if self._waiting and self.up:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._idle.wait(), seconds)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch = self._batch()
            try:
                if batch:
                    await self._written(batch)
                elif not self.up:
                    await self._link.ping()
                self._answers()
            except StoreAwayError as e:
                self._not_written(batch, e)
            except Exception as e:  # noqa: BLE001  # a fault of ours, or of a library: sessions go on without it
                _log.exception("checkpoints")
                self._not_written(batch, StoreAwayError("refused", f"{type(e).__name__}: {e}"))
            if not self.up:
                await self._clock.sleep(self._pause * random.uniform(0.5, 1.0))
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                self._wake.set()
            elif any(self._is_due(owned) for owned in self._waiting):
                self._wake.set()

    def _batch(self) -> list[tuple[Sent, OwnedSession]]:
        """What goes with the next round trip."""
        batch: list[tuple[Sent, OwnedSession]] = []
        size = 0
        for owned in tuple(self._waiting):
            if len(batch) >= _MOST or size >= _MOST_BYTES:
                break
            if not self._is_due(owned):
                continue
            if owned.record.size_bytes > self._max_bytes:
                self._observer.checkpoint("too_large", owned.record.size_bytes, 0.0)
                self._done(owned)
                continue
            sent = owned.next_write(self._closed_ttl if owned.closed else self._ttl)
            size += sent.write.size
            batch.append((sent, owned))
        return batch

    def _is_due(self, owned: OwnedSession) -> bool:
        return owned.wanted or (owned.due is not None and owned.due <= self._clock.now())

    async def _written(self, batch: list[tuple[Sent, OwnedSession]]) -> None:
        start = self._clock.now()
        replies = await self._link.write([sent.write for sent, _ in batch])
        seconds = self._clock.now() - start
        for (sent, owned), reply in zip(batch, replies, strict=True):
            if reply is Reply.WANTS_ALL:
                owned.forgotten()
                continue
            outcome = {Reply.FENCED: "fenced", Reply.REFUSED: "failed"}.get(reply, "written")
            self._observer.checkpoint(outcome, sent.write.size, seconds)
            if reply is Reply.FENCED:
                owned.fenced = True
                self._done(owned)
                self._fenced(owned)
            elif reply is Reply.WRITTEN:
                owned.written(sent)
                if not owned.wanted and owned.due is None:
                    self._done(owned)
            else:
                self._done(owned)

    def _not_written(self, batch: list[tuple[Sent, OwnedSession]], error: StoreAwayError) -> None:
        for sent, owned in batch:
            self._observer.checkpoint("failed", sent.write.size, 0.0)
            owned.wanted = True
            if owned.closed or (owned.detached and not self._kept(owned)):
                self._done(owned)
        self._away(error)

    def _done(self, owned: OwnedSession) -> None:
        """Nothing of a session is to be written any more."""
        self._waiting.pop(owned, None)
        owned.wanted, owned.due = False, None
        owned.notify()
        self._observer.sessions_behind(len(self._waiting))
        if not self._waiting:
            self._idle.set()

    def _away(self, error: StoreAwayError) -> None:
        if self.up or error.reason != self._reason:
            _log.warning("store_away", extra={"fields": {"reason": error.reason, "error": str(error)}})
        self.up, self._reason = False, error.reason
        self._observer.store_changed(False, error.reason)
        self._release(self._waiting)

    def _answers(self) -> None:
        if not self.up:
            _log.info("store_answers")
            self._observer.store_changed(True, "")
        self.up, self._pause = True, _FIRST_PAUSE

    def _release(self, sessions: Iterable[OwnedSession]) -> None:
        """Let nobody wait any longer."""
        for owned in sessions:
            owned.notify()
