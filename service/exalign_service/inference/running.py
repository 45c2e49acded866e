"""What a few threads work on now: since when, for whom, and who may have one more."""

from __future__ import annotations

from collections.abc import Callable, Collection

from exalign_service.inference.fair_queue import Claim

#: A caller is around for so long after its last item, seconds.
_AROUND = 2.0

#: Callers that are remembered, before those that are not around any more are forgotten.
_REMEMBERED = 256


class Running:
    """The work in progress. Not thread safe: its owner locks.

    While several callers are around, each leaves one thread to the others: a free thread is found at once, and the
    processor is not crowded. Alone, a caller has all of them; then one more may work for somebody who comes, and, where
    all work for calls, for a frame.

    Args:
        threads: that may work at once, but for that one more.
        clock: seconds, monotonic.
    """

    def __init__(self, threads: int, clock: Callable[[], float]) -> None:
        self._threads, self._clock = threads, clock
        self._since: dict[object, tuple[float, Collection[Claim]]] = {}
        self._seen: dict[str, float] = {}

    def seen(self, caller: str) -> None:
        """A caller has given something to do."""
        now = self._seen[caller] = self._clock()
        if len(self._seen) > _REMEMBERED:
            self._seen = {name: at for name, at in self._seen.items() if now - at < _AROUND}

    def allows(self, caller: str, live: bool) -> bool:
        """Whether work for a caller may begin now; live: by the right of frames."""
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

    def end(self, work: object) -> None:
        """Work has ended."""
        del self._since[work]

    def oldest(self) -> float | None:
        """Seconds since the oldest work began; None where there is none."""
        if not self._since:
            return None
        return self._clock() - min(since for since, _ in self._since.values())

    def _others(self, caller: str) -> bool:
        """Whether others than a caller are around."""
        now = self._clock()
        return any(name != caller and now - at < _AROUND for name, at in self._seen.items())

    def _held(self, caller: str) -> float:
        """Threads that work for a caller; of a batch, its share."""
        works = (claims for _, claims in self._since.values())
        return sum(sum(claim.caller == caller for claim in claims) / len(claims) for claims in works)
