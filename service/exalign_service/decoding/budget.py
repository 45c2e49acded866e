"""The memory that decoded pictures take, bounded over all calls.

Decoded pictures are a hundred times their files, and more. So room is taken before a picture is decoded and given
back when its crops are cut; what finds none waits as a file. Callers take turns, and none holds more than half:
others always find room.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from exalign_service.decoding.turns import Turns
from exalign_service.rpc.clock import Clock, LoopClock
from exalign_service.rpc.errors import DeadlineExpiredError


class BudgetObserver(Protocol):
    """Sees the room that is taken. Called from the event loop."""

    def decoded_bytes_changed(self, held: int, waiting: int) -> None:
        """So many bytes are held now, and so many are waited for."""


@dataclass(eq=False)
class _Ticket:
    """Room that is wanted, or held."""

    size: int
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Hold:
    """Room that is held; `DecodedBytesBudget.hold` gives it back."""

    def __init__(self, budget: DecodedBytesBudget, caller: Hashable, size: int) -> None:
        self._budget, self._caller, self.size = budget, caller, size

    def shrink(self, size: int) -> None:
        """Keep ``size`` bytes at most and give the rest back: decoding takes more than the decoded picture."""
        freed = max(self.size - size, 0)
        self.size -= freed
        self._budget.give_back(self._caller, freed)


class DecodedBytesBudget:
    """Room for decoded pictures. For the event loop's thread.

    Args:
        total: bytes that all calls may hold. A picture that is larger is admitted while nobody holds any.
        observer: sees what is held; None: nobody.
        clock: of deadlines.
    """

    def __init__(self, total: int, observer: BudgetObserver | None = None, clock: Clock | None = None) -> None:
        self._total, self._observer = total, observer
        self._clock = LoopClock() if clock is None else clock
        self._held: Counter[Hashable] = Counter()
        self._sum = 0
        self._waiting: Turns[_Ticket] = Turns()
        self._waiting_bytes = 0

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._sum

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return len(self._waiting)

    def has_room(self, size: int, caller: Hashable) -> bool:
        """Whether so many bytes would be had at once. From any thread: another may take them in the meantime."""
        held = self._held.get(caller, 0)
        shared = not held or held + size <= self._total // 2
        return shared and self._sum + size <= self._total and not self._waiting_bytes

    @contextmanager
    def taken(self, size: int, caller: Hashable) -> Iterator[None]:
        """Count bytes that are there already, for as long as the block runs; see `has_room`."""
        self._held[caller] += size
        self._sum += size
        self._grant()
        try:
            yield
        finally:
            self.give_back(caller, size)

    @asynccontextmanager
    async def hold(self, size: int, caller: Hashable, deadline: float = math.inf) -> AsyncIterator[Hold]:
        """Hold room for as long as the block runs.

        A caller may always hold one picture, and further ones up to half of the total. Who waits longest goes first;
        nobody overtakes a large picture but where its own caller has its half.

        Args:
            size: bytes, such as `DecodePlan.peak_bytes`.
            caller: whose it is.
            deadline: on the clock; then waiting ends.

        Raises:
            DeadlineExpiredError: the deadline passed before there was room.
        """
        await self._take(size, caller, deadline)
        held = Hold(self, caller, size)
        try:
            yield held
        finally:
            self.give_back(caller, held.size)

    def give_back(self, caller: Hashable, size: int) -> None:
        """See `Hold`."""
        self._held[caller] -= size
        self._sum -= size
        if self._held[caller] <= 0:
            del self._held[caller]
        self._grant()

    async def _take(self, size: int, caller: Hashable, deadline: float) -> None:
        ticket = _Ticket(size)
        self._waiting.put(caller, ticket)
        self._waiting_bytes += size
        self._grant()
        if ticket.granted.done():
            return
        timer = None
        if deadline < math.inf:
            timer = self._clock.call_later(max(deadline - self._clock.now(), 0.0), self._expire, caller, ticket)
        try:
            await ticket.granted
        except asyncio.CancelledError:
            if ticket.granted.cancelled():
                self._drop(caller, ticket)
            elif ticket.granted.exception() is None:
                self.give_back(caller, size)  # room was found in the moment in which nobody wanted it any more
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _expire(self, caller: Hashable, ticket: _Ticket) -> None:
        if not ticket.granted.done():
            text = "the deadline passed while waiting for memory to decode the picture"
            ticket.granted.set_exception(DeadlineExpiredError(text))
            self._drop(caller, ticket)

    def _drop(self, caller: Hashable, ticket: _Ticket) -> None:
        """A ticket that nobody waits for any more: those behind it may have room."""
        self._waiting.remove(caller, ticket)
        self._waiting_bytes -= ticket.size
        self._grant()

    def _within_share(self, caller: Hashable, ticket: _Ticket) -> bool:
        held = self._held.get(caller, 0)
        return not held or held + ticket.size <= self._total // 2

    def _grant(self) -> None:
        while found := self._waiting.first(self._within_share):
            caller, ticket = found
            if ticket.granted.cancelled():  # by a call that has not run since
                self._waiting.take(caller)
                continue
            if self._sum and self._sum + ticket.size > self._total:
                break
            self._waiting.take(caller)
            self._held[caller] += ticket.size
            self._sum += ticket.size
            self._waiting_bytes -= ticket.size
            ticket.granted.set_result(None)
        if self._observer is not None:
            self._observer.decoded_bytes_changed(self._sum, self._waiting_bytes)
