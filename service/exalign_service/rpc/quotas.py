"""What one caller may use in a second, of requests, frames and thread time: token buckets that fill all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from exalign_service.config.access import AccessConfig
from exalign_service.rpc.errors import QuotaExceededError

#: A bucket holds what comes in so many seconds: a caller that was silent may be quick for a while.
BURST = 10.0

#: Callers that are remembered, before those whose buckets are full are forgotten.
_REMEMBERED = 1024

REQUESTS, FRAMES, SECONDS = "requests", "frames", "cpu_seconds"


class QuotaObserver(Protocol):
    """Counts what was refused."""

    def quota_exceeded(self, quota: str) -> None:
        """A caller wanted more than its quota: "requests", "frames" or "cpu_seconds"."""


@dataclass
class _Bucket:
    """What a caller may still use of one thing; below 0: what it has used in advance."""

    credit: float
    at: float


@dataclass
class _Caller:
    buckets: dict[str, _Bucket] = field(default_factory=dict)


class Quotas:
    """The buckets of all callers. From any thread.

    Args:
        rates: what one caller may use in a second, by quota; what is not there has no bound.
        observer: see `QuotaObserver`.
        clock: seconds, monotonic.
    """

    def __init__(
        self, rates: dict[str, float], observer: QuotaObserver, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rates, self._observer, self._clock = rates, observer, clock
        self._lock = threading.Lock()
        self._callers: dict[str, _Caller] = {}

    def request(self, caller: str) -> None:
        """A caller begins a call.

        Raises:
            QuotaExceededError: it may not yet.
        """
        self._use(caller, REQUESTS)

    def frame(self, caller: str) -> None:
        """A caller wants a frame answered.

        Raises:
            QuotaExceededError: it may not yet.
        """
        self._use(caller, FRAMES)

    def spent(self, caller: str, seconds: float) -> None:
        """A caller was given so much thread time; known only afterwards, hence what is too much is owed."""
        if SECONDS not in self._rates:
            return
        with self._lock:
            self._bucket(caller, SECONDS).credit -= seconds

    def _use(self, caller: str, quota: str) -> None:
        """One of a quota; where thread time is owed, nothing."""
        with self._lock:
            lacking = [(self._wait(caller, SECONDS, 0.0), SECONDS), (self._wait(caller, quota, 1.0), quota)]
            seconds, exceeded = max(lacking)
            if seconds <= 0.0:
                if quota in self._rates:
                    self._bucket(caller, quota).credit -= 1.0
                return
        self._observer.quota_exceeded(exceeded)
        raise QuotaExceededError(exceeded, self._rates[exceeded], seconds)

    def _wait(self, caller: str, quota: str, least: float) -> float:
        """Seconds until a bucket holds so much; 0 or less: now."""
        if quota not in self._rates:
            return 0.0
        return (least - self._bucket(caller, quota).credit) / self._rates[quota]

    def _bucket(self, caller: str, quota: str) -> _Bucket:
        """A caller's, filled up to now."""
        now, rate, most = self._clock(), self._rates[quota], self._most(quota)
        known = self._callers.get(caller)
        if known is None:
            if len(self._callers) >= _REMEMBERED:
                self._forget(now)
            known = self._callers[caller] = _Caller()
        bucket = known.buckets.setdefault(quota, _Bucket(most, now))
        bucket.credit, bucket.at = min(bucket.credit + (now - bucket.at) * rate, most), now
        return bucket

    def _most(self, quota: str) -> float:
        """What a bucket holds: of what is counted, one at least."""
        return max(self._rates[quota] * BURST, 0.0 if quota == SECONDS else 1.0)

    def _forget(self, now: float) -> None:
        """Forget who would begin anew with what it has."""
        for name, caller in tuple(self._callers.items()):
            full = (b.credit + (now - b.at) * self._rates[q] >= self._most(q) for q, b in caller.buckets.items())
            if all(full):
                del self._callers[name]


def quotas_of(config: AccessConfig, observer: QuotaObserver) -> Quotas | None:
    """The quotas that are set; None where there are none."""
    wanted = {
        REQUESTS: config.quota_requests,
        FRAMES: config.quota_frames,
        SECONDS: config.quota_cpu_seconds,
    }
    rates = {name: rate for name, rate in wanted.items() if rate is not None}
    return Quotas(rates, observer) if rates else None
