"""ModelInfer's request read as our own: a picture, boxes, and what is wanted. One error names every wrong field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exalign.open_inference import inference_pb2
from exalign.v1 import image_pb2, service_pb2
from exalign_engine.errors import InvalidInputError, Violation, Violations
from exalign_service.open_inference.tensors import INPUTS, OUTPUTS, GivenTensor, TensorKind, shown, shown_name

#: Parameters that would change what is read or answered, and why that is not possible. Others are hints.
_ELSEWHERE = {"shared_memory_region": "there is no shared memory here"}
_OF_OUTPUTS = {**_ELSEWHERE, "classification": "there are no classes here"}
_OF_REQUESTS = {"sequence_id": "calls are independent of one another; exalign.v1 has TrackVideo for videos"}

_KINDS = {kind.name: kind for kind in OUTPUTS}
_CHANNELS = 3


@dataclass(frozen=True)
class InferRequest:
    """What ModelInfer is asked.

    Attributes:
        predict: the same as a request of our own.
        outputs: wanted, in this order.
        raw: whether values came as raw bytes, and go so.
    """

    predict: service_pb2.PredictLandmarksRequest
    outputs: tuple[TensorKind, ...]
    raw: bool


def read_infer(request: inference_pb2.ModelInferRequest, max_faces: int) -> InferRequest:
    """Read a request of ModelInfer. What only the picture can tell is for PredictLandmarks to find.

    Args:
        request: as it was sent.
        max_faces: most boxes.

    Raises:
        InvalidInputError: every violation.
    """
    violations = Violations()
    _refuse_parameters(request.parameters, _OF_REQUESTS, violations)
    outputs = _outputs(request, violations)
    given = _inputs(request, violations)
    predict = service_pb2.PredictLandmarksRequest()
    if "image" in given:
        _read_image(given["image"], predict.image, violations.at("image"))
    if "boxes" in given:
        _read_boxes(given["boxes"], predict, max_faces, violations.at("boxes"))
    violations.raise_if_any()
    predict.landmarks.top_exemplars = 0  # nobody sees them
    if _KINDS["pose"] in outputs:
        predict.pose.histogram.yaw_bins = 0
    return InferRequest(predict, outputs, bool(request.raw_input_contents))


def about_tensors(error: InvalidInputError) -> InvalidInputError:
    """The same error with the fields of our own request named as tensors: what is in ``image`` is ``image``."""
    return InvalidInputError(
        Violation("image" if v.field.startswith("image.") else v.field, v.description) for v in error.violations
    )


def _inputs(request: inference_pb2.ModelInferRequest, violations: Violations) -> dict[str, GivenTensor]:
    """The tensors that are given, by name, as far as each can be told."""
    inputs, raw = request.inputs, request.raw_input_contents
    known = [kind.name for kind in INPUTS]
    if len(inputs) > len(known):
        violations.add("inputs", f"has {len(inputs)} tensors, at most {len(known)} are accepted: {', '.join(known)}")
        return {}
    if raw and len(raw) != len(inputs):
        violations.add("raw_input_contents", f"has {len(raw)} values, must have one for each of {len(inputs)} inputs")
        return {}
    given: dict[str, GivenTensor] = {}
    for i, tensor in enumerate(inputs):
        if tensor.name not in known:
            text = f"is {shown_name(tensor.name)}, must be one of {', '.join(known)}"
            violations.add(f"inputs[{i}].name", text)
            continue
        if tensor.name in given:
            violations.add(f"inputs[{i}].name", f"is {tensor.name!r} once more, must be there only once")
            continue
        below = violations.at(tensor.name)
        _refuse_parameters(tensor.parameters, _ELSEWHERE, below)
        if raw and tensor.HasField("contents"):
            below.add("contents", "is set, must not be with raw_input_contents")
        given[tensor.name] = GivenTensor(tensor.datatype, tensor.shape, raw[i] if raw else None, tensor.contents)
    if "image" not in given:
        violations.add("image", "is not there, must be among the inputs")
    return given


def _outputs(request: inference_pb2.ModelInferRequest, violations: Violations) -> tuple[TensorKind, ...]:
    """What is wanted, in the order of the request."""
    wanted: list[TensorKind] = []
    if len(request.outputs) > len(_KINDS):
        text = f"has {len(request.outputs)} tensors, at most {len(_KINDS)} are accepted: {', '.join(_KINDS)}"
        violations.add("outputs", text)
        return ()
    for i, output in enumerate(request.outputs):
        kind, below = _KINDS.get(output.name), violations.at(f"outputs[{i}]")
        _refuse_parameters(output.parameters, _OF_OUTPUTS, below)
        if kind is None:
            below.add("name", f"is {shown_name(output.name)}, must be one of {', '.join(_KINDS)}")
        elif kind in wanted:
            below.add("name", f"is {kind.name!r} once more, must be there only once")
        else:
            wanted.append(kind)
    return tuple(wanted) or OUTPUTS


def _read_image(given: GivenTensor, image: image_pb2.Image, violations: Violations) -> None:
    """A file or pixels; ``image`` is filled as far as they are right."""
    shape = given.shape
    if given.datatype == "BYTES":
        if list(shape) != [1]:
            violations.add("shape", f"is {shown(shape)}, must be [1]: one picture a call")
            return
        encoded = given.element(violations)
        if encoded is not None:
            image.encoded = encoded
    elif given.datatype == "UINT8":
        if len(shape) != _CHANNELS or min(shape) < 1 or shape[2] != _CHANNELS:
            violations.add("shape", f"is {shown(shape)}, must be [height, width, 3]: one picture a call, RGB")
            return
        height, width, _ = shape
        pixels = given.octets(_CHANNELS * height * width, violations)
        if pixels is not None:
            raw = image_pb2.RawImage(data=pixels, pixel_format=image_pb2.PIXEL_FORMAT_RGB8, width=width, height=height)
            image.raw.CopyFrom(raw)
    else:
        text = f"is {shown_name(given.datatype)}, must be BYTES (a file) or UINT8 (pixels)"
        violations.add("datatype", text)


def _read_boxes(
    given: GivenTensor, predict: service_pb2.PredictLandmarksRequest, max_faces: int, violations: Violations
) -> None:
    """Boxes of faces, added to a request."""
    shape = given.shape
    if given.datatype != "FP32":
        violations.add("datatype", f"is {shown_name(given.datatype)}, must be FP32")
    elif len(shape) != 2 or shape[0] < 0 or shape[1] != 4:
        violations.add("shape", f"is {shown(shape)}, must be [number of faces, 4]")
    elif shape[0] > max_faces:
        violations.add("", f"has {shape[0]} boxes, at most {max_faces} are accepted")
    else:
        values = given.floats(4 * shape[0], violations)
        for x0, y0, x1, y1 in [] if values is None else values.reshape(-1, 4).tolist():
            predict.boxes.add(x0=x0, y0=y0, x1=x1, y1=y1)


def _refuse_parameters(
    parameters: Mapping[str, inference_pb2.InferParameter], refused: Mapping[str, str], violations: Violations
) -> None:
    for name, reason in refused.items():
        if name in parameters:
            violations.add(f"parameters.{name}", f"is set, must not be: {reason}")
