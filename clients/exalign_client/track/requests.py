"""From the arguments of `Client.track` and its frames to messages.

Every function raises InvalidRequestError, which names all that is wrong, and OSError where a picture cannot be read.
"""

from __future__ import annotations

import math
import os
import re
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from exalign.summary import summarised
from exalign.v1 import track_pb2
from exalign_client.errors import InvalidRequestError, Violation, Violations
from exalign_client.requests.arguments import BoxInput, ImageInput, box_message, image_message, whole, whole_in
from exalign_client.requests.evidence import evidence_message
from exalign_client.requests.messages import Evidence

TemporalModel = Literal["filter", "per_frame", "low_pass"]

_MODELS = {
    "filter": track_pb2.TEMPORAL_MODEL_FILTER,
    "per_frame": track_pb2.TEMPORAL_MODEL_PER_FRAME,
    "low_pass": track_pb2.TEMPORAL_MODEL_LOW_PASS,
}
_SESSION_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

#: Frames sent and not yet answered, and answers not yet taken, at most.
DEFAULT_WINDOW = 16
MAX_WINDOW = 256
_MAX_INDEX = 2**62
_MAX_MEDIA_TIME = 1e9


@dataclass(frozen=True, repr=False)
class TrackFrame:
    """One frame of a video, with what is known about it.

    Args:
        image: as in `Client.predict`; None where ``occluded``. All frames of a video have one size.
        index: number of the frame, ≥ 0, greater than the one before; None: the one before plus 1, from 0.
        media_time: presentation time, seconds; only comes back with the result.
        boxes: known faces, which win over prediction and detection: boxes, each for the track that
            it overlaps most or a new one, or a mapping from track id to box. With the filter, the jitter
            of one face's boxes from frame to frame is filtered out; a jump is taken over at once.
        evidence: about this frame: of one face (the only one, or the nearest), or a mapping from track id to evidence.
        occluded: the face cannot be seen in this frame: its picture is not used.
        box_moves: whether clicks may also shift and scale the box.
        may_change_model: where another bundle answers new videos by now, this one moves to it here: a `ModelChanged`
            comes before the result. Otherwise a video keeps its bundle.
    """

    __repr__ = summarised

    image: ImageInput | None = None
    index: int | None = None
    media_time: float | None = None
    boxes: Iterable[BoxInput] | Mapping[int, BoxInput] = ()
    evidence: Evidence | Mapping[int, Evidence] = ()
    occluded: bool = False
    box_moves: bool = True
    may_change_model: bool = False


@dataclass(frozen=True)
class PastEvidence:
    """Evidence that comes late: about a frame given before, among the frames of a video.

    Revisions answer it, of all frames within the smoothing lag. Not in live videos, which may have skipped the frame.

    Args:
        frame_index: number of the frame; one of the last ``smoothing_lag`` + 1 that were given.
        evidence: as in `TrackFrame`; it is added to what the frame already has.
        box_moves: whether clicks may also shift and scale the box.
    """

    frame_index: int
    evidence: Evidence | Mapping[int, Evidence]
    box_moves: bool = True


#: A frame, or only its picture; or evidence about an earlier one.
FrameInput: TypeAlias = "TrackFrame | PastEvidence | ImageInput"


def temporal_settings(
    temporal_model: TemporalModel, smoothing_lag: int, wrong: Violations
) -> tuple[track_pb2.TemporalModel.ValueType, int]:
    """The temporal model, and the lag of its smoothing, frames."""
    if temporal_model not in _MODELS:
        wrong.at("temporal_model").add(f"{temporal_model!r} is none of {', '.join(_MODELS)}")
    lag = whole_in(smoothing_lag, 0, wrong.at("smoothing_lag")) or 0
    if lag and temporal_model != "filter":
        wrong.at("smoothing_lag").add(f"{lag} must be 0 with temporal_model {temporal_model!r}")
    return _MODELS.get(temporal_model, track_pb2.TEMPORAL_MODEL_UNSPECIFIED), lag


def session_name(session_id: str | None, wrong: Violations) -> str:
    """The caller's name for the session; empty where there is none."""
    if session_id is not None and not (isinstance(session_id, str) and _SESSION_NAME.fullmatch(session_id)):
        wrong.at("session_id").add(f"{session_id!r} must be 1 to 64 of [A-Za-z0-9_.-]")
    return session_id or ""


def check_frames(frames: object, *, asynchronous: bool = False) -> None:
    """Refuse what is one picture, or a file's name, where an iterable of frames is wanted.

    Raises:
        InvalidRequestError: it is no iterable of frames.
    """
    wanted = "an iterable of pictures or TrackFrames"
    kinds = (Iterable, AsyncIterable) if asynchronous else (Iterable,)
    if isinstance(frames, (str, bytes, bytearray, memoryview, os.PathLike)) or not isinstance(frames, kinds):
        raise InvalidRequestError([Violation("frames", f"a {type(frames).__name__} is not {wanted}")])
    if isinstance(frames, np.ndarray) and (frames.ndim < 3 or (frames.ndim == 3 and frames.shape[2] == 3)):
        shape = f"an array of shape {frames.shape}"
        raise InvalidRequestError([Violation("frames", f"{shape} is one picture, not {wanted}")])


class VideoMessages:
    """What a caller gives, one by one, as messages.

    Args:
        config: of the video.
    """

    def __init__(self, config: track_pb2.TrackConfig) -> None:
        self._lag, self._live = config.smoothing_lag, config.mode == track_pb2.TRACK_MODE_LIVE
        #: Numbers of the newest frames.
        self._recent: deque[int] = deque(maxlen=self._lag + 1)

    def message(self, given: FrameInput) -> track_pb2.VideoFrame | track_pb2.PastEvidence:
        """The message of a frame or of late evidence."""
        if isinstance(given, PastEvidence):
            return self._past(given)
        message = frame_message(given, self._recent[-1] if self._recent else -1)
        self._recent.append(message.frame_index)
        return message

    def _past(self, given: PastEvidence) -> track_pb2.PastEvidence:
        wrong = Violations()
        index, here = whole(given.frame_index), wrong.at(f"frames: evidence about frame {given.frame_index!r}")
        if self._live or not self._lag:
            reason = "a live video takes evidence with its frames only" if self._live else "needs a smoothing_lag ≥ 1"
            here.add(reason)
        elif index is None or index not in self._recent:
            last = ", ".join(map(str, self._recent)) or "none yet"
            here.add(f"must be about one of the last {self._lag + 1} frames given: {last}")
        message = track_pb2.PastEvidence(frame_index=index if index in self._recent else None)
        _add_evidence(message, given, wrong)
        if not message.evidence and not wrong:
            here.add("holds no click, region or pose")
        wrong.raise_if_any()
        return message


def frame_message(given: TrackFrame | ImageInput, after: int) -> track_pb2.VideoFrame:
    """One frame as a message.

    Args:
        given: the frame, or its picture.
        after: number of the frame before it; −1 before the first.
    """
    frame = given if isinstance(given, TrackFrame) else TrackFrame(given)
    index = after + 1 if frame.index is None else whole(frame.index)
    if index is None or not after < index <= _MAX_INDEX:
        limit = f"greater than {after}, the frame before it" if after >= 0 else "≥ 0"
        raise InvalidRequestError([Violation("frames.index", f"{frame.index!r} must be a whole number {limit}")])
    wrong = Violations(f"frames[{index}]")
    message = track_pb2.VideoFrame(
        frame_index=index, occluded=frame.occluded, may_change_model=bool(frame.may_change_model)
    )
    if frame.image is not None:
        image = image_message(frame.image, wrong.at("image"))
        if image is not None:
            message.image.CopyFrom(image)
    elif not frame.occluded:
        wrong.at("image").add("is None; a frame needs a picture unless it is occluded")
    if frame.media_time is not None:
        if not (math.isfinite(frame.media_time) and abs(frame.media_time) <= _MAX_MEDIA_TIME):
            wrong.at("media_time").add(f"{frame.media_time!r} is not a number of seconds")
        else:
            message.media_time.FromNanoseconds(round(frame.media_time * 1e9))
    _add_boxes(message, frame.boxes, wrong)
    _add_evidence(message, frame, wrong)
    wrong.raise_if_any()
    return message


def _add_boxes(
    message: track_pb2.VideoFrame, boxes: Iterable[BoxInput] | Mapping[int, BoxInput], wrong: Violations
) -> None:
    pairs = list(boxes.items()) if isinstance(boxes, Mapping) else [(0, box) for box in boxes]
    for number, (track_id, box) in enumerate(pairs):
        key = track_id if isinstance(boxes, Mapping) else number
        found = box_message(box, wrong.at(f"boxes[{key!r}]"))
        if found is not None:
            message.boxes.add(track_id=_track_id(track_id, wrong.at("boxes")), box=found)


def _add_evidence(
    message: track_pb2.VideoFrame | track_pb2.PastEvidence, given: TrackFrame | PastEvidence, wrong: Violations
) -> None:
    by_track = given.evidence if isinstance(given.evidence, Mapping) else {0: given.evidence}
    for track_id, evidence in by_track.items():
        found = evidence_message(evidence, given.box_moves, wrong.at("evidence"))
        if found.clicks or found.regions or found.poses:
            message.evidence.add(track_id=_track_id(track_id, wrong.at("evidence")), evidence=found)


def _track_id(track_id: object, wrong: Violations) -> int:
    number = whole(track_id)
    if number is None or not 0 <= number < 2**31:
        wrong.add(f"{track_id!r} is no track id: ≥ 1, or 0 for the nearest track")
        return 0
    return number
