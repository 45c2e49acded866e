"""A session's input and output. Everything is in the image frame, pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from exalign.summary import summarised
from exalign_engine.arrays import F32
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.evidence.suggestion import Criterion, Suggestion
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.face.views import ConditionedFace
from exalign_engine.tracking.visibility import TrackState

#: `LocatedFace.source` of a box that was carried over from the frames before.
TRACK_BOX = "track"


@dataclass(frozen=True)
class Frame:
    """One frame of the input.

    Attributes:
        index: its number, ≥ 0; greater than all before it.
        size: (height, width), pixels; None where there is no usable picture, which is as if ``occluded``.
        boxes: (track id, or 0 for the track it overlaps most or a new one; the place).
        evidence: (track id, or 0 for the only track or the nearest; image frame, pixels).
        occluded: the picture shows no face.
        thumbnail: of the picture (`TrackingSession.thumbnail`), by which cuts are recognised; empty: not looked for.
    """

    index: int
    size: tuple[int, int] | None
    boxes: tuple[tuple[int, LocatedFace], ...] = ()
    evidence: tuple[tuple[int, Evidence], ...] = ()
    occluded: bool = False
    thumbnail: bytes = b""

    @property
    def blind(self) -> bool:
        """Whether nothing is cropped, scored or detected in this frame."""
        return self.occluded or self.size is None


@dataclass(frozen=True)
class Reacquired:
    """Which face has been found again.

    Attributes:
        track_id: of the track that had lost it: this one, or another.
        probability: that it is the same face, by its shape alone, where it is as likely as not before.
    """

    track_id: int
    probability: float


@dataclass(frozen=True, repr=False)
class TrackAnswer:
    """One face in one frame.

    Attributes:
        track_id: ≥ 1, never used twice in a session.
        state: with hysteresis.
        visible_probability: that the face is visible in this frame, given all frames up to it.
        lost_probability: that the track has lost its face.
        given: the answer; its posterior is the temporal one. Without evidence its outcome is CONDITIONED, its
            surprise 0 and its box the one that was cropped.
        has_evidence: whether evidence about this track and frame was taken.
        cut_mass: probability that the filter's truncation in this frame spread evenly over all exemplars, or all that
            is spread so where the answer leaves that out (see `exalign_engine.tracking.filter_step`).
        reacquired: in the frame in which a detector found a face that was lost, or another one meanwhile; else None.
    """

    __repr__ = summarised

    track_id: int
    state: TrackState
    visible_probability: float
    lost_probability: float
    given: ConditionedFace
    has_evidence: bool
    cut_mass: float
    reacquired: Reacquired | None = None


class RevisionCause(Enum):
    """Why an earlier answer changed."""

    SMOOTHING = "smoothing"
    EVIDENCE = "evidence"


@dataclass(frozen=True, repr=False)
class RevisionAnswer:
    """A better answer to an earlier frame.

    Attributes:
        frame_index: the frame.
        through_frame: newest frame that it takes into account.
        cause: why.
        tracks: those whose answer changed, ascending by id.
    """

    __repr__ = summarised

    frame_index: int
    through_frame: int
    cause: RevisionCause
    tracks: tuple[TrackAnswer, ...]


@dataclass(frozen=True, repr=False)
class FrameAnswer:
    """The answer to one frame.

    Attributes:
        frame_index: the frame.
        tracks: one a track, ascending by id; hidden and lost ones too.
        revisions: of earlier frames, ascending by frame.
        detected: whether the detector ran.
        opened: tracks opened in this frame.
        lost: tracks that became lost in this frame.
    """

    __repr__ = summarised

    frame_index: int
    tracks: tuple[TrackAnswer, ...]
    revisions: tuple[RevisionAnswer, ...]
    detected: bool
    opened: int
    lost: int


@dataclass(frozen=True)
class SuggestionQuery:
    """What to suggest at the end.

    Attributes:
        sigma: standard deviation of the coming click, per coordinate, pixels; None takes 1 % of the face box's
            diagonal.
        landmarks: candidates, 0-based; None takes all.
        criterion: by what to rank.
        count: at most so many suggestions.
    """

    sigma: float | None = None
    landmarks: Sequence[int] | None = None
    criterion: Criterion = Criterion.ERROR
    count: int = 1


@dataclass(frozen=True)
class FrameSuggestion:
    """The expected gain of a click in one frame, over all the frames that it would change.

    Attributes:
        frame_index: the frame to click in.
        track_id: the face.
        suggestion: the landmark, and the expected reductions summed over these frames, pixels and nats.
    """

    frame_index: int
    track_id: int
    suggestion: Suggestion


@dataclass(frozen=True, repr=False)
class TrackPathAnswer:
    """The most probable path of one track through its last frames.

    Attributes:
        track_id: the track.
        frame_indices: (F,) ascending.
        class_ids: (F,) the exemplar in each frame.
        points: (F, 68, 2) float32, its landmarks as the frame's picture displaces them, image frame, pixels.
        score: sum of log-emissions and transition penalties.
        gap: no path scores more than ``score + gap``.
    """

    __repr__ = summarised

    track_id: int
    frame_indices: tuple[int, ...]
    class_ids: tuple[int, ...]
    points: F32
    score: float
    gap: float


@dataclass(frozen=True, repr=False)
class ClosingAnswer:
    """The answers at the end of a session.

    Attributes:
        revisions: of the frames that had not left the lag yet, through the last one, ascending by frame.
        paths: one a track that is still held, ascending by id; empty unless asked for.
        suggestions: best first; empty unless asked for.
    """

    __repr__ = summarised

    revisions: tuple[RevisionAnswer, ...]
    paths: tuple[TrackPathAnswer, ...]
    suggestions: tuple[FrameSuggestion, ...]
