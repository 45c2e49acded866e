"""Reads the last message of a video."""

from __future__ import annotations

from exalign.v1 import track_pb2
from exalign_client.errors import InternalServerError
from exalign_client.json_form import float32_decimal
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.results.conditional import Suggestion
from exalign_client.results.faces import array_from
from exalign_client.track.results import FrameSuggestion, TrackClosed, TrackPath, TrackSummary


def closed_from(message: track_pb2.TrackClosed) -> TrackClosed:
    """Read the end.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    s = message.summary
    return TrackClosed(
        summary=TrackSummary(
            frames_received=s.frames_received,
            frames_answered=s.frames_answered,
            frames_skipped=s.frames_skipped,
            frames_with_problems=s.frames_with_problems,
            tracks_opened=s.tracks_opened,
            tracks_lost=s.tracks_lost,
            detector_runs=s.detector_runs,
        ),
        paths=tuple(_path(path, f"closed.paths[{number}]") for number, path in enumerate(message.paths)),
        suggestions=tuple(_suggestion(found) for found in message.suggestions),
    )


def _path(message: track_pb2.TrackPath, path: str) -> TrackPath:
    frames = len(message.frame_indices)
    if len(message.class_ids) != frames:
        raise InternalServerError(
            f"the answer does not keep to the contract: {path} has {frames} frames and {len(message.class_ids)} classes"
        )
    return TrackPath(
        track_id=message.track_id,
        frame_indices=tuple(message.frame_indices),
        class_ids=tuple(message.class_ids),
        landmarks=array_from(message.points, (frames, N_LANDMARKS, 2), f"{path}.points"),
        score=message.score,
        score_gap=message.score_gap,
    )


def _suggestion(message: track_pb2.FrameSuggestion) -> FrameSuggestion:
    found = message.suggestion
    gain = Suggestion(found.landmark, float32_decimal(found.error_reduction), float32_decimal(found.entropy_reduction))
    return FrameSuggestion(message.frame_index, message.track_id, gain)
