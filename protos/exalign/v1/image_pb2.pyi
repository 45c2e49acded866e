
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

class _PixelFormat:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _PixelFormatEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_PixelFormat.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    PIXEL_FORMAT_UNSPECIFIED: _PixelFormat.ValueType  # 0
    PIXEL_FORMAT_RGB8: _PixelFormat.ValueType  # 1
    PIXEL_FORMAT_BGR8: _PixelFormat.ValueType  # 2
    PIXEL_FORMAT_GRAY8: _PixelFormat.ValueType  # 3

class PixelFormat(_PixelFormat, metaclass=_PixelFormatEnumTypeWrapper):
    """How the bytes of a raw image are laid out. One byte a channel, rows from top to bottom."""

PIXEL_FORMAT_UNSPECIFIED: PixelFormat.ValueType  # 0
PIXEL_FORMAT_RGB8: PixelFormat.ValueType  # 1
PIXEL_FORMAT_BGR8: PixelFormat.ValueType  # 2
PIXEL_FORMAT_GRAY8: PixelFormat.ValueType  # 3
Global___PixelFormat: _TypeAlias = PixelFormat  # noqa: Y015

@_typing.final
class RawImage(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    DATA_FIELD_NUMBER: _builtins.int
    PIXEL_FORMAT_FIELD_NUMBER: _builtins.int
    WIDTH_FIELD_NUMBER: _builtins.int
    HEIGHT_FIELD_NUMBER: _builtins.int
    ROW_STRIDE_FIELD_NUMBER: _builtins.int
    data: _builtins.bytes
    pixel_format: Global___PixelFormat.ValueType
    width: _builtins.int
    height: _builtins.int
    row_stride: _builtins.int
    def __init__(
        self,
        *,
        data: _builtins.bytes = ...,
        pixel_format: Global___PixelFormat.ValueType = ...,
        width: _builtins.int = ...,
        height: _builtins.int = ...,
        row_stride: _builtins.int = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["data", b"data", "height", b"height", "pixel_format", b"pixel_format", "row_stride", b"row_stride", "width", b"width"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___RawImage: _TypeAlias = RawImage  # noqa: Y015

@_typing.final
class Image(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    ENCODED_FIELD_NUMBER: _builtins.int
    RAW_FIELD_NUMBER: _builtins.int
    encoded: _builtins.bytes
    @_builtins.property
    def raw(self) -> Global___RawImage:
        """Uncompressed pixels."""

    def __init__(
        self,
        *,
        encoded: _builtins.bytes = ...,
        raw: Global___RawImage | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["encoded", b"encoded", "raw", b"raw", "source", b"source"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["encoded", b"encoded", "raw", b"raw", "source", b"source"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_source: _TypeAlias = _typing.Literal["encoded", "raw"]  # noqa: Y015
    _WhichOneofArgType_source: _TypeAlias = _typing.Literal["source", b"source"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_source) -> _WhichOneofReturnType_source | None: ...

Global___Image: _TypeAlias = Image  # noqa: Y015
