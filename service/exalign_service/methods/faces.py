"""The methods about all faces of a picture: landmarks, heatmaps, pose."""

from __future__ import annotations

import asyncio

from exalign.v1 import face_pb2, service_pb2
from exalign_service.methods.pipeline import Found, Pipeline, StageClock
from exalign_service.requests.faces import FacesRequest, read_heatmaps, read_pose, read_predict
from exalign_service.responses.face_views import given_evidence
from exalign_service.responses.faces import located_face


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
        pipeline = self._pipeline
        with pipeline.call() as clock:
            asked = read_predict(request, pipeline.known)
            if asked.detect_only and not isinstance(asked.source, str):
                image, located, left_out = await pipeline.locate(asked.source, clock)
                faces, shape = [located_face(place) for place in located], image.shape
            else:
                found = await pipeline.subjects(asked, clock)
                faces, left_out = await self._faces(asked, found, clock), found.left_out
                shape = found.shape or (0, 0)
            return service_pb2.PredictLandmarksResponse(
                bundle_id=self._bundle_id,
                faces=faces,
                faces_left_out=left_out,
                image_width=shape[1],
                image_height=shape[0],
                timing=clock.message(),
            )

    async def heatmaps(self, request: service_pb2.PredictHeatmapsRequest) -> service_pb2.PredictHeatmapsResponse:
        """PredictHeatmaps; see service.proto."""
        with self._pipeline.call() as clock:
            asked = read_heatmaps(request, self._pipeline.known)
            found = await self._pipeline.subjects(asked, clock)
            faces = await self._faces(asked, found, clock)
            return service_pb2.PredictHeatmapsResponse(
                bundle_id=self._bundle_id, faces=faces, faces_left_out=found.left_out, timing=clock.message()
            )

    async def pose(self, request: service_pb2.EstimatePoseRequest) -> service_pb2.EstimatePoseResponse:
        """EstimatePose; see service.proto."""
        with self._pipeline.call() as clock:
            asked = read_pose(request, self._pipeline.known)
            found = await self._pipeline.subjects(asked, clock)
            faces = await self._faces(asked, found, clock)
            return service_pb2.EstimatePoseResponse(
                bundle_id=self._bundle_id, faces=faces, faces_left_out=found.left_out, timing=clock.message()
            )

    async def _faces(self, asked: FacesRequest, found: Found, clock: StageClock) -> list[face_pb2.Face]:
        """The messages about all faces; each is kept, unless it was found by its id."""
        pipeline = self._pipeline
        readings = (pipeline.read(clock, given_evidence, pipeline.aligner, subject) for subject in found.subjects)
        given = await asyncio.gather(*readings)
        if isinstance(asked.source, str):
            names = [asked.source]
        else:
            names = [pipeline.cache.keep(subject) for subject in found.subjects]
        tellings = (pipeline.tell(g, name, asked.views, clock) for g, name in zip(given, names, strict=True))
        return await asyncio.gather(*tellings)
