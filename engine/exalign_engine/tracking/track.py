"""What is remembered about one face. Values: a frame makes a new track out of the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import Evidence
from exalign_engine.evidence.suggestion import systematic
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.hmm.chain import Belief, Chain, Emission, LowPass, PathState
from exalign_engine.tracking.answers import TRACK_BOX
from exalign_engine.tracking.box_filter import BoxFilter
from exalign_engine.tracking.motion import Motion
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, Moment
from exalign_engine.tracking.visibility import Visibility

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Of a track that has not been seen yet.
NO_DISPLACEMENT: F16 = np.zeros((N_LANDMARKS, 2), np.float16)


@dataclass(frozen=True)
class TrackSettings:
    """Constants of what a track remembers.

    Attributes:
        sample_draws: exemplars that stand for the posterior of a frame that has gone by, for the suggestion at the end.
        sure_presence: presence from which a face is surely seen.
    """

    sample_draws: int = 64
    sure_presence: float = 0.9


TRACK = TrackSettings()


@dataclass(frozen=True)
class Seen:
    """What a frame said about one face, whatever came before: all that filtering it again takes.

    Attributes:
        index: of the frame.
        gap: frames by index since the track's last one; 1 in its first.
        located: the place that was looked at.
        presence: of the crop; 0 where there was none.
        visibility: after this frame.
        picture: the emission without evidence.
        evidence: about this frame, image frame.
        displacement: (68, 2) float16, box sides: r_t of Eq. D1 (`exalign_engine.tracking.displacement`).
    """

    index: int
    gap: int
    located: LocatedFace
    presence: float
    visibility: Visibility
    picture: Emission
    evidence: Evidence | None
    displacement: F16


@dataclass(frozen=True)
class Record:
    """One frame within the lag.

    Attributes:
        seen: what the frame said.
        belief: the filter after it.
        motion: after it.
        joint: the picture's emission with the likelihood of the evidence; None without evidence.
    """

    seen: Seen
    belief: Belief
    motion: Motion
    joint: Emission | None = None

    @property
    def emission(self) -> Emission:
        """What the frame said, with the likelihood of its evidence."""
        return self.seen.picture if self.joint is None else self.joint


@dataclass(frozen=True)
class Start:
    """What a frame is filtered from: a track after the frame before.

    Attributes:
        belief: None before the first frame.
        motion: None before the first frame.
    """

    belief: Belief | None = None
    motion: Motion | None = None


@dataclass(frozen=True)
class Sketch:
    """A frame that has gone by, in a few bytes.

    Attributes:
        index: of the frame.
        box: (4,) the face box that was looked at, image frame, pixels.
        presence: of the crop.
        clicked: landmarks that hold a click, ascending.
        classes: (S,) int32 ascending, exemplars drawn from the posterior.
        counts: (S,) int32, how often each was drawn; they sum to `TrackSettings.sample_draws`.
        displacement: (68, 2) float16, by how much the answer was displaced, box sides.
    """

    index: int
    box: F64
    presence: float
    clicked: bytes
    classes: NDArray[np.int32]
    counts: NDArray[np.int32]
    displacement: F16

    @classmethod
    def of(
        cls,
        index: int,
        box: F64,
        presence: float,
        evidence: Evidence | None,
        probabilities: F32,
        displacement: F64,
    ) -> Sketch:
        """Draw the sketch of a posterior, (K,) probabilities, by systematic resampling."""
        classes, counts = systematic(probabilities, TRACK.sample_draws)
        clicked = b"" if evidence is None else bytes(sorted({c.landmark for c in evidence.clicks}))
        drawn = classes.astype(np.int32), counts.astype(np.int32)
        return cls(index, box, presence, clicked, *drawn, displacement.astype(np.float16))

    @property
    def located(self) -> LocatedFace:
        """The place that was looked at."""
        return LocatedFace(self.box, self.box, TRACK_BOX, False, None)

    def probabilities(self, count: int) -> F32:
        """(K,) float32; sums to 1."""
        p = np.zeros(count, np.float32)
        p[self.classes] = self.counts / np.float32(TRACK.sample_draws)
        return p


@dataclass(frozen=True)
class Track:
    """One face, after a frame.

    Attributes:
        track_id: ≥ 1.
        visibility: the chain of `exalign_engine.tracking.visibility`.
        motion: where it is.
        boxes: the boxes that the caller gave for it up to the last frame; None where that one had none, or where frames
            are not joined by the filter.
        belief: the filter; None where frames are not joined by it.
        known: κ of Eq. T3 after the last frame (`exalign_engine.tracking.emission_strength`).
        displacement: (68, 2) float16, r_t of Eq. D1 after the last frame, box sides.
        start: what the oldest of ``records`` was filtered from.
        records: the frames within the lag, this one included, ascending; empty without a lag.
        settled: what was last said of the newest frames that have been revised as they left the lag, before means were
            taken; ascending, at most `TemporalMeanSettings.reach` and one more. Empty unless revisions are steadied.
        path: max-product over all frames older than ``records``; None unless a path is wanted or there is none yet.
        low_pass: the landmarks of the last frames; empty but where frames are joined by it.
        sketches: the last frames, this one included, ascending.
    """

    track_id: int
    visibility: Visibility
    motion: Motion
    boxes: BoxFilter | None
    belief: Belief | None
    known: float
    displacement: F16
    start: Start
    records: tuple[Record, ...]
    settled: tuple[Moment, ...]
    path: PathState | None
    low_pass: LowPass
    sketches: tuple[Sketch, ...]

    @property
    def vanished(self) -> bool:
        """Whether the face was surely seen in the last frame but one, and surely not in the last, as after a cut.

        Not where the caller said that the last one shows nothing.
        """
        if len(self.sketches) < 2:
            return False
        before, now = (s.presence for s in self.sketches[-2:])
        return before >= TRACK.sure_presence and 0 < now <= 1 - TRACK.sure_presence

    def record(self, index: int) -> Record | None:
        """The record of a frame, if it is held."""
        return next((r for r in self.records if r.seen.index == index), None)

    def start_of(self, record: Record) -> Start:
        """What one of ``records`` was filtered from."""
        place = self.records.index(record)
        if place == 0:
            return self.start
        before = self.records[place - 1]
        return Start(before.belief, before.motion)

    def resketched(self, new: Mapping[int, Sketch]) -> Track:
        """With the sketches of some frames, by index, replaced."""
        return replace(self, sketches=tuple(new.get(s.index, s) for s in self.sketches))

    def resettled(self, new: Sequence[Moment], through: int) -> Track:
        """With what has been said of frames up to index ``through`` remembered."""
        together = {m.index: m for m in (*self.settled, *new) if m.index <= through}
        return replace(self, settled=tuple(together[i] for i in sorted(together))[-TEMPORAL_MEAN.reach - 1 :])


def kept_sketches(options: SessionOptions) -> int:
    """How many frames a track keeps sketches of."""
    return max(options.path_frames, options.smoothing_lag + 1, 2)


def aged(track: Track, chain: Chain, options: SessionOptions) -> Track:
    """Let go of what is older than the lag; the path takes it in."""
    most = options.smoothing_lag + 1
    while len(track.records) > most:
        oldest = track.records[0]
        track = replace(
            track,
            start=Start(oldest.belief, oldest.motion),
            records=track.records[1:],
            path=extended(track.path, oldest.emission, chain, options),
        )
    return replace(track, sketches=track.sketches[-kept_sketches(options) :])


def extended(path: PathState | None, emission: Emission, chain: Chain, options: SessionOptions) -> PathState | None:
    """A path one frame longer; None where none is wanted."""
    if options.path_frames == 0:
        return None
    if path is None:
        return chain.open_path(emission, options.path_frames)
    return chain.extend_path(path, emission)
