"""What the caller chooses for a session, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.geometry.boxes import MAX_FACES

#: Frames of look-ahead that smoothing may have.
MAX_SMOOTHING_LAG = 30

#: Frames that the most probable path, and the suggestion at the end, may look back on.
MAX_PATH_FRAMES = 256

#: The detector runs on every n-th frame by index: about once a second of video.
DETECT_EVERY = 30


class TemporalModel(Enum):
    """What carries a face from frame to frame."""

    #: Forward filtering of the K-state HMM.
    FILTER = "filter"
    #: Each frame by itself.
    PER_FRAME = "per_frame"
    #: The paper's mean of the landmarks over three frames, this one and the two before it.
    LOW_PASS = "low_pass"  # noqa: S105 - a filter's name


@dataclass(frozen=True)
class SessionOptions:
    """What the caller chooses for a whole session.

    Args:
        temporal_model: what carries a face from frame to frame.
        smoothing_lag: frames of look-ahead, 0 to `MAX_SMOOTHING_LAG`; more than 0 with `TemporalModel.FILTER` only.
        max_faces: most tracks at once, 1 to `exalign_engine.geometry.boxes.MAX_FACES`.
        detect_every: the detector runs on every n-th frame by index; 0: only at the start and while a face is not seen.
        temporal_mean: revisions by smoothing are means over the frames around them
            (`exalign_engine.tracking.temporal_mean`); without a smoothing lag it changes nothing.
        path_frames: length of the most probable path at the end, 0 (none) to `MAX_PATH_FRAMES`; also the frames
            that a suggestion at the end looks back on.

    Raises:
        InvalidInputError: names every wrong field.
    """

    temporal_model: TemporalModel = TemporalModel.FILTER
    smoothing_lag: int = 0
    max_faces: int = 1
    detect_every: int = DETECT_EVERY
    path_frames: int = 0
    temporal_mean: bool = True

    def __post_init__(self) -> None:
        wrong = []
        ranges = (
            ("smoothing_lag", 0, MAX_SMOOTHING_LAG),
            ("max_faces", 1, MAX_FACES),
            ("path_frames", 0, MAX_PATH_FRAMES),
        )
        for name, least, most in ranges:
            value = getattr(self, name)
            if not least <= value <= most:
                wrong.append(Violation(name, f"is {value}, must be {least} to {most}"))
        if self.detect_every < 0:
            wrong.append(Violation("detect_every", f"is {self.detect_every}, must be at least 0"))
        if self.smoothing_lag > 0 and self.temporal_model is not TemporalModel.FILTER:
            name = self.temporal_model.value
            wrong.append(Violation("smoothing_lag", f"is {self.smoothing_lag}, must be 0 with temporal_model {name}"))
        if wrong:
            raise InvalidInputError(wrong)
