"""What a few threads work on now: since when, for whom, who may have one more, and who works behind the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from exalign_service.inference.fair_queue import Claim

#: A caller is around for so long after its last item, seconds.
_AROUND = 2.0

#: Callers that are remembered, before those that are not around any more are forgotten.
_REMEMBERED = 256

#: Whose share of the time that was given lately is larger than this works behind the others who are around.
_MOST_OF_IT = 0.6

#: After so many seconds, what was given counts half.
_HALF_LIFE = 1.0

#: Less than so many seconds are forgotten.
_FORGOTTEN = 1e-4


class Running:
    """The work in progress. Not thread safe: its owner locks.

    While several callers are around, each leaves one thread to the others: a free thread is found at once, and the
    processor is not crowded. Alone, a caller has all of them; then one more may work for somebody who comes, and, where
    all work for calls, for a frame.

    Who takes most of the time while others are around works behind them: in threads of a lower priority, for a thread
    that computes slows the others of a busy processor down, whoever has the right to it. Who that is changes only in
    `seen` and `end`, which say so.

    Args:
        threads: that may work at once, but for that one more.
        clock: seconds, monotonic.
    """

    def __init__(self, threads: int, clock: Callable[[], float]) -> None:
        self._threads, self._clock = threads, clock
        self._since: dict[object, tuple[float, Collection[Claim]]] = {}
        self._seen: dict[str, float] = {}
        #: Seconds that callers were given lately, as of `_counted`; and who works behind the others.
        self._given: dict[str, float] = {}
        self._counted = clock()
        self._behind = ""

    def seen(self, caller: str) -> bool:
        """A caller has given something to do.

        Returns:
            Whether somebody else than before works behind the others.
        """
        now = self._seen[caller] = self._clock()
        if len(self._seen) > _REMEMBERED:
            self._seen = {name: at for name, at in self._seen.items() if now - at < _AROUND}
        return self._judged()

    def behind(self, caller: str) -> bool:
        """Whether a caller works behind the others."""
        return caller == self._behind != ""

    def allows(self, caller: str, live: bool, *, behind: bool = False) -> bool:
        """Whether work for a caller may begin now.

        Args:
            caller: whose it is.
            live: by the right of frames.
            behind: in a thread that works behind the others.
        """
        if behind is not self.behind(caller):
            return False
        if self._threads > 1 and self._others(caller) and self._held(caller) > self._threads - 1.5:
            return False
        if len(self._since) < self._threads:
            return True
        if len(self._since) > self._threads:
            return False
        works = [claims for _, claims in self._since.values()]
        if live and not any(claim.live for claims in works for claim in claims):
            return True
        shared = set.intersection(*({claim.caller for claim in claims} for claims in works))
        return bool(shared) and caller not in shared

    def begin(self, work: object, claims: Collection[Claim]) -> None:
        """Work has started.

        Args:
            work: what `end` will name.
            claims: whose it is.
        """
        self._since[work] = self._clock(), claims

    def end(self, work: object) -> bool:
        """Work has ended.

        Returns:
            As `seen`.
        """
        since, claims = self._since.pop(work)
        self._give(claims, since)
        return self._judged()

    def elsewhere(self, work: object) -> None:
        """Work in progress waits for what somebody else answers for: until `here` it does not grow older."""
        since, claims = self._since[work]
        self._give(claims, since)
        self._since[work] = math.inf, claims

    def here(self, work: object) -> None:
        """Work that was `elsewhere` goes on."""
        self._since[work] = self._clock(), self._since[work][1]

    def _give(self, claims: Collection[Claim], since: float) -> None:
        """Count the time since something began."""
        now = self._clock()
        fades = 0.5 ** ((now - self._counted) / _HALF_LIFE)
        self._given = {name: s * fades for name, s in self._given.items() if s * fades > _FORGOTTEN}
        self._counted = now
        for claim in claims:
            self._given[claim.caller] = self._given.get(claim.caller, 0.0) + max(now - since, 0.0) / len(claims)

    def oldest(self) -> float | None:
        """Seconds since the oldest work began; None where there is none."""
        first = min((since for since, _ in self._since.values()), default=math.inf)
        return None if first == math.inf else self._clock() - first

    def _judged(self) -> bool:
        """Find out who works behind the others; returns whether that has changed."""
        name, most = max(self._given.items(), key=lambda given: given[1], default=("", 0.0))
        heavy = most > _MOST_OF_IT * sum(self._given.values()) and self._others(name)
        before, self._behind = self._behind, name if heavy else ""
        return before != self._behind

    def _others(self, caller: str) -> bool:
        """Whether others than a caller are around."""
        now = self._clock()
        return any(name != caller and now - at < _AROUND for name, at in self._seen.items())

    def _held(self, caller: str) -> float:
        """Threads that work for a caller; of a batch, its share."""
        works = (claims for _, claims in self._since.values())
        return sum(sum(claim.caller == caller for claim in claims) / len(claims) for claims in works)
