
from google.protobuf import descriptor as _descriptor
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
class StageTiming(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    DECODE_SECONDS_FIELD_NUMBER: _builtins.int
    DETECT_SECONDS_FIELD_NUMBER: _builtins.int
    QUEUE_SECONDS_FIELD_NUMBER: _builtins.int
    INFER_SECONDS_FIELD_NUMBER: _builtins.int
    POSTERIOR_SECONDS_FIELD_NUMBER: _builtins.int
    HMM_SECONDS_FIELD_NUMBER: _builtins.int
    TOTAL_SECONDS_FIELD_NUMBER: _builtins.int
    decode_seconds: _builtins.float
    detect_seconds: _builtins.float
    queue_seconds: _builtins.float
    infer_seconds: _builtins.float
    posterior_seconds: _builtins.float
    hmm_seconds: _builtins.float
    total_seconds: _builtins.float
    def __init__(
        self,
        *,
        decode_seconds: _builtins.float = ...,
        detect_seconds: _builtins.float = ...,
        queue_seconds: _builtins.float = ...,
        infer_seconds: _builtins.float = ...,
        posterior_seconds: _builtins.float = ...,
        hmm_seconds: _builtins.float = ...,
        total_seconds: _builtins.float = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["decode_seconds", b"decode_seconds", "detect_seconds", b"detect_seconds", "hmm_seconds", b"hmm_seconds", "infer_seconds", b"infer_seconds", "posterior_seconds", b"posterior_seconds", "queue_seconds", b"queue_seconds", "total_seconds", b"total_seconds"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___StageTiming: _TypeAlias = StageTiming  # noqa: Y015
