"""From a checked request to faces: each stage where it may block, and the time that each took.

Decoding, detection, crops and posteriors run in a few threads, the network behind the batcher; the event loop
only waits. All faces of an image go to the batcher together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import face_pb2, timing_pb2
from exalign_engine import Aligner, LocatedFace
from exalign_service.answers import aligned_face
from exalign_service.batcher import Batcher, Row
from exalign_service.calls import current_call
from exalign_service.errors import QueueFullError
from exalign_service.metrics import Metrics
from exalign_service.requests import Detection, Known, LandmarkWishes, PredictRequest

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

    def message(self) -> timing_pb2.StageTiming:
        """For the answer; its total reaches up to now."""
        seconds = self.seconds
        return timing_pb2.StageTiming(
            decode_seconds=seconds.get("decode", 0.0),
            detect_seconds=seconds.get("detect", 0.0),
            queue_seconds=seconds.get("queue", 0.0),
            infer_seconds=seconds.get("infer", 0.0),
            posterior_seconds=seconds.get("posterior", 0.0),
            total_seconds=time.monotonic() - self._started,
        )


class Pipeline:
    """The stages of one model.

    Args:
        aligner: the engine.
        batcher: feeds the aligner's runtime.
        executor: runs the stages that block.
        known: what requests are checked against.
        max_calls: most calls in progress.
        metrics: gets the stage times.
    """

    def __init__(
        self,
        aligner: Aligner,
        batcher: Batcher,
        executor: ThreadPoolExecutor,
        known: Known,
        max_calls: int,
        metrics: Metrics,
    ) -> None:
        self.aligner, self.known = aligner, known
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
            # A copy: a thread whose call was cancelled may still add to it.
            for stage, seconds in list(clock.seconds.items()):
                self._metrics.stage.labels(stage).observe(seconds)

    async def open_image(self, request: PredictRequest, clock: StageClock) -> U8:
        """Decode the picture and finish checking the request; see `PredictRequest.open_image`."""
        return await self._run(clock, "decode", request.open_image, self.known.image_limits)

    async def detect(self, image: U8, how: Detection, clock: StageClock) -> tuple[list[LocatedFace], int]:
        """Find faces.

        Returns:
            The best of them, by falling score, and how many more there were.
        """

        def work() -> list[LocatedFace]:
            return self.aligner.locate(image, how.detector, min_score=how.min_score)

        found = await self._run(clock, "detect", work)
        return found[: how.max_faces], max(len(found) - how.max_faces, 0)

    async def align(
        self, image: U8, located: Sequence[LocatedFace], wishes: LandmarkWishes, clock: StageClock
    ) -> list[face_pb2.Face]:
        """Landmarks of faces whose places are known."""
        if not located:
            return []
        crops = await self._run(clock, "decode", lambda: [self.aligner.crop(image, place) for place in located])
        submitted = time.monotonic()
        rows = await self._batcher.infer(crops, deadline=current_call.get().deadline)
        clock.add_rows(submitted, rows)
        return await asyncio.gather(
            *(self._read(place, row, wishes, clock) for place, row in zip(located, rows, strict=True))
        )

    async def _read(self, place: LocatedFace, row: Row, wishes: LandmarkWishes, clock: StageClock) -> face_pb2.Face:
        """Posterior and message of one face."""

        def work() -> tuple[face_pb2.Face, float, float]:
            start = time.monotonic()
            face = self.aligner.face(place, self.aligner.posterior(row.scores))
            _ = face.entropy, face.effective_exemplars  # computed when first read: their time belongs here
            read = time.monotonic()
            message = aligned_face(face, wishes)
            return message, read - start, time.monotonic() - read

        message, posterior, encode = await asyncio.get_running_loop().run_in_executor(self._executor, work)
        clock.add("posterior", posterior)
        clock.add("encode", encode)
        return message

    async def _run(self, clock: StageClock, stage: str, work: Callable[..., T], *args: object) -> T:
        """Run one stage in a thread; a call that is cancelled before its turn never runs."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, clock.run, stage, work, *args)
