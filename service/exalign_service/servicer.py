"""The FaceAlignmentService: which code answers which RPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service.methods.evidence import EvidenceMethods
from exalign_service.methods.faces import FacesMethods
from exalign_service.methods.pipeline import Pipeline
from exalign_service.responses.exemplars import answer_exemplars
from exalign_service.rpc.errors import NotServingError
from exalign_service.rpc.lifecycle import Lifecycle, Phase
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.response_writer import ResponseSink
from exalign_service.track.stream import TrackStream


class Warm(Protocol):
    """What is as fast as later: see `exalign_service.serving.warm_up`."""

    views: asyncio.Event
    videos: asyncio.Event


class FaceAlignmentServicer(service_pb2_grpc.FaceAlignmentServiceServicer):
    """Handlers raise; the interceptor turns exceptions into statuses. Answers about faces are in their wire format.

    Args:
        pipeline: does the work.
        sessions: of video streams.
        model: the answer of GetModel.
        lifecycle: requests that need the network are answered once it is warm.
        max_exemplars: class ids in one GetExemplars call.
        warm: views and videos are answered once they are.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sessions: SessionRegistry,
        model: service_pb2.GetModelResponse,
        lifecycle: Lifecycle,
        max_exemplars: int,
        warm: Warm,
    ) -> None:
        self._sessions, self._model, self._lifecycle = sessions, model, lifecycle
        self._bundle, self._max_exemplars, self._warm = pipeline.aligner.bundle, max_exemplars, warm
        self._faces = FacesMethods(pipeline, model.bundle_id)
        self._evidence = EvidenceMethods(pipeline, model.bundle_id)

    def _must_be_warm(self) -> None:
        if self._lifecycle.phase is Phase.STARTING:
            raise NotServingError(self._lifecycle.why_not)

    async def _views_are_warm(self) -> None:
        self._must_be_warm()
        await self._warm.views.wait()

    async def PredictLandmarks(  # type: ignore[override]  # noqa: N802  # the contract's name
        self, request: service_pb2.PredictLandmarksRequest, context: object
    ) -> bytes:
        """See service.proto."""
        self._must_be_warm()
        return await self._faces.landmarks(request)

    async def PredictHeatmaps(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.PredictHeatmapsRequest, context: object
    ) -> bytes:
        """See service.proto."""
        await self._views_are_warm()
        return await self._faces.heatmaps(request)

    async def EstimatePose(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.EstimatePoseRequest, context: object
    ) -> bytes:
        """See service.proto."""
        await self._views_are_warm()
        return await self._faces.pose(request)

    async def QueryConditional(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.QueryConditionalRequest, context: object
    ) -> bytes:
        """See service.proto."""
        await self._views_are_warm()
        return await self._evidence.conditional(request)

    async def SuggestEvidence(  # type: ignore[override]  # noqa: N802
        self, request: service_pb2.SuggestEvidenceRequest, context: object
    ) -> bytes:
        """See service.proto."""
        await self._views_are_warm()
        return await self._evidence.suggest(request)

    async def GetModel(  # noqa: N802
        self, request: service_pb2.GetModelRequest, context: object
    ) -> service_pb2.GetModelResponse:
        """See service.proto."""
        return self._model

    async def GetExemplars(  # noqa: N802
        self, request: service_pb2.GetExemplarsRequest, context: object
    ) -> service_pb2.GetExemplarsResponse:
        """See service.proto."""
        return await asyncio.to_thread(answer_exemplars, request, self._bundle, self._max_exemplars)

    async def TrackVideo(  # type: ignore[override]  # noqa: N802  # it writes its answers itself
        self, request_iterator: AsyncIterator[service_pb2.TrackVideoRequest], context: ResponseSink
    ) -> None:
        """See service.proto and track.proto."""
        self._must_be_warm()
        await self._warm.videos.wait()
        await TrackStream(self._sessions, request_iterator, context).run()
