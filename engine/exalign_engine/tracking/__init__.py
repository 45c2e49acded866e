"""One TrackVideo session without its network: tracks, their filter, and the answers.

A session never decodes, detects, crops or scores. Its caller does, in this order:

    pending = session.begin(frame)                          # nothing has changed yet
    found = aligner.locate(image) if pending.detect else []
    places = session.places(pending, found)                 # what to crop and score
    answer = session.finish(pending, rows)                  # the only step that moves the state: all or nothing
"""

from exalign_engine.tracking.answers import (
    TRACK_BOX,
    ClosingAnswer,
    Frame,
    FrameAnswer,
    FrameSuggestion,
    RevisionAnswer,
    RevisionCause,
    SuggestionQuery,
    TrackAnswer,
    TrackPathAnswer,
)
from exalign_engine.tracking.errors import FrameTooOldError, StateError, StateReason
from exalign_engine.tracking.options import (
    DETECT_EVERY,
    MAX_PATH_FRAMES,
    MAX_SMOOTHING_LAG,
    SessionOptions,
    TemporalModel,
)
from exalign_engine.tracking.session import Pending, TrackingSession
from exalign_engine.tracking.visibility import TrackState

__all__ = [
    "DETECT_EVERY",
    "MAX_PATH_FRAMES",
    "MAX_SMOOTHING_LAG",
    "TRACK_BOX",
    "ClosingAnswer",
    "Frame",
    "FrameAnswer",
    "FrameSuggestion",
    "FrameTooOldError",
    "Pending",
    "RevisionAnswer",
    "RevisionCause",
    "SessionOptions",
    "StateError",
    "StateReason",
    "SuggestionQuery",
    "TemporalModel",
    "TrackAnswer",
    "TrackPathAnswer",
    "TrackState",
    "TrackingSession",
]
