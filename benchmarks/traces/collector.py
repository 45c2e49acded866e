"""A collector of spans: what OpenTelemetry's own is to a server. It keeps all that it receives."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


@dataclass(frozen=True)
class ReceivedSpan:
    """One span.

    Attributes:
        name: of it.
        trace: 32 hexadecimal digits.
        id: 16 hexadecimal digits.
        parent: the same of the span above it; empty: there is none.
        start: nanoseconds since 1970.
        end: likewise.
        failed: whether its status is an error.
        attributes: by name.
    """

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
        """As it was sent; one of ours has no events, and no words about its status."""
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
class Collector:
    """What has been received.

    Attributes:
        endpoint: its URL.
        spans: in the order in which they came.
    """

    endpoint: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)

    def export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: object
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """See trace_service.proto."""
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
    export: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        it.export,
        request_deserializer=trace_service_pb2.ExportTraceServiceRequest.FromString,
        response_serializer=trace_service_pb2.ExportTraceServiceResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": export}),))
    it.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield it
    finally:
        server.stop(None).wait()
