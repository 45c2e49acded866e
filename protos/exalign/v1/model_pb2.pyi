
from collections import abc as _abc
from exalign.v1 import geometry_pb2 as _geometry_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

@_typing.final
class BundleFile(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    PATH_FIELD_NUMBER: _builtins.int
    SHA256_FIELD_NUMBER: _builtins.int
    SIZE_BYTES_FIELD_NUMBER: _builtins.int
    path: _builtins.str
    sha256: _builtins.str
    size_bytes: _builtins.int
    def __init__(
        self,
        *,
        path: _builtins.str = ...,
        sha256: _builtins.str = ...,
        size_bytes: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["path", b"path", "sha256", b"sha256", "size_bytes", b"size_bytes"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___BundleFile: _TypeAlias = BundleFile  # noqa: Y015

@_typing.final
class LiveBundle(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    SESSIONS_FIELD_NUMBER: _builtins.int
    CURRENT_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    sessions: _builtins.int
    current: _builtins.bool
    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        sessions: _builtins.int = ...,
        current: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "current", b"current", "sessions", b"sessions"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___LiveBundle: _TypeAlias = LiveBundle  # noqa: Y015

@_typing.final
class ModelInfo(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    EXEMPLARS_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    INPUT_SIZE_FIELD_NUMBER: _builtins.int
    MARGIN_FIELD_NUMBER: _builtins.int
    TAU_FIELD_NUMBER: _builtins.int
    TEMPERATURE_FIELD_NUMBER: _builtins.int
    LANDMARK_NAMES_FIELD_NUMBER: _builtins.int
    exemplars: _builtins.int
    landmarks: _builtins.int
    input_size: _builtins.int
    margin: _builtins.float
    tau: _builtins.float
    temperature: _builtins.float
    @_builtins.property
    def landmark_names(self) -> _containers.RepeatedScalarFieldContainer[_builtins.str]:
        """Names of the landmarks, by index."""

    def __init__(
        self,
        *,
        exemplars: _builtins.int = ...,
        landmarks: _builtins.int = ...,
        input_size: _builtins.int = ...,
        margin: _builtins.float = ...,
        tau: _builtins.float = ...,
        temperature: _builtins.float = ...,
        landmark_names: _abc.Iterable[_builtins.str] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["exemplars", b"exemplars", "input_size", b"input_size", "landmark_names", b"landmark_names", "landmarks", b"landmarks", "margin", b"margin", "tau", b"tau", "temperature", b"temperature"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ModelInfo: _TypeAlias = ModelInfo  # noqa: Y015

@_typing.final
class RuntimeInfo(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    VERSION_FIELD_NUMBER: _builtins.int
    PRECISION_FIELD_NUMBER: _builtins.int
    DEVICE_FIELD_NUMBER: _builtins.int
    REASON_FIELD_NUMBER: _builtins.int
    MAX_BATCH_FIELD_NUMBER: _builtins.int
    DIVERGENCE_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    version: _builtins.str
    precision: _builtins.str
    device: _builtins.str
    reason: _builtins.str
    max_batch: _builtins.int
    divergence: _builtins.float
    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        version: _builtins.str = ...,
        precision: _builtins.str = ...,
        device: _builtins.str = ...,
        reason: _builtins.str = ...,
        max_batch: _builtins.int = ...,
        divergence: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_divergence", b"_divergence", "divergence", b"divergence"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_divergence", b"_divergence", "device", b"device", "divergence", b"divergence", "max_batch", b"max_batch", "name", b"name", "precision", b"precision", "reason", b"reason", "version", b"version"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__divergence: _TypeAlias = _typing.Literal["divergence"]  # noqa: Y015
    _WhichOneofArgType__divergence: _TypeAlias = _typing.Literal["_divergence", b"_divergence"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__divergence) -> _WhichOneofReturnType__divergence | None: ...

Global___RuntimeInfo: _TypeAlias = RuntimeInfo  # noqa: Y015

@_typing.final
class Limits(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    MAX_MESSAGE_BYTES_FIELD_NUMBER: _builtins.int
    MAX_ENCODED_BYTES_FIELD_NUMBER: _builtins.int
    MAX_PIXELS_FIELD_NUMBER: _builtins.int
    MAX_FACES_FIELD_NUMBER: _builtins.int
    MIN_BOX_SIDE_FIELD_NUMBER: _builtins.int
    MAX_LANDMARK_GROUPS_FIELD_NUMBER: _builtins.int
    MAX_TOP_EXEMPLARS_FIELD_NUMBER: _builtins.int
    MAX_HEATMAP_SIDE_FIELD_NUMBER: _builtins.int
    MAX_CONSTRAINTS_FIELD_NUMBER: _builtins.int
    MAX_EXEMPLARS_FIELD_NUMBER: _builtins.int
    MAX_DEADLINE_FIELD_NUMBER: _builtins.int
    MAX_QUEUE_FIELD_NUMBER: _builtins.int
    MAX_POSTERIORS_FIELD_NUMBER: _builtins.int
    MAX_SESSIONS_FIELD_NUMBER: _builtins.int
    MAX_SMOOTHING_LAG_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_FRAMES_FIELD_NUMBER: _builtins.int
    MAX_PATH_FRAMES_FIELD_NUMBER: _builtins.int
    SESSION_IDLE_TIMEOUT_FIELD_NUMBER: _builtins.int
    SESSION_MAX_AGE_FIELD_NUMBER: _builtins.int
    MAX_ANSWER_BYTES_FIELD_NUMBER: _builtins.int
    MAX_POSTERIOR_BYTES_FIELD_NUMBER: _builtins.int
    MAX_SESSIONS_PER_CALLER_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_BYTES_FIELD_NUMBER: _builtins.int
    MAX_MESSAGE_RATE_FIELD_NUMBER: _builtins.int
    MESSAGE_BURST_FIELD_NUMBER: _builtins.int
    SESSION_GRACE_FIELD_NUMBER: _builtins.int
    SESSION_RETENTION_FIELD_NUMBER: _builtins.int
    MAX_RESUMABLE_BYTES_FIELD_NUMBER: _builtins.int
    MAX_TRACKS_FIELD_NUMBER: _builtins.int
    MAX_POSE_BINS_FIELD_NUMBER: _builtins.int
    MIN_POSE_BIN_WIDTH_FIELD_NUMBER: _builtins.int
    MAX_POSE_INTERVALS_FIELD_NUMBER: _builtins.int
    MAX_CLICKS_FIELD_NUMBER: _builtins.int
    MAX_REGIONS_FIELD_NUMBER: _builtins.int
    MAX_POSE_RANGES_FIELD_NUMBER: _builtins.int
    MAX_POLYGON_VERTICES_FIELD_NUMBER: _builtins.int
    MIN_PING_INTERVAL_FIELD_NUMBER: _builtins.int
    MAX_UNACKED_BYTES_PER_CALLER_FIELD_NUMBER: _builtins.int
    MAX_REQUEST_BYTES_FIELD_NUMBER: _builtins.int
    MAX_WAIT_FIELD_NUMBER: _builtins.int
    MAX_DECODE_TIME_FIELD_NUMBER: _builtins.int
    max_message_bytes: _builtins.int
    max_encoded_bytes: _builtins.int
    max_pixels: _builtins.int
    max_faces: _builtins.int
    min_box_side: _builtins.float
    max_landmark_groups: _builtins.int
    max_top_exemplars: _builtins.int
    max_heatmap_side: _builtins.int
    max_constraints: _builtins.int
    max_exemplars: _builtins.int
    max_queue: _builtins.int
    max_posteriors: _builtins.int
    max_sessions: _builtins.int
    max_smoothing_lag: _builtins.int
    max_unacked_frames: _builtins.int
    max_path_frames: _builtins.int
    max_answer_bytes: _builtins.int
    max_posterior_bytes: _builtins.int
    max_sessions_per_caller: _builtins.int
    max_unacked_bytes: _builtins.int
    max_message_rate: _builtins.float
    message_burst: _builtins.int
    max_resumable_bytes: _builtins.int
    max_tracks: _builtins.int
    max_pose_bins: _builtins.int
    min_pose_bin_width: _builtins.float
    max_pose_intervals: _builtins.int
    max_clicks: _builtins.int
    max_regions: _builtins.int
    max_pose_ranges: _builtins.int
    max_polygon_vertices: _builtins.int
    max_unacked_bytes_per_caller: _builtins.int
    max_request_bytes: _builtins.int
    @_builtins.property
    def max_deadline(self) -> _duration_pb2.Duration:
        """Longest time that a unary call may take; a longer or absent deadline of the caller is cut to it.
        Beyond: DEADLINE_EXCEEDED.
        """

    @_builtins.property
    def session_idle_timeout(self) -> _duration_pb2.Duration:
        """A session that sends nothing for so long ends with DEADLINE_EXCEEDED."""

    @_builtins.property
    def session_max_age(self) -> _duration_pb2.Duration:
        """A session is drained after so long."""

    @_builtins.property
    def session_grace(self) -> _duration_pb2.Duration:
        """Time that a stream has to end after go_away for its age. Beyond: UNAVAILABLE (GO_AWAY)."""

    @_builtins.property
    def session_retention(self) -> _duration_pb2.Duration:
        """How long the state of a broken stream is kept to be resumed, at most. After it, its name is free."""

    @_builtins.property
    def min_ping_interval(self) -> _duration_pb2.Duration:
        """Clients may ping so often. More often: the connection is cut (too_many_pings)."""

    @_builtins.property
    def max_wait(self) -> _duration_pb2.Duration:
        """A call that would be answered later than so is refused at once: RESOURCE_EXHAUSTED with a RetryInfo."""

    @_builtins.property
    def max_decode_time(self) -> _duration_pb2.Duration:
        """Most CPU time that decoding a picture may take. What a file's structure promises to take more is INVALID_ARGUMENT
        before it is decoded; so is what does take more.
        """

    def __init__(
        self,
        *,
        max_message_bytes: _builtins.int = ...,
        max_encoded_bytes: _builtins.int = ...,
        max_pixels: _builtins.int = ...,
        max_faces: _builtins.int = ...,
        min_box_side: _builtins.float = ...,
        max_landmark_groups: _builtins.int = ...,
        max_top_exemplars: _builtins.int = ...,
        max_heatmap_side: _builtins.int = ...,
        max_constraints: _builtins.int = ...,
        max_exemplars: _builtins.int = ...,
        max_deadline: _duration_pb2.Duration | None = ...,
        max_queue: _builtins.int = ...,
        max_posteriors: _builtins.int = ...,
        max_sessions: _builtins.int = ...,
        max_smoothing_lag: _builtins.int = ...,
        max_unacked_frames: _builtins.int = ...,
        max_path_frames: _builtins.int = ...,
        session_idle_timeout: _duration_pb2.Duration | None = ...,
        session_max_age: _duration_pb2.Duration | None = ...,
        max_answer_bytes: _builtins.int = ...,
        max_posterior_bytes: _builtins.int = ...,
        max_sessions_per_caller: _builtins.int = ...,
        max_unacked_bytes: _builtins.int = ...,
        max_message_rate: _builtins.float = ...,
        message_burst: _builtins.int = ...,
        session_grace: _duration_pb2.Duration | None = ...,
        session_retention: _duration_pb2.Duration | None = ...,
        max_resumable_bytes: _builtins.int = ...,
        max_tracks: _builtins.int = ...,
        max_pose_bins: _builtins.int = ...,
        min_pose_bin_width: _builtins.float = ...,
        max_pose_intervals: _builtins.int = ...,
        max_clicks: _builtins.int = ...,
        max_regions: _builtins.int = ...,
        max_pose_ranges: _builtins.int = ...,
        max_polygon_vertices: _builtins.int = ...,
        min_ping_interval: _duration_pb2.Duration | None = ...,
        max_unacked_bytes_per_caller: _builtins.int = ...,
        max_request_bytes: _builtins.int = ...,
        max_wait: _duration_pb2.Duration | None = ...,
        max_decode_time: _duration_pb2.Duration | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["max_deadline", b"max_deadline", "max_decode_time", b"max_decode_time", "max_wait", b"max_wait", "min_ping_interval", b"min_ping_interval", "session_grace", b"session_grace", "session_idle_timeout", b"session_idle_timeout", "session_max_age", b"session_max_age", "session_retention", b"session_retention"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["max_answer_bytes", b"max_answer_bytes", "max_clicks", b"max_clicks", "max_constraints", b"max_constraints", "max_deadline", b"max_deadline", "max_decode_time", b"max_decode_time", "max_encoded_bytes", b"max_encoded_bytes", "max_exemplars", b"max_exemplars", "max_faces", b"max_faces", "max_heatmap_side", b"max_heatmap_side", "max_landmark_groups", b"max_landmark_groups", "max_message_bytes", b"max_message_bytes", "max_message_rate", b"max_message_rate", "max_path_frames", b"max_path_frames", "max_pixels", b"max_pixels", "max_polygon_vertices", b"max_polygon_vertices", "max_pose_bins", b"max_pose_bins", "max_pose_intervals", b"max_pose_intervals", "max_pose_ranges", b"max_pose_ranges", "max_posterior_bytes", b"max_posterior_bytes", "max_posteriors", b"max_posteriors", "max_queue", b"max_queue", "max_regions", b"max_regions", "max_request_bytes", b"max_request_bytes", "max_resumable_bytes", b"max_resumable_bytes", "max_sessions", b"max_sessions", "max_sessions_per_caller", b"max_sessions_per_caller", "max_smoothing_lag", b"max_smoothing_lag", "max_top_exemplars", b"max_top_exemplars", "max_tracks", b"max_tracks", "max_unacked_bytes", b"max_unacked_bytes", "max_unacked_bytes_per_caller", b"max_unacked_bytes_per_caller", "max_unacked_frames", b"max_unacked_frames", "max_wait", b"max_wait", "message_burst", b"message_burst", "min_box_side", b"min_box_side", "min_ping_interval", b"min_ping_interval", "min_pose_bin_width", b"min_pose_bin_width", "session_grace", b"session_grace", "session_idle_timeout", b"session_idle_timeout", "session_max_age", b"session_max_age", "session_retention", b"session_retention"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Limits: _TypeAlias = Limits  # noqa: Y015

@_typing.final
class DetectorInfo(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    NAME_FIELD_NUMBER: _builtins.int
    AVAILABLE_FIELD_NUMBER: _builtins.int
    IS_DEFAULT_FIELD_NUMBER: _builtins.int
    MIN_SCORE_FIELD_NUMBER: _builtins.int
    DX_FIELD_NUMBER: _builtins.int
    DY_FIELD_NUMBER: _builtins.int
    SCALE_FIELD_NUMBER: _builtins.int
    name: _builtins.str
    available: _builtins.bool
    is_default: _builtins.bool
    min_score: _builtins.float
    dx: _builtins.float
    dy: _builtins.float
    scale: _builtins.float
    def __init__(
        self,
        *,
        name: _builtins.str = ...,
        available: _builtins.bool = ...,
        is_default: _builtins.bool = ...,
        min_score: _builtins.float = ...,
        dx: _builtins.float = ...,
        dy: _builtins.float = ...,
        scale: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["available", b"available", "dx", b"dx", "dy", b"dy", "is_default", b"is_default", "min_score", b"min_score", "name", b"name", "scale", b"scale"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___DetectorInfo: _TypeAlias = DetectorInfo  # noqa: Y015

@_typing.final
class CoverageRow(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    GROUP_FIELD_NUMBER: _builtins.int
    YAW_FIELD_NUMBER: _builtins.int
    NOMINAL_FIELD_NUMBER: _builtins.int
    OBSERVED_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    group: _builtins.str
    nominal: _builtins.float
    observed: _builtins.float
    landmarks: _builtins.int
    @_builtins.property
    def yaw(self) -> _geometry_pb2.Interval:
        """Pose bin as an interval of yaw, degrees; absent: all poses."""

    def __init__(
        self,
        *,
        group: _builtins.str = ...,
        yaw: _geometry_pb2.Interval | None = ...,
        nominal: _builtins.float = ...,
        observed: _builtins.float = ...,
        landmarks: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["yaw", b"yaw"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["group", b"group", "landmarks", b"landmarks", "nominal", b"nominal", "observed", b"observed", "yaw", b"yaw"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___CoverageRow: _TypeAlias = CoverageRow  # noqa: Y015

@_typing.final
class ReliabilityBin(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    STATED_FIELD_NUMBER: _builtins.int
    OBSERVED_FIELD_NUMBER: _builtins.int
    COUNT_FIELD_NUMBER: _builtins.int
    stated: _builtins.float
    observed: _builtins.float
    count: _builtins.int
    def __init__(
        self,
        *,
        stated: _builtins.float = ...,
        observed: _builtins.float = ...,
        count: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["count", b"count", "observed", b"observed", "stated", b"stated"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ReliabilityBin: _TypeAlias = ReliabilityBin  # noqa: Y015

@_typing.final
class AccuracyRow(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BOXES_FIELD_NUMBER: _builtins.int
    FACES_FIELD_NUMBER: _builtins.int
    NRMSE_MEAN_FIELD_NUMBER: _builtins.int
    AUC_FIELD_NUMBER: _builtins.int
    FAILURE_RATE_FIELD_NUMBER: _builtins.int
    MISSED_FIELD_NUMBER: _builtins.int
    boxes: _builtins.str
    faces: _builtins.int
    nrmse_mean: _builtins.float
    auc: _builtins.float
    failure_rate: _builtins.float
    missed: _builtins.float
    def __init__(
        self,
        *,
        boxes: _builtins.str = ...,
        faces: _builtins.int = ...,
        nrmse_mean: _builtins.float = ...,
        auc: _builtins.float = ...,
        failure_rate: _builtins.float = ...,
        missed: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["auc", b"auc", "boxes", b"boxes", "faces", b"faces", "failure_rate", b"failure_rate", "missed", b"missed", "nrmse_mean", b"nrmse_mean"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___AccuracyRow: _TypeAlias = AccuracyRow  # noqa: Y015

@_typing.final
class CalibrationCard(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SPLIT_FIELD_NUMBER: _builtins.int
    FACES_FIELD_NUMBER: _builtins.int
    NLL_FIELD_NUMBER: _builtins.int
    KERNEL_SCALE_FIELD_NUMBER: _builtins.int
    LANDMARK_FACTORS_FIELD_NUMBER: _builtins.int
    COVERAGE_FIELD_NUMBER: _builtins.int
    PRESENCE_ROC_AUC_FIELD_NUMBER: _builtins.int
    PRESENCE_RELIABILITY_FIELD_NUMBER: _builtins.int
    ACCURACY_FIELD_NUMBER: _builtins.int
    split: _builtins.str
    faces: _builtins.int
    nll: _builtins.float
    kernel_scale: _builtins.float
    presence_roc_auc: _builtins.float
    @_builtins.property
    def landmark_factors(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """a_n, factor of each landmark's kernel variance, mean 1: 68 numbers."""

    @_builtins.property
    def coverage(self) -> _containers.RepeatedCompositeFieldContainer[Global___CoverageRow]:
        """Coverage by group, pose and mass."""

    @_builtins.property
    def presence_reliability(self) -> _containers.RepeatedCompositeFieldContainer[Global___ReliabilityBin]:
        """Reliability of presence."""

    @_builtins.property
    def accuracy(self) -> _containers.RepeatedCompositeFieldContainer[Global___AccuracyRow]:
        """Accuracy."""

    def __init__(
        self,
        *,
        split: _builtins.str = ...,
        faces: _builtins.int = ...,
        nll: _builtins.float = ...,
        kernel_scale: _builtins.float = ...,
        landmark_factors: _abc.Iterable[_builtins.float] | None = ...,
        coverage: _abc.Iterable[Global___CoverageRow] | None = ...,
        presence_roc_auc: _builtins.float = ...,
        presence_reliability: _abc.Iterable[Global___ReliabilityBin] | None = ...,
        accuracy: _abc.Iterable[Global___AccuracyRow] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["accuracy", b"accuracy", "coverage", b"coverage", "faces", b"faces", "kernel_scale", b"kernel_scale", "landmark_factors", b"landmark_factors", "nll", b"nll", "presence_reliability", b"presence_reliability", "presence_roc_auc", b"presence_roc_auc", "split", b"split"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___CalibrationCard: _TypeAlias = CalibrationCard  # noqa: Y015

@_typing.final
class Licence(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SUBJECT_FIELD_NUMBER: _builtins.int
    NAME_FIELD_NUMBER: _builtins.int
    TERMS_FIELD_NUMBER: _builtins.int
    subject: _builtins.str
    name: _builtins.str
    terms: _builtins.str
    def __init__(
        self,
        *,
        subject: _builtins.str = ...,
        name: _builtins.str = ...,
        terms: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["name", b"name", "subject", b"subject", "terms", b"terms"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Licence: _TypeAlias = Licence  # noqa: Y015

@_typing.final
class Exemplar(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CLASS_ID_FIELD_NUMBER: _builtins.int
    SOURCE_ID_FIELD_NUMBER: _builtins.int
    POINTS_FIELD_NUMBER: _builtins.int
    MIRROR_CLASS_ID_FIELD_NUMBER: _builtins.int
    SPREAD_FIELD_NUMBER: _builtins.int
    YAW_FIELD_NUMBER: _builtins.int
    PITCH_FIELD_NUMBER: _builtins.int
    ROLL_FIELD_NUMBER: _builtins.int
    class_id: _builtins.int
    source_id: _builtins.str
    mirror_class_id: _builtins.int
    spread: _builtins.float
    yaw: _builtins.float
    pitch: _builtins.float
    roll: _builtins.float
    @_builtins.property
    def points(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """136 numbers x0, y0, x1, y1, … in the box frame: the face box made square about its centre, mapped to
        [0, 1]². In the image: centre + (p − 0.5) × side.
        """

    def __init__(
        self,
        *,
        class_id: _builtins.int = ...,
        source_id: _builtins.str = ...,
        points: _abc.Iterable[_builtins.float] | None = ...,
        mirror_class_id: _builtins.int | None = ...,
        spread: _builtins.float = ...,
        yaw: _builtins.float | None = ...,
        pitch: _builtins.float | None = ...,
        roll: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_mirror_class_id", b"_mirror_class_id", "_pitch", b"_pitch", "_roll", b"_roll", "_yaw", b"_yaw", "mirror_class_id", b"mirror_class_id", "pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_mirror_class_id", b"_mirror_class_id", "_pitch", b"_pitch", "_roll", b"_roll", "_yaw", b"_yaw", "class_id", b"class_id", "mirror_class_id", b"mirror_class_id", "pitch", b"pitch", "points", b"points", "roll", b"roll", "source_id", b"source_id", "spread", b"spread", "yaw", b"yaw"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__mirror_class_id: _TypeAlias = _typing.Literal["mirror_class_id"]  # noqa: Y015
    _WhichOneofArgType__mirror_class_id: _TypeAlias = _typing.Literal["_mirror_class_id", b"_mirror_class_id"]  # noqa: Y015
    _WhichOneofReturnType__pitch: _TypeAlias = _typing.Literal["pitch"]  # noqa: Y015
    _WhichOneofArgType__pitch: _TypeAlias = _typing.Literal["_pitch", b"_pitch"]  # noqa: Y015
    _WhichOneofReturnType__roll: _TypeAlias = _typing.Literal["roll"]  # noqa: Y015
    _WhichOneofArgType__roll: _TypeAlias = _typing.Literal["_roll", b"_roll"]  # noqa: Y015
    _WhichOneofReturnType__yaw: _TypeAlias = _typing.Literal["yaw"]  # noqa: Y015
    _WhichOneofArgType__yaw: _TypeAlias = _typing.Literal["_yaw", b"_yaw"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__mirror_class_id) -> _WhichOneofReturnType__mirror_class_id | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__pitch) -> _WhichOneofReturnType__pitch | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__roll) -> _WhichOneofReturnType__roll | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__yaw) -> _WhichOneofReturnType__yaw | None: ...

Global___Exemplar: _TypeAlias = Exemplar  # noqa: Y015
