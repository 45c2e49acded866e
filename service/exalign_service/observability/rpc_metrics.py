"""What is counted of every RPC, under the names that grpc-go's metrics have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CollectorRegistry, Counter, Histogram

#: Upper ends of the time buckets, seconds: from a queue without waiting to a call at its last deadline.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Status codes as grpc-go writes them, so that dashboards made for its metrics work here.
CODES: dict[grpc.StatusCode, str] = {
    code: {"OK": "OK", "CANCELLED": "Canceled"}.get(code.name, code.name.title().replace("_", ""))
    for code in grpc.StatusCode
}


@dataclass(frozen=True)
class Method:
    """Labels of one method.

    Attributes:
        type: "unary", "client_stream", "server_stream" or "bidi_stream".
        service: full name of the service.
        name: of the method.
    """

    type: str
    service: str
    name: str

    @property
    def labels(self) -> tuple[str, str, str]:
        """In the order of the label names."""
        return self.type, self.service, self.name

    @property
    def path(self) -> str:
        """Its full name, "service/method"."""
        return f"{self.service}/{self.name}"


@dataclass(frozen=True)
class MethodMetrics:
    """What is counted of one method.

    Attributes:
        started: RPCs.
        received: messages from clients.
        sent: messages to clients.
        handling: seconds of RPCs that have ended.
        handled: RPCs that have ended, by `CODES`.
    """

    started: Counter
    received: Counter
    sent: Counter
    handling: Histogram
    handled: dict[grpc.StatusCode, Counter]


#: The labels of every method that there is not: its name is the caller's, and may be any.
OTHER = Method("other", "other", "other")


def method_type(client_streams: bool, server_streams: bool) -> str:
    """The value of the label grpc_type."""
    names = {(0, 0): "unary", (1, 0): "client_stream", (0, 1): "server_stream", (1, 1): "bidi_stream"}
    return names[bool(client_streams), bool(server_streams)]


class RpcMetrics:
    """The metrics of all methods.

    Args:
        registry: of the server.
        services: whose methods are there from the start.
    """

    def __init__(self, registry: CollectorRegistry, services: Iterable[ServiceDescriptor]) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")

        def counter(name: str, text: str, *more: str) -> Counter:
            return Counter(name, text, (*labels, *more), registry=registry)

        self._started = counter("grpc_server_started", "RPCs started on the server.")
        self._handled = counter("grpc_server_handled", "RPCs completed on the server, by status code.", "grpc_code")
        self._received = counter("grpc_server_msg_received", "Messages received from clients.")
        self._sent = counter("grpc_server_msg_sent", "Messages sent to clients.")
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time from the start of an RPC to its completion.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self._methods: dict[Method, MethodMetrics] = {}
        for service in services:
            for one in service.methods:
                kind = method_type(one.client_streaming, one.server_streaming)
                self.of(Method(kind, service.full_name, one.name))
        self.of(OTHER)

    def of(self, method: Method) -> MethodMetrics:
        """What is counted of a method. Looked up once: finding labels costs more than counting."""
        known = self._methods.get(method)
        if known is None:
            labels = method.labels
            known = self._methods[method] = MethodMetrics(
                self._started.labels(*labels),
                self._received.labels(*labels),
                self._sent.labels(*labels),
                self._handling.labels(*labels),
                {code: self._handled.labels(*labels, name) for code, name in CODES.items()},
            )
        return known
