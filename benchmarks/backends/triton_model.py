"""The network behind Triton's Python backend; runs in its environment: NumPy, OpenCV and ONNX Runtime alone.

One face of a picture whose box is given: decode, cut out, score, and the mean and covariance of each landmark over the
most probable shapes. It moves no box and displaces no shape, so it does less than our server about the same face.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ.get("PYTHONPATH", "").split(os.pathsep)  # Triton's stub does not look there

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # noqa: E402  # Triton's own

#: Shapes that count; the others hold next to nothing.
MOST = 1024


class TritonPythonModel:
    """See Triton's Python backend."""

    def initialize(self, arguments: dict[str, Any]) -> None:
        """Load what `benchmarks.backends.triton` has written beside this file."""
        here = Path(__file__).parent
        self._said = json.loads((here / "settings.json").read_text())
        self._shapes = np.load(here / "shapes.npy")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(here / "network.onnx"), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer a request; pictures of requests that came together are scored together."""
        pictures = [triton.get_input_tensor_by_name(one, "image").as_numpy()[0] for one in requests]
        boxes = [triton.get_input_tensor_by_name(one, "boxes").as_numpy()[0] for one in requests]
        crops = [self._crop(picture, box) for picture, box in zip(pictures, boxes, strict=True)]
        (scores,) = self._session.run(["scores"], {"image": np.stack([crop for crop, _ in crops])})
        return [self._answer(row, place) for row, (_, place) in zip(scores, crops, strict=True)]

    def _crop(self, picture: bytes, box: Any) -> tuple[Any, tuple[float, float, float]]:
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        x0, y0, x1, y1 = map(float, box)
        side, cx, cy = max(x1 - x0, y1 - y0), (x0 + x1) / 2, (y0 + y1) / 2
        size, square = self._said["size"], self._said["margin"] * side
        step = square / size
        matrix = np.array([[step, 0, cx - square / 2 + step / 2], [0, step, cy - square / 2 + step / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return crop[..., ::-1], (side, cx - side / 2, cy - side / 2)

    def _answer(self, scores: Any, place: tuple[float, float, float]) -> Any:
        side, left, top = place
        best = np.argpartition(scores, -MOST)[-MOST:]
        weights = np.exp((scores[best] - scores[best].max()) / self._said["temperature"])
        weights /= weights.sum()
        shapes = self._shapes[best]
        mean = np.einsum("k,knc->nc", weights, shapes)
        apart = shapes - mean
        covariance = np.einsum("k,knc,knd->ncd", weights, apart, apart, optimize=True)
        landmarks = mean * side + np.array([left, top], np.float32)
        outputs = {"landmarks": landmarks, "covariances": covariance * side**2}
        return triton.InferenceResponse(
            [triton.Tensor(name, values[None].astype(np.float32)) for name, values in outputs.items()]
        )
