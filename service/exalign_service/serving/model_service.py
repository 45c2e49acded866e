"""What the models of a server answer through: threads, decoders, sessions and the servicer, wired together."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.config.schema import ServerConfig
from exalign_service.decoding.budget import DecodedBytesBudget
from exalign_service.decoding.pool import DecoderPool
from exalign_service.inference.admission import Admission, AdmissionLimits
from exalign_service.inference.posterior_cache import PosteriorCache
from exalign_service.inference.rear import Rear
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.picture_opener import PictureOpener
from exalign_service.models.live_model import WARM_UP_ENDS, LiveModel, Shared
from exalign_service.models.live_models import LiveModels
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.picture import image_limits
from exalign_service.rpc.clock import Clock
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.rpc.quotas import Quotas
from exalign_service.servicer import FaceAlignmentServicer
from exalign_service.serving.bundle_link import BundleLink
from exalign_service.serving.loading import LoadedModel
from exalign_service.serving.surroundings import Surroundings
from exalign_service.serving.swap import ModelSwap
from exalign_service.serving.watchdog import Watchdog, Watched
from exalign_service.stores.opening import open_store
from exalign_service.stores.shared_store import SharedStore
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from exalign_engine.runtime.tensorrt.errors import DeviceLostError


class ModelService:
    """All that is behind the ports. Made on the event loop.

    Args:
        config: of the server.
        loaded: the model that answers first.
        metrics: of the server.
        lifecycle: of the server.
        clock: of time limits.
        device_lost: called from any thread when the device answers nothing any more.
        load: loads the bundle of a directory. Blocks.
        no_swap: why the model may not be swapped yet, or any more; empty: it may.
        quotas: of callers.

    Attributes:
        models: which of them live, and which answers.
        servicer: answers the calls.
        sessions: of video streams.
        store: records of video sessions, also of those whose stream broke.
        watched: what works in threads, by what one piece of its work is called.
        swap: puts another bundle in the place of the one that answers; None where there is no directory of them.
    """

    def __init__(
        self,
        config: ServerConfig,
        loaded: LoadedModel,
        metrics: Metrics,
        lifecycle: Lifecycle,
        clock: Clock,
        device_lost: Callable[[DeviceLostError], object],
        load: Callable[[Path], LoadedModel],
        no_swap: Callable[[], str],
        quotas: Quotas | None = None,
    ) -> None:
        self._config, self._metrics, self._lifecycle, self._clock = config, metrics, lifecycle, clock
        batching, limits = config.batching, config.limits
        spent = None if quotas is None else quotas.spent
        rear = Rear.of_this_machine()
        self._stages = StagePool(batching.stage_threads, observer=metrics, spent=spent, rear=rear)
        self._cache = PosteriorCache(limits.max_posteriors, limits.max_posterior_bytes, metrics)
        self._cache.max_bytes_per_caller = config.access.quota_posterior_bytes
        most = AdmissionLimits(batching.queue, limits.max_request_bytes, limits.max_wait)
        admission = Admission(most, batching.stage_threads, metrics)
        self._decoders = DecoderPool(
            batching.decode_processes, limits.max_decode_seconds, observer=metrics, clock=clock
        )
        budget = DecodedBytesBudget(limits.max_decoded_bytes, metrics, clock)
        opener = PictureOpener(self._stages, self._decoders, budget, image_limits(limits), metrics)
        self._shared = Shared(config, self._stages, opener, self._cache, admission, metrics, device_lost, spent, rear)
        self.models = LiveModels(self.made_live(loaded), config.model.max_live_bundles, self)
        directory = config.model.bundle_directory
        self.swap = (
            None
            if directory is None
            else ModelSwap(directory, self.models, load, self.made_live, metrics.model, no_swap)
        )
        self.watched: dict[str, Watched] = {"stage": self._stages, "batch": self.models}
        self.store = self._session_store()
        self.sessions = self._registry(quotas)
        self.servicer = FaceAlignmentServicer(self.models, self._cache, self.sessions, lifecycle, limits.max_exemplars)

    def first_warm_up(self) -> None:
        """What is done before the server is ready. Blocks.

        Where any server may take a session over, that is all: one that is ready must not let it wait.
        """
        warm_up = self.models.current.warm_up
        (warm_up.faces if self._config.stores.store is None else warm_up.whole)()

    def made_live(self, loaded: LoadedModel) -> LiveModel:
        """All that belongs to a loaded model; it answers nobody yet."""
        return LiveModel(loaded.aligner, self._shared, loaded.divergence)

    def model_answers(self, model: LiveModel) -> None:
        """See `ModelsObserver`."""
        bundle, runtime = model.aligner.bundle, model.aligner.runtime
        build = {"bundle": bundle.id, "runtime": runtime.name, "precision": runtime.precision}
        self._metrics.model.answers({"version": version("exalign"), **build}, bundle.calibration.card, model.divergence)
        self._metrics.known_detectors(model.aligner.detectors)

    def bundle_sessions_changed(self, bundle_id: str, sessions: int | None) -> None:
        """See `ModelsObserver`."""
        self._metrics.model.sessions_changed(bundle_id, sessions)

    def bundle_gone(self, bundle_id: str) -> None:
        """See `ModelsObserver`."""
        self._cache.forget(bundle_id)

    def _session_store(self) -> MemoryStore | SharedStore:
        kept = self._config.sessions
        local = MemoryStore(
            kept.session_retention,
            kept.max_detached,
            kept.max_detached_bytes,
            kept.max_resumable_bytes,
            self._metrics,
            self._clock,
            self.models,
        )
        return open_store(self._config, local, self._metrics.registry, self._clock)

    def _registry(self, quotas: Quotas | None) -> SessionRegistry:
        """The sessions of video streams."""
        config = self._config
        return SessionRegistry(
            config.sessions,
            self.store,
            self.models,
            self._lifecycle,
            self._metrics,
            max_read_ahead_bytes=2 * config.limits.max_message_bytes,
            clock=self._clock,
            keys=ResumeKeys(config.access.resume_keys, self._metrics),
            quotas=quotas,
            max_sessions_per_caller=config.access.quota_sessions,
        )

    def watchdog(self, end_calls: Callable[[float, Exception], object]) -> Watchdog:
        """Watches the stages, the batches and the networks.

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
            self.models,
            watching.max_runtime_faults,
            self.models.probe,
            self._lifecycle,
            self._metrics,
            end_overdue,
            self._clock,
        )

    @property
    def warming_up(self) -> bool:
        """Whether a thread warms up a model, or loads another one; nothing waits for it, nor can interrupt it."""
        swapping = self.swap is not None and self.swap.working
        return swapping or self.models.current.warm_up.running

    async def watch_surroundings(self) -> None:
        """Look at what is around the server, and follow the link in the directory of bundles, until cancelled."""
        directory, looks = self._config.model.bundle_directory, [self._surroundings().run()]
        if self.swap is not None and directory is not None:
            looks.append(BundleLink(directory, self.swap, self._metrics.model, self._clock).run())
        await asyncio.gather(*looks)

    def _surroundings(self) -> Surroundings:
        return Surroundings(lambda: self.models.current.aligner.bundle.path, self._metrics.surroundings, self._clock)

    async def close_decoders(self) -> None:
        """End the processes that decode."""
        await self._decoders.close()

    def cancel_swap(self) -> None:
        """What is being loaded will not be used."""
        if self.swap is not None:
            self.swap.cancel()

    def close(self) -> None:
        """Free what works in threads. Blocks."""
        self.models.current.warm_up.stop(WARM_UP_ENDS)
        self._stages.close()
        self.models.close()
