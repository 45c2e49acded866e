"""A session that this server has, as far as the store has heard of it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from exalign_service.stores.encoding import entry_bytes, head_bytes
from exalign_service.stores.script import ALL, FIRST, MORE, OWNER_BYTES, StoredSession, Write
from exalign_service.track.record import RetainedAnswer, SessionRecord


@dataclass(frozen=True)
class Sent:
    """A write, what it says, and the numbers of the entries that are there after it."""

    write: Write
    record: SessionRecord
    entries: frozenset[int]


@dataclass(eq=False)
class OwnedSession:
    """A session of one claim, from its beginning to its end, or to that of another's claim.

    Attributes:
        key: in the store.
        record: the newest.
        owner: names the claim.
        number: of the newest write that was begun.
        base: of the newest that has succeeded; None: the store has to be told everything.
        first: it must not be there yet.
        numbered: entries that may have to be sent again, each with its number, which it keeps.
        last: the highest number of an entry so far.
        there: numbers of the entries that the store has after ``base``.
        maybe: those, and others that a write has added of which nothing was heard.
        saved: the newest record that is in the store.
        frames: answered since the last write was begun.
        due: when it must be written although only a few frames were answered; None: there are none.
        wanted: it is to be written now.
        closed: the session has ended.
        detached: it has no stream.
        fenced: it belongs to another claim.
        changed: replaced, and set, when any of these has changed for who waits for a write.
    """

    key: str
    record: SessionRecord
    owner: bytes = field(default_factory=lambda: secrets.token_bytes(OWNER_BYTES))
    number: int = 0
    base: int | None = None
    first: bool = False
    numbered: tuple[tuple[int, RetainedAnswer], ...] = ()
    last: int = 0
    there: frozenset[int] = frozenset()
    maybe: frozenset[int] = frozenset()
    saved: SessionRecord | None = None
    frames: int = 0
    due: float | None = None
    wanted: bool = False
    closed: bool = False
    detached: bool = False
    fenced: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def taken_over(cls, key: str, owner: bytes, stored: StoredSession, record: SessionRecord) -> OwnedSession:
        """A session that another server had."""
        numbers = [number for number, _ in stored.entries]
        there = frozenset(numbers)
        return cls(
            key,
            record,
            owner,
            stored.number,
            stored.number,
            numbered=tuple(zip(numbers, record.retained, strict=True)),
            last=max(numbers, default=0),
            there=there,
            maybe=there,
            saved=record,
        )

    @property
    def durable_frame(self) -> int | None:
        """The newest frame whose state is in the store; None: there is none."""
        return None if self.saved is None else self.saved.frame

    def notify(self) -> None:
        """Wake who waits for a write."""
        self.changed.set()
        self.changed = asyncio.Event()

    def next_write(self, ttl: float) -> Sent:
        """What the store must be told now. A write that failed is followed by this: it says all that the other said."""
        record, numbers = self.record, {id(entry): number for number, entry in self.numbered}
        numbered = []
        for entry in record.retained:
            number = numbers.get(id(entry))
            if number is None:
                number = self.last = self.last + 1
            numbered.append((number, entry))
        self.numbered = tuple(numbered)
        entries = frozenset(number for number, _ in numbered)
        gone, self.maybe = self.maybe - entries, self.maybe | entries
        self.number += 1
        self.frames, self.due, self.wanted = 0, None, False
        kind = MORE if self.base is not None else FIRST if self.first else ALL
        write = Write(
            key=self.key,
            epoch=record.epoch,
            owner=self.owner,
            number=self.number,
            base=0 if self.base is None else self.base,
            kind=kind,
            secret=record.secret,
            closed=self.closed,
            ttl=ttl,
            head=head_bytes(record),
            state=record.state,
            gone=tuple(sorted(gone)),
            added=tuple((number, entry_bytes(entry)) for number, entry in numbered if number not in self.there),
        )
        return Sent(write, record, entries)

    def written(self, sent: Sent) -> None:
        """A write has succeeded."""
        self.base, self.saved, self.first = sent.write.number, sent.record, False
        self.there = self.maybe = sent.entries
        self.notify()

    def forgotten(self) -> None:
        """The store does not have what was written: it must be told everything."""
        self.base, self.saved, self.wanted = None, None, True
        self.there = self.maybe = frozenset()
