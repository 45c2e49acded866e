
from collections import abc as _abc
from exalign.v1 import geometry_pb2 as _geometry_pb2
from google.protobuf import descriptor as _descriptor
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
class PoseHistogramOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    YAW_BINS_FIELD_NUMBER: _builtins.int
    ROLL_BINS_FIELD_NUMBER: _builtins.int
    YAW_RANGE_FIELD_NUMBER: _builtins.int
    ROLL_RANGE_FIELD_NUMBER: _builtins.int
    yaw_bins: _builtins.int
    roll_bins: _builtins.int
    @_builtins.property
    def yaw_range(self) -> _geometry_pb2.Interval:
        """Range of yaw, degrees, within [−180, 180], at least 0.001 a bin and not empty; default [−90, 90].
        INVALID_ARGUMENT outside.
        """

    @_builtins.property
    def roll_range(self) -> _geometry_pb2.Interval:
        """Range of roll, degrees, within [−180, 180], at least 0.001 a bin and not empty; default [−90, 90].
        INVALID_ARGUMENT outside.
        """

    def __init__(
        self,
        *,
        yaw_bins: _builtins.int | None = ...,
        roll_bins: _builtins.int | None = ...,
        yaw_range: _geometry_pb2.Interval | None = ...,
        roll_range: _geometry_pb2.Interval | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_roll_bins", b"_roll_bins", "_yaw_bins", b"_yaw_bins", "roll_bins", b"roll_bins", "roll_range", b"roll_range", "yaw_bins", b"yaw_bins", "yaw_range", b"yaw_range"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_roll_bins", b"_roll_bins", "_yaw_bins", b"_yaw_bins", "roll_bins", b"roll_bins", "roll_range", b"roll_range", "yaw_bins", b"yaw_bins", "yaw_range", b"yaw_range"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__roll_bins: _TypeAlias = _typing.Literal["roll_bins"]  # noqa: Y015
    _WhichOneofArgType__roll_bins: _TypeAlias = _typing.Literal["_roll_bins", b"_roll_bins"]  # noqa: Y015
    _WhichOneofReturnType__yaw_bins: _TypeAlias = _typing.Literal["yaw_bins"]  # noqa: Y015
    _WhichOneofArgType__yaw_bins: _TypeAlias = _typing.Literal["_yaw_bins", b"_yaw_bins"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__roll_bins) -> _WhichOneofReturnType__roll_bins | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__yaw_bins) -> _WhichOneofReturnType__yaw_bins | None: ...

Global___PoseHistogramOptions: _TypeAlias = PoseHistogramOptions  # noqa: Y015

@_typing.final
class PoseOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    INTERVAL_MASSES_FIELD_NUMBER: _builtins.int
    HISTOGRAM_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def interval_masses(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Masses of the credible intervals, each in (0, 1), at most 8. Empty: 0.5 and 0.9. INVALID_ARGUMENT outside."""

    @_builtins.property
    def histogram(self) -> Global___PoseHistogramOptions:
        """Grid of the joint histogram. Absent: its defaults."""

    def __init__(
        self,
        *,
        interval_masses: _abc.Iterable[_builtins.float] | None = ...,
        histogram: Global___PoseHistogramOptions | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["histogram", b"histogram"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["histogram", b"histogram", "interval_masses", b"interval_masses"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PoseOptions: _TypeAlias = PoseOptions  # noqa: Y015

@_typing.final
class PoseAngles(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    YAW_FIELD_NUMBER: _builtins.int
    PITCH_FIELD_NUMBER: _builtins.int
    ROLL_FIELD_NUMBER: _builtins.int
    yaw: _builtins.float
    pitch: _builtins.float
    roll: _builtins.float
    def __init__(
        self,
        *,
        yaw: _builtins.float = ...,
        pitch: _builtins.float = ...,
        roll: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PoseAngles: _TypeAlias = PoseAngles  # noqa: Y015

@_typing.final
class PoseIntervals(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    MASS_FIELD_NUMBER: _builtins.int
    YAW_FIELD_NUMBER: _builtins.int
    PITCH_FIELD_NUMBER: _builtins.int
    ROLL_FIELD_NUMBER: _builtins.int
    mass: _builtins.float
    @_builtins.property
    def yaw(self) -> _geometry_pb2.Interval:
        """Degrees."""

    @_builtins.property
    def pitch(self) -> _geometry_pb2.Interval:
        """Degrees."""

    @_builtins.property
    def roll(self) -> _geometry_pb2.Interval:
        """Degrees."""

    def __init__(
        self,
        *,
        mass: _builtins.float = ...,
        yaw: _geometry_pb2.Interval | None = ...,
        pitch: _geometry_pb2.Interval | None = ...,
        roll: _geometry_pb2.Interval | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["mass", b"mass", "pitch", b"pitch", "roll", b"roll", "yaw", b"yaw"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PoseIntervals: _TypeAlias = PoseIntervals  # noqa: Y015

@_typing.final
class PoseHistogram(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    YAW_BINS_FIELD_NUMBER: _builtins.int
    ROLL_BINS_FIELD_NUMBER: _builtins.int
    YAW_RANGE_FIELD_NUMBER: _builtins.int
    ROLL_RANGE_FIELD_NUMBER: _builtins.int
    MASSES_FIELD_NUMBER: _builtins.int
    MASS_OUTSIDE_FIELD_NUMBER: _builtins.int
    yaw_bins: _builtins.int
    roll_bins: _builtins.int
    mass_outside: _builtins.float
    @_builtins.property
    def yaw_range(self) -> _geometry_pb2.Interval:
        """Range of yaw, degrees."""

    @_builtins.property
    def roll_range(self) -> _geometry_pb2.Interval:
        """Range of roll, degrees."""

    @_builtins.property
    def masses(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """roll_bins × yaw_bins probabilities, one row per roll bin from the lowest roll, in it from the lowest yaw."""

    def __init__(
        self,
        *,
        yaw_bins: _builtins.int = ...,
        roll_bins: _builtins.int = ...,
        yaw_range: _geometry_pb2.Interval | None = ...,
        roll_range: _geometry_pb2.Interval | None = ...,
        masses: _abc.Iterable[_builtins.float] | None = ...,
        mass_outside: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["roll_range", b"roll_range", "yaw_range", b"yaw_range"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["mass_outside", b"mass_outside", "masses", b"masses", "roll_bins", b"roll_bins", "roll_range", b"roll_range", "yaw_bins", b"yaw_bins", "yaw_range", b"yaw_range"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PoseHistogram: _TypeAlias = PoseHistogram  # noqa: Y015

@_typing.final
class Pose(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    MEAN_FIELD_NUMBER: _builtins.int
    COVARIANCE_FIELD_NUMBER: _builtins.int
    INTERVALS_FIELD_NUMBER: _builtins.int
    HISTOGRAM_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def mean(self) -> Global___PoseAngles:
        """Posterior mean."""

    @_builtins.property
    def covariance(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Covariance, square degrees, six numbers: yaw·yaw, yaw·pitch, yaw·roll, pitch·pitch, pitch·roll, roll·roll."""

    @_builtins.property
    def intervals(self) -> _containers.RepeatedCompositeFieldContainer[Global___PoseIntervals]:
        """One a mass asked for, in that order."""

    @_builtins.property
    def histogram(self) -> Global___PoseHistogram:
        """Joint yaw × roll histogram; absent when zero bins were asked for."""

    def __init__(
        self,
        *,
        mean: Global___PoseAngles | None = ...,
        covariance: _abc.Iterable[_builtins.float] | None = ...,
        intervals: _abc.Iterable[Global___PoseIntervals] | None = ...,
        histogram: Global___PoseHistogram | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["histogram", b"histogram", "mean", b"mean"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["covariance", b"covariance", "histogram", b"histogram", "intervals", b"intervals", "mean", b"mean"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Pose: _TypeAlias = Pose  # noqa: Y015
