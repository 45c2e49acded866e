"""From a checked request to faces: each stage where it may block, and the time that each took.

Decoding, detection, crops and posteriors run in a few threads, the network behind the batcher; the event loop
only waits. All faces of an image go to the batcher together. A face enters the threads once before the network and
once after it: its posterior, its views and its message are made in one visit (docs/decisions/cost-of-a-call.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from exalign.v1 import face_pb2, service_pb2
from exalign_engine.arrays import U8
from exalign_engine.face.aligner import Aligner, Face, FaceRefinement, LocatedFace
from exalign_engine.face.views import ConditionedFace
from exalign_engine.geometry.levels import Pixels
from exalign_service.inference.admission import Admission, Demand
from exalign_service.inference.batcher import Batcher, Row
from exalign_service.inference.fair_queue import Claim
from exalign_service.inference.posterior_cache import CachedFace, PosteriorCache
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.picture_opener import PictureOpener, Wanted
from exalign_service.methods.stage_clock import StageClock, in_thread
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.faces import PosteriorId
from exalign_service.requests.picture import DetectionOptions, Picture, RequestLimits
from exalign_service.requests.views import ViewOptions
from exalign_service.responses.face_views import FaceViews, compute_views
from exalign_service.responses.faces import face_message, written_face
from exalign_service.responses.wire import WrittenFace
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.errors import PreconditionError, QueueFullError

T = TypeVar("T")

#: What a method makes of a face, in a thread: from what the cache may keep of it, and the face before any evidence.
FaceWork = Callable[[CachedFace, Face], T]

#: Requests about faces.
FaceRequest = (
    service_pb2.PredictLandmarksRequest
    | service_pb2.PredictHeatmapsRequest
    | service_pb2.EstimatePoseRequest
    | service_pb2.QueryConditionalRequest
    | service_pb2.SuggestEvidenceRequest
)

#: Stages that a picture goes through; the others are for each of its faces.
_ONCE = ("decode", "detect")


@dataclass(frozen=True)
class PictureAnswer(Generic[T]):
    """What a method made of the faces that a request is about.

    Attributes:
        faces: in the order of the boxes, or by falling score.
        left_out: detections left out because of max_faces.
        width: of the picture, pixels; 0 where there is none.
        height: likewise.
    """

    faces: list[T]
    left_out: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class _Crops:
    """A picture, and the crops of its faces before they are scored first."""

    image: Pixels
    faces: list[tuple[FaceRefinement, U8]]
    left_out: int


@dataclass(frozen=True)
class _Made(Generic[T]):
    """What was made of a face whose box stays."""

    value: T


class Pipeline:
    """The stages of one model.

    Args:
        aligner: the engine.
        batcher: feeds the aligner's runtime.
        stages: runs what blocks.
        opener: opens pictures.
        request_limits: what requests are checked against.
        cache: keeps faces behind posterior ids.
        admission: which calls may begin.
        metrics: gets the stage times.
    """

    def __init__(
        self,
        aligner: Aligner,
        batcher: Batcher,
        stages: StagePool,
        opener: PictureOpener,
        request_limits: RequestLimits,
        cache: PosteriorCache,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self.aligner, self.request_limits, self.cache, self.opener = aligner, request_limits, cache, opener
        self._batcher, self._stages, self._metrics = batcher, stages, metrics
        self._admission = admission

    @asynccontextmanager
    async def call(self, request: FaceRequest) -> AsyncIterator[StageClock]:
        """Room for one call, and the clock of its stages; they are observed when it ends.

        Raises:
            QueueFullError: too many calls are in progress.
            OverloadedError: the call would be answered too late.
        """
        call = current_call.get()
        demand = _demand(request, call.size)
        with ExitStack() as stack:
            ticket = stack.enter_context(self._admission.admit(call, demand))
            clock = StageClock(ticket)
            try:
                yield clock
                ticket.answered = True
            finally:
                clock.stop()
                ticket.once = sum(clock.cost.get(stage, 0.0) for stage in _ONCE)
                ticket.each = sum(clock.cost.values()) - ticket.once
                self.observe(clock)

    def observe(self, clock: StageClock) -> None:
        """Count the stages of a call, or of one frame of a stream, that has ended."""
        # A copy: a thread whose call was cancelled may still add to it.
        for stage, seconds in list(clock.seconds.items()):
            self._metrics.stage_of(stage, clock.method).observe(seconds, clock.exemplar)

    def answered(self, clock: StageClock, faces: Sequence[face_pb2.Face]) -> None:
        """Count faces that a call, or a frame, is answered with."""
        presences = [face.presence for face in faces if face.HasField("presence")]
        self._metrics.faces_answered(clock.method, len(faces), presences)

    def detected(self, detector: str, faces: int) -> None:
        """Count a run of a detector. From any thread."""
        self._metrics.detected(detector, faces)

    async def each_face(
        self,
        source: Picture | PosteriorId,
        clock: StageClock,
        work: FaceWork[T],
        check: Callable[[int], object],
    ) -> PictureAnswer[T]:
        """Find and score the faces that a request is about.

        Args:
            source: a picture, or the id of one face.
            clock: of the call.
            work: run in a thread for each face as soon as it is scored; it counts its own stages.
            check: told how many faces there are, before any is scored; may refuse them.

        Raises:
            InvalidInputError: every violation of the request.
            PosteriorNotFoundError: the posterior id is not known.
            QueueFullError: the batcher's queue is full.
        """
        match source:
            case PosteriorId(name):
                return PictureAnswer([await self._kept_face(name, clock, work)])
            case Picture():
                async with self._crops(source, clock) as crops:
                    check(len(crops.faces))
                    if clock.ticket is not None:
                        self._admission.found(clock.ticket, len(crops.faces))
                    made = await self._score(crops.image, crops.faces, clock, work)
                    return PictureAnswer(made, crops.left_out, crops.image.shape[1], crops.image.shape[0])

    async def one_face(self, source: Picture | PosteriorId, clock: StageClock, work: FaceWork[T]) -> T:
        """Find and score the one face that a request is about: that of its box, or the best that is detected.

        Args:
            source: see `each_face`.
            clock: see `each_face`.
            work: see `each_face`.

        Raises:
            InvalidInputError: every violation of the request.
            PosteriorNotFoundError: the posterior id is not known.
            PreconditionError: there is no face.
            QueueFullError: the batcher's queue is full.
        """
        match source:
            case PosteriorId(name):
                return await self._kept_face(name, clock, work)
            case Picture():
                async with self._crops(source, clock, most=1) as crops:
                    if not crops.faces:
                        detector = source.detection.detector
                        raise PreconditionError("NO_FACE", f"no face was found by {detector}; give its box")
                    (made,) = await self._score(crops.image, crops.faces, clock, work)
                    return made

    def keep(self, source: Picture | PosteriorId, face: CachedFace) -> str:
        """The posterior id of an answered face: the one that it was found by, or a new one."""
        match source:
            case PosteriorId(name):
                return name
            case Picture():
                return self.cache.keep(face)

    async def locate(self, picture: Picture, clock: StageClock) -> PictureAnswer[LocatedFace]:
        """Decode a picture without boxes and detect its faces, by falling score.

        Raises:
            InvalidInputError: every violation of the request.
        """
        async with self.opener.opened(picture, clock, self._to_detect(picture), lambda image: image) as image:
            found, left_out = await self.run_stage(clock, "detect", self._detect, image, picture.detection)
            return PictureAnswer(found, left_out, image.shape[1], image.shape[0])

    def face_message(self, given: ConditionedFace, options: ViewOptions, clock: StageClock) -> face_pb2.Face:
        """The message about a face, without a posterior id. Blocks: for a thread."""
        return clock.run("encode", face_message, self._views(given, options, clock), options)

    def write_face(self, given: ConditionedFace, options: ViewOptions, clock: StageClock) -> WrittenFace:
        """The same in its wire format."""
        return clock.run("encode", written_face, self._views(given, options, clock), options)

    def _views(self, given: ConditionedFace, options: ViewOptions, clock: StageClock) -> FaceViews:
        return clock.run("posterior", compute_views, self.aligner.bundle, given, options, clock.check)

    async def infer(self, crops: Sequence[U8], clock: StageClock, *, patient: bool = False) -> list[Row]:
        """Put crops through the network.

        Args:
            crops: each (S, S, 3) uint8.
            clock: of the call.
            patient: wait for room where the queue is full.

        Returns:
            One row a crop, in order.

        Raises:
            QueueFullError: the queue is full and nobody waits.
        """
        submitted, call = time.monotonic(), current_call.get()
        while crops:
            try:
                rows = await self._batcher.infer(crops, claim=Claim.of(call), deadline=call.deadline)
            except QueueFullError as e:
                if not patient:
                    raise
                await asyncio.sleep(e.retry_after)
            else:
                clock.add_rows(submitted, rows)
                return rows
        return []

    def infer_here(self, crops: Sequence[U8], clock: StageClock, call: Call) -> list[Row] | None:
        """`infer` in this thread of the stages, where neither the network nor a thread of them is waited for. Blocks.

        Not where the network runs elsewhere: there, this thread has other work to do meanwhile.

        Args:
            crops: see `infer`.
            clock: of the call.
            call: whose they are.

        Returns:
            See `infer`; None where nothing was done.
        """
        if self.aligner.runtime.device != "CPU" or self._stages.depth:
            return None
        submitted = time.monotonic()
        with self._stages.elsewhere():
            rows = self._batcher.infer_here(crops, claim=Claim.of(call), deadline=call.deadline) if crops else []
        if rows is not None:
            clock.add_rows(submitted, rows)
        return rows

    async def run_stage(self, clock: StageClock, stage: str, work: Callable[..., T], *args: object) -> T:
        """Run one stage in a thread; a call that is cancelled before its turn never runs."""
        return await self.run_visit(clock, clock.run, stage, work, *args)

    @asynccontextmanager
    async def _crops(self, picture: Picture, clock: StageClock, most: int | None = None) -> AsyncIterator[_Crops]:
        """Decode a picture, find its faces and cut out the first ``most`` of them; it may be kept within the block."""
        if picture.boxes:
            places = [self.aligner.place(box.corners, box.source) for box in picture.boxes.values()][:most]
            async with self.opener.opened(
                picture,
                clock,
                lambda shape: self.aligner.wanted_to_crop(places),
                lambda image: _Crops(image, clock.run("decode", self._cut, image, places), 0),
            ) as crops:
                yield crops
            return
        async with self.opener.opened(picture, clock, self._to_detect(picture), lambda image: image) as image:
            yield await self.run_visit(clock, self._detected_crops, image, picture.detection, clock, most)

    def _to_detect(self, picture: Picture) -> Wanted:
        return lambda shape: self.aligner.wanted_to_detect(shape, picture.detection.detector)

    def _detected_crops(self, image: Pixels, options: DetectionOptions, clock: StageClock, most: int | None) -> _Crops:
        found, left_out = clock.run("detect", self._detect, image, options)
        return _Crops(image, clock.run("decode", self._cut, image, found[:most]), left_out)

    def _detect(self, image: Pixels, options: DetectionOptions) -> tuple[list[LocatedFace], int]:
        found = self.aligner.locate(image, options.detector, min_score=options.min_score)
        self.detected(options.detector, len(found))
        return found[: options.max_faces], max(len(found) - options.max_faces, 0)

    def _cut(self, image: Pixels, places: Sequence[LocatedFace]) -> list[tuple[FaceRefinement, U8]]:
        return [(self.aligner.refinement(place), self.aligner.crop(image, place)) for place in places]

    async def _score(
        self, image: Pixels, faces: Sequence[tuple[FaceRefinement, U8]], clock: StageClock, work: FaceWork[T]
    ) -> list[T]:
        """Put faces through the network until their boxes stay, all that still move together."""
        made: dict[int, T] = {}
        waiting = dict(enumerate(faces))
        while waiting:
            rows = await self.infer([crop for _, crop in waiting.values()], clock)
            steps = (
                self.run_visit(clock, self._step, image, refinement, crop, row, clock, work)
                for (refinement, crop), row in zip(waiting.values(), rows, strict=True)
            )
            outcomes = dict(zip(waiting, await asyncio.gather(*steps), strict=True))
            waiting = {}
            for i, outcome in outcomes.items():
                if isinstance(outcome, _Made):
                    made[i] = outcome.value
                else:
                    waiting[i] = faces[i][0], outcome
        return [made[i] for i in range(len(faces))]

    def _step(
        self, image: Pixels, refinement: FaceRefinement, crop: U8, row: Row, clock: StageClock, work: FaceWork[T]
    ) -> U8 | _Made[T]:
        """The next crop of a face, or what is made of it; ``row`` is about ``crop``."""
        face = clock.run("posterior", refinement.update, row.outputs)
        if face is None:
            return clock.run("decode", self.aligner.crop, image, refinement.place)
        return _Made(work(CachedFace.of(face, self.aligner.bundle.id, crop), face))

    async def _kept_face(self, name: str, clock: StageClock, work: FaceWork[T]) -> T:
        """What is made of a face that is kept; scored anew where only its crop is."""
        cached = self.cache.find(name)
        if cached.probabilities is None and cached.crop is not None:
            (row,) = await self.infer([cached.crop], clock)
            cached = await self.run_stage(clock, "posterior", self._scored_again, cached, row)
            self.cache.restore(name, cached)
        return await self.run_visit(clock, self._rebuild, cached, work)

    def _scored_again(self, cached: CachedFace, row: Row) -> CachedFace:
        return cached.scored(self.aligner.posterior(row.outputs))

    def _rebuild(self, cached: CachedFace, work: FaceWork[T]) -> T:
        return work(cached, cached.face(self.aligner.model))

    async def run_visit(self, clock: StageClock, work: Callable[..., T], *args: object) -> T:
        """Run work that counts its own stages in a thread."""
        return await in_thread(self._stages, clock, work, *args)


def _demand(request: FaceRequest, size: int) -> Demand:
    """What is known of a request before it is read."""
    match request:
        case service_pb2.QueryConditionalRequest() | service_pb2.SuggestEvidenceRequest():
            boxes = int(request.HasField("box"))
        case _:
            boxes = len(request.boxes)
    detects = request.HasField("image") and not boxes
    return Demand((request.DESCRIPTOR.name, detects), size, max(boxes, 1))
