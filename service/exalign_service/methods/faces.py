"""The methods about all faces of a picture: landmarks, heatmaps, pose. They answer in the wire format."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from exalign.v1 import service_pb2
from exalign_engine import Face
from exalign_service.inference.posterior_cache import CachedFace
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.requests.faces import FacesRequest, read_heatmaps, read_pose, read_predict
from exalign_service.requests.picture import Picture
from exalign_service.responses.face_views import posterior_given_evidence
from exalign_service.responses.faces import located_face
from exalign_service.responses.wire import LARGE, WrittenFace, field_parts, serialized


@dataclass(frozen=True)
class _Faces:
    """The faces of an answer.

    Attributes:
        parts: one list a face, each of the bytes of its message.
        left_out: see `PictureAnswer`.
        width: of the picture, pixels; 0 where there is none.
        height: likewise.
    """

    parts: list[list[bytes]]
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

    async def landmarks(self, request: service_pb2.PredictLandmarksRequest) -> bytes:
        """PredictLandmarks; see service.proto."""
        async with self._pipeline.call(request) as clock:
            asked = read_predict(request, self._pipeline.request_limits)
            match asked.source:
                case Picture() as picture if asked.detect_only:
                    faces = await self._detected(picture, clock)
                case _:
                    faces = await self._scored(asked, clock)
            response = service_pb2.PredictLandmarksResponse(
                bundle_id=self._bundle_id,
                faces_left_out=faces.left_out,
                image_width=faces.width,
                image_height=faces.height,
                timing=clock.message(),
            )
            return await self._written(response, faces, clock)

    async def heatmaps(self, request: service_pb2.PredictHeatmapsRequest) -> bytes:
        """PredictHeatmaps; see service.proto."""
        async with self._pipeline.call(request) as clock:
            faces = await self._scored(read_heatmaps(request, self._pipeline.request_limits), clock)
            response = service_pb2.PredictHeatmapsResponse(
                bundle_id=self._bundle_id, faces_left_out=faces.left_out, timing=clock.message()
            )
            return await self._written(response, faces, clock)

    async def pose(self, request: service_pb2.EstimatePoseRequest) -> bytes:
        """EstimatePose; see service.proto."""
        async with self._pipeline.call(request) as clock:
            faces = await self._scored(read_pose(request, self._pipeline.request_limits), clock)
            response = service_pb2.EstimatePoseResponse(
                bundle_id=self._bundle_id, faces_left_out=faces.left_out, timing=clock.message()
            )
            return await self._written(response, faces, clock)

    async def _detected(self, picture: Picture, clock: StageClock) -> _Faces:
        """Faces of which only the place is known."""
        found = await self._pipeline.locate(picture, clock)
        faces = [located_face(place) for place in found.faces]
        self._pipeline.answered(clock, faces)
        return _Faces([[serialized(face)] for face in faces], found.left_out, found.width, found.height)

    async def _scored(self, asked: FacesRequest, clock: StageClock) -> _Faces:
        """All faces with the views that the request names; each is kept, unless it was found by its id."""
        pipeline = self._pipeline

        def work(cached: CachedFace, face: Face) -> tuple[CachedFace, WrittenFace]:
            poses = pipeline.aligner.bundle.poses
            given = clock.run("posterior", posterior_given_evidence, face, cached.evidence, poses, clock.check)
            return cached, pipeline.write_face(given, asked.views, clock)

        found = await pipeline.each_face(asked.source, clock, work, asked.size.check)
        asked.size.check_sparse(sum(face.size for _, face in found.faces))
        parts = [face.parts(pipeline.keep(asked.source, cached)) for cached, face in found.faces]
        pipeline.answered(clock, [face.summary for _, face in found.faces])
        return _Faces(parts, found.left_out, found.width, found.height)

    async def _written(self, response: Message, faces: _Faces, clock: StageClock) -> bytes:
        """The answer: a response without its faces, and these."""
        parts = [serialized(response)]
        for face in faces.parts:
            parts += field_parts(type(response), "faces", face)
        return await join(self._pipeline, parts, clock)


async def join(pipeline: Pipeline, parts: list[bytes], clock: StageClock) -> bytes:
    """Put the parts of an answer together; those of a large one in a thread, where others are not held up."""
    if sum(map(len, parts)) < LARGE:
        return b"".join(parts)
    return await pipeline.run_stage(clock, "encode", b"".join, parts)
