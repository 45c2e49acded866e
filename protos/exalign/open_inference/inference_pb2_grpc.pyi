
from collections import abc as _abc
from exalign.open_inference import inference_pb2 as _inference_pb2
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

class GRPCInferenceServiceStub:

    @_typing.overload
    def __new__(cls, channel: _grpc.Channel) -> _Self: ...
    @_typing.overload
    def __new__(cls, channel: _aio.Channel) -> GRPCInferenceServiceAsyncStub: ...
    ServerLive: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ServerLiveRequest, _inference_pb2.ServerLiveResponse]
    ServerReady: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ServerReadyRequest, _inference_pb2.ServerReadyResponse]
    ModelReady: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ModelReadyRequest, _inference_pb2.ModelReadyResponse]
    ServerMetadata: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ServerMetadataRequest, _inference_pb2.ServerMetadataResponse]
    ModelMetadata: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ModelMetadataRequest, _inference_pb2.ModelMetadataResponse]
    ModelInfer: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ModelInferRequest, _inference_pb2.ModelInferResponse]
    ModelConfig: _grpc.UnaryUnaryMultiCallable[_inference_pb2.ModelConfigRequest, _inference_pb2.ModelConfigResponse]

@_typing.type_check_only
class GRPCInferenceServiceAsyncStub(GRPCInferenceServiceStub):

    def __init__(self, channel: _aio.Channel) -> None: ...
    ServerLive: _aio.UnaryUnaryMultiCallable[_inference_pb2.ServerLiveRequest, _inference_pb2.ServerLiveResponse]  # type: ignore[assignment]
    ServerReady: _aio.UnaryUnaryMultiCallable[_inference_pb2.ServerReadyRequest, _inference_pb2.ServerReadyResponse]  # type: ignore[assignment]
    ModelReady: _aio.UnaryUnaryMultiCallable[_inference_pb2.ModelReadyRequest, _inference_pb2.ModelReadyResponse]  # type: ignore[assignment]
    ServerMetadata: _aio.UnaryUnaryMultiCallable[_inference_pb2.ServerMetadataRequest, _inference_pb2.ServerMetadataResponse]  # type: ignore[assignment]
    ModelMetadata: _aio.UnaryUnaryMultiCallable[_inference_pb2.ModelMetadataRequest, _inference_pb2.ModelMetadataResponse]  # type: ignore[assignment]
    ModelInfer: _aio.UnaryUnaryMultiCallable[_inference_pb2.ModelInferRequest, _inference_pb2.ModelInferResponse]  # type: ignore[assignment]
    ModelConfig: _aio.UnaryUnaryMultiCallable[_inference_pb2.ModelConfigRequest, _inference_pb2.ModelConfigResponse]  # type: ignore[assignment]

class GRPCInferenceServiceServicer:

    def ServerLive(
        self,
        request: _inference_pb2.ServerLiveRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ServerLiveResponse, _abc.Awaitable[_inference_pb2.ServerLiveResponse]]:
        """Says whether the server can be talked to."""

    def ServerReady(
        self,
        request: _inference_pb2.ServerReadyRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ServerReadyResponse, _abc.Awaitable[_inference_pb2.ServerReadyResponse]]:
        """Says whether the server is ready to infer."""

    def ModelReady(
        self,
        request: _inference_pb2.ModelReadyRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ModelReadyResponse, _abc.Awaitable[_inference_pb2.ModelReadyResponse]]:
        """Says whether one model is ready to infer."""

    def ServerMetadata(
        self,
        request: _inference_pb2.ServerMetadataRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ServerMetadataResponse, _abc.Awaitable[_inference_pb2.ServerMetadataResponse]]:
        """Names the server."""

    def ModelMetadata(
        self,
        request: _inference_pb2.ModelMetadataRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ModelMetadataResponse, _abc.Awaitable[_inference_pb2.ModelMetadataResponse]]:
        """Says what a model takes and gives."""

    def ModelInfer(
        self,
        request: _inference_pb2.ModelInferRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ModelInferResponse, _abc.Awaitable[_inference_pb2.ModelInferResponse]]:
        """Infers."""

    def ModelConfig(
        self,
        request: _inference_pb2.ModelConfigRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_inference_pb2.ModelConfigResponse, _abc.Awaitable[_inference_pb2.ModelConfigResponse]]:
        """Says how a model is served."""

def add_GRPCInferenceServiceServicer_to_server(servicer: GRPCInferenceServiceServicer, server: _typing.Union[_grpc.Server, _aio.Server]) -> None: ...
