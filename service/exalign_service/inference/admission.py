"""Which unary calls may begin: those that can be answered in time.

Each call has an expected cost, in thread seconds: what calls of its kind took so far. The costs of the calls in
progress, divided by the rate at which such costs are worked off, say when a new one would be answered. A caller is
served its share (`fair_queue`), so it waits for its own calls times the number of callers, or for all calls, whichever
is less. A call that would be answered after its deadline, or after the longest wait, is refused before any work.

The hint when to try again is when there will be room: callers that were refused before get their turns first.

The rate is measured while calls wait; it holds what streams leave to calls, and what the machine really does.

Refusing costs something too. Who is refused again and again, beyond a burst, is told so more slowly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from exalign_service.rpc.call_context import Call
from exalign_service.rpc.errors import OverloadedError, QueueFullError

#: Weight of the newest call in the mean cost of its kind, and of the newest window in the rate.
_NEWEST, _NEWEST_WINDOW = 0.1, 0.3

#: Least length of a window in which the rate is measured, seconds.
_WINDOW = 0.25

#: Share of the time until its deadline in which a call must be expected to be answered: the forecast is a mean.
_MARGIN = 0.7

#: Bounds of the retry hint, seconds.
_SHORTEST, _LONGEST = 0.05, 30.0


#: Callers whose promises are remembered, before those that are over are forgotten.
_REMEMBERED = 256


class AdmissionObserver(Protocol):
    """Is told about the calls in progress. Called from the event loop's thread."""

    def calls_changed(self, calls: int, size: int, seconds: float) -> None:
        """So many calls are in progress, with requests of so many bytes, and will have been answered in so long."""

    def call_refused(self, reason: str) -> None:
        """A call was refused: for "calls", "bytes" or "time"."""


@dataclass(frozen=True)
class AdmissionLimits:
    """What calls in progress may hold.

    Attributes:
        calls: most of them. A caller that has less than its share of them is admitted beyond, up to its share.
        size: bytes of their requests; one of a caller who has none in progress is admitted where there is any room.
        wait: seconds in which a call must be expected to be answered.
    """

    calls: int
    size: int
    wait: float


@dataclass(frozen=True)
class Demand:
    """What is known of a call before it begins.

    Attributes:
        kind: calls of one kind cost alike, but for their faces.
        size: of its request, bytes.
        faces: that it is about; 1 where that is not known yet.
    """

    kind: tuple[str, bool]
    size: int
    faces: int = 1


@dataclass
class _Load:
    """What the calls in progress of one caller, or of all, come to."""

    calls: int = 0
    size: int = 0
    cost: float = 0.0

    def add(self, ticket: Ticket, sign: int) -> None:
        self.calls += sign
        self.size += sign * ticket.demand.size
        self.cost += sign * ticket.cost


@dataclass
class _Mean:
    value: float | None = None

    def add(self, value: float) -> None:
        self.value = value if self.value is None else self.value + _NEWEST * (value - self.value)


@dataclass(eq=False)
class Ticket:
    """A call in progress.

    Attributes:
        demand: what was known of it; `faces` may be corrected.
        once: thread seconds that it took for its picture.
        each: thread seconds that it took for all its faces.
        answered: whether it was; only then it tells what such calls cost.
    """

    caller: str
    demand: Demand
    cost: float
    once: float = 0.0
    each: float = 0.0
    answered: bool = False


class Admission:
    """The calls in progress. For the event loop's thread only.

    Args:
        limits: see `AdmissionLimits`.
        threads: that work the calls off: the first guess of the rate.
        observer: see `AdmissionObserver`.
        clock: seconds, monotonic; deadlines are on it.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        threads: int,
        observer: AdmissionObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._threads, self._observer, self._clock = limits, threads, observer, clock
        #: Of all calls, and of each caller that has any.
        self._all, self._each = _Load(), dict[str, _Load]()
        self._pictures: dict[tuple[str, bool], _Mean] = {}
        self._faces: dict[tuple[str, bool], _Mean] = {}
        #: Thread seconds that are worked off a second.
        self._rate = float(threads)
        self._window_began, self._done, self._waited = clock(), 0.0, False
        #: Up to when the room of each caller is promised to those who were refused.
        self._promised: dict[str, float] = {}

    @contextmanager
    def admit(self, call: Call, demand: Demand) -> Iterator[Ticket]:
        """Room for a call, until it ends.

        Raises:
            QueueFullError: there are too many calls, or bytes of them.
            OverloadedError: it would not be answered in time.
        """
        cost = self._expected(demand)
        self._check_counts(call.caller, demand.size)
        self._check_time(call, cost)
        ticket = Ticket(call.caller, demand, cost)
        if not self._all.calls:
            self._window_began, self._done = self._clock(), 0.0
        self._count(ticket, 1)
        self._waited |= self._all.calls > 2 * self._threads
        try:
            yield ticket
        finally:
            self._count(ticket, -1)
            self._learn(ticket)

    def _count(self, ticket: Ticket, sign: int) -> None:
        """A call begins, or ends."""
        mine = self._each.setdefault(ticket.caller, _Load())
        for load in (mine, self._all):
            load.add(ticket, sign)
        if not mine.calls:
            del self._each[ticket.caller]
        if not self._all.calls:
            self._all.cost = 0.0  # what rounding has left
        self._observer.calls_changed(self._all.calls, self._all.size, self._all.cost / self._rate)

    def found(self, ticket: Ticket, faces: int) -> None:
        """So many faces were found in the picture of a call."""
        demand = ticket.demand
        self._count(ticket, -1)
        ticket.demand = Demand(demand.kind, demand.size, faces)
        ticket.cost = self._expected(ticket.demand)
        self._count(ticket, 1)

    def _expected(self, demand: Demand) -> float:
        picture = self._pictures.get(demand.kind, _Mean()).value or 0.0
        return picture + demand.faces * (self._faces.get(demand.kind, _Mean()).value or 0.0)

    def _check_counts(self, caller: str, size: int) -> None:
        mine = self._each.get(caller, _Load())
        callers = len(self._each) + (not mine.calls)
        calls, most = self._all.calls + 1, self._limits.calls
        # Others than the one who fills it have their share.
        if calls > most and (callers == 1 or mine.calls + 1 > max(most // callers, 1)):
            self._observer.call_refused("calls")
            raise QueueFullError("calls", calls - 1, most, self._retry_after(caller, 0.0))
        held, most = self._all.size, self._limits.size
        if held + size > most and ((mine.calls and mine.size + size > most // callers) or held > most):
            self._observer.call_refused("bytes")
            raise QueueFullError("bytes of requests", held, most, self._retry_after(caller, 0.0))

    def _check_time(self, call: Call, cost: float) -> None:
        """Refuse what would be late. With nothing else in progress it is tried: the forecast may be wrong."""
        if not self._all.calls:
            return
        left = _MARGIN * (call.deadline - self._clock())
        allowed, expected = min(self._limits.wait, left), self._answered_in(call.caller, cost)
        if expected > allowed:
            self._observer.call_refused("time")
            limit = "until its deadline" if left < self._limits.wait else "of max_wait"
            raise OverloadedError(expected, allowed, limit, self._retry_after(call.caller, expected - allowed, cost))

    def _answered_in(self, caller: str, cost: float) -> float:
        """Seconds until a new call of a caller would be answered."""
        mine = self._each.get(caller, _Load())
        callers = len(self._each) + (not mine.calls)
        return min(self._all.cost + cost, (mine.cost + cost) * callers) / self._rate

    def _retry_after(self, caller: str, seconds: float, cost: float = 0.0) -> float:
        """When there will be room, behind those of the caller who were told so before.

        Args:
            caller: who is refused.
            seconds: until there would be room for one.
            cost: of the call; the next one is told to come so much later.
        """
        now = self._clock()
        callers = len(self._each) + (caller not in self._each)
        mean = self._all.cost / max(self._all.calls, 1)
        turn = max(self._promised.get(caller, 0.0), now + seconds)
        if len(self._promised) > _REMEMBERED:
            self._promised = {name: until for name, until in self._promised.items() if until > now}
        self._promised[caller] = min(turn + (cost or mean) * callers / self._rate, now + _LONGEST)
        return min(max(turn - now, _SHORTEST), _LONGEST)

    def _learn(self, ticket: Ticket) -> None:
        """A call has ended: what it cost, and how much was worked off."""
        kind, faces = ticket.demand.kind, ticket.demand.faces
        if ticket.answered:
            self._pictures.setdefault(kind, _Mean()).add(ticket.once)
            if faces:
                self._faces.setdefault(kind, _Mean()).add(ticket.each / faces)
        self._done += ticket.once + ticket.each
        now = self._clock()
        seconds = now - self._window_began
        if seconds >= _WINDOW:
            rate = self._done / seconds
            # Where nothing waited, as much was done as was wanted: that is no bound.
            if self._waited:
                self._rate += _NEWEST_WINDOW * (rate - self._rate)
            else:
                self._rate = max(self._rate, rate)
            self._rate = min(max(self._rate, 0.01), 4.0 * self._threads)
            self._window_began, self._done = now, 0.0
            self._waited = self._all.calls > 2 * self._threads
