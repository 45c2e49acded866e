"""A collector of spans: what OpenTelemetry's own is to a server, with all that it received."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry (extra 'otel')")

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class ReceivedSpan:
    """One span; times in nanoseconds since 1970."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, str | int]

    @classmethod
    def of(cls, span: trace_pb2.Span) -> ReceivedSpan:
        found = {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes}
        failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
        assert not span.status.message
        assert not span.events
        return cls(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            failed,
            found,
        )


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps everything."""

    endpoint: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)

    def Export(  # the contract's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += map(ReceivedSpan.of, scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def tops(self) -> list[ReceivedSpan]:
        """Spans of calls and frames, by their beginning."""
        return sorted((s for s in self.spans if s.attributes), key=lambda span: span.start)

    def below(self, top: ReceivedSpan) -> list[ReceivedSpan]:
        """Spans of its stages, by their beginning."""
        found = (s for s in self.spans if (s.trace, s.parent) == (top.trace, top.id))
        return sorted(found, key=lambda span: span.start)


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a port of its own."""
    server, it = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(it, server)
    it.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield it
    finally:
        server.stop(None).wait()
