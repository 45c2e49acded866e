"""The messages of a TrackVideo client, as checked values, with every wrong field named at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from exalign.v1 import face_pb2, track_pb2
from exalign_engine import LocatedFace
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.geometry.boxes import MAX_FACES
from exalign_engine.tracking import DETECT_EVERY, SessionOptions, SuggestionWish, TemporalModel
from exalign_service.requests.evidence import RequestedEvidence, read_evidence, read_suggestion_options
from exalign_service.requests.picture import (
    DetectionOptions,
    GivenBox,
    Picture,
    RequestLimits,
    read_box,
    read_detection,
    read_landmark_options,
    unknown_enum,
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

#: Where a wrong session option stands in the config; others stand at its top.
_OPTION_PATHS = {"max_faces": "detection.max_faces"}


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
    """

    name: str
    token: ResumeToken | None
    fingerprint: bytes
    live: bool
    session: SessionOptions
    detection: DetectionOptions
    views: ViewOptions
    suggestion: SuggestionWish | None


@dataclass(frozen=True)
class RequestedTrackEvidence:
    """Evidence about one track (0: the nearest), and where it stands in the message."""

    track_id: int
    evidence: RequestedEvidence
    path: str

    def resolve(self, located: LocatedFace) -> Evidence:
        """On a face, which says how far a click without a σ is to be trusted.

        Raises:
            InvalidInputError: it contradicts itself.
        """
        try:
            return self.evidence.added_to(Evidence(), located)
        except InvalidInputError as e:
            raise InvalidInputError(under(self.path, e.violations)) from None


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
    """

    index: int
    media_time: Duration | None
    picture: Picture | None
    boxes: dict[str, tuple[int, GivenBox]]
    evidence: tuple[RequestedTrackEvidence, ...]
    size_bytes: int


@dataclass(frozen=True)
class RequestedPastEvidence:
    """Evidence about a frame that was sent before."""

    index: int
    evidence: tuple[RequestedTrackEvidence, ...]
    size_bytes: int


def read_config(config: track_pb2.TrackConfig, limits: RequestLimits) -> TrackOptions:
    """The first message.

    Raises:
        InvalidInputError: every wrong field.
    """
    wrong: list[Violation] = []
    if config.session_id and not _NAME.fullmatch(config.session_id):
        shown = config.session_id if len(config.session_id) <= 64 else f"{config.session_id[:64]}…"
        wrong.append(Violation("session_id", f"is {shown!r}, must be 1 to 64 of [A-Za-z0-9_.-]"))
    token = None
    if config.resume_token:
        try:
            token = ResumeToken.decode(config.resume_token)
        except DamagedTokenError as e:
            wrong.append(Violation("resume_token", str(e)))
    if config.mode not in track_pb2.TrackMode.values():
        wrong.append(unknown_enum("mode", config.mode, track_pb2.TrackMode.DESCRIPTOR))
    if config.temporal_model not in _MODELS:
        wrong.append(unknown_enum("temporal_model", config.temporal_model, track_pb2.TemporalModel.DESCRIPTOR))
    detection = _detection(config, limits, wrong)
    options = _options(config, detection.max_faces, wrong)
    views = ViewOptions(
        read_landmark_options(config.landmarks, limits.config, wrong),
        read_heatmap_options(config.heatmaps, wrong) if config.HasField("heatmaps") else None,
        read_pose_options(config.pose, wrong) if config.HasField("pose") else None,
    )
    suggestion = None
    if config.HasField("suggestion"):
        wished = read_suggestion_options(config.suggestion, wrong)
        suggestion = SuggestionWish(wished.sigma, wished.landmarks or None, wished.criterion, wished.most)
    if wrong:
        raise InvalidInputError(under("config", wrong))
    live = config.mode == track_pb2.TRACK_MODE_LIVE
    name = config.session_id or (token.session if token is not None else "")
    return TrackOptions(name, token, _fingerprint(config), live, options, detection, views, suggestion)


def read_frame(frame: track_pb2.VideoFrame, limits: RequestLimits, options: TrackOptions) -> RequestedFrame:
    """A frame, all but what depends on its picture.

    Raises:
        InvalidInputError: every wrong field.
    """
    wrong: list[Violation] = []
    index = _index(frame, wrong)
    if not frame.occluded and frame.image.WhichOneof("source") is None:
        wrong.append(Violation("image", "is not set, must hold an encoded or a raw image unless occluded"))
    boxes: dict[str, tuple[int, GivenBox]] = {}
    most = options.session.max_faces
    if len(frame.boxes) > most:
        wrong.append(Violation("boxes", f"has {len(frame.boxes)} boxes, at most {most} tracks were asked for"))
    for i, given in enumerate(frame.boxes[:most]):
        path = f"boxes[{i}].box"
        _check_track(given.track_id, f"boxes[{i}]", wrong)
        if not given.HasField("box"):
            wrong.append(Violation(path, "is not set, must be a box"))
            continue
        box = read_box(given.box, path, limits, wrong)
        if box is not None:
            boxes[path] = (given.track_id, box)
    evidence = _evidence(frame.evidence, options, "frame", wrong)
    if wrong:
        raise InvalidInputError(under("frame", wrong))
    picture = None if frame.occluded else Picture(frame.image, {}, options.detection)
    media_time = frame.media_time if frame.HasField("media_time") else None
    return RequestedFrame(index, media_time, picture, boxes, evidence, frame.ByteSize())


def read_past_evidence(past: track_pb2.PastEvidence, options: TrackOptions) -> RequestedPastEvidence:
    """Evidence about a frame that was sent before.

    Raises:
        InvalidInputError: every wrong field.
    """
    wrong: list[Violation] = []
    index = _index(past, wrong)
    if not past.evidence:
        wrong.append(Violation("evidence", "is empty, must hold at least one"))
    evidence = _evidence(past.evidence, options, "past_evidence", wrong)
    if wrong:
        raise InvalidInputError(under("past_evidence", wrong))
    return RequestedPastEvidence(index, evidence, past.ByteSize())


def under(prefix: str, violations: Iterable[Violation]) -> list[Violation]:
    """The same violations, one level further down."""
    return [Violation(f"{prefix}.{v.field}", v.description) for v in violations]


def _detection(config: track_pb2.TrackConfig, limits: RequestLimits, wrong: list[Violation]) -> DetectionOptions:
    """How faces are found: one unless the config says otherwise."""
    options = face_pb2.DetectionOptions()
    options.CopyFrom(config.detection)
    if not options.HasField("max_faces"):
        options.max_faces = 1
    detection = read_detection(options, limits, wrong, ignored=False)
    if MAX_FACES < detection.max_faces <= limits.config.max_faces:
        text = f"is {detection.max_faces}, must be 1 to {MAX_FACES}"
        wrong.append(Violation("detection.max_faces", text))
    return detection


def _options(config: track_pb2.TrackConfig, max_faces: int, wrong: list[Violation]) -> SessionOptions:
    """The engine's options; it judges them."""
    try:
        return SessionOptions(
            temporal_model=_MODELS.get(config.temporal_model, TemporalModel.FILTER),
            smoothing_lag=config.smoothing_lag,
            # Judged with the other fields of `detection`.
            max_faces=min(max(max_faces, 1), MAX_FACES),
            detect_every=config.detect_every if config.HasField("detect_every") else DETECT_EVERY,
            path_frames=config.path_frames,
        )
    except InvalidInputError as e:
        wrong += e.violations
        return SessionOptions()


def _fingerprint(config: track_pb2.TrackConfig) -> bytes:
    """All of a config that must not change, in one canonical form."""
    rest = track_pb2.TrackConfig()
    rest.CopyFrom(config)
    rest.ClearField("session_id")
    rest.ClearField("resume_token")
    serialized: bytes = rest.SerializeToString(deterministic=True)
    return serialized


def _index(message: track_pb2.VideoFrame | track_pb2.PastEvidence, wrong: list[Violation]) -> int:
    if not message.HasField("frame_index"):
        wrong.append(Violation("frame_index", "is not set, must be at least 0"))
    elif message.frame_index < 0:
        wrong.append(Violation("frame_index", f"is {message.frame_index}, must be at least 0"))
    return message.frame_index


def _check_track(track_id: int, path: str, wrong: list[Violation]) -> None:
    if track_id < 0:
        wrong.append(Violation(f"{path}.track_id", f"is {track_id}, must be 0 or the id of a track"))


def _evidence(
    given: Iterable[track_pb2.TrackEvidence], options: TrackOptions, owner: str, wrong: list[Violation]
) -> tuple[RequestedTrackEvidence, ...]:
    entries, most = list(given), options.session.max_faces
    if len(entries) > most:
        wrong.append(Violation("evidence", f"has {len(entries)} entries, at most {most} tracks were asked for"))
    found = []
    for i, entry in enumerate(entries[:most]):
        path = f"evidence[{i}]"
        _check_track(entry.track_id, path, wrong)
        if not entry.HasField("evidence"):
            wrong.append(Violation(f"{path}.evidence", "is not set, must be there; it may be empty"))
            continue
        faults: list[Violation] = []
        asked = read_evidence(entry.evidence, faults)
        wrong += under(path, faults)
        found.append(RequestedTrackEvidence(entry.track_id, asked, f"{owner}.{path}"))
    return tuple(found)
