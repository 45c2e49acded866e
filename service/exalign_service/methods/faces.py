"""The methods about all faces of a picture: landmarks, heatmaps, pose."""

from __future__ import annotations

from dataclasses import dataclass

from exalign.v1 import face_pb2, service_pb2
from exalign_engine import Face
from exalign_service.inference.posterior_cache import CachedFace
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.requests.faces import FacesRequest, read_heatmaps, read_pose, read_predict
from exalign_service.requests.picture import Picture
from exalign_service.responses.face_views import posterior_given_evidence
from exalign_service.responses.faces import located_face


@dataclass(frozen=True)
class _Faces:
    """The faces of an answer.

    Attributes:
        messages: one a face.
        left_out: see `PictureAnswer`.
        width: of the picture, pixels; 0 where there is none.
        height: likewise.
    """

    messages: list[face_pb2.Face]
    left_out: int
    width: int
    height: int


class FacesMethods:
    """One method each.

    Args:
        pipeline: does the work.
        bundle_id: which bundle answers.
    """

    def __init__(self, pipeline: Pipeline, bundle_id: str) -> None:
        self._pipeline, self._bundle_id = pipeline, bundle_id

    async def landmarks(self, request: service_pb2.PredictLandmarksRequest) -> service_pb2.PredictLandmarksResponse:
        """PredictLandmarks; see service.proto."""
        with self._pipeline.call(request) as clock:
            asked = read_predict(request, self._pipeline.request_limits)
            match asked.source:
                case Picture() as picture if asked.detect_only:
                    faces = await self._detected(picture, clock)
                case _:
                    faces = await self._scored(asked, clock)
            return service_pb2.PredictLandmarksResponse(
                bundle_id=self._bundle_id,
                faces=faces.messages,
                faces_left_out=faces.left_out,
                image_width=faces.width,
                image_height=faces.height,
                timing=clock.message(),
            )

    async def heatmaps(self, request: service_pb2.PredictHeatmapsRequest) -> service_pb2.PredictHeatmapsResponse:
        """PredictHeatmaps; see service.proto."""
        with self._pipeline.call(request) as clock:
            faces = await self._scored(read_heatmaps(request, self._pipeline.request_limits), clock)
            return service_pb2.PredictHeatmapsResponse(
                bundle_id=self._bundle_id, faces=faces.messages, faces_left_out=faces.left_out, timing=clock.message()
            )

    async def pose(self, request: service_pb2.EstimatePoseRequest) -> service_pb2.EstimatePoseResponse:
        """EstimatePose; see service.proto."""
        with self._pipeline.call(request) as clock:
            faces = await self._scored(read_pose(request, self._pipeline.request_limits), clock)
            return service_pb2.EstimatePoseResponse(
                bundle_id=self._bundle_id, faces=faces.messages, faces_left_out=faces.left_out, timing=clock.message()
            )

    async def _detected(self, picture: Picture, clock: StageClock) -> _Faces:
        """Faces of which only the place is known."""
        image, located, left_out = await self._pipeline.locate(picture, clock)
        faces = [located_face(place) for place in located]
        self._pipeline.answered(clock, faces)
        return _Faces(faces, left_out, image.shape[1], image.shape[0])

    async def _scored(self, asked: FacesRequest, clock: StageClock) -> _Faces:
        """All faces with the views that the request names; each is kept, unless it was found by its id."""
        pipeline = self._pipeline

        def work(cached: CachedFace, face: Face) -> tuple[CachedFace, face_pb2.Face]:
            poses = pipeline.aligner.bundle.poses
            given = clock.run("posterior", posterior_given_evidence, face, cached.evidence, poses, clock.check)
            return cached, pipeline.write_face(given, asked.views, clock)

        found = await pipeline.each_face(asked.source, clock, work, asked.size.check)
        for cached, message in found.faces:
            message.posterior_id = pipeline.keep(asked.source, cached)
        messages = [message for _, message in found.faces]
        asked.size.check_sparse(messages)
        pipeline.answered(clock, messages)
        height, width = (0, 0) if found.shape is None else found.shape[:2]
        return _Faces(messages, found.left_out, width, height)
