
from collections import abc as _abc
from exalign.v1 import geometry_pb2 as _geometry_pb2
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

class _RegionSide:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _RegionSideEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_RegionSide.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    REGION_SIDE_UNSPECIFIED: _RegionSide.ValueType  # 0
    REGION_SIDE_INSIDE: _RegionSide.ValueType  # 1
    REGION_SIDE_OUTSIDE: _RegionSide.ValueType  # 2

class RegionSide(_RegionSide, metaclass=_RegionSideEnumTypeWrapper):
    """On which side of a region a landmark lies."""

REGION_SIDE_UNSPECIFIED: RegionSide.ValueType  # 0
REGION_SIDE_INSIDE: RegionSide.ValueType  # 1
REGION_SIDE_OUTSIDE: RegionSide.ValueType  # 2
Global___RegionSide: _TypeAlias = RegionSide  # noqa: Y015

class _BoxMotion:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _BoxMotionEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_BoxMotion.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    BOX_MOTION_UNSPECIFIED: _BoxMotion.ValueType  # 0
    BOX_MOTION_FIXED: _BoxMotion.ValueType  # 1
    BOX_MOTION_FREE: _BoxMotion.ValueType  # 2

class BoxMotion(_BoxMotion, metaclass=_BoxMotionEnumTypeWrapper):
    """Whether evidence may correct the face box as well as the shape in it."""

BOX_MOTION_UNSPECIFIED: BoxMotion.ValueType  # 0
BOX_MOTION_FIXED: BoxMotion.ValueType  # 1
BOX_MOTION_FREE: BoxMotion.ValueType  # 2
Global___BoxMotion: _TypeAlias = BoxMotion  # noqa: Y015

class _EvidenceOutcome:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _EvidenceOutcomeEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_EvidenceOutcome.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    EVIDENCE_OUTCOME_UNSPECIFIED: _EvidenceOutcome.ValueType  # 0
    EVIDENCE_OUTCOME_CONDITIONED: _EvidenceOutcome.ValueType  # 1
    EVIDENCE_OUTCOME_IMPOSSIBLE: _EvidenceOutcome.ValueType  # 2

class EvidenceOutcome(_EvidenceOutcome, metaclass=_EvidenceOutcomeEnumTypeWrapper):
    """What became of evidence."""

EVIDENCE_OUTCOME_UNSPECIFIED: EvidenceOutcome.ValueType  # 0
EVIDENCE_OUTCOME_CONDITIONED: EvidenceOutcome.ValueType  # 1
EVIDENCE_OUTCOME_IMPOSSIBLE: EvidenceOutcome.ValueType  # 2
Global___EvidenceOutcome: _TypeAlias = EvidenceOutcome  # noqa: Y015

class _SuggestionCriterion:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _SuggestionCriterionEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_SuggestionCriterion.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    SUGGESTION_CRITERION_UNSPECIFIED: _SuggestionCriterion.ValueType  # 0
    SUGGESTION_CRITERION_ERROR: _SuggestionCriterion.ValueType  # 1
    SUGGESTION_CRITERION_ENTROPY: _SuggestionCriterion.ValueType  # 2

class SuggestionCriterion(_SuggestionCriterion, metaclass=_SuggestionCriterionEnumTypeWrapper):
    """By what suggestions are ranked."""

SUGGESTION_CRITERION_UNSPECIFIED: SuggestionCriterion.ValueType  # 0
SUGGESTION_CRITERION_ERROR: SuggestionCriterion.ValueType  # 1
SUGGESTION_CRITERION_ENTROPY: SuggestionCriterion.ValueType  # 2
Global___SuggestionCriterion: _TypeAlias = SuggestionCriterion  # noqa: Y015

@_typing.final
class Click(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARK_FIELD_NUMBER: _builtins.int
    POSITION_FIELD_NUMBER: _builtins.int
    RADIUS_FIELD_NUMBER: _builtins.int
    SIGMA_FIELD_NUMBER: _builtins.int
    landmark: _builtins.int
    radius: _builtins.float
    sigma: _builtins.float
    @_builtins.property
    def position(self) -> _geometry_pb2.Point:
        """Where it is. Required: INVALID_ARGUMENT when absent, or beyond ±1,000,000 pixels."""

    def __init__(
        self,
        *,
        landmark: _builtins.int | None = ...,
        position: _geometry_pb2.Point | None = ...,
        radius: _builtins.float = ...,
        sigma: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_landmark", b"_landmark", "landmark", b"landmark", "position", b"position", "radius", b"radius", "sigma", b"sigma", "trust", b"trust"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_landmark", b"_landmark", "landmark", b"landmark", "position", b"position", "radius", b"radius", "sigma", b"sigma", "trust", b"trust"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__landmark: _TypeAlias = _typing.Literal["landmark"]  # noqa: Y015
    _WhichOneofArgType__landmark: _TypeAlias = _typing.Literal["_landmark", b"_landmark"]  # noqa: Y015
    _WhichOneofReturnType_trust: _TypeAlias = _typing.Literal["radius", "sigma"]  # noqa: Y015
    _WhichOneofArgType_trust: _TypeAlias = _typing.Literal["trust", b"trust"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__landmark) -> _WhichOneofReturnType__landmark | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType_trust) -> _WhichOneofReturnType_trust | None: ...

Global___Click: _TypeAlias = Click  # noqa: Y015

@_typing.final
class RegionConstraint(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARK_FIELD_NUMBER: _builtins.int
    REGION_FIELD_NUMBER: _builtins.int
    SIDE_FIELD_NUMBER: _builtins.int
    landmark: _builtins.int
    side: Global___RegionSide.ValueType
    @_builtins.property
    def region(self) -> _geometry_pb2.Region:
        """The region. Required: INVALID_ARGUMENT when absent."""

    def __init__(
        self,
        *,
        landmark: _builtins.int | None = ...,
        region: _geometry_pb2.Region | None = ...,
        side: Global___RegionSide.ValueType = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_landmark", b"_landmark", "landmark", b"landmark", "region", b"region"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_landmark", b"_landmark", "landmark", b"landmark", "region", b"region", "side", b"side"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__landmark: _TypeAlias = _typing.Literal["landmark"]  # noqa: Y015
    _WhichOneofArgType__landmark: _TypeAlias = _typing.Literal["_landmark", b"_landmark"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__landmark) -> _WhichOneofReturnType__landmark | None: ...

Global___RegionConstraint: _TypeAlias = RegionConstraint  # noqa: Y015

@_typing.final
class PoseRange(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    YAW_FIELD_NUMBER: _builtins.int
    PITCH_FIELD_NUMBER: _builtins.int
    ROLL_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def yaw(self) -> _geometry_pb2.Interval:
        """Degrees; > 0 is nose to the image's right. INVALID_ARGUMENT outside [−180, 180]."""

    @_builtins.property
    def pitch(self) -> _geometry_pb2.Interval:
        """Degrees; > 0 is up. INVALID_ARGUMENT outside [−180, 180]."""

    @_builtins.property
    def roll(self) -> _geometry_pb2.Interval:
        """Degrees; > 0 is clockwise on screen. INVALID_ARGUMENT outside [−180, 180]."""

    def __init__(
        self,
        *,
        yaw: _geometry_pb2.Interval | None = ...,
        pitch: _geometry_pb2.Interval | None = ...,
        roll: _geometry_pb2.Interval | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PoseRange: _TypeAlias = PoseRange  # noqa: Y015

@_typing.final
class Evidence(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CLICKS_FIELD_NUMBER: _builtins.int
    REGIONS_FIELD_NUMBER: _builtins.int
    POSES_FIELD_NUMBER: _builtins.int
    BOX_MOTION_FIELD_NUMBER: _builtins.int
    box_motion: Global___BoxMotion.ValueType
    @_builtins.property
    def clicks(self) -> _containers.RepeatedCompositeFieldContainer[Global___Click]:
        """Known landmark positions, at most one a landmark, at most 68."""

    @_builtins.property
    def regions(self) -> _containers.RepeatedCompositeFieldContainer[Global___RegionConstraint]:
        """Regions that landmarks lie in or outside of, at most 68, with those that the posterior_id holds.
        INVALID_ARGUMENT beyond.
        """

    @_builtins.property
    def poses(self) -> _containers.RepeatedCompositeFieldContainer[Global___PoseRange]:
        """Pose ranges; all of them hold. At most 8, with those that the posterior_id holds. INVALID_ARGUMENT beyond."""

    def __init__(
        self,
        *,
        clicks: _abc.Iterable[Global___Click] | None = ...,
        regions: _abc.Iterable[Global___RegionConstraint] | None = ...,
        poses: _abc.Iterable[Global___PoseRange] | None = ...,
        box_motion: Global___BoxMotion.ValueType = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["box_motion", b"box_motion", "clicks", b"clicks", "poses", b"poses", "regions", b"regions"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Evidence: _TypeAlias = Evidence  # noqa: Y015

@_typing.final
class SuggestionOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARKS_FIELD_NUMBER: _builtins.int
    MAX_SUGGESTIONS_FIELD_NUMBER: _builtins.int
    CRITERION_FIELD_NUMBER: _builtins.int
    CLICK_SIGMA_FIELD_NUMBER: _builtins.int
    max_suggestions: _builtins.int
    criterion: Global___SuggestionCriterion.ValueType
    click_sigma: _builtins.float
    @_builtins.property
    def landmarks(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Candidate landmarks, 0-based. Empty: all 68 that are not yet clicked. INVALID_ARGUMENT outside 0 to 67 or
        when repeated, or when the face holds a click on it already.
        """

    def __init__(
        self,
        *,
        landmarks: _abc.Iterable[_builtins.int] | None = ...,
        max_suggestions: _builtins.int | None = ...,
        criterion: Global___SuggestionCriterion.ValueType = ...,
        click_sigma: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_click_sigma", b"_click_sigma", "_max_suggestions", b"_max_suggestions", "click_sigma", b"click_sigma", "max_suggestions", b"max_suggestions"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_click_sigma", b"_click_sigma", "_max_suggestions", b"_max_suggestions", "click_sigma", b"click_sigma", "criterion", b"criterion", "landmarks", b"landmarks", "max_suggestions", b"max_suggestions"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__click_sigma: _TypeAlias = _typing.Literal["click_sigma"]  # noqa: Y015
    _WhichOneofArgType__click_sigma: _TypeAlias = _typing.Literal["_click_sigma", b"_click_sigma"]  # noqa: Y015
    _WhichOneofReturnType__max_suggestions: _TypeAlias = _typing.Literal["max_suggestions"]  # noqa: Y015
    _WhichOneofArgType__max_suggestions: _TypeAlias = _typing.Literal["_max_suggestions", b"_max_suggestions"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__click_sigma) -> _WhichOneofReturnType__click_sigma | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__max_suggestions) -> _WhichOneofReturnType__max_suggestions | None: ...

Global___SuggestionOptions: _TypeAlias = SuggestionOptions  # noqa: Y015

@_typing.final
class Suggestion(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARK_FIELD_NUMBER: _builtins.int
    ERROR_REDUCTION_FIELD_NUMBER: _builtins.int
    ENTROPY_REDUCTION_FIELD_NUMBER: _builtins.int
    landmark: _builtins.int
    error_reduction: _builtins.float
    entropy_reduction: _builtins.float
    def __init__(
        self,
        *,
        landmark: _builtins.int = ...,
        error_reduction: _builtins.float = ...,
        entropy_reduction: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["entropy_reduction", b"entropy_reduction", "error_reduction", b"error_reduction", "landmark", b"landmark"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Suggestion: _TypeAlias = Suggestion  # noqa: Y015
