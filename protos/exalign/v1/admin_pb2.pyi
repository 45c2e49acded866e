
from google.protobuf import descriptor as _descriptor
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import message as _message
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

@_typing.final
class SwapModelRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_FIELD_NUMBER: _builtins.int
    bundle: _builtins.str
    def __init__(
        self,
        *,
        bundle: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle", b"bundle"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___SwapModelRequest: _TypeAlias = SwapModelRequest  # noqa: Y015

@_typing.final
class SwapModelResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    PREVIOUS_BUNDLE_ID_FIELD_NUMBER: _builtins.int
    ELAPSED_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    previous_bundle_id: _builtins.str
    @_builtins.property
    def elapsed(self) -> _duration_pb2.Duration:
        """Time from the request until it answered."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        previous_bundle_id: _builtins.str = ...,
        elapsed: _duration_pb2.Duration | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["elapsed", b"elapsed"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "elapsed", b"elapsed", "previous_bundle_id", b"previous_bundle_id"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___SwapModelResponse: _TypeAlias = SwapModelResponse  # noqa: Y015
