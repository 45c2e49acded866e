"""Tracks, paths and suggestions: from the engine's values to messages."""

from __future__ import annotations

from exalign.v1 import evidence_pb2, face_pb2, track_pb2
from exalign_engine.tracking import (
    FrameSuggestion,
    RevisionAnswer,
    RevisionCause,
    TrackAnswer,
    TrackPathAnswer,
    TrackState,
)
from exalign_service.responses.views import outcome_message

_STATES = {
    TrackState.VISIBLE: track_pb2.TRACK_STATE_VISIBLE,
    TrackState.HIDDEN: track_pb2.TRACK_STATE_HIDDEN,
    TrackState.LOST: track_pb2.TRACK_STATE_LOST,
}
_CAUSES = {
    RevisionCause.SMOOTHING: track_pb2.REVISION_CAUSE_SMOOTHING,
    RevisionCause.EVIDENCE: track_pb2.REVISION_CAUSE_EVIDENCE,
}


def track_message(answer: TrackAnswer, face: face_pb2.Face) -> track_pb2.Track:
    """One track.

    Args:
        answer: the engine's.
        face: the message about its face; what the filter cut is added to its cut mass.
    """
    message = track_pb2.Track(
        track_id=answer.track_id,
        state=_STATES[answer.state],
        visible_probability=answer.visible_probability,
        lost_probability=answer.lost_probability,
        face=face,
    )
    message.face.posterior.cut_mass = min(message.face.posterior.cut_mass + answer.cut_mass, 1.0)
    if answer.reacquired is not None:
        message.reacquired_from = answer.reacquired.track_id
        message.reacquired_probability = answer.reacquired.probability
    if answer.has_evidence:
        message.evidence_outcome = outcome_message(answer.given.outcome)
        if answer.given.surprise is not None:
            message.surprise = answer.given.surprise
    return message


def revision_message(answer: RevisionAnswer, tracks: list[track_pb2.Track]) -> track_pb2.FrameRevision:
    """A better answer to an earlier frame."""
    return track_pb2.FrameRevision(
        frame_index=answer.frame_index,
        through_frame=answer.through_frame,
        cause=_CAUSES[answer.cause],
        tracks=tracks,
    )


def path_message(path: TrackPathAnswer) -> track_pb2.TrackPath:
    """The most probable path of one track."""
    return track_pb2.TrackPath(
        track_id=path.track_id,
        frame_indices=path.frame_indices,
        class_ids=path.class_ids,
        points=path.points.ravel().tolist(),
        score=path.score,
        score_gap=path.gap,
    )


def suggestion_message(found: FrameSuggestion) -> track_pb2.FrameSuggestion:
    """A click that would help."""
    return track_pb2.FrameSuggestion(
        frame_index=found.frame_index,
        track_id=found.track_id,
        suggestion=evidence_pb2.Suggestion(
            landmark=found.suggestion.landmark,
            error_reduction=found.suggestion.error_reduction,
            entropy_reduction=found.suggestion.entropy_reduction,
        ),
    )
