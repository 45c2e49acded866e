
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

class _HeatmapEncoding:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _HeatmapEncodingEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_HeatmapEncoding.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    HEATMAP_ENCODING_UNSPECIFIED: _HeatmapEncoding.ValueType  # 0
    HEATMAP_ENCODING_FLOAT32: _HeatmapEncoding.ValueType  # 1
    HEATMAP_ENCODING_UINT8: _HeatmapEncoding.ValueType  # 2
    HEATMAP_ENCODING_SPARSE: _HeatmapEncoding.ValueType  # 3

class HeatmapEncoding(_HeatmapEncoding, metaclass=_HeatmapEncodingEnumTypeWrapper):
    """How the cells of a heatmap are sent."""

HEATMAP_ENCODING_UNSPECIFIED: HeatmapEncoding.ValueType  # 0
HEATMAP_ENCODING_FLOAT32: HeatmapEncoding.ValueType  # 1
HEATMAP_ENCODING_UINT8: HeatmapEncoding.ValueType  # 2
HEATMAP_ENCODING_SPARSE: HeatmapEncoding.ValueType  # 3
Global___HeatmapEncoding: _TypeAlias = HeatmapEncoding  # noqa: Y015

@_typing.final
class HeatmapOptions(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARKS_FIELD_NUMBER: _builtins.int
    RECTANGLE_FIELD_NUMBER: _builtins.int
    WIDTH_FIELD_NUMBER: _builtins.int
    HEIGHT_FIELD_NUMBER: _builtins.int
    ENCODING_FIELD_NUMBER: _builtins.int
    SPARSE_MASS_FIELD_NUMBER: _builtins.int
    width: _builtins.int
    height: _builtins.int
    encoding: Global___HeatmapEncoding.ValueType
    sparse_mass: _builtins.float
    @_builtins.property
    def landmarks(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """0-based landmarks, in the order wanted. Empty: all 68. INVALID_ARGUMENT outside 0 to 67 or when repeated."""

    @_builtins.property
    def rectangle(self) -> _geometry_pb2.Rectangle:
        """The part of the image to cover. Absent: for each face, the square that the network saw (the crop).
        INVALID_ARGUMENT beyond ±1,000,000 pixels.
        """

    def __init__(
        self,
        *,
        landmarks: _abc.Iterable[_builtins.int] | None = ...,
        rectangle: _geometry_pb2.Rectangle | None = ...,
        width: _builtins.int | None = ...,
        height: _builtins.int | None = ...,
        encoding: Global___HeatmapEncoding.ValueType = ...,
        sparse_mass: _builtins.float | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_height", b"_height", "_sparse_mass", b"_sparse_mass", "_width", b"_width", "height", b"height", "rectangle", b"rectangle", "sparse_mass", b"sparse_mass", "width", b"width"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_height", b"_height", "_sparse_mass", b"_sparse_mass", "_width", b"_width", "encoding", b"encoding", "height", b"height", "landmarks", b"landmarks", "rectangle", b"rectangle", "sparse_mass", b"sparse_mass", "width", b"width"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__height: _TypeAlias = _typing.Literal["height"]  # noqa: Y015
    _WhichOneofArgType__height: _TypeAlias = _typing.Literal["_height", b"_height"]  # noqa: Y015
    _WhichOneofReturnType__sparse_mass: _TypeAlias = _typing.Literal["sparse_mass"]  # noqa: Y015
    _WhichOneofArgType__sparse_mass: _TypeAlias = _typing.Literal["_sparse_mass", b"_sparse_mass"]  # noqa: Y015
    _WhichOneofReturnType__width: _TypeAlias = _typing.Literal["width"]  # noqa: Y015
    _WhichOneofArgType__width: _TypeAlias = _typing.Literal["_width", b"_width"]  # noqa: Y015
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__height) -> _WhichOneofReturnType__height | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__sparse_mass) -> _WhichOneofReturnType__sparse_mass | None: ...
    @_typing.overload
    def WhichOneof(self, oneof_group: _WhichOneofArgType__width) -> _WhichOneofReturnType__width | None: ...

Global___HeatmapOptions: _TypeAlias = HeatmapOptions  # noqa: Y015

@_typing.final
class DenseCells(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    FLOAT32_FIELD_NUMBER: _builtins.int
    float32: _builtins.bytes
    def __init__(
        self,
        *,
        float32: _builtins.bytes = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["float32", b"float32"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___DenseCells: _TypeAlias = DenseCells  # noqa: Y015

@_typing.final
class QuantizedCells(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    UINT8_FIELD_NUMBER: _builtins.int
    SCALE_FIELD_NUMBER: _builtins.int
    uint8: _builtins.bytes
    scale: _builtins.float
    def __init__(
        self,
        *,
        uint8: _builtins.bytes = ...,
        scale: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["scale", b"scale", "uint8", b"uint8"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___QuantizedCells: _TypeAlias = QuantizedCells  # noqa: Y015

@_typing.final
class SparseCells(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    INDICES_FIELD_NUMBER: _builtins.int
    MASSES_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def indices(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """row × width + column of each cell, ascending."""

    @_builtins.property
    def masses(self) -> _containers.RepeatedScalarFieldContainer[_builtins.float]:
        """Mass in each of these cells."""

    def __init__(
        self,
        *,
        indices: _abc.Iterable[_builtins.int] | None = ...,
        masses: _abc.Iterable[_builtins.float] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["indices", b"indices", "masses", b"masses"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___SparseCells: _TypeAlias = SparseCells  # noqa: Y015

@_typing.final
class Heatmap(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    LANDMARK_FIELD_NUMBER: _builtins.int
    DENSE_FIELD_NUMBER: _builtins.int
    QUANTIZED_FIELD_NUMBER: _builtins.int
    SPARSE_FIELD_NUMBER: _builtins.int
    MASS_OUTSIDE_FIELD_NUMBER: _builtins.int
    MASS_CUT_FIELD_NUMBER: _builtins.int
    MASS_ERROR_FIELD_NUMBER: _builtins.int
    landmark: _builtins.int
    mass_outside: _builtins.float
    mass_cut: _builtins.float
    mass_error: _builtins.float
    @_builtins.property
    def dense(self) -> Global___DenseCells:
        """All cells as floats."""

    @_builtins.property
    def quantized(self) -> Global___QuantizedCells:
        """All cells as bytes."""

    @_builtins.property
    def sparse(self) -> Global___SparseCells:
        """Some cells."""

    def __init__(
        self,
        *,
        landmark: _builtins.int = ...,
        dense: Global___DenseCells | None = ...,
        quantized: Global___QuantizedCells | None = ...,
        sparse: Global___SparseCells | None = ...,
        mass_outside: _builtins.float = ...,
        mass_cut: _builtins.float = ...,
        mass_error: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["cells", b"cells", "dense", b"dense", "quantized", b"quantized", "sparse", b"sparse"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["cells", b"cells", "dense", b"dense", "landmark", b"landmark", "mass_cut", b"mass_cut", "mass_error", b"mass_error", "mass_outside", b"mass_outside", "quantized", b"quantized", "sparse", b"sparse"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_cells: _TypeAlias = _typing.Literal["dense", "quantized", "sparse"]  # noqa: Y015
    _WhichOneofArgType_cells: _TypeAlias = _typing.Literal["cells", b"cells"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_cells) -> _WhichOneofReturnType_cells | None: ...

Global___Heatmap: _TypeAlias = Heatmap  # noqa: Y015

@_typing.final
class Heatmaps(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    RECTANGLE_FIELD_NUMBER: _builtins.int
    WIDTH_FIELD_NUMBER: _builtins.int
    HEIGHT_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    width: _builtins.int
    height: _builtins.int
    @_builtins.property
    def rectangle(self) -> _geometry_pb2.Rectangle:
        """The rectangle covered, image frame, pixels. Cell (row, column) is the part of it from
        x0 + column × (x1 − x0) ÷ width and y0 + row × (y1 − y0) ÷ height to where the next cells begin.
        """

    @_builtins.property
    def heatmaps(self) -> _containers.RepeatedCompositeFieldContainer[Global___Heatmap]:
        """One a landmark, in the order asked for."""

    def __init__(
        self,
        *,
        rectangle: _geometry_pb2.Rectangle | None = ...,
        width: _builtins.int = ...,
        height: _builtins.int = ...,
        heatmaps: _abc.Iterable[Global___Heatmap] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["rectangle", b"rectangle"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["heatmaps", b"heatmaps", "height", b"height", "rectangle", b"rectangle", "width", b"width"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___Heatmaps: _TypeAlias = Heatmaps  # noqa: Y015
