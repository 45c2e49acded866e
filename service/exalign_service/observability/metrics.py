"""Every metric of one server, in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Upper ends of the time buckets, seconds: from a queue without waiting to a call at its last deadline.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

STAGES = ("decode", "detect", "queue", "infer", "posterior", "hmm", "encode")
LOOKUP_RESULTS = ("hit", "miss")
SESSION_STATES = ("active", "detached", "draining")

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


def method_type(client_streams: bool, server_streams: bool) -> str:
    """The value of the label grpc_type."""
    names = {(0, 0): "unary", (1, 0): "client_stream", (0, 1): "server_stream", (1, 1): "bidi_stream"}
    return names[bool(client_streams), bool(server_streams)]


class Metrics:
    """All metrics of one server; every label value is there from the start.

    Args:
        services: whose methods get their labels now.
        max_batch: largest value of the batch size histogram.
    """

    def __init__(self, services: Iterable[ServiceDescriptor], max_batch: int) -> None:
        self.registry = CollectorRegistry()
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self.started = self._counter("grpc_server_started", "RPCs started on the server.", labels)
        self.handled = self._counter(
            "grpc_server_handled", "RPCs completed on the server, by status code.", (*labels, "grpc_code")
        )
        self.received = self._counter("grpc_server_msg_received", "Messages received from clients.", labels)
        self.sent = self._counter("grpc_server_msg_sent", "Messages sent to clients.", labels)
        self.handling = self._seconds(
            "grpc_server_handling_seconds", "Time from the start of an RPC to its completion.", labels
        )
        self.stage = self._seconds(
            "exalign_stage_seconds",
            "Time of a call in each stage that it went through, over all its faces; decode includes cutting crops.",
            ("stage",),
        )
        self.frame_latency = self._seconds(
            "exalign_frame_latency_seconds", "Time from the arrival of a video frame to its result."
        )
        sizes = [2**i for i in range(max_batch.bit_length()) if 2**i < max_batch] + [max_batch]
        self.batch_size = Histogram(
            "exalign_batch_size", "Faces in one call of the network.", buckets=sizes, registry=self.registry
        )
        self.queue_depth = Gauge("exalign_queue_depth", "Faces that wait for the network.", registry=self.registry)
        self.posteriors = Gauge("exalign_posteriors", "Posteriors kept behind posterior ids.", registry=self.registry)
        self.posterior_lookups = self._counter(
            "exalign_posterior_lookups", "Posterior ids looked up, by whether they were still known.", ("result",)
        )
        self.posteriors_evicted = Counter(
            "exalign_posteriors_evicted", "Posteriors that gave way to newer ones.", registry=self.registry
        )
        self.sessions = Gauge("exalign_sessions", "Video sessions, by state.", ("state",), registry=self.registry)
        for stage in STAGES:
            self.stage.labels(stage)
        for result in LOOKUP_RESULTS:
            self.posterior_lookups.labels(result)
        for state in SESSION_STATES:
            self.sessions.labels(state)
        for service in services:
            for method in service.methods:
                kind = method_type(method.client_streaming, method.server_streaming)
                self._initialise(Method(kind, service.full_name, method.name))

    def expose(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def batch_launched(self, size: int) -> None:
        """See `BatchObserver`."""
        self.batch_size.observe(size)

    def queue_changed(self, depth: int) -> None:
        """See `BatchObserver`."""
        self.queue_depth.set(depth)

    def posterior_looked_up(self, hit: bool) -> None:
        """See `CacheObserver`."""
        self.posterior_lookups.labels("hit" if hit else "miss").inc()

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """See `CacheObserver`."""
        self.posteriors.set(count)
        self.posteriors_evicted.inc(evicted)

    def frame_answered(self, seconds: float) -> None:
        """See `TrackObserver`."""
        self.frame_latency.observe(seconds)

    def sessions_changed(self, active: int, draining: int) -> None:
        """See `TrackObserver`."""
        self.sessions.labels("active").set(active)
        self.sessions.labels("draining").set(draining)

    def detached_changed(self, count: int) -> None:
        """See `StoreObserver`."""
        self.sessions.labels("detached").set(count)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)

    def _initialise(self, method: Method) -> None:
        for metric in (self.started, self.received, self.sent, self.handling):
            metric.labels(*method.labels)
        for code in CODES.values():
            self.handled.labels(*method.labels, code)
