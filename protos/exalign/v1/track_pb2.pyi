
from collections import abc as _abc
from exalign.v1 import evidence_pb2 as _evidence_pb2
from exalign.v1 import face_pb2 as _face_pb2
from exalign.v1 import geometry_pb2 as _geometry_pb2
from exalign.v1 import heatmap_pb2 as _heatmap_pb2
from exalign.v1 import image_pb2 as _image_pb2
from exalign.v1 import pose_pb2 as _pose_pb2
from exalign.v1 import timing_pb2 as _timing_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

class _TrackMode:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _TrackModeEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_TrackMode.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    TRACK_MODE_UNSPECIFIED: _TrackMode.ValueType  # 0
    TRACK_MODE_LOSSLESS: _TrackMode.ValueType  # 1
    TRACK_MODE_LIVE: _TrackMode.ValueType  # 2

class TrackMode(_TrackMode, metaclass=_TrackModeEnumTypeWrapper):
    """What to do when frames come faster than they can be answered."""

TRACK_MODE_UNSPECIFIED: TrackMode.ValueType  # 0
TRACK_MODE_LOSSLESS: TrackMode.ValueType  # 1
TRACK_MODE_LIVE: TrackMode.ValueType  # 2
Global___TrackMode: _TypeAlias = TrackMode  # noqa: Y015

class _TemporalModel:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _TemporalModelEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_TemporalModel.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    TEMPORAL_MODEL_UNSPECIFIED: _TemporalModel.ValueType  # 0
    TEMPORAL_MODEL_FILTER: _TemporalModel.ValueType  # 1
    TEMPORAL_MODEL_PER_FRAME: _TemporalModel.ValueType  # 2
    TEMPORAL_MODEL_LOW_PASS: _TemporalModel.ValueType  # 3

class TemporalModel(_TemporalModel, metaclass=_TemporalModelEnumTypeWrapper):
    """How frames are joined."""

TEMPORAL_MODEL_UNSPECIFIED: TemporalModel.ValueType  # 0
TEMPORAL_MODEL_FILTER: TemporalModel.ValueType  # 1
TEMPORAL_MODEL_PER_FRAME: TemporalModel.ValueType  # 2
TEMPORAL_MODEL_LOW_PASS: TemporalModel.ValueType  # 3
Global___TemporalModel: _TypeAlias = TemporalModel  # noqa: Y015

class _TrackState:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _TrackStateEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_TrackState.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    TRACK_STATE_UNSPECIFIED: _TrackState.ValueType  # 0
    TRACK_STATE_VISIBLE: _TrackState.ValueType  # 1
    TRACK_STATE_HIDDEN: _TrackState.ValueType  # 2
    TRACK_STATE_LOST: _TrackState.ValueType  # 3

class TrackState(_TrackState, metaclass=_TrackStateEnumTypeWrapper):
    """What a track is doing."""

TRACK_STATE_UNSPECIFIED: TrackState.ValueType  # 0
TRACK_STATE_VISIBLE: TrackState.ValueType  # 1
TRACK_STATE_HIDDEN: TrackState.ValueType  # 2
TRACK_STATE_LOST: TrackState.ValueType  # 3
Global___TrackState: _TypeAlias = TrackState  # noqa: Y015

class _RevisionCause:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _RevisionCauseEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_RevisionCause.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    REVISION_CAUSE_UNSPECIFIED: _RevisionCause.ValueType  # 0
    REVISION_CAUSE_SMOOTHING: _RevisionCause.ValueType  # 1
    REVISION_CAUSE_EVIDENCE: _RevisionCause.ValueType  # 2

class RevisionCause(_RevisionCause, metaclass=_RevisionCauseEnumTypeWrapper):
    """Why an earlier answer changed."""

REVISION_CAUSE_UNSPECIFIED: RevisionCause.ValueType  # 0
REVISION_CAUSE_SMOOTHING: RevisionCause.ValueType  # 1
REVISION_CAUSE_EVIDENCE: RevisionCause.ValueType  # 2
Global___RevisionCause: _TypeAlias = RevisionCause  # noqa: Y015

class _GoAwayReason:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _GoAwayReasonEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_GoAwayReason.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    GO_AWAY_REASON_UNSPECIFIED: _GoAwayReason.ValueType  # 0
    GO_AWAY_REASON_DRAIN: _GoAwayReason.ValueType  # 1
    GO_AWAY_REASON_MAX_AGE: _GoAwayReason.ValueType  # 2

class GoAwayReason(_GoAwayReason, metaclass=_GoAwayReasonEnumTypeWrapper):
    """Why the server wants the stream to end."""

GO_AWAY_REASON_UNSPECIFIED: GoAwayReason.ValueType  # 0
GO_AWAY_REASON_DRAIN: GoAwayReason.ValueType  # 1
GO_AWAY_REASON_MAX_AGE: GoAwayReason.ValueType  # 2
Global___GoAwayReason: _TypeAlias = GoAwayReason  # noqa: Y015

@_typing.final
class TrackConfig(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SESSION_ID_FIELD_NUMBER: _builtins.int
    RESUME_TOKEN_FIELD_NUMBER: _builtins.int
    MODE_FIELD_NUMBER: _builtins.int
    TEMPORAL_MODEL_FIELD_NUMBER: _builtins.int
    SMOOTHING_LAG_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    DETECT_EVERY_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    PATH_FRAMES_FIELD_NUMBER: _builtins.int
    SUGGESTION_FIELD_NUMBER: _builtins.int
    session_id: _builtins.str
    resume_token: _builtins.bytes
    mode: Global___TrackMode.ValueType
    temporal_model: Global___TemporalModel.ValueType
    smoothing_lag: _builtins.int
    detect_every: _builtins.int
    path_frames: _builtins.int
    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How faces are found: at the start, while one is not seen (every few frames), and every `detect_every` frames. Its max_faces is the
        greatest number of tracks; default 1 here.
        """

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """What to say about landmarks. Landmarks are always returned; absent: defaults."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Heatmaps for every frame; absent: none."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """Pose for every frame; absent: none."""

    @_builtins.property
    def suggestion(self) -> _evidence_pb2.SuggestionOptions:
        """Ask for the frame and landmark whose click would help most, in `closed`; absent: none."""

    def __init__(
        self,
        *,
        session_id: _builtins.str = ...,
        resume_token: _builtins.bytes = ...,
        mode: Global___TrackMode.ValueType = ...,
        temporal_model: Global___TemporalModel.ValueType = ...,
        smoothing_lag: _builtins.int = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        detect_every: _builtins.int | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
        path_frames: _builtins.int = ...,
        suggestion: _evidence_pb2.SuggestionOptions | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_detect_every", b"_detect_every", "detect_every", b"detect_every", "detection", b"detection", "heatmaps", b"heatmaps", "landmarks", b"landmarks", "pose", b"pose", "suggestion", b"suggestion"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_detect_every", b"_detect_every", "detect_every", b"detect_every", "detection", b"detection", "heatmaps", b"heatmaps", "landmarks", b"landmarks", "mode", b"mode", "path_frames", b"path_frames", "pose", b"pose", "resume_token", b"resume_token", "session_id", b"session_id", "smoothing_lag", b"smoothing_lag", "suggestion", b"suggestion", "temporal_model", b"temporal_model"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__detect_every: _TypeAlias = _typing.Literal["detect_every"]  # noqa: Y015
    _WhichOneofArgType__detect_every: _TypeAlias = _typing.Literal["_detect_every", b"_detect_every"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__detect_every) -> _WhichOneofReturnType__detect_every | None: ...

Global___TrackConfig: _TypeAlias = TrackConfig  # noqa: Y015

@_typing.final
class TrackBox(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    TRACK_ID_FIELD_NUMBER: _builtins.int
    BOX_FIELD_NUMBER: _builtins.int
    track_id: _builtins.int
    @_builtins.property
    def box(self) -> _geometry_pb2.Box:
        """The box. Required: INVALID_ARGUMENT when absent."""

    def __init__(
        self,
        *,
        track_id: _builtins.int = ...,
        box: _geometry_pb2.Box | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["box", b"box"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["box", b"box", "track_id", b"track_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackBox: _TypeAlias = TrackBox  # noqa: Y015

@_typing.final
class TrackEvidence(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    TRACK_ID_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    track_id: _builtins.int
    @_builtins.property
    def evidence(self) -> _evidence_pb2.Evidence:
        """The evidence. Required: INVALID_ARGUMENT when absent."""

    def __init__(
        self,
        *,
        track_id: _builtins.int = ...,
        evidence: _evidence_pb2.Evidence | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["evidence", b"evidence"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["evidence", b"evidence", "track_id", b"track_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackEvidence: _TypeAlias = TrackEvidence  # noqa: Y015

@_typing.final
class VideoFrame(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    MEDIA_TIME_FIELD_NUMBER: _builtins.int
    IMAGE_FIELD_NUMBER: _builtins.int
    BOXES_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    OCCLUDED_FIELD_NUMBER: _builtins.int
    ACKED_FRAME_FIELD_NUMBER: _builtins.int
    MAY_CHANGE_MODEL_FIELD_NUMBER: _builtins.int
    frame_index: _builtins.int
    occluded: _builtins.bool
    acked_frame: _builtins.int
    may_change_model: _builtins.bool
    @_builtins.property
    def media_time(self) -> _duration_pb2.Duration:
        """Presentation time since the start of the video. Echoed; nothing is computed from it."""

    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """The picture. Required unless `occluded`. All frames of a session have one size: INVALID_ARGUMENT otherwise."""

    @_builtins.property
    def boxes(self) -> _containers.RepeatedCompositeFieldContainer[Global___TrackBox]:
        """Boxes that the caller knows; they win over prediction and detection. With the filter, what one face's boxes
        tremble by from frame to frame, a few hundredths of their sides, is filtered out; a jump is followed at once.
        """

    @_builtins.property
    def evidence(self) -> _containers.RepeatedCompositeFieldContainer[Global___TrackEvidence]:
        """Evidence about this frame."""

    def __init__(
        self,
        *,
        frame_index: _builtins.int | None = ...,
        media_time: _duration_pb2.Duration | None = ...,
        image: _image_pb2.Image | None = ...,
        boxes: _abc.Iterable[Global___TrackBox] | None = ...,
        evidence: _abc.Iterable[Global___TrackEvidence] | None = ...,
        occluded: _builtins.bool = ...,
        acked_frame: _builtins.int | None = ...,
        may_change_model: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame", "_frame_index", b"_frame_index", "acked_frame", b"acked_frame", "frame_index", b"frame_index", "image", b"image", "media_time", b"media_time"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame", "_frame_index", b"_frame_index", "acked_frame", b"acked_frame", "boxes", b"boxes", "evidence", b"evidence", "frame_index", b"frame_index", "image", b"image", "may_change_model", b"may_change_model", "media_time", b"media_time", "occluded", b"occluded"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__acked_frame: _TypeAlias = _typing.Literal["acked_frame"]  # noqa: Y015
    _WhichOneofArgType__acked_frame: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame"]  # noqa: Y015
    _WhichOneofReturnType__frame_index: _TypeAlias = _typing.Literal["frame_index"]  # noqa: Y015
    _WhichOneofArgType__frame_index: _TypeAlias = _typing.Literal["_frame_index", b"_frame_index"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__acked_frame) -> _WhichOneofReturnType__acked_frame | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__frame_index) -> _WhichOneofReturnType__frame_index | None: ...

Global___VideoFrame: _TypeAlias = VideoFrame  # noqa: Y015

@_typing.final
class PastEvidence(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    frame_index: _builtins.int
    @_builtins.property
    def evidence(self) -> _containers.RepeatedCompositeFieldContainer[Global___TrackEvidence]:
        """The evidence, added to what that frame already has."""

    def __init__(
        self,
        *,
        frame_index: _builtins.int | None = ...,
        evidence: _abc.Iterable[Global___TrackEvidence] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_frame_index", b"_frame_index", "frame_index", b"frame_index"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_frame_index", b"_frame_index", "evidence", b"evidence", "frame_index", b"frame_index"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__frame_index: _TypeAlias = _typing.Literal["frame_index"]  # noqa: Y015
    _WhichOneofArgType__frame_index: _TypeAlias = _typing.Literal["_frame_index", b"_frame_index"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__frame_index) -> _WhichOneofReturnType__frame_index | None: ...

Global___PastEvidence: _TypeAlias = PastEvidence  # noqa: Y015

@_typing.final
class TrackAck(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    ACKED_FRAME_FIELD_NUMBER: _builtins.int
    acked_frame: _builtins.int
    def __init__(
        self,
        *,
        acked_frame: _builtins.int | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame", "acked_frame", b"acked_frame"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame", "acked_frame", b"acked_frame"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__acked_frame: _TypeAlias = _typing.Literal["acked_frame"]  # noqa: Y015
    _WhichOneofArgType__acked_frame: _TypeAlias = _typing.Literal["_acked_frame", b"_acked_frame"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__acked_frame) -> _WhichOneofReturnType__acked_frame | None: ...

Global___TrackAck: _TypeAlias = TrackAck  # noqa: Y015

@_typing.final
class Heartbeat(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SEQUENCE_FIELD_NUMBER: _builtins.int
    sequence: _builtins.int
    def __init__(
        self,
        *,
        sequence: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["sequence", b"sequence"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Heartbeat: _TypeAlias = Heartbeat  # noqa: Y015

@_typing.final
class TrackOpened(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    SESSION_ID_FIELD_NUMBER: _builtins.int
    EPOCH_FIELD_NUMBER: _builtins.int
    NEXT_FRAME_FIELD_NUMBER: _builtins.int
    IDLE_TIMEOUT_FIELD_NUMBER: _builtins.int
    MAX_AGE_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_FRAMES_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_BYTES_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    session_id: _builtins.str
    epoch: _builtins.int
    next_frame: _builtins.int
    max_unacked_frames: _builtins.int
    max_unacked_bytes: _builtins.int
    @_builtins.property
    def idle_timeout(self) -> _duration_pb2.Duration:
        """Send something at least this often."""

    @_builtins.property
    def max_age(self) -> _duration_pb2.Duration:
        """The session is drained (go_away) after this time."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        session_id: _builtins.str = ...,
        epoch: _builtins.int = ...,
        next_frame: _builtins.int = ...,
        idle_timeout: _duration_pb2.Duration | None = ...,
        max_age: _duration_pb2.Duration | None = ...,
        max_unacked_frames: _builtins.int = ...,
        max_unacked_bytes: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["idle_timeout", b"idle_timeout", "max_age", b"max_age"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "epoch", b"epoch", "idle_timeout", b"idle_timeout", "max_age", b"max_age", "max_unacked_bytes", b"max_unacked_bytes", "max_unacked_frames", b"max_unacked_frames", "next_frame", b"next_frame", "session_id", b"session_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackOpened: _TypeAlias = TrackOpened  # noqa: Y015

@_typing.final
class ModelChanged(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    frame_index: _builtins.int
    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        frame_index: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "frame_index", b"frame_index"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelChanged: _TypeAlias = ModelChanged  # noqa: Y015

@_typing.final
class MustAcknowledge(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    UNACKED_FRAMES_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_FRAMES_FIELD_NUMBER: _builtins.int
    NEWEST_FRAME_FIELD_NUMBER: _builtins.int
    UNACKED_BYTES_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_BYTES_FIELD_NUMBER: _builtins.int
    unacked_frames: _builtins.int
    max_unacked_frames: _builtins.int
    newest_frame: _builtins.int
    unacked_bytes: _builtins.int
    max_unacked_bytes: _builtins.int
    def __init__(
        self,
        *,
        unacked_frames: _builtins.int = ...,
        max_unacked_frames: _builtins.int = ...,
        newest_frame: _builtins.int = ...,
        unacked_bytes: _builtins.int = ...,
        max_unacked_bytes: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["max_unacked_bytes", b"max_unacked_bytes", "max_unacked_frames", b"max_unacked_frames", "newest_frame", b"newest_frame", "unacked_bytes", b"unacked_bytes", "unacked_frames", b"unacked_frames"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___MustAcknowledge: _TypeAlias = MustAcknowledge  # noqa: Y015

@_typing.final
class Track(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    TRACK_ID_FIELD_NUMBER: _builtins.int
    STATE_FIELD_NUMBER: _builtins.int
    VISIBLE_PROBABILITY_FIELD_NUMBER: _builtins.int
    LOST_PROBABILITY_FIELD_NUMBER: _builtins.int
    FACE_FIELD_NUMBER: _builtins.int
    EVIDENCE_OUTCOME_FIELD_NUMBER: _builtins.int
    SURPRISE_FIELD_NUMBER: _builtins.int
    track_id: _builtins.int
    state: Global___TrackState.ValueType
    visible_probability: _builtins.float
    lost_probability: _builtins.float
    evidence_outcome: _evidence_pb2.EvidenceOutcome.ValueType
    surprise: _builtins.float
    @_builtins.property
    def face(self) -> _face_pb2.Face:
        """The answer. Its posterior is the temporal one; cut_mass includes what the filter cut."""

    def __init__(
        self,
        *,
        track_id: _builtins.int = ...,
        state: Global___TrackState.ValueType = ...,
        visible_probability: _builtins.float = ...,
        lost_probability: _builtins.float = ...,
        face: _face_pb2.Face | None = ...,
        evidence_outcome: _evidence_pb2.EvidenceOutcome.ValueType | None = ...,
        surprise: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_evidence_outcome", b"_evidence_outcome", "_surprise", b"_surprise", "evidence_outcome", b"evidence_outcome", "face", b"face", "surprise", b"surprise"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_evidence_outcome", b"_evidence_outcome", "_surprise", b"_surprise", "evidence_outcome", b"evidence_outcome", "face", b"face", "lost_probability", b"lost_probability", "state", b"state", "surprise", b"surprise", "track_id", b"track_id", "visible_probability", b"visible_probability"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__evidence_outcome: _TypeAlias = _typing.Literal["evidence_outcome"]  # noqa: Y015
    _WhichOneofArgType__evidence_outcome: _TypeAlias = _typing.Literal["_evidence_outcome", b"_evidence_outcome"]  # noqa: Y015
    _WhichOneofReturnType__surprise: _TypeAlias = _typing.Literal["surprise"]  # noqa: Y015
    _WhichOneofArgType__surprise: _TypeAlias = _typing.Literal["_surprise", b"_surprise"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__evidence_outcome) -> _WhichOneofReturnType__evidence_outcome | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__surprise) -> _WhichOneofReturnType__surprise | None: ...

Global___Track: _TypeAlias = Track  # noqa: Y015

@_typing.final
class FrameProblem(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FIELD_FIELD_NUMBER: _builtins.int
    DESCRIPTION_FIELD_NUMBER: _builtins.int
    field: _builtins.str
    description: _builtins.str
    def __init__(
        self,
        *,
        field: _builtins.str = ...,
        description: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["description", b"description", "field", b"field"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___FrameProblem: _TypeAlias = FrameProblem  # noqa: Y015

@_typing.final
class FrameResult(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    MEDIA_TIME_FIELD_NUMBER: _builtins.int
    TRACKS_FIELD_NUMBER: _builtins.int
    SKIPPED_FRAMES_FIELD_NUMBER: _builtins.int
    RESUME_TOKEN_FIELD_NUMBER: _builtins.int
    LATENCY_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    PROBLEMS_FIELD_NUMBER: _builtins.int
    frame_index: _builtins.int
    resume_token: _builtins.bytes
    @_builtins.property
    def media_time(self) -> _duration_pb2.Duration:
        """As it was sent."""

    @_builtins.property
    def tracks(self) -> _containers.RepeatedCompositeFieldContainer[Global___Track]:
        """One a track, ascending by track_id; also hidden and lost ones."""

    @_builtins.property
    def skipped_frames(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """LIVE only: indices received and skipped since the previous result, ascending."""

    @_builtins.property
    def latency(self) -> _duration_pb2.Duration:
        """From the arrival of the frame to this result."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    @_builtins.property
    def problems(self) -> _containers.RepeatedCompositeFieldContainer[Global___FrameProblem]:
        """Why the picture was not used (it could not be decoded, has another size); the frame then counts as occluded."""

    def __init__(
        self,
        *,
        frame_index: _builtins.int = ...,
        media_time: _duration_pb2.Duration | None = ...,
        tracks: _abc.Iterable[Global___Track] | None = ...,
        skipped_frames: _abc.Iterable[_builtins.int] | None = ...,
        resume_token: _builtins.bytes = ...,
        latency: _duration_pb2.Duration | None = ...,
        timing: _timing_pb2.StageTiming | None = ...,
        problems: _abc.Iterable[Global___FrameProblem] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["latency", b"latency", "media_time", b"media_time", "timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["frame_index", b"frame_index", "latency", b"latency", "media_time", b"media_time", "problems", b"problems", "resume_token", b"resume_token", "skipped_frames", b"skipped_frames", "timing", b"timing", "tracks", b"tracks"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___FrameResult: _TypeAlias = FrameResult  # noqa: Y015

@_typing.final
class FrameRevision(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    THROUGH_FRAME_FIELD_NUMBER: _builtins.int
    CAUSE_FIELD_NUMBER: _builtins.int
    TRACKS_FIELD_NUMBER: _builtins.int
    frame_index: _builtins.int
    through_frame: _builtins.int
    cause: Global___RevisionCause.ValueType
    @_builtins.property
    def tracks(self) -> _containers.RepeatedCompositeFieldContainer[Global___Track]:
        """Tracks whose answer changed."""

    def __init__(
        self,
        *,
        frame_index: _builtins.int = ...,
        through_frame: _builtins.int = ...,
        cause: Global___RevisionCause.ValueType = ...,
        tracks: _abc.Iterable[Global___Track] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["cause", b"cause", "frame_index", b"frame_index", "through_frame", b"through_frame", "tracks", b"tracks"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___FrameRevision: _TypeAlias = FrameRevision  # noqa: Y015

@_typing.final
class GoAway(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    REASON_FIELD_NUMBER: _builtins.int
    RESUME_TOKEN_FIELD_NUMBER: _builtins.int
    GRACE_FIELD_NUMBER: _builtins.int
    reason: Global___GoAwayReason.ValueType
    resume_token: _builtins.bytes
    @_builtins.property
    def grace(self) -> _duration_pb2.Duration:
        """The stream is cut after this time."""

    def __init__(
        self,
        *,
        reason: Global___GoAwayReason.ValueType = ...,
        resume_token: _builtins.bytes = ...,
        grace: _duration_pb2.Duration | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["grace", b"grace"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["grace", b"grace", "reason", b"reason", "resume_token", b"resume_token"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GoAway: _TypeAlias = GoAway  # noqa: Y015

@_typing.final
class TrackSummary(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAMES_RECEIVED_FIELD_NUMBER: _builtins.int
    FRAMES_ANSWERED_FIELD_NUMBER: _builtins.int
    FRAMES_SKIPPED_FIELD_NUMBER: _builtins.int
    FRAMES_WITH_PROBLEMS_FIELD_NUMBER: _builtins.int
    TRACKS_OPENED_FIELD_NUMBER: _builtins.int
    TRACKS_LOST_FIELD_NUMBER: _builtins.int
    DETECTOR_RUNS_FIELD_NUMBER: _builtins.int
    frames_received: _builtins.int
    frames_answered: _builtins.int
    frames_skipped: _builtins.int
    frames_with_problems: _builtins.int
    tracks_opened: _builtins.int
    tracks_lost: _builtins.int
    detector_runs: _builtins.int
    def __init__(
        self,
        *,
        frames_received: _builtins.int = ...,
        frames_answered: _builtins.int = ...,
        frames_skipped: _builtins.int = ...,
        frames_with_problems: _builtins.int = ...,
        tracks_opened: _builtins.int = ...,
        tracks_lost: _builtins.int = ...,
        detector_runs: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["detector_runs", b"detector_runs", "frames_answered", b"frames_answered", "frames_received", b"frames_received", "frames_skipped", b"frames_skipped", "frames_with_problems", b"frames_with_problems", "tracks_lost", b"tracks_lost", "tracks_opened", b"tracks_opened"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackSummary: _TypeAlias = TrackSummary  # noqa: Y015

@_typing.final
class TrackPath(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    TRACK_ID_FIELD_NUMBER: _builtins.int
    FRAME_INDICES_FIELD_NUMBER: _builtins.int
    CLASS_IDS_FIELD_NUMBER: _builtins.int
    POINTS_FIELD_NUMBER: _builtins.int
    SCORE_FIELD_NUMBER: _builtins.int
    SCORE_GAP_FIELD_NUMBER: _builtins.int
    track_id: _builtins.int
    score: _builtins.float
    score_gap: _builtins.float
    @_builtins.property
    def frame_indices(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Frame indices, ascending."""

    @_builtins.property
    def class_ids(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """The exemplar in each of these frames."""

    @_builtins.property
    def points(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Its landmarks as the frame's picture displaces them, image frame, pixels: 136 numbers a frame, one frame after the
        other.
        """

    def __init__(
        self,
        *,
        track_id: _builtins.int = ...,
        frame_indices: _abc.Iterable[_builtins.int] | None = ...,
        class_ids: _abc.Iterable[_builtins.int] | None = ...,
        points: _abc.Iterable[_builtins.float] | None = ...,
        score: _builtins.float = ...,
        score_gap: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["class_ids", b"class_ids", "frame_indices", b"frame_indices", "points", b"points", "score", b"score", "score_gap", b"score_gap", "track_id", b"track_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackPath: _TypeAlias = TrackPath  # noqa: Y015

@_typing.final
class FrameSuggestion(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FRAME_INDEX_FIELD_NUMBER: _builtins.int
    TRACK_ID_FIELD_NUMBER: _builtins.int
    SUGGESTION_FIELD_NUMBER: _builtins.int
    frame_index: _builtins.int
    track_id: _builtins.int
    @_builtins.property
    def suggestion(self) -> _evidence_pb2.Suggestion:
        """The landmark and what a click on it buys, summed over the frames that it would change."""

    def __init__(
        self,
        *,
        frame_index: _builtins.int = ...,
        track_id: _builtins.int = ...,
        suggestion: _evidence_pb2.Suggestion | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["suggestion", b"suggestion"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["frame_index", b"frame_index", "suggestion", b"suggestion", "track_id", b"track_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___FrameSuggestion: _TypeAlias = FrameSuggestion  # noqa: Y015

@_typing.final
class TrackClosed(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SUMMARY_FIELD_NUMBER: _builtins.int
    PATHS_FIELD_NUMBER: _builtins.int
    SUGGESTIONS_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def summary(self) -> Global___TrackSummary:
        """Counts."""

    @_builtins.property
    def paths(self) -> _containers.RepeatedCompositeFieldContainer[Global___TrackPath]:
        """One a track, when asked for."""

    @_builtins.property
    def suggestions(self) -> _containers.RepeatedCompositeFieldContainer[Global___FrameSuggestion]:
        """Best first, when asked for."""

    def __init__(
        self,
        *,
        summary: Global___TrackSummary | None = ...,
        paths: _abc.Iterable[Global___TrackPath] | None = ...,
        suggestions: _abc.Iterable[Global___FrameSuggestion] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["summary", b"summary"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["paths", b"paths", "suggestions", b"suggestions", "summary", b"summary"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___TrackClosed: _TypeAlias = TrackClosed  # noqa: Y015
