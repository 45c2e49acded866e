"""The FaceAlignmentService: which code answers which RPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service.inference.posterior_cache import PosteriorCache
from exalign_service.models.live_model import LiveModel
from exalign_service.models.live_models import LiveModels
from exalign_service.responses.exemplars import answer_exemplars
from exalign_service.rpc.errors import NotServingError
from exalign_service.rpc.lifecycle import Lifecycle, Phase
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.response_writer import ResponseSink
from exalign_service.track.stream import TrackStream

#: Requests that may name a face of an earlier answer.
Request = (
    service_pb2.PredictHeatmapsRequest
    | service_pb2.EstimatePoseRequest
    | service_pb2.QueryConditionalRequest
    | service_pb2.SuggestEvidenceRequest
)


class FaceAlignmentServicer(service_pb2_grpc.FaceAlignmentServiceServicer):
    """Handlers raise; the interceptor turns exceptions into statuses. Answers about faces are in their wire format.

    A call is answered by the model that it took when it began: the current one, but for questions about an earlier
    answer, which are for the model that gave it.

    Args:
        models: answer.
        cache: knows which bundle gave an earlier answer.
        sessions: of video streams.
        lifecycle: requests that need the network are answered once it is warm.
        max_exemplars: class ids in one GetExemplars call.
    """

    def __init__(
        self,
        models: LiveModels,
        cache: PosteriorCache,
        sessions: SessionRegistry,
        lifecycle: Lifecycle,
        max_exemplars: int,
    ) -> None:
        self._models, self._cache, self._sessions = models, cache, sessions
        self._lifecycle, self._max_exemplars = lifecycle, max_exemplars

    def _must_be_warm(self) -> None:
        if self._lifecycle.phase is Phase.STARTING:
            raise NotServingError(self._lifecycle.why_not)

    @asynccontextmanager
    async def _model(self, request: Request) -> AsyncIterator[LiveModel]:
        """The model of a call, once it is warm."""
        self._must_be_warm()
        with self._models.lease(self._cache.bundle_of(request.posterior_id)) as model:
            await model.warm_up.views.wait()
            yield model

    async def PredictLandmarks(  # type: ignore[override]  # noqa: N802  # the contract's name
        self, request: service_pb2.PredictLandmarksRequest, context: object
    ) -> bytes:
        """See service.proto."""
        self._must_be_warm()
        with self._models.lease() as model:
            return await model.faces.landmarks(request)

    async def PredictHeatmaps(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.PredictHeatmapsRequest, context: object
    ) -> bytes:
        """See service.proto."""
        async with self._model(request) as model:
            return await model.faces.heatmaps(request)

    async def EstimatePose(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.EstimatePoseRequest, context: object
    ) -> bytes:
        """See service.proto."""
        async with self._model(request) as model:
            return await model.faces.pose(request)

    async def QueryConditional(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.QueryConditionalRequest, context: object
    ) -> bytes:
        """See service.proto."""
        async with self._model(request) as model:
            return await model.evidence.conditional(request)

    async def SuggestEvidence(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.SuggestEvidenceRequest, context: object
    ) -> bytes:
        """See service.proto."""
        async with self._model(request) as model:
            return await model.evidence.suggest(request)

    async def GetModel(  # noqa: N802
        self, request: service_pb2.GetModelRequest, context: object
    ) -> service_pb2.GetModelResponse:
        """See service.proto."""
        answer = service_pb2.GetModelResponse()
        answer.CopyFrom(self._models.current.info)
        answer.live_bundles.extend(self._models.describe())
        return answer

    async def GetExemplars(  # noqa: N802
        self, request: service_pb2.GetExemplarsRequest, context: object
    ) -> service_pb2.GetExemplarsResponse:
        """See service.proto."""
        with self._models.lease(request.bundle_id) as model:
            bundle = model.aligner.bundle
            return await asyncio.to_thread(answer_exemplars, request, bundle, self._max_exemplars)

    async def TrackVideo(  # type: ignore[override]  # noqa: N802  # it writes its answers itself
        self, request_iterator: AsyncIterator[service_pb2.TrackVideoRequest], context: ResponseSink
    ) -> None:
        """See service.proto and track.proto."""
        self._must_be_warm()
        await self._models.current.warm_up.videos.wait()
        await TrackStream(self._sessions, request_iterator, context).run()
