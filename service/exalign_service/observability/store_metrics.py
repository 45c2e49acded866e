"""What is written to a shared store of sessions, where there is one."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Upper ends of the buckets: of a round trip, seconds; of a checkpoint, bytes.
_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_BYTES = tuple(2**i for i in range(10, 26))

REASONS = ("away", "full", "refused")


class StoreMetrics:
    """See `exalign_service.stores.checkpoints.CheckpointObserver`.

    Args:
        registry: of the server.
        outcomes: what may become of a checkpoint.
    """

    def __init__(self, registry: CollectorRegistry, outcomes: Iterable[str]) -> None:
        self._up = Gauge(
            "exalign_store_up", "1 while the store of sessions answers, 0 while it is away.", registry=registry
        )
        self._failures = Counter(
            "exalign_store_failures", "Times that the store was asked in vain, by why.", ("reason",), registry=registry
        )
        self._checkpoints = Counter(
            "exalign_checkpoints",
            "Checkpoints of sessions: written, refused because another server has the session, failed, or too large.",
            ("outcome",),
            registry=registry,
        )
        self._seconds = Histogram(
            "exalign_checkpoint_seconds", "Time of a checkpoint.", buckets=_SECONDS, registry=registry
        )
        self._bytes = Histogram("exalign_checkpoint_bytes", "Bytes of a checkpoint.", buckets=_BYTES, registry=registry)
        self._behind = Gauge(
            "exalign_sessions_behind", "Sessions with answers that are not in the store yet.", registry=registry
        )
        for outcome in outcomes:
            self._checkpoints.labels(outcome)
        for reason in REASONS:
            self._failures.labels(reason)
        self._up.set(1)

    def store_changed(self, up: bool, reason: str) -> None:
        """See the class."""
        self._up.set(up)
        if not up:
            self._failures.labels(reason).inc()

    def checkpoint(self, outcome: str, size: int, seconds: float) -> None:
        """See the class."""
        self._checkpoints.labels(outcome).inc()
        if outcome == "written":
            self._seconds.observe(seconds)
            self._bytes.observe(size)

    def sessions_behind(self, count: int) -> None:
        """See the class."""
        self._behind.set(count)
