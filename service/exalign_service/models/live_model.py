"""One loaded model, and everything that belongs to its bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exalign.v1 import service_pb2
from exalign_engine.arrays import U8
from exalign_engine.detect import understood
from exalign_engine.face.aligner import Aligner
from exalign_engine.runtime.divergence import Divergence
from exalign_service.config.schema import ServerConfig
from exalign_service.inference.admission import Admission
from exalign_service.inference.batcher import Batcher
from exalign_service.inference.fair_queue import Spent
from exalign_service.inference.network import Network
from exalign_service.inference.posterior_cache import PosteriorCache
from exalign_service.inference.rear import Rear
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.evidence import EvidenceMethods
from exalign_service.methods.faces import FacesMethods
from exalign_service.methods.picture_opener import PictureOpener
from exalign_service.methods.pipeline import Pipeline
from exalign_service.models.session_factory import SessionFactory
from exalign_service.models.warm_up import WarmUp
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.picture import RequestLimits
from exalign_service.responses import model as model_info

if TYPE_CHECKING:
    from exalign_engine.runtime.tensorrt.errors import DeviceLostError

#: So long the thread that warms up is waited for, seconds: most of its steps are shorter once kernels are compiled.
WARM_UP_ENDS = 1.0


@dataclass(frozen=True)
class Shared:
    """What all models of a server work with.

    Attributes:
        config: of the server.
        stages: threads.
        opener: opens pictures.
        cache: keeps faces behind posterior ids.
        admission: which calls may begin.
        metrics: of the server.
        device_lost: called from any thread when the device answers nothing any more.
        spent: see `FairQueue`.
        rear: see `StagePool`.
    """

    config: ServerConfig
    stages: StagePool
    opener: PictureOpener
    cache: PosteriorCache
    admission: Admission
    metrics: Metrics
    device_lost: Callable[[DeviceLostError], object]
    spent: Spent | None = None
    rear: Rear | None = None


class LiveModel:
    """A model that answers, or has answered. Made on the event loop.

    Args:
        aligner: the model; its runtime is closed by `close`.
        shared: what it works with.
        divergence: of its runtime from the reference; None where that was not measured.

    Attributes:
        aligner: as given.
        divergence: as given.
        batcher: in front of its network.
        network: its network's faults.
        pipeline: the stages of its calls.
        faces: methods.
        evidence: methods.
        warm_up: brings it to the speed of later calls.
        info: the answer of GetModel, all but what lives.
    """

    def __init__(self, aligner: Aligner, shared: Shared, divergence: Divergence | None = None) -> None:
        config, bundle = shared.config, aligner.bundle
        batching = config.batching
        self.aligner, self.divergence = aligner, divergence
        self.network = Network(aligner.runtime, bundle.manifest.exemplars, shared.device_lost, shared.metrics)
        self.batcher = Batcher(
            self.network.infer,
            workers=batching.network_calls,
            max_batch=batching.max_batch,
            max_queue=batching.queue,
            observer=shared.metrics.batches(),
            spent=shared.spent,
            rear=shared.rear,
        )
        limits = RequestLimits(
            config=config.limits,
            box_conventions=frozenset(bundle.detectors),
            detectors=frozenset(understood(aligner.detectors, bundle.detectors)),
            default_detector=config.model.detector or aligner.default_detector,
        )
        self.pipeline = Pipeline(
            aligner,
            self.batcher,
            shared.stages,
            shared.opener,
            limits,
            shared.cache,
            shared.admission,
            shared.metrics,
        )
        self.faces = FacesMethods(self.pipeline, bundle.id)
        self.evidence = EvidenceMethods(self.pipeline, bundle.id)
        self.warm_up = WarmUp(aligner, SessionFactory(aligner), batching.max_batch)
        self.info: service_pb2.GetModelResponse = model_info.describe(aligner, config)

    @property
    def bundle_id(self) -> str:
        """Names its bundle by its contents."""
        return self.aligner.bundle.id

    @property
    def sessions(self) -> SessionFactory:
        """Makes the engine's sessions."""
        return self.warm_up.sessions

    async def probe(self) -> None:
        """Put a grey crop of our own through the network.

        Raises:
            Exception: whatever the network raises.
        """
        await self.batcher.infer([self._grey_crop()])

    def close(self) -> None:
        """Free what works in threads. Blocks."""
        self.warm_up.stop(WARM_UP_ENDS)
        self.batcher.close(drain=False)
        if not self.warm_up.running:  # else it is still looked into, and goes with the process
            self.aligner.runtime.close()

    def _grey_crop(self) -> U8:
        size = self.aligner.bundle.manifest.input_size
        return np.full((size, size, 3), 128, np.uint8)
