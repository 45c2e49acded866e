"""What leaves a server beside its answers, where somebody wants it: spans, and recordings of video sessions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from exalign_service.config.schema import ServerConfig
from exalign_service.observability.spans import open_tracer
from exalign_service.recording.recorder import open_recorder


class Outputs:
    """Of one server.

    Args:
        config: says what is wanted.
        registry: of the server's metrics.

    Attributes:
        tracer: makes spans; None: nobody wants them.
        recorder: writes recordings; None: nothing is recorded.

    Raises:
        StartError: OpenTelemetry is wanted and not installed.
    """

    def __init__(self, config: ServerConfig, registry: CollectorRegistry) -> None:
        self.tracer = open_tracer(config.traces)
        self.recorder = open_recorder(config.recording, registry)

    def close(self) -> None:
        """Send and write what there is. Blocks, within seconds."""
        if self.tracer is not None:
            self.tracer.close()
        if self.recorder is not None:
            self.recorder.close()
