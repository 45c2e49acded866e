"""The messages of a TrackVideo client, as checked values. One error names every wrong field."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from exalign.v1 import face_pb2, track_pb2
from exalign_engine import LocatedFace
from exalign_engine.errors import InvalidInputError, Violations
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.geometry.boxes import MAX_FACES
from exalign_engine.tracking import DETECT_EVERY, SessionOptions, SuggestionQuery, TemporalModel
from exalign_service.requests.answer_size import answer_size
from exalign_service.requests.enums import add_unknown_enum
from exalign_service.requests.evidence import RequestedEvidence, read_evidence, read_suggestion_options
from exalign_service.requests.picture import (
    DetectionOptions,
    GivenBox,
    Picture,
    RequestLimits,
    read_box,
    read_detection,
    read_landmark_options,
)
from exalign_service.requests.views import ViewOptions, read_heatmap_options, read_pose_options
from exalign_service.track.resume_token import DamagedTokenError, ResumeToken

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_MODELS = {
    track_pb2.TEMPORAL_MODEL_UNSPECIFIED: TemporalModel.FILTER,
    track_pb2.TEMPORAL_MODEL_FILTER: TemporalModel.FILTER,
    track_pb2.TEMPORAL_MODEL_PER_FRAME: TemporalModel.PER_FRAME,
    track_pb2.TEMPORAL_MODEL_LOW_PASS: TemporalModel.LOW_PASS,
}


@dataclass(frozen=True)
class TrackOptions:
    """How a session works.

    Attributes:
        name: of the session; empty: the server chooses.
        token: where to go on; None: a new session.
        fingerprint: of everything else; it must be the same when a session is resumed.
        live: the newest frame wins; otherwise every frame is answered.
        session: the options of the engine's session.
        detection: how faces are found.
        views: of each face in each frame.
        suggestion: what to suggest at the end; None: nothing.
        resends_after: all frames after this one can be sent again; None: that is not said.
    """

    name: str
    token: ResumeToken | None
    fingerprint: bytes
    live: bool
    session: SessionOptions
    detection: DetectionOptions
    views: ViewOptions
    suggestion: SuggestionQuery | None
    resends_after: int | None = None


@dataclass(frozen=True)
class RequestedTrackEvidence:
    """Evidence about one track (0: the nearest), and where it stands in the message."""

    track_id: int
    evidence: RequestedEvidence
    path: str

    def resolve(self, located: LocatedFace) -> Evidence:
        """The evidence on a face, which decides the σ of a click that has none.

        Raises:
            InvalidInputError: it contradicts itself.
        """
        try:
            return self.evidence.added_to(Evidence(), located)
        except InvalidInputError as e:
            raise e.below(self.path) from None


@dataclass(frozen=True)
class RequestedFrame:
    """One frame of the client's.

    Attributes:
        index: its number.
        media_time: to be echoed; None: there was none.
        picture: None where the frame is occluded.
        boxes: by path; (track id, or 0; box).
        evidence: about it.
        size_bytes: of the message.
        may_change_model: whether the session may move to another bundle with it.
        message: as it was sent.
    """

    index: int
    media_time: Duration | None
    picture: Picture | None
    boxes: dict[str, tuple[int, GivenBox]]
    evidence: tuple[RequestedTrackEvidence, ...]
    size_bytes: int
    message: track_pb2.VideoFrame
    may_change_model: bool = False


@dataclass(frozen=True)
class RequestedPastEvidence:
    """Evidence about a frame that was sent before, and the message as it was sent."""

    index: int
    evidence: tuple[RequestedTrackEvidence, ...]
    size_bytes: int
    message: track_pb2.PastEvidence


def readable_token(config: track_pb2.TrackConfig) -> ResumeToken | None:
    """The resume token of a config, whether or not it is good; None where there is none, or a damaged one."""
    try:
        return ResumeToken.decode(config.resume_token) if config.resume_token else None
    except DamagedTokenError:
        return None


def read_config(config: track_pb2.TrackConfig, limits: RequestLimits) -> TrackOptions:
    """The first message.

    Raises:
        InvalidInputError: every wrong field.
    """
    violations = Violations("config")
    if config.session_id and not _NAME.fullmatch(config.session_id):
        shown = config.session_id if len(config.session_id) <= 64 else f"{config.session_id[:64]}…"
        violations.add("session_id", f"is {shown!r}, must be 1 to 64 of [A-Za-z0-9_.-]")
    token = None
    if config.resume_token:
        try:
            token = ResumeToken.decode(config.resume_token)
        except DamagedTokenError as e:
            violations.add("resume_token", str(e))
    if config.mode not in track_pb2.TrackMode.values():
        add_unknown_enum(violations, "mode", config.mode, track_pb2.TrackMode.DESCRIPTOR)
    if config.temporal_model not in _MODELS:
        add_unknown_enum(violations, "temporal_model", config.temporal_model, track_pb2.TemporalModel.DESCRIPTOR)
    detection = _detection(config, limits, violations)
    session = _session_options(config, detection.max_faces, violations)
    views = ViewOptions(
        read_landmark_options(config.landmarks, limits.config, violations),
        read_heatmap_options(config.heatmaps, violations) if config.HasField("heatmaps") else None,
        read_pose_options(config.pose, violations) if config.HasField("pose") else None,
    )
    # Not by what is tracked: a frame in the middle of a video could only be refused with all that come after it.
    size = answer_size(views, limits.config.max_answer_bytes, at_worst=True)
    # Late evidence is answered by a revision of every frame in the lag, all at once.
    size.add_violation(session.max_faces, violations, frames=session.smoothing_lag + 1)
    suggestion = None
    if config.HasField("suggestion"):
        given = read_suggestion_options(config.suggestion, violations)
        suggestion = SuggestionQuery(given.sigma, given.landmarks or None, given.criterion, given.most)
    violations.raise_if_any()
    live = config.mode == track_pb2.TRACK_MODE_LIVE
    name = config.session_id or (token.session if token is not None else "")
    again = config.resends_after if config.HasField("resends_after") else None
    return TrackOptions(name, token, _fingerprint(config), live, session, detection, views, suggestion, again)


def read_frame(frame: track_pb2.VideoFrame, limits: RequestLimits, options: TrackOptions) -> RequestedFrame:
    """A frame, all but what depends on its picture.

    Raises:
        InvalidInputError: every wrong field.
    """
    violations = Violations("frame")
    index = _index(frame, violations)
    if not frame.occluded and frame.image.WhichOneof("source") is None:
        violations.add("image", "is not set, must hold an encoded or a raw image unless occluded")
    boxes: dict[str, tuple[int, GivenBox]] = {}
    most = options.session.max_faces
    if len(frame.boxes) > most:
        violations.add("boxes", f"has {len(frame.boxes)} boxes, at most {most} tracks were asked for")
    for i, given in enumerate(frame.boxes[:most]):
        part = violations.at(f"boxes[{i}]")
        _check_track(given.track_id, part)
        if not given.HasField("box"):
            part.add("box", "is not set, must be a box")
            continue
        box = read_box(given.box, limits, part.at("box"))
        if box is not None:
            boxes[f"boxes[{i}].box"] = (given.track_id, box)
    evidence = _evidence(frame.evidence, options, violations)
    violations.raise_if_any()
    picture = None if frame.occluded else Picture(frame.image, {}, options.detection)
    media_time = frame.media_time if frame.HasField("media_time") else None
    size, may_change = frame.ByteSize(), frame.may_change_model
    return RequestedFrame(index, media_time, picture, boxes, evidence, size, frame, may_change)


def read_past_evidence(past: track_pb2.PastEvidence, options: TrackOptions) -> RequestedPastEvidence:
    """Evidence about a frame that was sent before.

    Raises:
        InvalidInputError: every wrong field.
    """
    violations = Violations("past_evidence")
    index = _index(past, violations)
    if not past.evidence:
        violations.add("evidence", "is empty, must hold at least one")
    evidence = _evidence(past.evidence, options, violations)
    violations.raise_if_any()
    return RequestedPastEvidence(index, evidence, past.ByteSize(), past)


def _detection(config: track_pb2.TrackConfig, limits: RequestLimits, violations: Violations) -> DetectionOptions:
    """How faces are found: one unless the config says otherwise."""
    options = face_pb2.DetectionOptions()
    options.CopyFrom(config.detection)
    if not options.HasField("max_faces"):
        options.max_faces = 1
    detection = read_detection(options, limits, violations, ignored=False)
    if MAX_FACES < detection.max_faces <= limits.config.max_faces:
        violations.add("detection.max_faces", f"is {detection.max_faces}, must be 1 to {MAX_FACES}")
    return detection


def _session_options(config: track_pb2.TrackConfig, max_faces: int, violations: Violations) -> SessionOptions:
    """The options of the engine's session, which checks them."""
    try:
        return SessionOptions(
            temporal_model=_MODELS.get(config.temporal_model, TemporalModel.FILTER),
            smoothing_lag=config.smoothing_lag,
            # Checked with the other fields of `detection`.
            max_faces=min(max(max_faces, 1), MAX_FACES),
            detect_every=config.detect_every if config.HasField("detect_every") else DETECT_EVERY,
            path_frames=config.path_frames,
        )
    except InvalidInputError as e:
        violations.extend(e.violations)
        return SessionOptions()


def _fingerprint(config: track_pb2.TrackConfig) -> bytes:
    """All of a config that must not change, in one canonical form."""
    rest = track_pb2.TrackConfig()
    rest.CopyFrom(config)
    rest.ClearField("session_id")
    rest.ClearField("resume_token")
    rest.ClearField("resends_after")
    serialized: bytes = rest.SerializeToString(deterministic=True)
    return serialized


def _index(message: track_pb2.VideoFrame | track_pb2.PastEvidence, violations: Violations) -> int:
    if not message.HasField("frame_index"):
        violations.add("frame_index", "is not set, must be at least 0")
    elif message.frame_index < 0:
        violations.add("frame_index", f"is {message.frame_index}, must be at least 0")
    return message.frame_index


def _check_track(track_id: int, violations: Violations) -> None:
    if track_id < 0:
        violations.add("track_id", f"is {track_id}, must be 0 or the id of a track")


def _evidence(
    given: Iterable[track_pb2.TrackEvidence], options: TrackOptions, violations: Violations
) -> tuple[RequestedTrackEvidence, ...]:
    entries, most = list(given), options.session.max_faces
    if len(entries) > most:
        violations.add("evidence", f"has {len(entries)} entries, at most {most} tracks were asked for")
    found = []
    for i, entry in enumerate(entries[:most]):
        part = violations.at(f"evidence[{i}]")
        _check_track(entry.track_id, part)
        if not entry.HasField("evidence"):
            part.add("evidence", "is not set, must be there; it may be empty")
            continue
        requested = read_evidence(entry.evidence, part)
        found.append(RequestedTrackEvidence(entry.track_id, requested, part.path))
    return tuple(found)
