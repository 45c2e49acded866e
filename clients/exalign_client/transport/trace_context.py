"""The caller's trace goes on in the server: its active span, as W3C trace context, where it uses OpenTelemetry."""

from __future__ import annotations

import sys

from exalign_client.transport.token import Headers

#: Who has an active span has loaded this.
_API = "opentelemetry.trace"


def trace_headers() -> Headers:
    """Metadata that names the active span: ``traceparent``, and ``tracestate`` where it has one; else none.

    Nothing of OpenTelemetry is imported that the caller has not imported.
    """
    if _API not in sys.modules:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())
