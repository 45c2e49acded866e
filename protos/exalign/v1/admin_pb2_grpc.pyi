
from collections import abc as _abc
from exalign.v1 import admin_pb2 as _admin_pb2
from grpc import aio as _aio
import abc as _abc_1
import grpc as _grpc
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import Self as _Self
else:
    from typing_extensions import Self as _Self

_T = _typing.TypeVar("_T")

class _MaybeAsyncIterator(_abc.AsyncIterator[_T], _abc.Iterator[_T], metaclass=_abc_1.ABCMeta): ...

class _ServicerContext(_grpc.ServicerContext, _aio.ServicerContext):  # type: ignore[misc, type-arg]
    ...

GRPC_GENERATED_VERSION: str
GRPC_VERSION: str

class ModelAdminServiceStub:

    @_typing.overload
    def __new__(cls, channel: _grpc.Channel) -> _Self: ...
    @_typing.overload
    def __new__(cls, channel: _aio.Channel) -> ModelAdminServiceAsyncStub: ...
    SwapModel: _grpc.UnaryUnaryMultiCallable[_admin_pb2.SwapModelRequest, _admin_pb2.SwapModelResponse]

@_typing.type_check_only
class ModelAdminServiceAsyncStub(ModelAdminServiceStub):

    def __init__(self, channel: _aio.Channel) -> None: ...
    SwapModel: _aio.UnaryUnaryMultiCallable[_admin_pb2.SwapModelRequest, _admin_pb2.SwapModelResponse]  # type: ignore[assignment]

class ModelAdminServiceServicer:

    def SwapModel(
        self,
        request: _admin_pb2.SwapModelRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_admin_pb2.SwapModelResponse, _abc.Awaitable[_admin_pb2.SwapModelResponse]]:
        """Puts a bundle in the place of the one that answers: it is loaded, verified, compared with the reference runtime and
        warmed up beside it. Calls and sessions that have begun keep theirs. Asked again for the same bundle, it waits for
        the swap that is in progress, or changes nothing. A swap goes on when its caller leaves, and is not bounded by
        Limits.max_deadline.
        """

def add_ModelAdminServiceServicer_to_server(servicer: ModelAdminServiceServicer, server: _typing.Union[_grpc.Server, _aio.Server]) -> None: ...
