"""Work that waits for a few threads, shared fairly between callers.

Start-time fair queueing: a caller's clock runs by the seconds of thread time that it was given, and whoever's clock is
behind goes first. So a caller with a thousand jobs, or with dear ones, delays others by about one job. A caller that
comes back begins at the clock of those who are there: nobody saves up a claim by being idle.

Frames of streams go before calls, for a late frame is worth nothing. That right has a bound, or one stream would take
everything: a caller's frames use at most a share of the threads by it (a token bucket), and wait like calls beyond it.

Between the calls and streams of one caller, turns are taken. But a call that has not begun waits until those of its
caller that have need nothing, in the order in which they came: calls end one after the other, and not all of them late.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from exalign_service.rpc.call_context import Call

T = TypeVar("T")

#: Is told about thread time that a caller was given, seconds. From any thread.
Spent = Callable[[str, float], object]

#: Seconds for which a bucket fills.
_BURST = 1.0

#: Callers that are remembered though they have nothing here, before those whose clock is not ahead are forgotten.
_REMEMBERED = 256


@dataclass(frozen=True)
class Claim:
    """Who waits.

    Attributes:
        caller: see `Call.caller`.
        key: which call or stream of the caller's; their items take turns.
        live: whether it is a frame of a stream.
    """

    caller: str = ""
    key: Hashable = None
    live: bool = False

    @classmethod
    def of(cls, call: Call) -> Claim:
        """That of a call."""
        return cls(call.caller, call.request_id, call.live)


@dataclass
class _Caller(Generic[T]):
    """One caller: its waiting items by key, in the order of their turns, and what it was given."""

    clock: float
    credit: float
    credited_at: float
    waiting: OrderedDict[Hashable, tuple[bool, deque[T]]] = field(default_factory=OrderedDict)
    fresh: deque[T] = field(default_factory=deque)

    @property
    def here(self) -> bool:
        """Whether something waits."""
        return bool(self.waiting or self.fresh)


class FairQueue(Generic[T]):
    """The queue. Not thread safe: its owner locks.

    Args:
        live_share: thread seconds a second that the frames of one caller get before all calls.
        clock: seconds, monotonic.
        spent: told who was given how much thread time, seconds.
    """

    def __init__(
        self, live_share: float, clock: Callable[[], float] = time.monotonic, spent: Spent | None = None
    ) -> None:
        self._live_share, self._clock, self._spent = live_share, clock, spent
        self._callers: dict[str, _Caller[T]] = {}
        #: The clock of those who are there: that of the caller served last.
        self._virtual = 0.0
        self._length = self._taken = 0

    def __len__(self) -> int:
        return self._length

    @property
    def callers(self) -> int:
        """Callers that have something waiting."""
        return sum(caller.here for caller in self._callers.values())

    @property
    def remembered(self) -> int:
        """Callers of whom something is known."""
        return len(self._callers)

    def waiting(self, caller: str) -> int:
        """Items of a caller that wait."""
        known = self._callers.get(caller)
        return 0 if known is None else sum(len(items) for _, items in known.waiting.values()) + len(known.fresh)

    def put(self, claim: Claim, item: T, *, fresh: bool = False) -> None:
        """Add an item behind those of its key.

        Args:
            claim: whose it is.
            item: what waits.
            fresh: it is the first of its call, and waits behind those that are not.
        """
        caller = self._caller(claim.caller)
        if not caller.here:
            caller.clock = max(caller.clock, self._virtual)
        if fresh and not claim.live:
            caller.fresh.append(item)
        else:
            caller.waiting.setdefault(claim.key, (claim.live, deque()))[1].append(item)
        self._length += 1

    def take(self, expected: float, allowed: Callable[[str, bool], bool] = lambda caller, live: True) -> T | None:
        """Take the next item out. `charge` must follow.

        Args:
            expected: thread time that it will need, seconds; counted at once, so that the next turn is another's.
            allowed: whether work for a caller may begin now, and whether by the right of frames.

        Returns:
            The item; None where nobody who is allowed has one.
        """
        waiting = [(name, caller) for name, caller in self._callers.items() if caller.here]
        first = [c for n, c in waiting if _live_key(c) is not _NO_KEY and self._credit(c) > 0 and allowed(n, True)]
        ready = first or [c for n, c in waiting if allowed(n, False)]
        if not ready:
            return None
        chosen = min(ready, key=lambda caller: caller.clock)
        self._virtual = max(self._virtual, chosen.clock)
        chosen.clock += expected
        self._length -= 1
        self._taken += 1
        if not chosen.waiting:
            return chosen.fresh.popleft()
        key = _live_key(chosen) if first else next(iter(chosen.waiting))
        live, items = chosen.waiting.pop(key)
        item = items.popleft()
        if items:
            chosen.waiting[key] = live, items  # to the end of the line
        return item

    def charge(self, claim: Claim, seconds: float, expected: float) -> None:
        """Count the thread time of an item that was taken: once for each.

        Args:
            claim: its own.
            seconds: that it took; 0 where it was not worked on.
            expected: as in `take`.
        """
        caller = self._caller(claim.caller)
        caller.clock += seconds - expected
        if self._spent is not None:
            self._spent(claim.caller, seconds)
        if claim.live:
            caller.credit = self._credit(caller) - seconds
        self._taken -= 1
        if not self._length and not self._taken:  # nobody is here: what was given before counts no more
            self._virtual = max(self._virtual, *(caller.clock for caller in self._callers.values()))

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take items out wherever they stand; returns them."""
        dropped: list[T] = []
        for caller in self._callers.values():
            for key, (live, items) in list(caller.waiting.items()):
                stays: deque[T] = deque()
                for item in items:
                    (dropped if unwanted(item) else stays).append(item)
                if stays:
                    caller.waiting[key] = live, stays
                else:
                    del caller.waiting[key]
            dropped += [item for item in caller.fresh if unwanted(item)]
            caller.fresh = deque(item for item in caller.fresh if not unwanted(item))
        self._length -= len(dropped)
        return dropped

    def _caller(self, name: str) -> _Caller[T]:
        known = self._callers.get(name)
        if known is None:
            if len(self._callers) >= _REMEMBERED:
                self._forget()
            known = _Caller(self._virtual, self._live_share * _BURST, self._clock())
            self._callers[name] = known
        return known

    def _forget(self) -> None:
        """Forget who has nothing here and would begin where it stands."""
        idle = [n for n, c in self._callers.items() if not c.here and c.clock <= self._virtual]
        for name in idle:
            del self._callers[name]

    def _credit(self, caller: _Caller[T]) -> float:
        """Thread seconds that a caller's frames may use now before all calls."""
        now = self._clock()
        most = self._live_share * _BURST
        caller.credit = min(caller.credit + (now - caller.credited_at) * self._live_share, most)
        caller.credited_at = now
        return caller.credit


#: Where a caller has no frame waiting; a key of its own, for None is one.
_NO_KEY = object()


def _live_key(caller: _Caller[T]) -> Hashable:
    """The first key with frames."""
    return next((key for key, (live, _) in caller.waiting.items() if live), _NO_KEY)
