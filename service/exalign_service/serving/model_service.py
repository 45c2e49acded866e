"""What a loaded model answers through: batcher, cache, pipeline, sessions and the servicer, wired together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.detect import understood
from exalign_engine.face.aligner import Aligner
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.config.schema import ServerConfig
from exalign_service.decoding.budget import DecodedBytesBudget
from exalign_service.decoding.pool import DecoderPool
from exalign_service.inference.admission import Admission, AdmissionLimits
from exalign_service.inference.batcher import Batcher
from exalign_service.inference.network import Network
from exalign_service.inference.posterior_cache import PosteriorCache
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.picture_opener import PictureOpener
from exalign_service.methods.pipeline import Pipeline
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.picture import RequestLimits
from exalign_service.responses import model as model_info
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.rpc.quotas import Quotas
from exalign_service.servicer import FaceAlignmentServicer
from exalign_service.serving.warm_up import WarmUp
from exalign_service.serving.watchdog import Watchdog, Watched
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.session_factory import SessionFactory
from exalign_service.track.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from exalign_engine.runtime.tensorrt.errors import DeviceLostError

#: So long the thread that warms up is waited for, seconds: most of its steps are shorter once kernels are compiled.
WARM_UP_ENDS = 1.0


class ModelService:
    """All that hangs on one model. Made on the event loop.

    Args:
        config: of the server.
        aligner: the model.
        metrics: of the server.
        lifecycle: of the server.
        clock: of time limits.
        device_lost: called from any thread when the device answers nothing any more.
        quotas: of callers.

    Attributes:
        servicer: answers the calls.
        sessions: of video streams.
        store: records of video sessions, also of those whose stream broke.
        watched: what works in threads, by what one piece of its work is called.
        warm_up: brings it to the speed of later calls.
    """

    def __init__(
        self,
        config: ServerConfig,
        aligner: Aligner,
        metrics: Metrics,
        lifecycle: Lifecycle,
        clock: Clock,
        device_lost: Callable[[DeviceLostError], object],
        quotas: Quotas | None = None,
    ) -> None:
        self._config, self._aligner = config, aligner
        self._metrics, self._lifecycle, self._clock = metrics, lifecycle, clock
        batching, kept = config.batching, config.sessions
        spent = None if quotas is None else quotas.spent
        self._stages = StagePool(batching.stage_threads, observer=metrics, spent=spent)
        self._network = Network(aligner.runtime, aligner.bundle.manifest.exemplars, device_lost, metrics)
        self._batcher = Batcher(
            self._network.infer,
            workers=batching.network_calls,
            max_batch=batching.max_batch,
            max_queue=batching.queue,
            observer=metrics,
            spent=spent,
        )
        self.watched: dict[str, Watched] = {"stage": self._stages, "batch": self._batcher}
        self.store = MemoryStore(
            kept.session_retention,
            kept.max_detached,
            kept.max_detached_bytes,
            kept.max_resumable_bytes,
            metrics,
            clock,
        )
        self.warm_up = WarmUp(aligner, SessionFactory(aligner), batching.max_batch)
        request_limits = RequestLimits(
            config=config.limits,
            box_conventions=frozenset(aligner.bundle.detectors),
            detectors=frozenset(understood(aligner.detectors, aligner.bundle.detectors)),
            default_detector=config.model.detector or aligner.default_detector,
        )
        cache = PosteriorCache(config.limits.max_posteriors, config.limits.max_posterior_bytes, metrics)
        cache.max_bytes_per_caller = config.access.quota_posterior_bytes
        most = AdmissionLimits(batching.queue, config.limits.max_request_bytes, config.limits.max_wait)
        admission = Admission(most, batching.stage_threads, metrics)
        self._decoders = DecoderPool(
            batching.decode_processes, config.limits.max_decode_seconds, observer=metrics, clock=clock
        )
        budget = DecodedBytesBudget(config.limits.max_decoded_bytes, metrics, clock)
        opener = PictureOpener(self._stages, self._decoders, budget, request_limits.image_limits, metrics)
        pipeline = Pipeline(aligner, self._batcher, self._stages, opener, request_limits, cache, admission, metrics)
        self.sessions = self._registry(pipeline, quotas)
        model = model_info.describe(aligner, config)
        self.servicer = FaceAlignmentServicer(
            pipeline, self.sessions, model, lifecycle, config.limits.max_exemplars, self.warm_up
        )

    def _registry(self, pipeline: Pipeline, quotas: Quotas | None) -> SessionRegistry:
        """The sessions of video streams."""
        config = self._config
        return SessionRegistry(
            config.sessions,
            self.store,
            self.warm_up.sessions,
            pipeline,
            self._lifecycle,
            self._metrics,
            max_read_ahead_bytes=2 * config.limits.max_message_bytes,
            clock=self._clock,
            keys=ResumeKeys(config.access.resume_keys, self._metrics),
            quotas=quotas,
            max_sessions_per_caller=config.access.quota_sessions,
        )

    def watchdog(self, end_calls: Callable[[float, Exception], object]) -> Watchdog:
        """Watches the stages, the batches and the network.

        Args:
            end_calls: ends unary calls older than so many seconds with an error.
        """

        def end_overdue(age: float, error: Exception) -> None:
            end_calls(age, error)
            self.sessions.end_overdue(age, error)

        for what, work in self.watched.items():
            self._metrics.watch(what, work.oldest_running)
        watching = self._config.watching
        return Watchdog(
            self.watched,
            watching.stuck_after,
            self._network,
            watching.max_runtime_faults,
            self._probe,
            self._lifecycle,
            self._metrics,
            end_overdue,
            self._clock,
        )

    async def _probe(self) -> None:
        """A crop of our own through the network."""
        await self._batcher.infer([self._grey_crop()])

    def _grey_crop(self) -> U8:
        size = self._aligner.bundle.manifest.input_size
        return np.full((size, size, 3), 128, np.uint8)

    async def close_decoders(self) -> None:
        """End the processes that decode."""
        await self._decoders.close()

    def close(self) -> None:
        """Free what works in threads. Blocks."""
        self.warm_up.stop(WARM_UP_ENDS)
        self._stages.close()
        self._batcher.close(drain=False)
        if not self.warm_up.running:  # else it is still looked into, and goes with the process
            self._aligner.runtime.close()
