"""One face after a frame, as values: a frame makes a new track out of the old one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F16, F32, F64
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.evidence.suggestion import systematic
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.hmm.chain import Belief, Emission, LowPass, PathState
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import TRACK_BOX
from exalign_engine.tracking.box_filter import BoxFilter
from exalign_engine.tracking.emission_strength import EMISSION
from exalign_engine.tracking.motion import Motion
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, TrackPoint
from exalign_engine.tracking.visibility import Visibility

#: Of a track that has not been seen yet.
NO_DISPLACEMENT: F16 = np.zeros((N_LANDMARKS, 2), np.float16)


@dataclass(frozen=True)
class TrackSettings:
    """Constants of a track.

    Attributes:
        sample_draws: exemplars drawn from the posterior of an earlier frame, for the suggestion at the end.
        sure_presence: presence from which a face is surely seen.
        same_face: a, b and d₀ of Eq. R1 (`exalign_engine.tracking.reacquired`).
    """

    sample_draws: int = 64
    sure_presence: float = 0.9
    # docs/decisions/faces-in-motion.md
    same_face: tuple[float, float, float] = (-7.2, 3.0, 0.01)


TRACK = TrackSettings()


@dataclass(frozen=True)
class Observation:
    """One frame's part in a track, whatever came before: all that filtering it again takes.

    Attributes:
        index: of the frame.
        gap: frames by index since the track's last one; 1 in its first.
        located: the place that was cropped.
        presence: of the crop; 0 where there was none.
        visibility: after this frame.
        picture: the emission without evidence.
        evidence: about this frame, image frame.
        displacement: (68, 2) float16, box sides: r_t of Eq. D1 (`exalign_engine.tracking.displacement`).
        anew: whether nothing of before counts: the face was found behind a cut.
        meeting: whether another face is near.
        again: whether the crop says what that of the frame before said (`exalign_engine.tracking.same_crop`).
        hidden: which landmarks are hidden (`exalign_engine.tracking.partly_hidden.hidden_bytes`); empty: nothing tells.
    """

    index: int
    gap: int
    located: LocatedFace
    presence: float
    visibility: Visibility
    picture: Emission
    evidence: Evidence | None
    displacement: F16
    anew: bool = False
    meeting: bool = False
    again: bool = False
    hidden: bytes = b""

    @property
    def held(self) -> bool:
        """Whether this frame says nothing that the one before did not say."""
        return self.again and self.evidence is None


@dataclass(frozen=True)
class Record:
    """One frame within the lag.

    Attributes:
        observation: the frame.
        belief: the filter after it.
        motion: after it.
        joint: the picture's emission with the likelihood of the evidence; None without evidence.
    """

    WRITTEN_ONCE: ClassVar[bool] = True

    observation: Observation
    belief: Belief
    motion: Motion
    joint: Emission | None = None

    @property
    def emission(self) -> Emission:
        """The picture's, with the likelihood of the evidence."""
        return self.observation.picture if self.joint is None else self.joint


@dataclass(frozen=True)
class FilterState:
    """A track after the frame before, from which a frame is filtered.

    Attributes:
        belief: None before the first frame.
        motion: None before the first frame.
    """

    belief: Belief | None = None
    motion: Motion | None = None


@dataclass(frozen=True)
class PosteriorSample:
    """An earlier frame's posterior, in a few bytes.

    Attributes:
        index: of the frame.
        box: (4,) the face box that was cropped, image frame, pixels.
        presence: of the crop.
        clicked: landmarks that hold a click, ascending, one byte each.
        classes: (S,) int32 ascending, exemplars drawn from the posterior.
        counts: (S,) int32, how often each was drawn; they sum to `TrackSettings.sample_draws`.
        displacement: (68, 2) float16, by how much the answer was displaced, box sides.
    """

    WRITTEN_ONCE: ClassVar[bool] = True

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
        posterior: Posterior,
    ) -> PosteriorSample:
        """Draw the sample of a posterior by systematic resampling."""
        classes, counts = systematic(posterior.probabilities, TRACK.sample_draws, posterior.held)
        clicked = b"" if evidence is None else bytes(sorted({c.landmark for c in evidence.clicks}))
        drawn = classes.astype(np.int32), counts.astype(np.int32)
        return cls(index, box, presence, clicked, *drawn, posterior.mean_displacement.astype(np.float16))

    @property
    def located(self) -> LocatedFace:
        """The place that was cropped."""
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
        boxes: filter of the boxes that the caller gave, up to the last frame; None where that one had none, or where
            the temporal model is not the chain.
        belief: the filter; None where the temporal model is not the chain.
        memory: κ of Eq. T2 after the last frame (`exalign_engine.tracking.emission_strength`).
        displacement: (68, 2) float16, r_t of Eq. D1 after the last frame, box sides.
        start: what the oldest of ``records`` was filtered from.
        records: the frames within the lag, this one included, ascending; empty without a lag.
        settled: points of the newest frames that were revised as they left the lag, before means were taken;
            ascending, at most `TemporalMeanSettings.reach` and one more. Empty without `SessionOptions.temporal_mean`.
        path: max-product over all frames older than ``records``; None unless a path is wanted or there is none yet.
        low_pass: the landmarks of the last frames; empty unless it is the temporal model.
        samples: the last frames, this one included, ascending.
        apart: frames in which its face was seen and no other was near, counted up to `MeetingSettings.apart`.
        shape: (68, 2) float16, its landmarks in their own box frame when it was last surely seen; zeros before.
        said: what the last frame's crop said, if it showed the face (`exalign_engine.tracking.same_crop`); else empty.
    """

    track_id: int
    visibility: Visibility
    motion: Motion
    boxes: BoxFilter | None
    belief: Belief | None
    memory: float
    displacement: F16
    start: FilterState
    records: tuple[Record, ...]
    settled: tuple[TrackPoint, ...]
    path: PathState | None
    low_pass: LowPass
    samples: tuple[PosteriorSample, ...]
    apart: int
    shape: F16
    said: bytes

    @property
    def vanished(self) -> bool:
        """Whether the face was surely seen in the last frame but one, and surely not in the last, as after a cut.

        Not where the caller said that the last one shows nothing.
        """
        if len(self.samples) < 2:
            return False
        before, now = (s.presence for s in self.samples[-2:])
        return before >= TRACK.sure_presence and 0 < now <= 1 - TRACK.sure_presence

    @property
    def surely_seen(self) -> bool:
        """Whether the face was surely seen in the last frame."""
        return bool(self.samples) and self.samples[-1].presence >= TRACK.sure_presence

    def record(self, index: int) -> Record | None:
        """The record of a frame, if it is held."""
        return next((r for r in self.records if r.observation.index == index), None)

    def state_before(self, record: Record) -> FilterState:
        """What one of ``records`` was filtered from."""
        place = self.records.index(record)
        if place == 0:
            return self.start
        before = self.records[place - 1]
        return FilterState(before.belief, before.motion)

    def with_other_exemplars(self) -> Track:
        """The same face as another model sees it: where it is stays, what is believed of its shape begins anew."""
        return replace(
            self,
            belief=None,
            memory=EMISSION.initial_memory,
            displacement=NO_DISPLACEMENT,
            start=FilterState(None, self.motion),
            records=(),
            settled=(),
            path=None,
            low_pass=LowPass.empty(),
            samples=(),
            said=b"",
        )

    def with_samples(self, new: Mapping[int, PosteriorSample]) -> Track:
        """With the samples of some frames, by index, replaced."""
        return replace(self, samples=tuple(new.get(s.index, s) for s in self.samples))

    def with_revised(self, new: Sequence[TrackPoint], through: int) -> Track:
        """With the points of revised frames up to index ``through`` in ``settled``."""
        together = {m.index: m for m in (*self.settled, *new) if m.index <= through}
        return replace(self, settled=tuple(together[i] for i in sorted(together))[-TEMPORAL_MEAN.reach - 1 :])


def kept_samples(options: SessionOptions) -> int:
    """How many frames a track keeps samples of."""
    return max(options.path_frames, options.smoothing_lag + 1, 2)
