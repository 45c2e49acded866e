
from collections import abc as _abc
from exalign.v1 import service_pb2 as _service_pb2
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

class FaceAlignmentServiceStub:

    @_typing.overload
    def __new__(cls, channel: _grpc.Channel) -> _Self: ...
    @_typing.overload
    def __new__(cls, channel: _aio.Channel) -> FaceAlignmentServiceAsyncStub: ...
    PredictLandmarks: _grpc.UnaryUnaryMultiCallable[_service_pb2.PredictLandmarksRequest, _service_pb2.PredictLandmarksResponse]
    PredictHeatmaps: _grpc.UnaryUnaryMultiCallable[_service_pb2.PredictHeatmapsRequest, _service_pb2.PredictHeatmapsResponse]
    EstimatePose: _grpc.UnaryUnaryMultiCallable[_service_pb2.EstimatePoseRequest, _service_pb2.EstimatePoseResponse]
    QueryConditional: _grpc.UnaryUnaryMultiCallable[_service_pb2.QueryConditionalRequest, _service_pb2.QueryConditionalResponse]
    SuggestEvidence: _grpc.UnaryUnaryMultiCallable[_service_pb2.SuggestEvidenceRequest, _service_pb2.SuggestEvidenceResponse]
    TrackVideo: _grpc.StreamStreamMultiCallable[_service_pb2.TrackVideoRequest, _service_pb2.TrackVideoResponse]
    GetModel: _grpc.UnaryUnaryMultiCallable[_service_pb2.GetModelRequest, _service_pb2.GetModelResponse]
    GetExemplars: _grpc.UnaryUnaryMultiCallable[_service_pb2.GetExemplarsRequest, _service_pb2.GetExemplarsResponse]

@_typing.type_check_only
class FaceAlignmentServiceAsyncStub(FaceAlignmentServiceStub):

    def __init__(self, channel: _aio.Channel) -> None: ...
    PredictLandmarks: _aio.UnaryUnaryMultiCallable[_service_pb2.PredictLandmarksRequest, _service_pb2.PredictLandmarksResponse]  # type: ignore[assignment]
    PredictHeatmaps: _aio.UnaryUnaryMultiCallable[_service_pb2.PredictHeatmapsRequest, _service_pb2.PredictHeatmapsResponse]  # type: ignore[assignment]
    EstimatePose: _aio.UnaryUnaryMultiCallable[_service_pb2.EstimatePoseRequest, _service_pb2.EstimatePoseResponse]  # type: ignore[assignment]
    QueryConditional: _aio.UnaryUnaryMultiCallable[_service_pb2.QueryConditionalRequest, _service_pb2.QueryConditionalResponse]  # type: ignore[assignment]
    SuggestEvidence: _aio.UnaryUnaryMultiCallable[_service_pb2.SuggestEvidenceRequest, _service_pb2.SuggestEvidenceResponse]  # type: ignore[assignment]
    TrackVideo: _aio.StreamStreamMultiCallable[_service_pb2.TrackVideoRequest, _service_pb2.TrackVideoResponse]  # type: ignore[assignment]
    GetModel: _aio.UnaryUnaryMultiCallable[_service_pb2.GetModelRequest, _service_pb2.GetModelResponse]  # type: ignore[assignment]
    GetExemplars: _aio.UnaryUnaryMultiCallable[_service_pb2.GetExemplarsRequest, _service_pb2.GetExemplarsResponse]  # type: ignore[assignment]

class FaceAlignmentServiceServicer:

    def PredictLandmarks(
        self,
        request: _service_pb2.PredictLandmarksRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.PredictLandmarksResponse, _abc.Awaitable[_service_pb2.PredictLandmarksResponse]]:
        """Finds the 68 landmarks of each face, with their uncertainty."""

    def PredictHeatmaps(
        self,
        request: _service_pb2.PredictHeatmapsRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.PredictHeatmapsResponse, _abc.Awaitable[_service_pb2.PredictHeatmapsResponse]]:
        """Says where chosen landmarks may be, as probability mass on a grid."""

    def EstimatePose(
        self,
        request: _service_pb2.EstimatePoseRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.EstimatePoseResponse, _abc.Awaitable[_service_pb2.EstimatePoseResponse]]:
        """Says how the head is turned, as a distribution."""

    def QueryConditional(
        self,
        request: _service_pb2.QueryConditionalRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.QueryConditionalResponse, _abc.Awaitable[_service_pb2.QueryConditionalResponse]]:
        """Answers about one face given evidence, such as a click."""

    def SuggestEvidence(
        self,
        request: _service_pb2.SuggestEvidenceRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.SuggestEvidenceResponse, _abc.Awaitable[_service_pb2.SuggestEvidenceResponse]]:
        """Says which landmark a person should click next."""

    def TrackVideo(
        self,
        request_iterator: _MaybeAsyncIterator[_service_pb2.TrackVideoRequest],
        context: _ServicerContext,
    ) -> _typing.Union[_abc.Iterator[_service_pb2.TrackVideoResponse], _abc.AsyncIterator[_service_pb2.TrackVideoResponse]]:
        """Follows faces through a video. See track.proto for the conversation."""

    def GetModel(
        self,
        request: _service_pb2.GetModelRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.GetModelResponse, _abc.Awaitable[_service_pb2.GetModelResponse]]:
        """Says which model answers, how it is run, and what is accepted."""

    def GetExemplars(
        self,
        request: _service_pb2.GetExemplarsRequest,
        context: _ServicerContext,
    ) -> _typing.Union[_service_pb2.GetExemplarsResponse, _abc.Awaitable[_service_pb2.GetExemplarsResponse]]:
        """Returns the shapes behind class ids."""

def add_FaceAlignmentServiceServicer_to_server(servicer: FaceAlignmentServiceServicer, server: _typing.Union[_grpc.Server, _aio.Server]) -> None: ...
