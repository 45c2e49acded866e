"""From a checked request to faces: each stage where it may block, and the time that each took.

Decoding, detection, crops and posteriors run in a few threads, the network behind the batcher; the event loop
only waits. All faces of an image go to the batcher together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import face_pb2, timing_pb2
from exalign_engine import Aligner, LocatedFace
from exalign_engine.face.views import ConditionedFace
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior
from exalign_service.inference.batcher import Batcher, Row
from exalign_service.inference.posterior_cache import PosteriorCache, Subject
from exalign_service.observability.metrics import Metrics
from exalign_service.requests.faces import FacesRequest
from exalign_service.requests.picture import Known, Picture
from exalign_service.requests.views import ViewWishes
from exalign_service.responses.face_views import read_views
from exalign_service.responses.faces import face_message
from exalign_service.rpc.call_context import current_call
from exalign_service.rpc.errors import PreconditionError, QueueFullError

U8 = NDArray[np.uint8]
T = TypeVar("T")

#: When to try again where too many calls are in progress, seconds: about what a few of them take.
_RETRY_AFTER = 0.1


class StageClock:
    """Seconds of one call by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    def add(self, stage: str, seconds: float) -> None:
        """Count time for a stage, one of `metrics.STAGES`."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def run(self, stage: str, work: Callable[..., T], *args: object) -> T:
        """Do something and count its time, whether it succeeds or not."""
        start = time.monotonic()
        try:
            return work(*args)
        finally:
            self.add(stage, time.monotonic() - start)

    def add_rows(self, submitted: float, rows: Sequence[Row]) -> None:
        """Count the time from ``submitted`` to the last row: with the network at work, or waiting for it."""
        busy, until = 0.0, submitted
        for start, end in sorted((row.started, row.finished) for row in rows):
            busy += max(end - max(start, until), 0.0)
            until = max(until, end)
        self.add("infer", busy)
        self.add("queue", max(until - submitted - busy, 0.0))

    @property
    def elapsed(self) -> float:
        """Seconds up to now."""
        return time.monotonic() - self._started

    def message(self) -> timing_pb2.StageTiming:
        """For the answer; its total reaches up to now."""
        seconds = self.seconds
        return timing_pb2.StageTiming(
            decode_seconds=seconds.get("decode", 0.0),
            detect_seconds=seconds.get("detect", 0.0),
            queue_seconds=seconds.get("queue", 0.0),
            infer_seconds=seconds.get("infer", 0.0),
            posterior_seconds=seconds.get("posterior", 0.0),
            hmm_seconds=seconds.get("hmm", 0.0),
            total_seconds=self.elapsed,
        )


@dataclass(frozen=True)
class Found:
    """The faces that a request is about.

    Attributes:
        subjects: scored.
        left_out: detections left out because of max_faces.
        shape: of the picture, (H, W, 3); None where there is none.
    """

    subjects: list[Subject]
    left_out: int = 0
    shape: tuple[int, ...] | None = None


class Pipeline:
    """The stages of one model.

    Args:
        aligner: the engine.
        batcher: feeds the aligner's runtime.
        executor: runs the stages that block.
        known: what requests are checked against.
        cache: keeps faces behind posterior ids.
        max_calls: most calls in progress.
        metrics: gets the stage times.
    """

    def __init__(
        self,
        aligner: Aligner,
        batcher: Batcher,
        executor: ThreadPoolExecutor,
        known: Known,
        cache: PosteriorCache,
        max_calls: int,
        metrics: Metrics,
    ) -> None:
        self.aligner, self.known, self.cache = aligner, known, cache
        self._batcher, self._executor, self._metrics = batcher, executor, metrics
        self._calls, self._max_calls = 0, max_calls

    @contextmanager
    def call(self) -> Iterator[StageClock]:
        """Room for one call, and the clock of its stages; they are observed when it ends.

        Raises:
            QueueFullError: too many calls are in progress.
        """
        if self._calls >= self._max_calls:
            raise QueueFullError("calls", self._calls, self._max_calls, _RETRY_AFTER)
        self._calls += 1
        clock = StageClock()
        try:
            yield clock
        finally:
            self._calls -= 1
            self.observe(clock)

    def observe(self, clock: StageClock) -> None:
        """Count the stages of a call, or of one frame of a stream, that has ended."""
        # A copy: a thread whose call was cancelled may still add to it.
        for stage, seconds in list(clock.seconds.items()):
            self._metrics.stage.labels(stage).observe(seconds)

    async def subjects(self, request: FacesRequest, clock: StageClock) -> Found:
        """Find the faces that a request is about, and score them.

        Raises:
            InvalidInputError: every violation of the request.
            PosteriorNotFoundError: the posterior id is not known.
        """
        if isinstance(request.source, str):
            return Found([self.cache.find(request.source)])
        image, located, left_out = await self.locate(request.source, clock)
        return Found(await self._score(image, located, clock), left_out, image.shape)

    async def subject(self, source: Picture | str, clock: StageClock) -> Subject:
        """Find and score the one face that a request is about: that of its box, or the best that is detected.

        Raises:
            InvalidInputError: every violation of the request.
            PosteriorNotFoundError: the posterior id is not known.
            PreconditionError: there is no face.
        """
        if isinstance(source, str):
            return self.cache.find(source)
        image, located, _ = await self.locate(source, clock)
        if not located:
            raise PreconditionError("NO_FACE", f"no face was found by {source.detection.detector}; give its box")
        (subject,) = await self._score(image, located[:1], clock)
        return subject

    async def locate(self, picture: Picture, clock: StageClock) -> tuple[U8, list[LocatedFace], int]:
        """Decode a picture and find its faces.

        Returns:
            The picture; its faces, in the order of the boxes or by falling score; and how many more were detected.

        Raises:
            InvalidInputError: every violation of the request.
        """
        image = await self.run(clock, "decode", picture.open_image, self.known.image_limits)
        if picture.boxes:
            return image, [self.aligner.place(box.as_array(), box.source) for box in picture.boxes.values()], 0
        how = picture.detection

        def work() -> list[LocatedFace]:
            return self.aligner.locate(image, how.detector, min_score=how.min_score)

        found = await self.run(clock, "detect", work)
        return image, found[: how.max_faces], max(len(found) - how.max_faces, 0)

    async def _score(self, image: U8, located: Sequence[LocatedFace], clock: StageClock) -> list[Subject]:
        """What the network says about faces whose places are known, about better boxes where it sees them."""
        places, looks = list(located), await self._look(image, located, clock)
        for round_ in range(self.aligner.rounds):
            moved = await self.read(clock, self.aligner.better_places, places, looks, round_)
            if not moved:
                break
            for i, look in zip(moved, await self._look(image, list(moved.values()), clock), strict=True):
                places[i], looks[i] = moved[i], look
        return [Subject.of(place, posterior) for place, (posterior, _) in zip(places, looks, strict=True)]

    async def _look(
        self, image: U8, places: Sequence[LocatedFace], clock: StageClock
    ) -> list[tuple[Posterior, FaceOutputs]]:
        rows = await self.infer(image, places, clock)

        def work(row: Row) -> tuple[Posterior, FaceOutputs]:
            posterior = self.aligner.posterior(row.outputs)
            _ = posterior.mean  # read here, in a thread
            return posterior, row.outputs

        return list(await asyncio.gather(*(self.run(clock, "posterior", work, row) for row in rows)))

    async def infer(
        self,
        image: U8,
        located: Sequence[LocatedFace],
        clock: StageClock,
        *,
        key: Hashable = None,
        patient: bool = False,
    ) -> list[Row]:
        """Cut faces out and put them through the network.

        Args:
            image: (H, W, 3) uint8 RGB.
            located: places of the faces.
            clock: of the call.
            key: who asks; see `Batcher.infer`.
            patient: wait for room where the queue is full.

        Returns:
            One row a face, in order.

        Raises:
            QueueFullError: the queue is full and nobody waits.
        """
        if not located:
            return []
        crops = await self.run(clock, "decode", lambda: [self.aligner.crop(image, place) for place in located])
        submitted = time.monotonic()
        while True:
            try:
                rows = await self._batcher.infer(crops, key=key, deadline=current_call.get().deadline)
            except QueueFullError as e:
                if not patient:
                    raise
                await asyncio.sleep(e.retry_after)
            else:
                clock.add_rows(submitted, rows)
                return rows

    async def read(self, clock: StageClock, work: Callable[..., T], *args: object) -> T:
        """Read a posterior, in a thread."""
        return await self.run(clock, "posterior", work, *args)

    async def tell(self, given: ConditionedFace, name: str, views: ViewWishes, clock: StageClock) -> face_pb2.Face:
        """The message about one face, kept by ``name``."""
        reading = await self.read(clock, read_views, self.aligner, given, views)
        return await self.run(clock, "encode", face_message, reading, views, name)

    async def run(self, clock: StageClock, stage: str, work: Callable[..., T], *args: object) -> T:
        """Run one stage in a thread; a call that is cancelled before its turn never runs."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, clock.run, stage, work, *args)
