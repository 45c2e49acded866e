"""What a few threads work on now: since when, for whom, and who may have one more."""

from __future__ import annotations

from collections.abc import Callable, Collection


class Running:
    """The work in progress. Not thread safe: its owner locks.

    Args:
        threads: that may work at once. One more may, where a single caller has all of them, for another one.
        clock: seconds, monotonic.
    """

    def __init__(self, threads: int, clock: Callable[[], float]) -> None:
        self._threads, self._clock = threads, clock
        self._since: dict[object, tuple[float, Collection[str]]] = {}

    def allows(self, caller: str) -> bool:
        """Whether work for a caller may begin now."""
        if len(self._since) < self._threads:
            return True
        if len(self._since) > self._threads:
            return False
        shared = set.intersection(*(set(callers) for _, callers in self._since.values()))
        return bool(shared) and caller not in shared

    def begin(self, work: object, callers: Collection[str]) -> None:
        """Work has begun.

        Args:
            work: what `end` will name.
            callers: for whom.
        """
        self._since[work] = self._clock(), callers

    def end(self, work: object) -> None:
        """Work has ended."""
        del self._since[work]

    def oldest(self) -> float | None:
        """Seconds since the oldest work began; None where there is none."""
        if not self._since:
            return None
        return self._clock() - min(since for since, _ in self._since.values())
