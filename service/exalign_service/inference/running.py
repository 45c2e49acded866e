"""What a few threads work on now: since when, for whom, and who may have one more."""

from __future__ import annotations

from collections.abc import Callable, Collection

from exalign_service.inference.fair_queue import Claim


class Running:
    """The work in progress. Not thread safe: its owner locks.

    Args:
        threads: that may work at once. One more may: for others than the one caller that has all of them, and for a
            frame where none has one.
        clock: seconds, monotonic.
    """

    def __init__(self, threads: int, clock: Callable[[], float]) -> None:
        self._threads, self._clock = threads, clock
        self._since: dict[object, tuple[float, Collection[Claim]]] = {}

    def allows(self, caller: str, live: bool) -> bool:
        """Whether work for a caller may begin now; live: by the right of frames."""
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
