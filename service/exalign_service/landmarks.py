"""The FaceAlignmentService as far as this version goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NoReturn

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service import requests
from exalign_service.answers import located_face
from exalign_service.errors import NotInThisVersionError, NotServingError
from exalign_service.lifecycle import Lifecycle, Phase
from exalign_service.pipeline import Pipeline


class FaceAlignmentServicer(service_pb2_grpc.FaceAlignmentServiceServicer):
    """Handlers raise; the interceptor turns exceptions into statuses.

    Args:
        pipeline: does the work.
        model: the answer of GetModel.
        lifecycle: requests that need the network are answered once it is warm.
    """

    def __init__(self, pipeline: Pipeline, model: service_pb2.GetModelResponse, lifecycle: Lifecycle) -> None:
        self._pipeline, self._model, self._lifecycle = pipeline, model, lifecycle

    async def PredictLandmarks(  # noqa: N802  # the contract's name
        self, request: service_pb2.PredictLandmarksRequest, context: object
    ) -> service_pb2.PredictLandmarksResponse:
        """See service.proto."""
        if self._lifecycle.phase is Phase.STARTING:
            raise NotServingError("the server is starting")
        pipeline = self._pipeline
        with pipeline.call() as clock:
            asked = requests.read(request, pipeline.known)
            image = await pipeline.open_image(asked, clock)
            left_out = 0
            if asked.boxes:
                located = [pipeline.aligner.place(box.as_array(), box.source) for box in asked.boxes.values()]
            else:
                located, left_out = await pipeline.detect(image, asked.detection, clock)
            if asked.detect_only:
                faces = [located_face(place) for place in located]
            else:
                faces = await pipeline.align(image, located, asked.wishes, clock)
            return service_pb2.PredictLandmarksResponse(
                bundle_id=self._model.bundle_id,
                faces=faces,
                faces_left_out=left_out,
                image_width=image.shape[1],
                image_height=image.shape[0],
                timing=clock.message(),
            )

    async def GetModel(  # noqa: N802
        self, request: service_pb2.GetModelRequest, context: object
    ) -> service_pb2.GetModelResponse:
        """See service.proto."""
        return self._model

    async def PredictHeatmaps(self, request: Any, context: object) -> NoReturn:  # noqa: N802
        """Not in this version."""
        raise _missing("PredictHeatmaps")

    async def EstimatePose(self, request: Any, context: object) -> NoReturn:  # noqa: N802
        """Not in this version."""
        raise _missing("EstimatePose")

    async def QueryConditional(self, request: Any, context: object) -> NoReturn:  # noqa: N802
        """Not in this version."""
        raise _missing("QueryConditional")

    async def SuggestEvidence(self, request: Any, context: object) -> NoReturn:  # noqa: N802
        """Not in this version."""
        raise _missing("SuggestEvidence")

    async def GetExemplars(self, request: Any, context: object) -> NoReturn:  # noqa: N802
        """Not in this version."""
        raise _missing("GetExemplars")

    async def TrackVideo(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: object
    ) -> AsyncIterator[service_pb2.TrackVideoResponse]:
        """Not in this version."""
        raise _missing("TrackVideo")
        yield  # makes this a generator, which is what a method with many responses is


def _missing(method: str) -> NotInThisVersionError:
    return NotInThisVersionError(f"{method}: not in this version of the server")
