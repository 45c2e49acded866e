"""Where the records of sessions are kept, so that a stream can go on where another one broke.

Two streams may both believe that they own a session: one that lost its connection, and its successor. So every write
is fenced: `claim` increments the epoch, and a write of an earlier epoch is refused after that.

The room for sessions without a stream is shared by the callers whose streams they had: where it is full, the caller
that keeps most gives up what it left first.
"""

from __future__ import annotations

import hmac
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from exalign_service.rpc.caller_shares import CallerShares
from exalign_service.rpc.clock import Clock, Timer
from exalign_service.track.record import SessionRecord

_log = logging.getLogger(__name__)


class FencedError(Exception):
    """The session belongs to a later stream, or is gone: nothing was written."""


class SessionStore(Protocol):
    """Keeps the newest record of each session, by `SessionRecord.key`."""

    async def create(self, record: SessionRecord) -> None:
        """Keep the first record of a new session.

        Raises:
            FencedError: there is a session of that key.
        """

    async def get(self, key: str, seen: tuple[int, int] | None = None) -> SessionRecord | None:
        """The newest record; None where there is none.

        Args:
            key: of the session.
            seen: a version that there has been: an older one may not be the newest.
        """

    async def kept_for(self, key: str) -> float | None:
        """For how many seconds more a session that has no stream may be resumed; None where there is none."""

    async def claim(self, key: str, secret: bytes, epoch: int | None = None) -> SessionRecord | None:
        """Take a session over: from now on only the returned epoch may write.

        Args:
            key: of the session.
            secret: of the session.
            epoch: that was seen; None: any. A claim that comes late must not take it from whom it belongs to by now.

        Returns:
            The newest record, with an epoch one higher; None where the session is not there.

        Raises:
            FencedError: it has another epoch by now.
        """

    async def put(self, record: SessionRecord, *, wait: bool = False) -> None:
        """Keep a newer record.

        Args:
            record: of the session.
            wait: until it outlives this process, where that is possible at all.

        Raises:
            FencedError: the session has a later (epoch, frame), another secret, or is gone.
        """

    async def release(self, record: SessionRecord, caller: str) -> None:
        """The record's stream has ended, its session has not: keep it for as long as broken streams are kept.

        Nothing happens when the session belongs to a later stream.

        Args:
            record: of the session.
            caller: whose stream it was.
        """

    async def delete(self, record: SessionRecord) -> None:
        """The session has ended. Nothing happens when it belongs to a later stream."""

    async def close(self) -> None:
        """Remove everything that would not outlive this process."""

    def durable_frame(self, record: SessionRecord) -> int | None:
        """The newest frame of a session that outlives this process; None: nothing ever does."""

    def watch(self, fenced: Callable[[str], object]) -> None:
        """From now on, call this with the key of each session that goes on in another process."""


class StoreObserver(Protocol):
    """Counts the sessions that are kept without a stream."""

    def detached_changed(self, count: int) -> None:
        """The number of sessions that are kept without a stream has changed."""

    def detached_dropped(self, reason: str) -> None:
        """A session without a stream was given up before its time: "too_large" by itself, or "no_room"."""


class BundleSessions(Protocol):
    """Counts the sessions of each bundle: a bundle that has one must not go."""

    def session_counted(self, bundle_id: str, change: int) -> None:
        """So many more sessions of a bundle are in the store: 1 or −1."""


class MemoryStore:
    """A `SessionStore` in this process. For the event loop's thread only.

    Args:
        retention: how long a session without a stream is kept, seconds.
        max_detached: how many of them.
        max_bytes: what they may take together, bytes.
        max_record_bytes: what one of them may take, bytes; one that is larger is not kept.
        observer: see `StoreObserver`.
        clock: of the retention.
        bundles: see `BundleSessions`.
    """

    def __init__(
        self,
        retention: float,
        max_detached: int,
        max_bytes: int,
        max_record_bytes: int,
        observer: StoreObserver,
        clock: Clock,
        bundles: BundleSessions,
    ) -> None:
        self._retention, self._max_detached = retention, max_detached
        self._max_bytes, self._max_record_bytes = max_bytes, max_record_bytes
        self._observer, self._clock, self._bundles = observer, clock, bundles
        self._records: dict[str, SessionRecord] = {}
        #: Sessions without a stream, by key: when they expire. In the order in which they do.
        self._detached: OrderedDict[str, float] = OrderedDict()
        #: The same sessions, with their callers and bytes.
        self._shares = CallerShares()
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key: str) -> bool:
        return key in self._records

    async def create(self, record: SessionRecord) -> None:
        """See `SessionStore`."""
        if record.key in self._records:
            raise FencedError(f"there is a session {record.name!r} already")
        self._records[record.key] = record
        self._bundles.session_counted(record.bundle_id, 1)

    async def get(self, key: str, seen: tuple[int, int] | None = None) -> SessionRecord | None:
        """See `SessionStore`."""
        return self._records.get(key)

    async def kept_for(self, key: str) -> float | None:
        """See `SessionStore`."""
        self._expire()
        until = self._detached.get(key)
        return None if until is None else until - self._clock.now()

    async def claim(self, key: str, secret: bytes, epoch: int | None = None) -> SessionRecord | None:
        """See `SessionStore`."""
        record = self._records.get(key)
        if record is None or not hmac.compare_digest(record.secret, secret):
            return None
        if epoch not in (None, record.epoch):
            raise FencedError(f"session {record.name!r} has a later stream")
        self._attach(key)
        self._records[key] = record = replace(record, epoch=record.epoch + 1)
        return record

    async def put(self, record: SessionRecord, *, wait: bool = False) -> None:
        """See `SessionStore`."""
        stored = self._records.get(record.key)
        if stored is None or stored.secret != record.secret:
            raise FencedError(f"session {record.name!r} is gone")
        if stored.version > record.version:
            raise FencedError(f"session {record.name!r} has a later stream or frame: {stored.version}")
        self._records[record.key] = record
        if record.bundle_id != stored.bundle_id:
            self._bundles.session_counted(record.bundle_id, 1)
            self._bundles.session_counted(stored.bundle_id, -1)

    async def release(self, record: SessionRecord, caller: str) -> None:
        """See `SessionStore`."""
        stored = self._owned(record)
        if stored is None:
            return
        size = stored.size_bytes
        if size > self._max_record_bytes:
            self._drop(record.key, "too_large", size)
            return
        self._detached[record.key] = self._clock.now() + self._retention
        self._shares.add(record.key, caller, size)
        while len(self._shares) > self._max_detached or self._shares.size > self._max_bytes:
            gone = self._shares.first_to_go(by_size=self._shares.size > self._max_bytes)
            self._drop(gone, "no_room", self._records[gone].size_bytes)
        self._update()

    async def delete(self, record: SessionRecord) -> None:
        """See `SessionStore`."""
        if self._owned(record) is not None:
            self._remove(record.key)
            self._update()

    async def close(self) -> None:
        """See `SessionStore`."""
        for key in tuple(self._records):
            self._remove(key)
        self._update()

    def durable_frame(self, record: SessionRecord) -> int | None:
        """See `SessionStore`."""
        return None

    def watch(self, fenced: Callable[[str], object]) -> None:
        """See `SessionStore`; nobody else writes here."""

    def adopt(self, record: SessionRecord) -> None:
        """Keep the record of a session that another process had, in the place of what there is of it."""
        self._bundles.session_counted(record.bundle_id, 1)
        if record.key in self._records:
            self._remove(record.key)
        self._records[record.key] = record
        self._update()

    def drop(self, record: SessionRecord) -> None:
        """Forget a session, unless it belongs to a later stream."""
        if self._owned(record) is not None:
            self._remove(record.key)
            self._update()

    def _owned(self, record: SessionRecord) -> SessionRecord | None:
        """What is stored of the record's session, where it belongs to the record's stream."""
        stored = self._records.get(record.key)
        mine = stored is not None and (stored.secret, stored.epoch) == (record.secret, record.epoch)
        return stored if mine else None

    def _attach(self, key: str) -> None:
        """The session has a stream again."""
        self._detached.pop(key, None)
        self._shares.remove(key)
        self._update()

    def _remove(self, key: str) -> None:
        self._detached.pop(key, None)
        self._shares.remove(key)
        self._bundles.session_counted(self._records.pop(key).bundle_id, -1)

    def _drop(self, key: str, reason: str, size: int) -> None:
        """Give a session up before its time."""
        name = self._records[key].name
        self._remove(key)
        self._observer.detached_dropped(reason)
        _log.warning("session_dropped", extra={"fields": {"session": name, "reason": reason, "bytes": size}})

    def _expire(self) -> None:
        now = self._clock.now()
        while self._detached and next(iter(self._detached.values())) <= now:
            self._remove(next(iter(self._detached)))
        self._update()

    def _update(self) -> None:
        """Report how many there are, and set the timer for the next that expires."""
        self._observer.detached_changed(len(self._detached))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._detached:
            until = next(iter(self._detached.values()))
            self._timer = self._clock.call_later(until - self._clock.now(), self._expire)
