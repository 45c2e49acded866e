"""Spans by OpenTelemetry, sent away in batches by a thread of its own. Needs the extra ``otel``.

What the SDK itself reads of the environment holds too: headers and certificates for the collector, the resource's
attributes, and how spans are batched (``OTEL_*``).
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import grpc
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

#: So long the end waits for spans to be sent, and then for who sends them, seconds: a collector that is away does not
#: hold a server up.
_SENT, _STOPPED = 1.0, 0.5

#: Stages of one call that have spans: a call about a thousand faces would crowd out all others.
MOST_STAGES = 128

#: Codes that say that a server has failed, as OpenTelemetry counts them: others are its caller's affair.
_FAILURES = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
)

_W3C = TraceContextTextMapPropagator()


class OtelTracer:
    """See `exalign_service.observability.spans.Tracer`.

    Args:
        exporter: takes batches of spans.
        ratio: share of spans without a parent that are made, 0 to 1; others are made where their parents are.
    """

    def __init__(self, exporter: OTLPSpanExporter, ratio: float) -> None:
        resource = {
            SERVICE_NAME: "exalign-server",
            SERVICE_VERSION: version("exalign"),
            SERVICE_INSTANCE_ID: str(uuid.uuid4()),  # of several processes, which
        }
        self._exporter = exporter
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=Resource.create(resource), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("exalign_service", version("exalign"))

    @classmethod
    def sending_to(cls, endpoint: str, ratio: float) -> OtelTracer:
        """One that sends to a collector.

        Args:
            endpoint: its URL; the connection has TLS where that begins with https.
            ratio: see the class.
        """
        return cls(OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http:")), ratio)

    def trace(self, metadata: Iterable[tuple[str, str | bytes]], method: str, request_id: str) -> OtelCallTrace:
        """See `exalign_service.observability.spans.Tracer`."""
        carrier = {key: value for key, value in metadata if key in _W3C.fields and isinstance(value, str)}
        return OtelCallTrace(self._tracer, _W3C.extract(carrier, Context()), method, request_id)

    def close(self) -> None:
        """See `exalign_service.observability.spans.Tracer`."""
        ending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_SENT)
        if ending.is_alive():
            self._exporter.shutdown()
            ending.join(_STOPPED)


class OtelCallTrace:
    """See `exalign_service.observability.spans.CallTrace`."""

    def __init__(self, tracer: Tracer, parent: Context, method: str, request_id: str) -> None:
        self._tracer, self._parent, self._method, self._request_id = tracer, parent, method, request_id

    def call(self, start: float) -> OtelSpan | None:
        """See `exalign_service.observability.spans.CallTrace`."""
        return self._begin(self._method, start, {})

    def frame(self, start: float, session: str, index: int) -> OtelSpan | None:
        """See `exalign_service.observability.spans.CallTrace`."""
        return self._begin(f"{self._method} frame", start, {"exalign.session": session, "exalign.frame_index": index})

    def _begin(self, name: str, start: float, more: Mapping[str, str | int]) -> OtelSpan | None:
        attributes = {
            "rpc.system.name": "grpc",
            "rpc.method": self._method,
            "exalign.request_id": self._request_id,
            **more,
        }
        # Of this moment, for the whole of the span: the wall clock may be set meanwhile.
        offset = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            name, self._parent, SpanKind.SERVER, attributes, start_time=offset + int(start * 1e9)
        )
        return OtelSpan(self._tracer, span, offset) if span.is_recording() else None


class OtelSpan:
    """See `exalign_service.observability.spans.Span`."""

    def __init__(self, tracer: Tracer, span: Span, offset: int) -> None:
        self._tracer, self._span, self._offset = tracer, span, offset
        self._within = set_span_in_context(span, Context())
        self._stages = itertools.count(1)
        known = span.get_span_context()
        self.trace_id = f"{known.trace_id:032x}"
        self.exemplar = {"trace_id": self.trace_id, "span_id": f"{known.span_id:016x}"}

    def stage(self, name: str, start: float, end: float) -> None:
        """See `exalign_service.observability.spans.Span`."""
        if next(self._stages) > MOST_STAGES:
            return
        part = self._tracer.start_span(name, self._within, start_time=self._offset + int(start * 1e9))
        part.end(self._offset + int(end * 1e9))

    def end(self, code: grpc.StatusCode | None) -> None:
        """See `exalign_service.observability.spans.Span`."""
        left_out = next(self._stages) - 1 - MOST_STAGES
        if left_out > 0:
            self._span.set_attribute("exalign.stages_left_out", left_out)
        if code is not None:
            self._span.set_attribute("rpc.response.status_code", code.name)
        if code is None or code in _FAILURES:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(self._offset + time.monotonic_ns())
