"""Every metric of one server, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import cache

from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from exalign_service.config.schema import ServerConfig
from exalign_service.observability.model_metrics import BatchMetrics, ModelMetrics
from exalign_service.observability.rpc_metrics import SECONDS, RpcMetrics
from exalign_service.observability.surroundings_metrics import SurroundingsMetrics

# A second series beside each counter and histogram, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

STAGES = ("decode", "detect", "queue", "infer", "posterior", "hmm", "encode")
LOOKUP_RESULTS = ("hit", "miss")
REFUSALS = ("calls", "bytes", "time")
SESSION_STATES = ("active", "detached", "draining")
DROP_REASONS = ("too_large", "no_room")
DECODE_STATES = ("waiting", "running")
DECODER_FAILURES = ("cpu_time", "died", "not_started")
MEMORY_STATES = ("held", "waiting")
#: What is watched, and what may be wrong with a call of the runtime (`inference.network`).
WATCHED = ("stage", "batch")
RUNTIME_FAULTS = ("raised", "rows", "shape", "not_finite")
#: Files that are read again when they change.
RELOADED = ("certificates", "tokens", "jwks", "resume_keys")
QUOTAS = ("requests", "frames", "cpu_seconds")
DENIALS = ("missing", "malformed", "unknown", "forged", "expired", "not_yet_valid", "claims", "scope", "resume_token")
FRAME_OUTCOMES = ("answered", "problem", "skipped")

#: Upper ends of the buckets of presence.
PRESENCE = tuple(i / 10 for i in range(1, 11))

#: Methods that look at faces: they have stages.
FACE_METHODS = (
    "PredictLandmarks",
    "PredictHeatmaps",
    "EstimatePose",
    "QueryConditional",
    "SuggestEvidence",
    "TrackVideo",
    "ModelInfer",
)


class Metrics:
    """All metrics of one server; every label value is there from the start.

    Args:
        services: whose methods get their labels now.
        max_batch: largest value of the batch size histogram.
    """

    def __init__(self, services: Iterable[ServiceDescriptor], max_batch: int) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.model, self.surroundings = ModelMetrics(self.registry), SurroundingsMetrics(self.registry)
        self._limits = Gauge(
            "exalign_limit", "Settings that bound something, by name.", ("setting",), registry=self.registry
        )
        self.rpc = RpcMetrics(self.registry, services)
        self.stage = self._seconds(
            "exalign_stage_seconds",
            "Time of a call in each stage that it went through, over all its faces; decode includes cutting crops.",
            ("stage", "method"),
        )
        self.frame_latency = self._seconds(
            "exalign_frame_latency_seconds", "Time from the arrival of a video frame to its result."
        )
        sizes = [2**i for i in range(max_batch.bit_length()) if 2**i < max_batch] + [max_batch]
        self.batch_size = Histogram(
            "exalign_batch_size", "Faces in one call of the network.", buckets=sizes, registry=self.registry
        )
        self.queue_depth = Gauge("exalign_queue_depth", "Faces that wait for the network.", registry=self.registry)
        self.calls = Gauge("exalign_calls", "Unary calls about faces in progress.", registry=self.registry)
        self.request_bytes = Gauge("exalign_request_bytes", "Bytes of their requests.", registry=self.registry)
        self.backlog = Gauge(
            "exalign_backlog_seconds", "Time in which they are expected to be answered.", registry=self.registry
        )
        self.refused = self._counter(
            "exalign_refused_calls", "Calls refused before any work: too many calls or bytes, or too late.", ("reason",)
        )
        self.stage_queue = Gauge("exalign_stage_queue_depth", "Stages that wait for a thread.", registry=self.registry)
        self._add_kept()
        self._add_faces()
        self._add_decoding()
        self._add_watched()
        self._add_access()
        for reason in REFUSALS:
            self.refused.labels(reason)

    def _add_kept(self) -> None:
        """What is kept between calls: posteriors and sessions."""
        self.posteriors = Gauge("exalign_posteriors", "Posteriors kept behind posterior ids.", registry=self.registry)
        self.posterior_lookups = self._counter(
            "exalign_posterior_lookups", "Posterior ids looked up, by whether they were still known.", ("result",)
        )
        self.posteriors_evicted = Counter(
            "exalign_posteriors_evicted", "Posteriors that gave way to newer ones.", registry=self.registry
        )
        self.sessions = Gauge("exalign_sessions", "Video sessions, by state.", ("state",), registry=self.registry)
        self.sessions_dropped = self._counter(
            "exalign_sessions_dropped",
            "States of broken streams that were given up before their time: too large by itself, or without room.",
            ("reason",),
        )
        for result in LOOKUP_RESULTS:
            self.posterior_lookups.labels(result)
        for reason in DROP_REASONS:
            self.sessions_dropped.labels(reason)
        for state in SESSION_STATES:
            self.sessions.labels(state)

    def _add_faces(self) -> None:
        """What was seen, and where the time went."""
        self.faces = self._counter("exalign_faces", "Faces answered, over all frames of a video.", ("method",))
        self.presence = Histogram(
            "exalign_presence",
            "Presence of the faces answered: the probability that there is a face at all.",
            ("method",),
            buckets=PRESENCE,
            registry=self.registry,
        )
        self.detector_runs = self._counter("exalign_detector_runs", "Pictures searched for faces.", ("detector",))
        self.detections = self._counter("exalign_detections", "Faces found by a detector.", ("detector",))
        self.undecodable = self._counter(
            "exalign_undecodable_pictures",
            "Pictures that are damaged, of no known kind, or above a limit.",
            ("method",),
        )
        self.frames = self._counter(
            "exalign_frames",
            "Video frames, by outcome: answered, answered with a problem, or skipped for a newer one.",
            ("outcome",),
        )
        for method in FACE_METHODS:
            for stage in STAGES:
                self.stage.labels(stage, method)
            for metric in (self.faces, self.presence, self.undecodable):
                metric.labels(method)
        for outcome in FRAME_OUTCOMES:
            self.frames.labels(outcome)
        # Of what each frame counts: to look labels up takes longer than to count.
        self.stage_of, self._frames_of = cache(self.stage.labels), cache(self.frames.labels)
        self._faces_of, self._presence_of = cache(self.faces.labels), cache(self.presence.labels)

    def _add_decoding(self) -> None:
        """Pictures that take long, and the memory of decoded ones."""
        self._decoders = Gauge("exalign_decoders", "Processes that decode pictures.", registry=self.registry)
        self._decode_jobs = Gauge(
            "exalign_decode_jobs", "Pictures that take long to decode, by state.", ("state",), registry=self.registry
        )
        self._decoder_failures = self._counter(
            "exalign_decoder_failures",
            "Processes that decode pictures: ended for the CPU time of one, died of one, or not started.",
            ("reason",),
        )
        self._decoded_bytes = Gauge(
            "exalign_decoded_bytes", "Memory for decoded pictures, by state.", ("state",), registry=self.registry
        )
        for state in DECODE_STATES:
            self._decode_jobs.labels(state)
        for reason in DECODER_FAILURES:
            self._decoder_failures.labels(reason)
        self._decoded_bytes_of = {state: self._decoded_bytes.labels(state) for state in MEMORY_STATES}

    def _add_watched(self) -> None:
        """What the server finds where it watches itself."""
        self.oldest = {
            what: Gauge(
                f"exalign_oldest_{what}_seconds",
                f"For how long the oldest running {what} has been running; 0 where none runs.",
                registry=self.registry,
            )
            for what in WATCHED
        }
        self.stuck = Gauge(
            "exalign_stuck",
            "1 while something has been running for longer than stuck_after.",
            ("where",),
            registry=self.registry,
        )
        self.runtime_faults = self._counter(
            "exalign_runtime_faults",
            "Calls of the network that failed, by kind: it raised, or answered wrong rows, shapes or numbers.",
            ("kind",),
        )
        self.descriptors_exhausted = Counter(
            "exalign_descriptors_exhausted",
            "Connections to the metrics port for which no descriptor was left but those in reserve.",
            registry=self.registry,
        )
        self._process = Gauge(
            "exalign_process", "1; which process of its parent this is.", ("index",), registry=self.registry
        )
        self._restarts = Counter(
            "exalign_process_restarts", "Processes that were in its place before it.", registry=self.registry
        )
        for what in WATCHED:
            self.stuck.labels(what)
        for kind in RUNTIME_FAULTS:
            self.runtime_faults.labels(kind)

    def _add_access(self) -> None:
        """Who may speak."""
        self._expires = Gauge(
            "exalign_certificate_expires_seconds",
            "When the certificate of the gRPC port ends, seconds since 1970; 0 without TLS.",
            registry=self.registry,
        )
        self._reloads = self._counter(
            "exalign_reloads", "Files that changed and were read again, by whether they are in use.", ("what", "result")
        )
        self._denied = self._counter("exalign_access_denied", "Calls denied, by what was wrong.", ("reason",))
        for reason in DENIALS:
            self._denied.labels(reason)
        self._quota = self._counter(
            "exalign_quota_exceeded", "Calls and frames refused: their caller has used its quota.", ("quota",)
        )
        for quota in QUOTAS:
            self._quota.labels(quota)
        for what in RELOADED:
            for result in ("used", "refused"):
                self._reloads.labels(what, result)

    def watch(self, what: str, age: Callable[[], float | None]) -> None:
        """Show for how long work has been running.

        Args:
            what: one of `WATCHED`.
            age: of the oldest that runs, seconds; None where none runs. Called from any thread.
        """
        self.oldest[what].set_function(lambda: age() or 0.0)

    def export_limits(self, config: ServerConfig) -> None:
        """Show every setting that bounds something; they do not change while the server runs."""
        for section in (config.limits, config.batching, config.sessions, config.watching):
            for field in fields(section):
                self._limits.labels(field.name).set(getattr(section, field.name))
        self._limits.labels("max_live_bundles").set(config.model.max_live_bundles)
        for field in fields(config.access):
            if field.name.startswith("quota_") and getattr(config.access, field.name) is not None:
                self._limits.labels(field.name).set(getattr(config.access, field.name))

    def export_process(self, index: int, restarts: int) -> None:
        """Show which of several processes this is, and how many were started in its place before it."""
        self._process.labels(str(index)).set(1)
        self._restarts.inc(restarts)

    def known_detectors(self, detectors: Iterable[str]) -> None:
        """A model is loaded: the detectors that may be asked."""
        for detector in detectors:
            self.detector_runs.labels(detector)
            self.detections.labels(detector)

    def faces_answered(self, method: str, faces: int, presences: Iterable[float]) -> None:
        """Faces were answered, and those that the network saw with these presences."""
        self._faces_of(method).inc(faces)
        for presence in presences:
            self._presence_of(method).observe(presence)

    def detected(self, detector: str, faces: int) -> None:
        """A detector has searched a picture."""
        self.detector_runs.labels(detector).inc()
        self.detections.labels(detector).inc(faces)

    def expose(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def file_reloaded(self, what: str, *, good: bool) -> None:
        """See `ReloadObserver`."""
        self._reloads.labels(what, "used" if good else "refused").inc()

    def access_denied(self, reason: str) -> None:
        """See `AccessObserver`."""
        self._denied.labels(reason).inc()

    def resume_token_refused(self) -> None:
        """See `TrackObserver`."""
        self._denied.labels("resume_token").inc()

    def quota_exceeded(self, quota: str) -> None:
        """See `QuotaObserver`."""
        self._quota.labels(quota).inc()

    def certificate_expires(self, at: float) -> None:
        """See `CertificateObserver`."""
        self._expires.set(at)
        self.surroundings.certificate_ends = at

    def stuck_changed(self, where: str, stuck: bool) -> None:
        """See `WatchObserver`."""
        self.stuck.labels(where).set(stuck)

    def runtime_failed(self, kind: str) -> None:
        """See `FaultObserver`."""
        self.runtime_faults.labels(kind).inc()

    def batches(self) -> BatchMetrics:
        """What counts the batches of one of several models: the depths of their queues are added."""
        return BatchMetrics(self.batch_size, self.queue_depth)

    def calls_changed(self, calls: int, size: int, seconds: float) -> None:
        """See `AdmissionObserver`."""
        self.calls.set(calls)
        self.request_bytes.set(size)
        self.backlog.set(seconds)

    def call_refused(self, reason: str) -> None:
        """See `AdmissionObserver`."""
        self.refused.labels(reason).inc()

    def stages_changed(self, waiting: int) -> None:
        """See `StageObserver`."""
        self.stage_queue.set(waiting)

    def posterior_looked_up(self, hit: bool) -> None:
        """See `CacheObserver`."""
        self.posterior_lookups.labels("hit" if hit else "miss").inc()

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """See `CacheObserver`."""
        self.posteriors.set(count)
        self.posteriors_evicted.inc(evicted)

    def decoders_changed(self, processes: int) -> None:
        """See `DecoderObserver`."""
        self._decoders.set(processes)

    def decode_jobs_changed(self, waiting: int, running: int) -> None:
        """See `DecoderObserver`."""
        self._decode_jobs.labels("waiting").set(waiting)
        self._decode_jobs.labels("running").set(running)

    def decoder_failed(self, reason: str) -> None:
        """See `DecoderObserver`."""
        self._decoder_failures.labels(reason).inc()

    def decoded_bytes_changed(self, held: int, waiting: int) -> None:
        """See `BudgetObserver`."""
        self._decoded_bytes_of["held"].set(held)
        self._decoded_bytes_of["waiting"].set(waiting)

    def frame_answered(self, seconds: float, *, problem: bool, skipped: int, exemplar: dict[str, str] | None) -> None:
        """See `TrackObserver`."""
        self.frame_latency.observe(seconds, exemplar)
        self._frames_of("problem" if problem else "answered").inc()
        if skipped:
            self._frames_of("skipped").inc(skipped)

    def sessions_changed(self, active: int, draining: int) -> None:
        """See `TrackObserver`."""
        self.sessions.labels("active").set(active)
        self.sessions.labels("draining").set(draining)

    def detached_changed(self, count: int) -> None:
        """See `StoreObserver`."""
        self.sessions.labels("detached").set(count)

    def detached_dropped(self, reason: str) -> None:
        """See `StoreObserver`."""
        self.sessions_dropped.labels(reason).inc()

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _seconds(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)
