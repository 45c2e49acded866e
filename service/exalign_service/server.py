"""One server, wired together: model, batcher, gRPC, health, reflection and the metrics port."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_engine import Aligner, Bundle, default_bundle_path
from exalign_engine.detect import create_detectors
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import warm_up
from exalign_engine.runtime.equivalence import Divergence, create_verified_runtime
from exalign_engine.runtime.tensorrt.errors import DeviceLostError
from exalign_engine.runtime.tensorrt.runtime import GpuOptions
from exalign_service.config.schema import ServerConfig
from exalign_service.inference.batcher import Batcher
from exalign_service.inference.network import Network
from exalign_service.inference.posterior_cache import PosteriorCache
from exalign_service.methods.pipeline import Pipeline
from exalign_service.metrics_port import MetricsPort
from exalign_service.observability.calibration_metrics import export_calibration, export_divergence
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.picture import RequestLimits
from exalign_service.responses import model as model_info
from exalign_service.rpc.clock import Clock, LoopClock
from exalign_service.rpc.interceptor import CallInterceptor
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.servicer import FaceAlignmentServicer
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.session_factory import SessionFactory
from exalign_service.track.store import MemoryStore

_log = logging.getLogger(__name__)

#: Every service that the server has.
SERVICES = (
    service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)

_FACE_ALIGNMENT = SERVICES[0].full_name
_HEALTH_NAMES = ("", _FACE_ALIGNMENT)

#: So long after a handler was cancelled gRPC cuts its call, seconds.
_CUT_AFTER = 1.0


class StartError(Exception):
    """The server cannot start; one line says why."""


@dataclass(frozen=True)
class LoadedModel:
    """The model that answers.

    Attributes:
        aligner: the model.
        divergence: of its runtime from the reference; None where that was not measured.
    """

    aligner: Aligner
    divergence: Divergence | None = None


def load_model(config: ServerConfig) -> LoadedModel:
    """The model that a configuration names, with every detector that it makes possible.

    Raises:
        ExalignError: the bundle, the runtime or a detector cannot be used; one line says why.
    """
    bundle = Bundle.load(config.model.bundle or default_bundle_path())
    batching = config.batching
    verified = create_verified_runtime(
        config.model.runtime,
        bundle,
        threads=batching.threads,
        streams=batching.workers,
        gpu=GpuOptions(max_batch=batching.max_batch, cache=config.model.engine_cache),
        precision=config.model.precision,
        device_sums=config.model.sums == "device",
    )
    detectors = create_detectors(config.model.detector_models)
    return LoadedModel(Aligner(bundle, verified.runtime, detectors), verified.divergence)


class Server:
    """An exalign server on the running event loop.

    Args:
        config: everything that can be set.
        aligner: the model; None loads the one that the configuration names. The server closes its runtime.
        on_failure: called on the event loop, once, when nothing more can be answered; `failure` says why.
        clock: of time limits: of streams, of what is kept of broken ones, and of `stop`.

    Raises:
        ExalignError: the model cannot be loaded.
        StartError: the bundle does not know the default detector.
    """

    def __init__(
        self,
        config: ServerConfig,
        aligner: Aligner | None = None,
        on_failure: Callable[[], object] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self._clock = LoopClock() if clock is None else clock
        model = LoadedModel(aligner) if aligner is not None else load_model(config)
        self.aligner = model.aligner
        #: What ended the service before `stop`; None while it works.
        self.failure: DeviceLostError | None = None
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        if config.model.detector not in self.aligner.bundle.detectors:
            known = ", ".join(sorted(self.aligner.bundle.detectors)) or "none"
            raise StartError(f"detector is {config.model.detector!r}, must be one that the bundle knows: {known}")
        self.lifecycle = Lifecycle()
        self.metrics = Metrics(SERVICES, config.batching.max_batch)
        export_calibration(self.aligner.bundle.calibration.card, self.metrics.registry)
        if model.divergence is not None:
            export_divergence(model.divergence, self.metrics.registry)
        #: Where gRPC and the metrics are served; the real ports once started.
        self.address, self.metrics_address = config.address, config.metrics_address
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # the stubs lack it
        self._http = MetricsPort(self.metrics.expose, self.lifecycle)
        self._interceptor = CallInterceptor(self.metrics, config.limits.max_deadline)
        self._executor = ThreadPoolExecutor(config.batching.stage_threads, thread_name_prefix="stage")
        self._batcher = Batcher(
            Network(self.aligner.runtime, self.device_lost).infer,
            workers=config.batching.workers,
            max_batch=config.batching.max_batch,
            max_queue=config.batching.queue,
            observer=self.metrics,
        )
        sessions = config.sessions
        #: Records of video sessions, also of those whose stream broke.
        self.store = MemoryStore(
            sessions.session_retention, sessions.max_detached, sessions.max_detached_bytes, self.metrics, self._clock
        )
        self._session_factory = SessionFactory(self.aligner)
        self._sessions: SessionRegistry | None = None
        self._grpc: grpc.aio.Server | None = None
        self._grace_ended = asyncio.Event()

    async def start(self) -> None:
        """Listen, warm up, then serve.

        Raises:
            StartError: an address cannot be listened on.
        """
        self._loop = asyncio.get_running_loop()
        await self._report_not_serving()
        self._grpc = self._wire()
        await self._listen(self._grpc)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._warm_up)
        self.lifecycle.warm()
        if self.lifecycle.serving:  # `stop` may have been called while warming up
            for name in _HEALTH_NAMES:
                await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float | None = None) -> None:
        """Refuse new calls, let running ones finish, then free everything. Once only.

        Args:
            grace: seconds; None is the configuration's.
        """
        grace = self.config.shutdown_grace if grace is None else grace
        self.lifecycle.drain()
        await self._health.enter_graceful_shutdown()
        if self._grpc is not None:
            refusing = asyncio.create_task(self._grpc.stop(grace + _CUT_AFTER))
            finished = asyncio.create_task(self._interceptor.finished(_FACE_ALIGNMENT))
            ended = asyncio.create_task(self._grace_ended.wait())
            over = asyncio.create_task(self._clock.sleep(grace))
            if self._sessions is not None:
                self._sessions.drain(grace)
            await asyncio.wait((finished, ended, over), return_when=asyncio.FIRST_COMPLETED)
            for task in (finished, ended, over):
                task.cancel()
            # What has outlasted the grace; and health watchers, which never end by themselves.
            self._interceptor.cancel_all()
            await refusing
            await self._interceptor.finished()  # gRPC does not wait for the finally blocks of handlers that it cut
            if self._sessions is not None:
                await self._sessions.close()
        await asyncio.to_thread(self._close)
        await self._http.close()

    def end_grace(self) -> None:
        """End the grace of `stop` now."""
        self._grace_ended.set()

    async def _report_not_serving(self) -> None:
        for name in _HEALTH_NAMES:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)

    def device_lost(self, error: DeviceLostError) -> None:
        """End the service: no call can be answered any more in this process. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: DeviceLostError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        _log.error("the device is lost", extra={"fields": {"error": str(error)}})
        self.lifecycle.drain()
        self._reporting = asyncio.create_task(self._report_not_serving())  # kept: tasks are only weakly held
        self._on_failure()

    def _close(self) -> None:
        """Free what works in threads."""
        self._executor.shutdown(cancel_futures=True)
        self._batcher.close(drain=False)
        self.aligner.runtime.close()

    def _wire(self) -> grpc.aio.Server:
        """The gRPC server with its three services."""
        config = self.config
        server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=[
                # One process a port: the kernel must not spread connections over processes with other sessions.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", config.limits.max_message_bytes),
                # Answers are bounded by what a request may ask for.
                ("grpc.max_send_message_length", -1),
                # Clients may ping idle connections every 10 s; we find dead ones within 40 s.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
            ],
        )
        request_limits = RequestLimits(
            config=config.limits,
            box_conventions=frozenset(self.aligner.bundle.detectors),
            detectors=frozenset(self.aligner.detectors) & frozenset(self.aligner.bundle.detectors),
            default_detector=config.model.detector,
        )
        cache = PosteriorCache(config.limits.max_posteriors, self.metrics)
        pipeline = Pipeline(
            self.aligner, self._batcher, self._executor, request_limits, cache, config.batching.queue, self.metrics
        )
        model = model_info.describe(self.aligner, config)
        self._sessions = SessionRegistry(
            config.sessions,
            self.store,
            self._session_factory,
            pipeline,
            self.lifecycle,
            self.metrics,
            max_read_ahead_bytes=2 * config.limits.max_message_bytes,
            clock=self._clock,
        )
        service_pb2_grpc.add_FaceAlignmentServiceServicer_to_server(
            FaceAlignmentServicer(pipeline, self._sessions, model, self.lifecycle, config.limits.max_exemplars), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([service.full_name for service in SERVICES], server)
        return server

    async def _listen(self, server: grpc.aio.Server) -> None:
        """Take both addresses, gRPC's first."""
        address = self.config.address
        try:
            if not address.startswith("unix:"):
                _probe(address)
            port = server.add_insecure_port(address)
        except (OSError, RuntimeError) as e:
            raise StartError(f"address is {address!r}, cannot be listened on: {_reason(e)}") from e
        if not address.startswith("unix:"):
            self.address = f"{address.rpartition(':')[0]}:{port}"
        host, _, port_text = self.config.metrics_address.rpartition(":")
        try:
            bound = await self._http.start(host.strip("[]"), int(port_text))
        except OSError as e:
            text = f"metrics_address is {self.config.metrics_address!r}, cannot be listened on: {_reason(e)}"
            raise StartError(text) from e
        self.metrics_address = f"{host}:{bound}"
        await server.start()

    def _warm_up(self) -> None:
        """Once through everything that is slow the first time, for every size of batch."""
        start = time.monotonic()
        aligner, size = self.aligner, float(self.aligner.bundle.manifest.input_size)
        aligner.warm_up(range(1, self.config.batching.max_batch + 1))
        place = aligner.place(np.array([0.0, 0.0, size, size]))
        answer = aligner.runtime.infer(np.full((1, int(size), int(size), 3), 128, np.uint8)).row(0)
        # Where all scores are alike, every exemplar counts.
        row = replace(answer, scores=np.zeros_like(answer.scores))
        warm_up(Face(place, aligner.posterior(row)), aligner.bundle.poses, aligner.bundle.manifest.margin)
        self._session_factory.warm_up(place, row)
        _log.info("warm", extra={"fields": {"seconds": round(time.monotonic() - start, 3)}})


def _probe(address: str) -> None:
    """Bind an address and release it: gRPC itself says only on stderr why it cannot listen.

    Raises:
        OSError: it cannot be bound.
    """
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)
        probe.listen()


def _reason(error: Exception) -> str:
    """The text of an operating system's error, without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
