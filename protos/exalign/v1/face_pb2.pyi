
from collections import abc as _abc
from exalign.v1 import geometry_pb2 as _geometry_pb2
from exalign.v1 import heatmap_pb2 as _heatmap_pb2
from exalign.v1 import pose_pb2 as _pose_pb2
from google.protobuf import descriptor as _descriptor
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

class _BoxSource:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _BoxSourceEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_BoxSource.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    BOX_SOURCE_UNSPECIFIED: _BoxSource.ValueType  # 0
    BOX_SOURCE_CALLER: _BoxSource.ValueType  # 1
    BOX_SOURCE_DETECTOR: _BoxSource.ValueType  # 2
    BOX_SOURCE_TRACK: _BoxSource.ValueType  # 3

class BoxSource(_BoxSource, metaclass=_BoxSourceEnumTypeWrapper):
    """Where the box of a face came from."""

BOX_SOURCE_UNSPECIFIED: BoxSource.ValueType  # 0
BOX_SOURCE_CALLER: BoxSource.ValueType  # 1
BOX_SOURCE_DETECTOR: BoxSource.ValueType  # 2
BOX_SOURCE_TRACK: BoxSource.ValueType  # 3
Global___BoxSource: _TypeAlias = BoxSource  # noqa: Y015

@_typing.final
class DetectionOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    DETECTOR_FIELD_NUMBER: _builtins.int
    MAX_FACES_FIELD_NUMBER: _builtins.int
    MIN_SCORE_FIELD_NUMBER: _builtins.int
    detector: _builtins.str
    max_faces: _builtins.int
    min_score: _builtins.float
    def __init__(
        self,
        *,
        detector: _builtins.str = ...,
        max_faces: _builtins.int | None = ...,
        min_score: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_max_faces", b"_max_faces", "_min_score", b"_min_score", "max_faces", b"max_faces", "min_score", b"min_score"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_max_faces", b"_max_faces", "_min_score", b"_min_score", "detector", b"detector", "max_faces", b"max_faces", "min_score", b"min_score"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__max_faces: _TypeAlias = _typing.Literal["max_faces"]  # noqa: Y015
    _WhichOneofArgType__max_faces: _TypeAlias = _typing.Literal["_max_faces", b"_max_faces"]  # noqa: Y015
    _WhichOneofReturnType__min_score: _TypeAlias = _typing.Literal["min_score"]  # noqa: Y015
    _WhichOneofArgType__min_score: _TypeAlias = _typing.Literal["_min_score", b"_min_score"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__max_faces) -> _WhichOneofReturnType__max_faces | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__min_score) -> _WhichOneofReturnType__min_score | None: ...

Global___DetectionOptions: _TypeAlias = DetectionOptions  # noqa: Y015

@_typing.final
class LandmarkOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    TOP_EXEMPLARS_FIELD_NUMBER: _builtins.int
    GROUPS_FIELD_NUMBER: _builtins.int
    top_exemplars: _builtins.int
    @_builtins.property
    def groups(self) -> _containers.RepeatedCompositeFieldContainer[_geometry_pb2.LandmarkSelection]:
        """Landmarks whose uncertainty as a whole is wanted; at most Limits.max_landmark_groups, else INVALID_ARGUMENT."""

    def __init__(
        self,
        *,
        top_exemplars: _builtins.int | None = ...,
        groups: _abc.Iterable[_geometry_pb2.LandmarkSelection] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_top_exemplars", b"_top_exemplars", "top_exemplars", b"top_exemplars"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_top_exemplars", b"_top_exemplars", "groups", b"groups", "top_exemplars", b"top_exemplars"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__top_exemplars: _TypeAlias = _typing.Literal["top_exemplars"]  # noqa: Y015
    _WhichOneofArgType__top_exemplars: _TypeAlias = _typing.Literal["_top_exemplars", b"_top_exemplars"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__top_exemplars) -> _WhichOneofReturnType__top_exemplars | None: ...

Global___LandmarkOptions: _TypeAlias = LandmarkOptions  # noqa: Y015

@_typing.final
class ExemplarProbability(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CLASS_ID_FIELD_NUMBER: _builtins.int
    PROBABILITY_FIELD_NUMBER: _builtins.int
    class_id: _builtins.int
    probability: _builtins.float
    def __init__(
        self,
        *,
        class_id: _builtins.int = ...,
        probability: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["class_id", b"class_id", "probability", b"probability"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___ExemplarProbability: _TypeAlias = ExemplarProbability  # noqa: Y015

@_typing.final
class GroupUncertainty(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    SELECTION_FIELD_NUMBER: _builtins.int
    MEAN_FIELD_NUMBER: _builtins.int
    CENTROID_COVARIANCE_FIELD_NUMBER: _builtins.int
    RMS_SPREAD_FIELD_NUMBER: _builtins.int
    rms_spread: _builtins.float
    @_builtins.property
    def selection(self) -> _geometry_pb2.LandmarkSelection:
        """The landmarks, as asked for."""

    @_builtins.property
    def mean(self) -> _geometry_pb2.Point:
        """Posterior mean of their centroid, image frame, pixels."""

    @_builtins.property
    def centroid_covariance(self) -> _geometry_pb2.Covariance2:
        """Covariance of their centroid, px². Joint: errors that the landmarks share do not average out."""

    def __init__(
        self,
        *,
        selection: _geometry_pb2.LandmarkSelection | None = ...,
        mean: _geometry_pb2.Point | None = ...,
        centroid_covariance: _geometry_pb2.Covariance2 | None = ...,
        rms_spread: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["centroid_covariance", b"centroid_covariance", "mean", b"mean", "selection", b"selection"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["centroid_covariance", b"centroid_covariance", "mean", b"mean", "rms_spread", b"rms_spread", "selection", b"selection"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GroupUncertainty: _TypeAlias = GroupUncertainty  # noqa: Y015

@_typing.final
class Landmarks(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    POINTS_FIELD_NUMBER: _builtins.int
    COVARIANCES_FIELD_NUMBER: _builtins.int
    CONFIDENCES_FIELD_NUMBER: _builtins.int
    MAP_POINTS_FIELD_NUMBER: _builtins.int
    MAP_CLASS_ID_FIELD_NUMBER: _builtins.int
    GROUPS_FIELD_NUMBER: _builtins.int
    map_class_id: _builtins.int
    @_builtins.property
    def points(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Posterior mean: 136 numbers, pixels, x0, y0, x1, y1, …"""

    @_builtins.property
    def covariances(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Covariance of each landmark under the calibrated posterior: 204 numbers, px², xx, xy, yy of landmark 0, then
        of landmark 1, …
        """

    @_builtins.property
    def confidences(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """For each landmark, the calibrated probability that the truth lies within 5 % of the face box's diagonal of
        `points`: 68 numbers, 0 to 1.
        """

    @_builtins.property
    def map_points(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """The most probable exemplar (MAP), displaced as the picture asks, in the image: 136 numbers laid out as `points`."""

    @_builtins.property
    def groups(self) -> _containers.RepeatedCompositeFieldContainer[Global___GroupUncertainty]:
        """One a selection asked for, in that order."""

    def __init__(
        self,
        *,
        points: _abc.Iterable[_builtins.float] | None = ...,
        covariances: _abc.Iterable[_builtins.float] | None = ...,
        confidences: _abc.Iterable[_builtins.float] | None = ...,
        map_points: _abc.Iterable[_builtins.float] | None = ...,
        map_class_id: _builtins.int = ...,
        groups: _abc.Iterable[Global___GroupUncertainty] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["confidences", b"confidences", "covariances", b"covariances", "groups", b"groups", "map_class_id", b"map_class_id", "map_points", b"map_points", "points", b"points"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Landmarks: _TypeAlias = Landmarks  # noqa: Y015

@_typing.final
class PosteriorSummary(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    ENTROPY_FIELD_NUMBER: _builtins.int
    EFFECTIVE_EXEMPLARS_FIELD_NUMBER: _builtins.int
    CUT_MASS_FIELD_NUMBER: _builtins.int
    TOP_EXEMPLARS_FIELD_NUMBER: _builtins.int
    entropy: _builtins.float
    effective_exemplars: _builtins.float
    cut_mass: _builtins.float
    @_builtins.property
    def top_exemplars(self) -> _containers.RepeatedCompositeFieldContainer[Global___ExemplarProbability]:
        """The most probable exemplars, in descending order."""

    def __init__(
        self,
        *,
        entropy: _builtins.float = ...,
        effective_exemplars: _builtins.float = ...,
        cut_mass: _builtins.float = ...,
        top_exemplars: _abc.Iterable[Global___ExemplarProbability] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["cut_mass", b"cut_mass", "effective_exemplars", b"effective_exemplars", "entropy", b"entropy", "top_exemplars", b"top_exemplars"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PosteriorSummary: _TypeAlias = PosteriorSummary  # noqa: Y015

@_typing.final
class Face(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BOX_FIELD_NUMBER: _builtins.int
    BOX_SOURCE_FIELD_NUMBER: _builtins.int
    SOURCE_BOX_FIELD_NUMBER: _builtins.int
    DETECTOR_SCORE_FIELD_NUMBER: _builtins.int
    PRESENCE_FIELD_NUMBER: _builtins.int
    POSTERIOR_ID_FIELD_NUMBER: _builtins.int
    POSTERIOR_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    box_source: Global___BoxSource.ValueType
    detector_score: _builtins.float
    presence: _builtins.float
    posterior_id: _builtins.str
    @_builtins.property
    def box(self) -> _geometry_pb2.Box:
        """The face box that was used (FACE_BOX convention, `detector` empty), image frame, pixels: after the map from
        the detector's convention and after any refinement or motion by evidence.
        """

    @_builtins.property
    def source_box(self) -> _geometry_pb2.Box:
        """The box that it started from: the caller's, the detector's own (its `detector` names it), or the prediction
        from the previous frames.
        """

    @_builtins.property
    def posterior(self) -> Global___PosteriorSummary:
        """The posterior in a few numbers. Always there, unless only detection was asked for."""

    @_builtins.property
    def landmarks(self) -> Global___Landmarks:
        """The landmarks."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.Heatmaps:
        """Heatmaps."""

    @_builtins.property
    def pose(self) -> _pose_pb2.Pose:
        """Head pose."""

    def __init__(
        self,
        *,
        box: _geometry_pb2.Box | None = ...,
        box_source: Global___BoxSource.ValueType = ...,
        source_box: _geometry_pb2.Box | None = ...,
        detector_score: _builtins.float | None = ...,
        presence: _builtins.float | None = ...,
        posterior_id: _builtins.str = ...,
        posterior: Global___PosteriorSummary | None = ...,
        landmarks: Global___Landmarks | None = ...,
        heatmaps: _heatmap_pb2.Heatmaps | None = ...,
        pose: _pose_pb2.Pose | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_detector_score", b"_detector_score", "_presence", b"_presence", "box", b"box", "detector_score", b"detector_score", "heatmaps", b"heatmaps", "landmarks", b"landmarks", "pose", b"pose", "posterior", b"posterior", "presence", b"presence", "source_box", b"source_box"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_detector_score", b"_detector_score", "_presence", b"_presence", "box", b"box", "box_source", b"box_source", "detector_score", b"detector_score", "heatmaps", b"heatmaps", "landmarks", b"landmarks", "pose", b"pose", "posterior", b"posterior", "posterior_id", b"posterior_id", "presence", b"presence", "source_box", b"source_box"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__detector_score: _TypeAlias = _typing.Literal["detector_score"]  # noqa: Y015
    _WhichOneofArgType__detector_score: _TypeAlias = _typing.Literal["_detector_score", b"_detector_score"]  # noqa: Y015
    _WhichOneofReturnType__presence: _TypeAlias = _typing.Literal["presence"]  # noqa: Y015
    _WhichOneofArgType__presence: _TypeAlias = _typing.Literal["_presence", b"_presence"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__detector_score) -> _WhichOneofReturnType__detector_score | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__presence) -> _WhichOneofReturnType__presence | None: ...

Global___Face: _TypeAlias = Face  # noqa: Y015
