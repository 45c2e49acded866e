"""Spans of calls and frames, as every room sees them. OpenTelemetry, which makes them, is imported where it is wanted.

A span has a name, a beginning and an end, the names of method and session, and numbers. No room can put anything else
into one: nothing of a picture, of an answer or of an error's text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import grpc

from exalign_service.config.start_checks import StartError
from exalign_service.config.traces import TracesConfig


class Span(Protocol):
    """One call, or one frame, while it is worked on. From any thread; times are those of `time.monotonic`, seconds.

    Attributes:
        trace_id: 32 hexadecimal digits.
        exemplar: labels that lead from a sample of a histogram to this span.
    """

    trace_id: str
    exemplar: dict[str, str]

    def stage(self, name: str, start: float, end: float) -> None:
        """A stage, one of `metrics.STAGES`, that has ended; of a frame also its wait in the "inbox"."""

    def end(self, code: grpc.StatusCode | None) -> None:
        """The call, or the frame, has ended now, with this code; None: a frame whose stream has failed."""


class CallTrace(Protocol):
    """The spans of one call, below that of its caller, where it names one. None: not among those that are kept."""

    def call(self, start: float) -> Span | None:
        """Of the whole call, which began then."""

    def frame(self, start: float, session: str, index: int) -> Span | None:
        """Of one frame of a session, which arrived then."""


class Tracer(Protocol):
    """Makes spans, and sends them away."""

    def trace(self, metadata: Iterable[tuple[str, str | bytes]], method: str, request_id: str) -> CallTrace:
        """The spans of a call.

        Args:
            metadata: what came with it; it may name the span of its caller (W3C trace context).
            method: its full name, "service/method".
            request_id: see `Call`.
        """

    def close(self) -> None:
        """Send what there is, and stop. Blocks, for a second or two at most."""


def open_tracer(config: TracesConfig) -> Tracer | None:
    """What makes the spans of a server; None where nobody wants them.

    Raises:
        StartError: OpenTelemetry is not installed.
    """
    if config.traces_endpoint is None:
        return None
    try:
        from exalign_service.observability.otel import OtelTracer
    except ModuleNotFoundError as e:
        raise StartError(f"traces_endpoint needs the extra 'otel' ({e}): pip install 'exalign[otel]'") from e
    return OtelTracer.sending_to(config.traces_endpoint, config.traces_ratio)
