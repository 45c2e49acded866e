
from collections import abc as _abc
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

class _LandmarkGroup:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _LandmarkGroupEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_LandmarkGroup.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    LANDMARK_GROUP_UNSPECIFIED: _LandmarkGroup.ValueType  # 0
    LANDMARK_GROUP_JAW: _LandmarkGroup.ValueType  # 1
    LANDMARK_GROUP_BROWS: _LandmarkGroup.ValueType  # 2
    LANDMARK_GROUP_NOSE: _LandmarkGroup.ValueType  # 3
    LANDMARK_GROUP_EYES: _LandmarkGroup.ValueType  # 4
    LANDMARK_GROUP_MOUTH: _LandmarkGroup.ValueType  # 5
    LANDMARK_GROUP_ALL: _LandmarkGroup.ValueType  # 6

class LandmarkGroup(_LandmarkGroup, metaclass=_LandmarkGroupEnumTypeWrapper):
    """The named groups of the 68-point iBUG layout, 0-based indices."""

LANDMARK_GROUP_UNSPECIFIED: LandmarkGroup.ValueType  # 0
LANDMARK_GROUP_JAW: LandmarkGroup.ValueType  # 1
LANDMARK_GROUP_BROWS: LandmarkGroup.ValueType  # 2
LANDMARK_GROUP_NOSE: LandmarkGroup.ValueType  # 3
LANDMARK_GROUP_EYES: LandmarkGroup.ValueType  # 4
LANDMARK_GROUP_MOUTH: LandmarkGroup.ValueType  # 5
LANDMARK_GROUP_ALL: LandmarkGroup.ValueType  # 6
Global___LandmarkGroup: _TypeAlias = LandmarkGroup  # noqa: Y015

@_typing.final
class Point(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    X_FIELD_NUMBER: _builtins.int
    Y_FIELD_NUMBER: _builtins.int
    x: _builtins.float
    y: _builtins.float
    def __init__(
        self,
        *,
        x: _builtins.float = ...,
        y: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["x", b"x", "y", b"y"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Point: _TypeAlias = Point  # noqa: Y015

@_typing.final
class Box(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    X0_FIELD_NUMBER: _builtins.int
    Y0_FIELD_NUMBER: _builtins.int
    X1_FIELD_NUMBER: _builtins.int
    Y1_FIELD_NUMBER: _builtins.int
    DETECTOR_FIELD_NUMBER: _builtins.int
    x0: _builtins.float
    y0: _builtins.float
    x1: _builtins.float
    y1: _builtins.float
    detector: _builtins.str
    def __init__(
        self,
        *,
        x0: _builtins.float = ...,
        y0: _builtins.float = ...,
        x1: _builtins.float = ...,
        y1: _builtins.float = ...,
        detector: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["detector", b"detector", "x0", b"x0", "x1", b"x1", "y0", b"y0", "y1", b"y1"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Box: _TypeAlias = Box  # noqa: Y015

@_typing.final
class Rectangle(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    X0_FIELD_NUMBER: _builtins.int
    Y0_FIELD_NUMBER: _builtins.int
    X1_FIELD_NUMBER: _builtins.int
    Y1_FIELD_NUMBER: _builtins.int
    x0: _builtins.float
    y0: _builtins.float
    x1: _builtins.float
    y1: _builtins.float
    def __init__(
        self,
        *,
        x0: _builtins.float = ...,
        y0: _builtins.float = ...,
        x1: _builtins.float = ...,
        y1: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["x0", b"x0", "x1", b"x1", "y0", b"y0", "y1", b"y1"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Rectangle: _TypeAlias = Rectangle  # noqa: Y015

@_typing.final
class Circle(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CENTER_FIELD_NUMBER: _builtins.int
    RADIUS_FIELD_NUMBER: _builtins.int
    radius: _builtins.float
    @_builtins.property
    def center(self) -> Global___Point:
        """Centre. Required: INVALID_ARGUMENT when absent."""

    def __init__(
        self,
        *,
        center: Global___Point | None = ...,
        radius: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["center", b"center"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["center", b"center", "radius", b"radius"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Circle: _TypeAlias = Circle  # noqa: Y015

@_typing.final
class Polygon(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    VERTICES_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def vertices(self) -> _containers.RepeatedCompositeFieldContainer[Global___Point]:
        """Corners in order, 3 to 64 of them: INVALID_ARGUMENT otherwise."""

    def __init__(
        self,
        *,
        vertices: _abc.Iterable[Global___Point] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["vertices", b"vertices"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Polygon: _TypeAlias = Polygon  # noqa: Y015

@_typing.final
class Region(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    RECTANGLE_FIELD_NUMBER: _builtins.int
    CIRCLE_FIELD_NUMBER: _builtins.int
    POLYGON_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def rectangle(self) -> Global___Rectangle:
        """A rectangle."""

    @_builtins.property
    def circle(self) -> Global___Circle:
        """A disc."""

    @_builtins.property
    def polygon(self) -> Global___Polygon:
        """A polygon."""

    def __init__(
        self,
        *,
        rectangle: Global___Rectangle | None = ...,
        circle: Global___Circle | None = ...,
        polygon: Global___Polygon | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["circle", b"circle", "polygon", b"polygon", "rectangle", b"rectangle", "shape", b"shape"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["circle", b"circle", "polygon", b"polygon", "rectangle", b"rectangle", "shape", b"shape"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_shape: _TypeAlias = _typing.Literal["rectangle", "circle", "polygon"]  # noqa: Y015
    _WhichOneofArgType_shape: _TypeAlias = _typing.Literal["shape", b"shape"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_shape) -> _WhichOneofReturnType_shape | None: ...

Global___Region: _TypeAlias = Region  # noqa: Y015

@_typing.final
class Covariance2(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    XX_FIELD_NUMBER: _builtins.int
    XY_FIELD_NUMBER: _builtins.int
    YY_FIELD_NUMBER: _builtins.int
    xx: _builtins.float
    xy: _builtins.float
    yy: _builtins.float
    def __init__(
        self,
        *,
        xx: _builtins.float = ...,
        xy: _builtins.float = ...,
        yy: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["xx", b"xx", "xy", b"xy", "yy", b"yy"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Covariance2: _TypeAlias = Covariance2  # noqa: Y015

@_typing.final
class Interval(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LOWER_FIELD_NUMBER: _builtins.int
    UPPER_FIELD_NUMBER: _builtins.int
    lower: _builtins.float
    upper: _builtins.float
    def __init__(
        self,
        *,
        lower: _builtins.float = ...,
        upper: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["lower", b"lower", "upper", b"upper"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Interval: _TypeAlias = Interval  # noqa: Y015

@_typing.final
class LandmarkIndices(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    INDICES_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def indices(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """0-based, 0 to 67, each at most once, at least one: INVALID_ARGUMENT otherwise."""

    def __init__(
        self,
        *,
        indices: _abc.Iterable[_builtins.int] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["indices", b"indices"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___LandmarkIndices: _TypeAlias = LandmarkIndices  # noqa: Y015

@_typing.final
class LandmarkSelection(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    GROUP_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    group: Global___LandmarkGroup.ValueType
    @_builtins.property
    def landmarks(self) -> Global___LandmarkIndices:
        """Landmarks given one by one."""

    def __init__(
        self,
        *,
        group: Global___LandmarkGroup.ValueType = ...,
        landmarks: Global___LandmarkIndices | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["group", b"group", "landmarks", b"landmarks", "selection", b"selection"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["group", b"group", "landmarks", b"landmarks", "selection", b"selection"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_selection: _TypeAlias = _typing.Literal["group", "landmarks"]  # noqa: Y015
    _WhichOneofArgType_selection: _TypeAlias = _typing.Literal["selection", b"selection"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_selection) -> _WhichOneofReturnType_selection | None: ...

Global___LandmarkSelection: _TypeAlias = LandmarkSelection  # noqa: Y015
