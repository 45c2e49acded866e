"""What is written of video sessions, where they are recorded."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge


class RecordingMetrics:
    """See `exalign_service.recording.recorder.RecordingObserver`.

    Args:
        registry: of the server.
        reasons: why recordings end before their sessions.
        bound: most bytes of all recordings.
    """

    def __init__(self, registry: CollectorRegistry, reasons: Iterable[str], bound: int) -> None:
        self._bytes = Counter("exalign_recorded_bytes", "Bytes written of video sessions.", registry=registry)
        self._stopped = Counter(
            "exalign_recordings_stopped",
            "Recordings that ended before their sessions, or were not begun, by what was in the way.",
            ("reason",),
            registry=registry,
        )
        for reason in reasons:
            self._stopped.labels(reason)
        Gauge("exalign_recording_limit_bytes", "Most bytes of all recordings.", registry=registry).set(bound)

    def recorded(self, size: int) -> None:
        """See the class."""
        self._bytes.inc(size)

    def recording_stopped(self, reason: str) -> None:
        """See the class."""
        self._stopped.labels(reason).inc()
