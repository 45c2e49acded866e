"""What is wrong around a server that goes on serving: its clock, its certificate, its files, its log."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge

FORWARD, BACKWARD = DIRECTIONS = ("forward", "backward")


class SurroundingsMetrics:
    """See `exalign_service.serving.surroundings.SurroundingsObserver`.

    Args:
        registry: of the server.

    Attributes:
        certificate_ends: when the certificate in use ends, seconds since 1970; infinite without TLS.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.certificate_ends = math.inf
        self._jumps = Counter(
            "exalign_clock_jumps",
            "Times that the time of day went another way than the time that passed, by direction.",
            ("direction",),
            registry=registry,
        )
        for direction in DIRECTIONS:
            self._jumps.labels(direction)
        self._lost = Counter("exalign_log_lines_lost", "Log lines that could not be written.", registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=registry)

        self._tasks = gauge("exalign_tasks", "Tasks of the event loop, those included that wait for ever.")
        self._expired = gauge(
            "exalign_certificate_expired", "Whether the certificate of the gRPC port has ended: new callers refuse it."
        )
        self._missing = gauge(
            "exalign_bundle_missing", "Whether the bundle that answers is no longer where it was loaded from."
        )
        self._unkept = gauge(
            "exalign_tables_not_kept", "Tables that this process holds alone, because they could not be written."
        )

    def tasks_counted(self, tasks: int) -> None:
        """See the protocol."""
        self._tasks.set(tasks)

    def clock_jumped(self, seconds: float) -> None:
        """See the protocol."""
        self._jumps.labels(FORWARD if seconds > 0 else BACKWARD).inc()

    def certificate_expired(self, expired: bool) -> None:
        """See the protocol."""
        self._expired.set(expired)

    def bundle_missing(self, missing: bool) -> None:
        """See the protocol."""
        self._missing.set(missing)

    def not_written(self, tables: int, lines: int) -> None:
        """See the protocol."""
        self._unkept.set(tables)
        self._lost.inc(lines)
