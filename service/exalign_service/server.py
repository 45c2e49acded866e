"""One server: its ports, and the model behind them. The ports are open before the model is loaded.

Nothing heavy is imported here before a model is wanted: the process must listen, and obey, within the first second.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from exalign.open_inference import inference_pb2_grpc
from exalign.v1 import admin_pb2_grpc, service_pb2_grpc
from exalign_service.access.certificates import add_port
from exalign_service.access.gate import open_gate
from exalign_service.config.schema import ServerConfig
from exalign_service.config.start_checks import StartError, cannot_listen, check_addresses
from exalign_service.metrics_port import MetricsPort
from exalign_service.observability.metrics import Metrics
from exalign_service.open_inference.servicer import OpenInferenceServicer
from exalign_service.rpc.clock import Clock, LoopClock
from exalign_service.rpc.health import HealthService
from exalign_service.rpc.interceptor import CallInterceptor
from exalign_service.rpc.late_service import LateService
from exalign_service.rpc.lifecycle import CUT_AFTER, CUT_ENDS, METRICS_END, THREADS_END, Lifecycle, Phase
from exalign_service.rpc.options import server_options
from exalign_service.rpc.quotas import quotas_of
from exalign_service.rpc.services import ANSWERED, HEALTH_NAMES, LATE, MODEL_ADMIN, services_of
from exalign_service.serving.loading import LoadedModel, check_detector, first_bundle, load_model
from exalign_service.serving.outputs import Outputs

if TYPE_CHECKING:
    from exalign_engine.face.aligner import Aligner
    from exalign_engine.runtime.tensorrt.errors import DeviceLostError
    from exalign_service.models.live_models import LiveModels
    from exalign_service.serving.model_service import ModelService
    from exalign_service.track.store import SessionStore

__all__ = ["LoadedModel", "Server", "StartError", "load_model"]

_log = logging.getLogger(__name__)


class Server:
    """An exalign server on the running event loop.

    Args:
        config: everything that can be set.
        aligner: the model; None loads the one that the configuration names. The server closes its runtime.
        on_failure: called on the event loop, once, when nothing more can be answered; `failure` says why.
        clock: of time limits: of streams, of what is kept of broken ones, and of `stop`.
        embedded: a part of its only caller's process: nothing is warmed up, and there is no metrics port.

    Raises:
        StartError: ``aligner`` does not know the default detector, a file about access is wrong, an extra is missing.
    """

    def __init__(
        self,
        config: ServerConfig,
        aligner: Aligner | None = None,
        on_failure: Callable[[], object] = lambda: None,
        clock: Clock | None = None,
        *,
        embedded: bool = False,
    ) -> None:
        self.config, self._embedded, self._clock = config, embedded, clock or LoopClock()
        #: Given to us; until it is served.
        self._given = None if aligner is None else LoadedModel(aligner)
        if aligner is not None:
            check_detector(aligner, config.model.detector)
        #: What ended the service before `stop`; None while it works.
        self.failure: DeviceLostError | None = None
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lifecycle = Lifecycle()
        self.lifecycle.on_trouble = self._health_changed
        self._services = services_of(config)
        self.metrics = Metrics(self._services, config.batching.max_batch)
        self.metrics.export_limits(config)
        #: Where gRPC and the metrics are served; the real ports once started.
        self.address, self.metrics_address = config.address, config.metrics_address
        self._health, self._outputs = HealthService(), Outputs(config, self.metrics.registry)
        self._http = MetricsPort(self.metrics.registry, self.lifecycle, self.metrics.descriptors_exhausted.inc)
        gate, self._quotas = open_gate(config.access, self.metrics), quotas_of(config.access, self.metrics)
        limits, most, tracer = config.limits, config.limits.max_message_bytes, self._outputs.tracer
        self._interceptor = CallInterceptor(
            self.metrics, limits.max_deadline, max_message_bytes=most, gate=gate, quotas=self._quotas, tracer=tracer
        )
        self._late_services = LateService([one for one in self._services if one in LATE], self.lifecycle)
        self._open_inference = OpenInferenceServicer(self.lifecycle, config.model.model_name, config.limits.max_faces)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="start")
        self._service: ModelService | None = None
        self._watching: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._reporting = set[asyncio.Task[None]]()
        self._grpc: grpc.aio.Server | None = None
        self._grace_ended, self._warm = asyncio.Event(), asyncio.Event()
        #: What `stop` has not ended yet; before it begins, nothing but the event loop can be in its way.
        self._unfinished = {"event loop"}

    @property
    def aligner(self) -> Aligner:
        """The model that answers, once one is loaded."""
        return self.live_models.current.aligner

    @property
    def live_models(self) -> LiveModels:
        """All that live, once one is loaded."""
        if self._service is None:
            raise RuntimeError("the model is not loaded yet")
        return self._service.models

    @property
    def store(self) -> SessionStore:
        """Records of video sessions, also of those whose stream broke; once the model is loaded."""
        if self._service is None:
            raise RuntimeError("the model is not loaded yet")
        return self._service.store

    async def start(self) -> None:
        """Listen, load the model, warm up, then serve.

        Raises:
            StartError: an address cannot be listened on, or the bundle does not know the default detector.
            ExalignError: the model cannot be loaded.
        """
        self._loop = asyncio.get_running_loop()
        await self._report_health()
        self._grpc = self._wire()
        await self._listen(self._grpc)
        _log.info("listening", extra={"fields": {"address": self.address, "metrics_address": self.metrics_address}})
        service = await self._load()
        if service is None:
            return
        warm_up = service.models.current.warm_up
        if self._embedded:
            warm_up.skip()
        else:
            self.lifecycle.step = "warming up"
            await self._loop.run_in_executor(self._executor, service.first_warm_up)
        self.lifecycle.warm()
        if self.lifecycle.serving:  # `stop` may have been called while warming up
            await self._report_health()
            if not self._embedded:
                warm_up.begin(self._is_warm)

    def _is_warm(self) -> None:
        """Watch from now on: what was not warmed up may compile for longer than anything may be stuck."""
        if self._service is not None and not self.lifecycle.draining:
            self._watching = asyncio.create_task(self._service.watchdog(self._end_calls).run())
            self._following = asyncio.create_task(self._service.watch_surroundings())
        self._warm.set()

    async def warm(self) -> None:
        """Wait until all that is slow the first time has been done once, or until that has failed."""
        await self._warm.wait()

    @property
    def warming_up(self) -> bool:
        """Whether a thread still does that, or loads another bundle; nothing waits for it, nor can interrupt it."""
        return self._service is not None and self._service.warming_up

    async def stop(self, grace: float | None = None) -> None:
        """Refuse new calls, let running ones finish, then free everything. Once only.

        No thread can be interrupted: one that does not end is left behind after `lifecycle.LONGEST_END`, and named by
        `still_running`. So is one that loads or warms up the model.

        Args:
            grace: seconds; None is the configuration's.
        """
        await self.close_ports(self.config.shutdown_grace if grace is None else grace)
        loop, freed, errors = asyncio.get_running_loop(), asyncio.Event(), list[Exception]()

        def free() -> None:
            try:
                self._close()
            except Exception as e:  # noqa: BLE001  # raised below
                errors.append(e)
            finally:
                with suppress(RuntimeError):  # the loop has been closed meanwhile
                    loop.call_soon_threadsafe(freed.set)

        # Not one of the loop's own threads: the loop would wait for it when it ends.
        try:
            threading.Thread(target=free, name="free", daemon=True).start()
        except RuntimeError:  # there is no memory for one: then here, and what hangs is bounded by who ends the process
            free()
        with suppress(TimeoutError):
            await asyncio.wait_for(freed.wait(), THREADS_END)
            self._unfinished.discard("threads")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._http.close(), METRICS_END)
        if errors:
            raise errors[0]

    def still_running(self) -> list[str]:
        """What has not ended, in words; empty once `stop` has ended everything. From any thread."""
        if not self._unfinished:
            return []
        found = sorted(self._unfinished)
        if self._watching is None:
            found.append(self.lifecycle.step)
        watched = {} if self._service is None else self._service.watched
        ages = {what: work.oldest_running() for what, work in watched.items()}
        return found + [f"a {what}, for {age:.1f} s" for what, age in ages.items() if age is not None]

    async def close_ports(self, grace: float) -> None:
        """Refuse new calls, and let running ones finish.

        Args:
            grace: seconds.
        """
        self._unfinished = {"calls", "threads"}
        self.lifecycle.drain()
        for watching in (self._watching, self._following):
            if watching is not None:
                watching.cancel()
        await self._health.enter_graceful_shutdown()
        if self._grpc is None:
            self._unfinished.discard("calls")
            return
        refusing = asyncio.create_task(self._grpc.stop(grace + CUT_AFTER))
        finished = asyncio.create_task(self._interceptor.finished(ANSWERED))
        ended = asyncio.create_task(self._grace_ended.wait())
        over = asyncio.create_task(self._clock.sleep(grace))
        if self._service is not None:
            self._service.sessions.drain(grace)
        await asyncio.wait((finished, ended, over), return_when=asyncio.FIRST_COMPLETED)
        for task in (finished, ended, over):
            task.cancel()
        # What has outlasted the grace; and health watchers, which never end by themselves.
        self._interceptor.cancel_all()
        # Sooner than it was asked first: a connection that has never spoken would hold it up for the whole grace.
        cut = asyncio.create_task(self._grpc.stop(CUT_AFTER))
        self._cutting = asyncio.create_task(self._end_of(refusing, cut))
        done, _ = await asyncio.wait([self._cutting], timeout=CUT_AFTER + CUT_ENDS)
        if done:
            self._unfinished.discard("calls")
            self._cutting.result()

    async def _end_of(self, *cuts: asyncio.Task[None]) -> None:
        """Wait for the end of what was cancelled, and of gRPC."""
        await asyncio.gather(*cuts)
        await self._interceptor.finished()  # gRPC does not wait for the finally blocks of handlers that it cut
        if self._service is not None:
            self._service.cancel_swap()
            await self._service.sessions.close()
            await self._service.close_decoders()

    def end_grace(self) -> None:
        """End the grace of `stop` now."""
        self._grace_ended.set()

    async def _load(self) -> ModelService | None:
        """Everything behind the ports; None where `stop` came first."""
        loop = asyncio.get_running_loop()
        self.lifecycle.step = "loading its model"
        loaded = await loop.run_in_executor(self._executor, self._open_model)
        if self.lifecycle.draining:
            loaded.aligner.runtime.close()
            return None
        from exalign_service.serving.admin_servicer import ModelAdminServicer
        from exalign_service.serving.model_service import ModelService

        self._service = service = ModelService(
            self.config,
            loaded,
            self.metrics,
            self.lifecycle,
            self._clock,
            self.device_lost,
            self._load_from,
            self._no_swap,
            self._quotas,
        )
        self._given = None
        service.sessions.recorder = self._outputs.recorder
        service_pb2_grpc.add_FaceAlignmentServiceServicer_to_server(service.servicer, self._late_services)  # type: ignore[arg-type]
        self._open_inference.attach(lambda: service.models.current.bundle_id, service.servicer.PredictLandmarks)
        if service.swap is not None and MODEL_ADMIN in self._services:
            admin = ModelAdminServicer(service.swap)
            admin_pb2_grpc.add_ModelAdminServiceServicer_to_server(admin, self._late_services)  # type: ignore[arg-type]
        return service

    def _no_swap(self) -> str:
        """Why the model may not be swapped; empty: it may."""
        if self.lifecycle.phase is not Phase.SERVING:
            return self.lifecycle.why_not
        return "" if self._warm.is_set() else "the server is still warming up"

    def _open_model(self) -> LoadedModel:
        """Load the model, where none was given, and all code that will answer with it. Blocks."""
        import exalign_service.serving.model_service  # noqa: F401  # here, not on the event loop: it takes a second

        return self._given or self._load_bundle(self.config)

    def _load_from(self, path: Path) -> LoadedModel:
        """The bundle of a directory, under the same settings otherwise. Blocks."""
        model = replace(self.config.model, bundle=path, bundle_directory=None)
        return self._load_bundle(replace(self.config, model=model))

    def _load_bundle(self, config: ServerConfig) -> LoadedModel:
        """The model that a configuration names. Blocks."""
        start = time.monotonic()
        path = first_bundle(config.model)
        _log.info("loading", extra={"fields": {"bundle": path or "the one of the package"}})
        loaded = load_model(config)
        check_detector(loaded.aligner, config.model.detector)
        bundle, runtime = loaded.aligner.bundle, loaded.aligner.runtime
        fields = {"bundle": bundle.id[:12], "runtime": runtime.name, "precision": runtime.precision}
        _log.info("loaded", extra={"fields": {**fields, "seconds": round(time.monotonic() - start, 3)}})
        return loaded

    async def _report_health(self) -> None:
        for name in HEALTH_NAMES:
            serving = self.lifecycle.serving
            status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
            await self._health.set(name, status)

    def _health_changed(self) -> None:
        task = asyncio.create_task(self._report_health())
        self._reporting.add(task)  # tasks are only weakly held
        task.add_done_callback(self._reporting.discard)

    def _end_calls(self, age: float, error: Exception) -> None:
        self._interceptor.end_overdue(ANSWERED, age, error)

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
        self._health_changed()
        self._on_failure()

    def _close(self) -> None:
        """Free what works in threads."""
        self._executor.shutdown(cancel_futures=True)
        if self._service is not None:
            self._service.close()
        elif self._given is not None:
            self._given.aligner.runtime.close()
        self._outputs.close()

    def _wire(self) -> grpc.aio.Server:
        """The gRPC server with its services."""
        server = grpc.aio.server(
            interceptors=[self._interceptor], options=server_options(self.config.limits.max_message_bytes)
        )
        server.add_generic_rpc_handlers((self._late_services,))
        inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._open_inference, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([service.full_name for service in self._services], server)
        return server

    async def _listen(self, server: grpc.aio.Server) -> None:
        """Take both addresses.

        Raises:
            StartError: one cannot be listened on, or a certificate cannot be used.
        """
        check_addresses(self.config)  # gRPC itself says only on stderr why it cannot listen
        address = self.config.address
        try:
            port = add_port(server, address, self.config.access, self.metrics)
        except (OSError, RuntimeError) as e:
            raise cannot_listen("address", address, e) from e
        if not address.startswith("unix:"):
            self.address = f"{address.rpartition(':')[0]}:{port}"
        if not self._embedded:
            await self._listen_for_metrics()
        await server.start()

    async def _listen_for_metrics(self) -> None:
        metrics_address = self.config.metrics_address
        host, _, port_text = metrics_address.rpartition(":")
        try:
            bound = await self._http.start(host.strip("[]"), int(port_text))
        except OSError as e:
            raise cannot_listen("metrics_address", metrics_address, e) from e
        self.metrics_address = f"{host}:{bound}"
