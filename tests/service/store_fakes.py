"""A store of sessions that answers as the scripts do in Redis, and can fail wherever it is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exalign_service.stores.link import StoreAwayError
from exalign_service.stores.script import ALL, FIRST, MORE, Reply, StoredSession, Write
from exalign_service.track.store import FencedError


@dataclass
class Hash:
    """One session, as Redis has it."""

    secret: bytes
    session: StoredSession


@dataclass
class FakeRedis:
    """What several `FakeLink` share.

    Attributes:
        fenced: whether it refuses whom it must; False is the bug that tests must find.
        by_number: whether it refuses writes that come late, of the same owner.
    """

    sessions: dict[str, Hash] = field(default_factory=dict)
    fenced: bool = True
    by_number: bool = True

    def write(self, write: Write) -> Reply:
        """As `script.WRITE`."""
        there = self.sessions.get(write.key)
        old = None if there is None else there.session
        if there is not None and old is not None:
            reply = self._judged(write, there, old)
            if reply is not None:
                return reply
        elif write.kind == MORE:
            return Reply.WANTS_ALL
        entries = {} if old is None or write.kind != MORE else dict(old.entries)
        for number in write.gone:
            entries.pop(number, None)
        entries.update(write.added)
        stored = StoredSession(
            write.epoch,
            write.owner,
            write.number,
            write.closed,
            write.head,
            write.state,
            tuple(sorted(entries.items())),
        )
        self.sessions[write.key] = Hash(write.secret, stored)
        return Reply.WRITTEN

    def _judged(self, write: Write, there: Hash, old: StoredSession) -> Reply | None:
        if not self.fenced:
            return None
        other = there.secret != write.secret
        if write.kind == FIRST and other:
            return None if old.closed else Reply.FENCED
        if other or old.epoch > write.epoch or (old.epoch == write.epoch and old.owner != write.owner):
            return Reply.FENCED
        if self.by_number and old.epoch == write.epoch and old.number > write.number:
            return Reply.OLDER
        if write.kind == MORE and (old.epoch < write.epoch or old.number < write.base):
            return Reply.WANTS_ALL
        return None

    def claim(
        self, key: str, secret: bytes, owner: bytes, epoch: int | None
    ) -> tuple[int, bytes, StoredSession] | None:
        """As `script.CLAIM`."""
        there = self.sessions.get(key)
        if there is None or there.secret != secret:
            return None
        if self.fenced and epoch not in (None, there.session.epoch):
            raise FencedError("the session has a later stream")
        before = there.session
        there.session = replace(before, epoch=before.epoch + 1, owner=owner, closed=False)
        return before.epoch, before.owner, there.session


async def _go_on(what: str) -> None:
    await asyncio.sleep(0)


class FakeLink:
    """See `exalign_service.stores.link.StoreLink`.

    Args:
        redis: what it leads to.
        before: waited for before a request has an effect; what it raises is the answer.
        after: the same, when it has had it.
    """

    def __init__(
        self,
        redis: FakeRedis,
        before: Callable[[str], Awaitable[None]] = _go_on,
        after: Callable[[str], Awaitable[None]] = _go_on,
    ) -> None:
        self.redis, self.before, self.after = redis, before, after
        self.writes: list[Write] = []
        self.closed = False

    async def write(self, writes: Sequence[Write]) -> list[Reply]:
        async def each() -> list[Reply]:
            return [self.redis.write(write) for write in writes]

        self.writes += writes
        return await self._asked("write", each)

    async def claim(self, key: str, secret: bytes, owner: bytes, ttl: float, epoch: int | None) -> Any:
        async def ask() -> Any:
            return self.redis.claim(key, secret, owner, epoch)

        return await self._asked("claim", ask)

    async def read(self, key: str) -> StoredSession | None:
        async def ask() -> StoredSession | None:
            there = self.redis.sessions.get(key)
            return None if there is None else there.session

        return await self._asked("read", ask)

    async def kept_for(self, key: str) -> float | None:
        stored = await self.read(key)
        return None if stored is None or stored.closed else 60.0

    async def touch(self, keys: Sequence[str], ttl: float) -> list[bool]:
        async def ask() -> list[bool]:
            return [key in self.redis.sessions for key in keys]

        return await self._asked("touch", ask)

    async def ping(self) -> None:
        async def ask() -> None:
            return None

        await self._asked("ping", ask)

    async def close(self) -> None:
        self.closed = True

    async def _asked(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        await self.before(what)
        answer = await ask()
        await self.after(what)
        return answer


class Switch:
    """Lets requests through, or fails them all."""

    def __init__(self) -> None:
        self.reason = ""

    async def __call__(self, what: str) -> None:
        await asyncio.sleep(0)
        if self.reason:
            raise StoreAwayError(self.reason, "by script")


class Observed:
    """See `exalign_service.stores.checkpoints.CheckpointObserver`."""

    def __init__(self) -> None:
        self.up = True
        self.outcomes: list[str] = []
        self.seconds: list[float] = []
        self.behind = 0

    def store_changed(self, up: bool, reason: str) -> None:
        self.up = up

    def checkpoint(self, outcome: str, size: int, seconds: float) -> None:
        self.outcomes.append(outcome)
        self.seconds.append(seconds)

    def sessions_behind(self, count: int) -> None:
        self.behind = count


__all__ = ["ALL", "FakeLink", "FakeRedis", "Observed", "Switch"]
