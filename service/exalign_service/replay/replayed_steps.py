"""The steps of a session whose pictures are not there: what was seen of them comes from its recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exalign.v1 import track_pb2
from exalign_engine import LocatedFace
from exalign_engine.arrays import U8
from exalign_engine.geometry.levels import Pixels
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking import TrackingSession
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.track.frame_step import LookedFrame, SessionSteps
from exalign_service.track.record import SessionRecord
from exalign_service.track.recorded import SeenFrame
from exalign_service.track.requests import RequestedFrame, TrackOptions


class ReplayedSteps(SessionSteps):
    """See `SessionSteps`.

    Args:
        pipeline: see there.
        session: see there.
        options: see there.
        seen: of frames that are to come, by index; each is taken out when it is its turn.
    """

    def __init__(
        self, pipeline: Pipeline, session: TrackingSession, options: TrackOptions, seen: dict[int, SeenFrame]
    ) -> None:
        super().__init__(pipeline, session, options)
        self._to_come = seen
        self._seen = SeenFrame(None, (), (), ())

    async def looked(self, requested: RequestedFrame, record: SessionRecord, clock: StageClock) -> LookedFrame:
        """As with a picture of the size that there was, without any content."""
        self._seen = seen = self._to_come.pop(requested.index)
        image = None if seen.size is None else np.broadcast_to(np.uint8(0), (*seen.size, 3))
        problems = tuple(track_pb2.FrameProblem.FromString(problem) for problem in seen.problems)
        return self.look(requested, record, clock, image, problems)

    def thumbnail(self, image: Pixels) -> bytes:
        """What there was."""
        return self._seen.thumbnail

    def detections(self, image: Pixels) -> Sequence[LocatedFace]:
        """Those that there were."""
        return self._seen.detections

    def crops(self, image: Pixels, places: Sequence[LocatedFace]) -> list[U8]:
        """None: the network is not asked."""
        return []

    async def outputs(self, looked: LookedFrame, clock: StageClock) -> list[FaceOutputs]:
        """Those that there were."""
        return self._seen.outputs
