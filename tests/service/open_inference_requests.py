"""Requests of the Open Inference Protocol, and its answers as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exalign.open_inference import inference_pb2
from service_fakes import Corners, encoded

Request = inference_pb2.ModelInferRequest
Response = inference_pb2.ModelInferResponse


def infer(*boxes: Corners, data: bytes | None = None, outputs: Sequence[str] = (), raw: bool = True) -> Request:
    """A picture as a file, with boxes where there are any; values raw or by type."""
    file = encoded() if data is None else data
    request = Request(model_name="exalign", outputs=[Request.InferRequestedOutputTensor(name=n) for n in outputs])
    image = request.inputs.add(name="image", datatype="BYTES", shape=[1])
    if raw:
        request.raw_input_contents.append(len(file).to_bytes(4, "little") + file)
    else:
        image.contents.bytes_contents.append(file)
    if boxes:
        given = request.inputs.add(name="boxes", datatype="FP32", shape=[len(boxes), 4])
        values = np.array(boxes, "<f4")
        if raw:
            request.raw_input_contents.append(values.tobytes())
        else:
            given.contents.fp32_contents.extend(values.ravel().tolist())
    return request


def pixels(image: NDArray[np.uint8], *boxes: Corners, raw: bool = True) -> Request:
    """The same with pixels."""
    request = infer(*boxes, raw=raw)
    tensor = request.inputs[0]
    tensor.ClearField("contents")
    tensor.datatype, tensor.shape[:] = "UINT8", image.shape
    if raw:
        request.raw_input_contents[0] = image.tobytes()
    else:
        tensor.contents.uint_contents.extend(image.ravel().tolist())
    return request


def arrays(response: Response) -> dict[str, NDArray[np.float32]]:
    """The outputs by name, in their order."""
    found = {}
    for i, output in enumerate(response.outputs):
        assert output.datatype == "FP32"
        assert bool(response.raw_output_contents) != output.HasField("contents")
        if response.raw_output_contents:
            values = np.frombuffer(response.raw_output_contents[i], "<f4")
        else:
            values = np.array(output.contents.fp32_contents, np.float32)
        found[output.name] = values.reshape(tuple(output.shape))
    return found
