"""inference.GRPCInferenceService: KServe's view of the server. It infers by calling PredictLandmarks, and nothing else.

It is there from the moment on at which the port is open, for whoever asks whether the server is ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.metadata import version

from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign.v1 import service_pb2
from exalign_engine.errors import InvalidInputError
from exalign_service.open_inference.request import about_tensors, read_infer
from exalign_service.open_inference.response import infer_response
from exalign_service.open_inference.tensors import INPUTS, OUTPUTS, shown_name
from exalign_service.rpc.errors import ModelNotFoundError, NotServingError
from exalign_service.rpc.lifecycle import Lifecycle

#: PredictLandmarks as the servicer has it: its answer is in the wire format.
Predict = Callable[[service_pb2.PredictLandmarksRequest, object], Awaitable[bytes]]

#: What the model is made for: it is read by nothing but this server.
_PLATFORM = "exalign"

#: Of the protocol, what is here beside its core.
_EXTENSIONS = ("model_configuration",)


class OpenInferenceServicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Handlers raise; the interceptor turns exceptions into statuses.

    Args:
        lifecycle: says whether the server is ready, and why not.
        model_name: by which callers know the model.
        max_faces: most boxes in one call.
    """

    def __init__(self, lifecycle: Lifecycle, model_name: str, max_faces: int) -> None:
        self._lifecycle, self._name, self._max_faces = lifecycle, model_name, max_faces
        self._model: tuple[Callable[[], str], Predict] | None = None

    def attach(self, bundle_id: Callable[[], str], predict: Predict) -> None:
        """The model is loaded.

        Args:
            bundle_id: its version; another one when another bundle answers.
            predict: answers.
        """
        self._model = bundle_id, predict

    async def ServerLive(  # noqa: N802  # the contract's name
        self, request: inference_pb2.ServerLiveRequest, context: object
    ) -> inference_pb2.ServerLiveResponse:
        """See inference.proto; so it is for the methods below."""
        return inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802
        self, request: inference_pb2.ServerReadyRequest, context: object
    ) -> inference_pb2.ServerReadyResponse:
        """Whether health says SERVING."""
        return inference_pb2.ServerReadyResponse(ready=self._lifecycle.serving)

    async def ModelReady(  # noqa: N802
        self, request: inference_pb2.ModelReadyRequest, context: object
    ) -> inference_pb2.ModelReadyResponse:
        """The same of the one model that there is."""
        self._check(request.name, request.version)
        return inference_pb2.ModelReadyResponse(ready=self._lifecycle.serving)

    async def ServerMetadata(  # noqa: N802
        self, request: inference_pb2.ServerMetadataRequest, context: object
    ) -> inference_pb2.ServerMetadataResponse:
        """Name, version and extensions."""
        return inference_pb2.ServerMetadataResponse(name="exalign", version=version("exalign"), extensions=_EXTENSIONS)

    async def ModelMetadata(  # noqa: N802
        self, request: inference_pb2.ModelMetadataRequest, context: object
    ) -> inference_pb2.ModelMetadataResponse:
        """The tensors; what they mean stands in ``properties``."""
        self._check(request.name, request.version)
        tensor = inference_pb2.ModelMetadataResponse.TensorMetadata
        return inference_pb2.ModelMetadataResponse(
            name=self._name,
            versions=[self._loaded()[0]()],
            platform=_PLATFORM,
            inputs=[tensor(name=kind.name, datatype=kind.datatype, shape=kind.shape) for kind in INPUTS],
            outputs=[tensor(name=kind.name, datatype=kind.datatype, shape=kind.shape) for kind in OUTPUTS],
            properties={
                **{f"inputs.{kind.name}": kind.about for kind in INPUTS},
                **{f"outputs.{kind.name}": kind.about for kind in OUTPUTS},
            },
        )

    async def ModelConfig(  # noqa: N802
        self, request: inference_pb2.ModelConfigRequest, context: object
    ) -> inference_pb2.ModelConfigResponse:
        """What perf_analyzer wants to know: tensors have no dimension for a batch, and boxes may be left out."""
        self._check(request.name, request.version)
        inputs = [inference_pb2.ModelInput(name=k.name, dims=k.shape, optional=k.optional) for k in INPUTS]
        config = inference_pb2.ModelConfig(name=self._name, platform=_PLATFORM, max_batch_size=0, input=inputs)
        return inference_pb2.ModelConfigResponse(config=config)

    async def ModelInfer(  # noqa: N802
        self, request: inference_pb2.ModelInferRequest, context: object
    ) -> inference_pb2.ModelInferResponse:
        """PredictLandmarks, asked and answered in tensors."""
        self._check(request.model_name, request.model_version)
        _, predict = self._loaded()
        asked, call_id = read_infer(request, self._max_faces), request.id
        del request  # its picture is not needed a second time
        try:
            answered = await predict(asked.predict, context)
        except InvalidInputError as e:
            raise about_tensors(e) from None
        answer = service_pb2.PredictLandmarksResponse.FromString(answered)
        return infer_response(answer, asked, self._name, call_id)

    def _loaded(self) -> tuple[Callable[[], str], Predict]:
        """The version of the model, and what answers.

        Raises:
            NotServingError: there is no model yet.
        """
        if self._model is None:
            raise NotServingError(self._lifecycle.why_not)
        return self._model

    def _check(self, name: str, wanted: str) -> None:
        """Whether the model that is named is the one that there is.

        Raises:
            ModelNotFoundError: it is another, or another version.
        """
        if name != self._name:
            raise ModelNotFoundError(f"there is no model {shown_name(name)}, only {self._name!r}")
        if wanted and self._model is not None and wanted != (known := self._model[0]()):
            text = f"there is no version {shown_name(wanted)} of {self._name!r}, only {known!r}"
            raise ModelNotFoundError(text)
