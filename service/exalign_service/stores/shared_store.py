"""Sessions that any server can take over: the newest of each in this process, and checkpoints of it in a store.

A claim takes a session from whichever server has it. That server is refused by the store from then on, and ends its
stream. While the store is away, sessions go on here, and can be resumed here: which of two servers was right is
decided when it answers again, by the epoch.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from exalign_engine.tracking import StateError
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.errors import StoreUnavailableError
from exalign_service.stores.checkpoints import CheckpointObserver, Checkpoints
from exalign_service.stores.encoding import record_of
from exalign_service.stores.link import StoreAwayError, StoreLink
from exalign_service.stores.owned import OwnedSession
from exalign_service.stores.script import OWNER_BYTES, StoredSession
from exalign_service.track.record import SessionRecord
from exalign_service.track.resume_checks import state_error_to_precondition
from exalign_service.track.store import FencedError, MemoryStore

T = TypeVar("T")

#: For so long a session that has ended is kept, in case its client has not heard of the end, seconds.
CLOSED_TTL = 15.0

#: Sessions that have a stream are touched so often, seconds.
TOUCH_EVERY = 10.0

#: The last checkpoints have so long when the server ends, seconds.
_CLOSE_SECONDS = 2.0


class SharedStore:
    """A `SessionStore` over a store that outlives the process. For the event loop's thread only.

    Args:
        local: the sessions of this process.
        link: the store.
        prefix: of its keys.
        retention: how long a session without a stream is kept, seconds.
        before: whether a new frame waits until it is in the store.
        every: frames of a session after which it is written.
        interval: longest time until then, seconds.
        max_bytes: of one session in the store.
        observer: see `CheckpointObserver`.
        clock: of all waiting.
    """

    def __init__(
        self,
        local: MemoryStore,
        link: StoreLink,
        *,
        prefix: str,
        retention: float,
        before: bool,
        every: int,
        interval: float,
        max_bytes: int,
        observer: CheckpointObserver,
        clock: Clock,
    ) -> None:
        self._local, self._link, self._prefix, self._clock = local, link, prefix, clock
        self._before, self._every, self._interval = before, every, interval
        self._ttl = retention + TOUCH_EVERY
        self._owned: dict[str, OwnedSession] = {}
        self._fenced: Callable[[str], object] = lambda key: None
        self._checkpoints = Checkpoints(
            link, self._ttl, CLOSED_TTL, max_bytes, observer, clock, self._lost, lambda one: one.record.key in local
        )
        self._touching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._local)

    def watch(self, fenced: Callable[[str], object]) -> None:
        """See `SessionStore`."""
        self._fenced = fenced

    def durable_frame(self, record: SessionRecord) -> int | None:
        """See `SessionStore`."""
        owned = self._owned.get(record.key)
        frame = None if owned is None or owned.record.epoch != record.epoch else owned.durable_frame
        return -1 if frame is None else frame

    async def create(self, record: SessionRecord) -> None:
        """See `SessionStore`."""
        await self._local.create(record)
        owned = OwnedSession(self._key(record), record, first=True)
        await self._begin(owned, wait=True)
        if owned.fenced:
            raise FencedError(f"there is a session {record.name!r} already")
        owned.first = False  # the store is away: which of two sessions of one name goes on is decided later

    async def get(self, key: str, seen: tuple[int, int] | None = None) -> SessionRecord | None:
        """See `SessionStore`.

        Raises:
            StoreUnavailableError: the store is away, and the session is not here either, or as it was long ago.
            PreconditionError: the session is of another version of this software.
        """
        here, owned = await self._local.get(key), self._owned.get(key)
        try:
            stored = await self._asked(self._link.read, self._key_of(key))
        except StoreUnavailableError:
            if here is None or (seen is not None and here.version < seen):
                raise
            return here
        if stored is None:
            return here
        mine = owned is not None and (owned.record.epoch, owned.owner) == (stored.epoch, stored.owner)
        if here is not None and (mine or here.epoch > stored.epoch):
            return here
        return _record(stored)

    async def kept_for(self, key: str) -> float | None:
        """See `SessionStore`."""
        try:
            there = await self._asked(self._link.kept_for, self._key_of(key))
        except StoreUnavailableError:
            there = None
        return await self._local.kept_for(key) if there is None else there

    async def claim(self, key: str, secret: bytes, epoch: int | None = None) -> SessionRecord | None:
        """See `SessionStore`.

        Raises:
            StoreUnavailableError: the store is away, and the session is not here either.
            PreconditionError: the session is of another version of this software.
        """
        owner, away = secrets.token_bytes(OWNER_BYTES), None
        try:
            claimed = await self._asked(self._link.claim, self._key_of(key), secret, owner, self._ttl, epoch)
        except StoreUnavailableError as e:
            here = await self._local.get(key)
            if here is None or epoch not in (None, here.epoch):
                raise
            claimed, away = None, e
        owned = self._owned.get(key)
        if claimed is None:  # it is away, or has lost the session: what is here goes there again
            found = await self._claim_here(key, secret, owner, epoch, 0)
            if found is None and away is not None:  # meanwhile it has gone from here: nobody knows
                raise away
            return found
        old_epoch, before, stored = claimed
        mine = owned is not None and (owned.record.epoch, owned.owner) == (old_epoch, before)
        if mine and key in self._local:
            found = await self._claim_here(key, secret, owner, None, stored.number)
            if found is not None:  # else a write of the stream before was refused meanwhile, and dropped it
                return found
        record = _record(stored)
        self._local.adopt(record)
        self._have(OwnedSession.taken_over(self._key_of(key), owner, stored, record))
        return record

    async def put(self, record: SessionRecord, *, wait: bool = False) -> None:
        """See `SessionStore`."""
        await self._local.put(record)
        owned = self._owned.get(record.key)
        if owned is None or owned.record.epoch != record.epoch:
            raise FencedError(f"session {record.name!r} has a later stream")
        before, owned.record = owned.record, record
        if before.state_hash == record.state_hash and before.frame == record.frame and not wait:
            return  # only acknowledgements: they go with the next frame
        owned.frames += 1
        number = owned.number + 1
        wait = wait or self._before
        if wait or owned.frames >= self._every:
            owned.wanted = True
        elif owned.due is None:
            owned.due = self._clock.now() + self._interval
        self._checkpoints.add(owned)
        if wait:
            await self._checkpoints.covered(owned, number)
            if owned.fenced:
                raise FencedError(f"session {record.name!r} goes on in another process")

    async def release(self, record: SessionRecord, caller: str) -> None:
        """See `SessionStore`."""
        await self._local.release(record, caller)
        await self._leave(record, closed=False)

    async def delete(self, record: SessionRecord) -> None:
        """See `SessionStore`. The store keeps it for a moment, but its name is free."""
        await self._local.delete(record)
        await self._leave(record, closed=True)

    async def close(self) -> None:
        """See `SessionStore`."""
        if self._touching is not None:
            self._touching.cancel()
            await asyncio.gather(self._touching, return_exceptions=True)
        await self._checkpoints.close(_CLOSE_SECONDS)
        await self._link.close()
        await self._local.close()

    async def _claim_here(
        self, key: str, secret: bytes, owner: bytes, epoch: int | None, number: int
    ) -> SessionRecord | None:
        """Take over what this process has of a session; write ``number`` is the newest that the store has."""
        before, record = self._owned.get(key), await self._local.claim(key, secret, epoch)
        if record is not None:
            number = max(number, 0 if before is None else before.number)
            await self._begin(OwnedSession(self._key(record), record, owner, number), wait=False)
        return record

    async def _begin(self, owned: OwnedSession, *, wait: bool) -> None:
        """Have a session that the store must be told of."""
        self._have(owned)
        owned.wanted = True
        self._checkpoints.add(owned)
        if wait:
            await self._checkpoints.covered(owned, owned.number + 1)

    def _have(self, owned: OwnedSession) -> None:
        self._owned[owned.record.key] = owned
        if self._touching is None:
            self._touching = asyncio.create_task(self._touch())

    async def _leave(self, record: SessionRecord, *, closed: bool) -> None:
        """A stream has ended: what is not in the store yet goes there."""
        owned = self._owned.get(record.key)
        if owned is None or (owned.record.secret, owned.record.epoch) != (record.secret, record.epoch):
            return
        owned.closed, owned.detached = closed, True
        if closed:
            del self._owned[record.key]
        if not owned.fenced and (closed or owned.saved is not owned.record):
            owned.wanted = True
            self._checkpoints.add(owned)

    def _lost(self, owned: OwnedSession) -> None:
        """A session goes on in another process."""
        key = owned.record.key
        if self._owned.get(key) is owned:
            del self._owned[key]
            self._local.drop(owned.record)
            if not owned.detached and not owned.first:
                self._fenced(key)

    async def _touch(self) -> None:
        """Keep sessions that have a stream, and say again what the store has forgotten, until cancelled."""
        while True:
            await self._clock.sleep(TOUCH_EVERY)
            for key in [key for key, one in self._owned.items() if one.detached and key not in self._local]:
                del self._owned[key]
            sessions = [one for one in self._owned.values() if one.saved is not None and not one.detached]
            if not sessions or not self._checkpoints.up:
                continue
            try:
                there = await self._link.touch([one.key for one in sessions], self._ttl)
            except StoreAwayError as e:
                self._checkpoints.failed(e)
                continue
            for owned, kept in zip(sessions, there, strict=True):
                if self._owned.get(owned.record.key) is owned and (not kept or owned.saved is not owned.record):
                    owned.wanted = True
                    self._checkpoints.add(owned)

    async def _asked(self, ask: Callable[..., Awaitable[T]], *args: object) -> T:
        """What the store answers.

        Raises:
            StoreUnavailableError: it is away.
        """
        if not self._checkpoints.up:
            raise StoreUnavailableError("the store of sessions is away")
        try:
            return await ask(*args)
        except StoreAwayError as e:
            self._checkpoints.failed(e)
            raise StoreUnavailableError(f"the store of sessions is {e.reason}") from e

    def _key(self, record: SessionRecord) -> str:
        return self._key_of(record.key)

    def _key_of(self, key: str) -> str:
        """In the store: an owner may be called anything, and that is nobody's business there."""
        name, _, owner = key.partition("\n")
        return f"{self._prefix}:{name}" + (f":{hashlib.sha256(owner.encode()).hexdigest()[:32]}" if owner else "")


def _record(stored: StoredSession) -> SessionRecord:
    try:
        return record_of(stored.head, stored.state, [data for _, data in stored.entries], stored.epoch)
    except StateError as e:
        raise state_error_to_precondition(e) from e
