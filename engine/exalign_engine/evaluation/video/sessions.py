"""Videos followed by the service's own `TrackingSession`, which finds its boxes itself; it may be told the first.

Each method follows by itself, as each would in service: its answers decide where it looks next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from exalign_engine.arrays import U8
from exalign_engine.evaluation.video.methods import MethodAnswer
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.hmm.chain import Chain
from exalign_engine.tracking import (
    Frame,
    FrameAnswer,
    RevisionAnswer,
    SessionOptions,
    TemporalModel,
    TrackAnswer,
    TrackingSession,
    TrackState,
)
from exalign_engine.tracking.frame_loop import answer_frame

#: Frames of look-ahead of the smoother.
LAG = 6

#: How a session is opened for each method. The smoother's answers are its last revisions.
SESSION_METHODS = {
    "per_frame": SessionOptions(TemporalModel.PER_FRAME),
    "low_pass": SessionOptions(TemporalModel.LOW_PASS),
    "filter": SessionOptions(TemporalModel.FILTER),
    "smoother": SessionOptions(TemporalModel.FILTER, smoothing_lag=LAG),
}


@dataclass(frozen=True)
class SessionAnswer(MethodAnswer):
    """An answer of a session.

    Attributes:
        state: of the track.
    """

    state: TrackState


@dataclass(frozen=True)
class TrackedVideo:
    """What a session said about one face of a video.

    Attributes:
        answers: one a frame, of the oldest track; None where there is no track.
        path_gap: nats; no path through the last frames scores by more than this above the one that was found. None
            where no path was wanted or there is no track at the end.
    """

    answers: list[SessionAnswer | None]
    path_gap: float | None


def track_video(
    aligner: Aligner,
    chain: Chain,
    method: str,
    frames: Iterable[U8],
    start: BoxFrame | None = None,
    path_frames: int = 0,
) -> TrackedVideo:
    """Follow one face of a video.

    Args:
        aligner: the model, with the default detector.
        chain: of its exemplars.
        method: of `SESSION_METHODS`.
        frames: (H, W, 3) uint8 RGB, all of one size.
        start: where the face is in the first frame; None: the detector's best. A still may show a bystander as well.
        path_frames: see `SessionOptions`.
    """
    session = TrackingSession(aligner, chain, replace(SESSION_METHODS[method], path_frames=path_frames))
    found: list[SessionAnswer | None] = []
    for index, image in enumerate(frames):
        answer = _step(session, aligner, index, image, start if index == 0 else None)
        found.append(_first(answer.tracks))
        _revise(found, answer.revisions)
    closing = session.close()
    _revise(found, closing.revisions)
    return TrackedVideo(found, closing.paths[0].gap if closing.paths else None)


def _revise(found: list[SessionAnswer | None], revisions: Sequence[RevisionAnswer]) -> None:
    """Put better answers in the place of earlier ones."""
    for revision in revisions:
        found[revision.frame_index] = _first(revision.tracks)


def _step(session: TrackingSession, aligner: Aligner, index: int, image: U8, place: BoxFrame | None) -> FrameAnswer:
    """One frame; the face may be given."""
    height, width = image.shape[:2]
    given = () if place is None else ((0, aligner.place(place.box)),)
    return answer_frame(session, aligner, Frame(index, (height, width), given), image)


def _first(tracks: tuple[TrackAnswer, ...]) -> SessionAnswer | None:
    """The oldest track's answer."""
    if not tracks:
        return None
    face = tracks[0].given.face
    return SessionAnswer(
        face.landmarks, face.posterior.probabilities, face.posterior.mean_displacement, tracks[0].state
    )
