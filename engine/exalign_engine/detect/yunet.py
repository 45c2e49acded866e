"""YuNet through OpenCV's ``FaceDetectorYN``. The model file is the operator's; none is shipped."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.detect.base import RawDetection, shrink, to_image_frame
from exalign_engine.detect.registry import DetectorSpec
from exalign_engine.errors import RuntimeUnavailableError

#: Candidates kept before suppression; more would only cost time.
_TOP_K = 5000


class YunetDetector:
    """YuNet. Thread safe: OpenCV's detector keeps the picture's size inside, so calls take turns.

    Args:
        model: the ONNX file, e.g. OpenCV Zoo's ``face_detection_yunet_2023mar.onnx``.
        min_score: lowest score of a face.
        max_side: larger pictures are shrunk to this longest side first.

    Raises:
        RuntimeUnavailableError: the file is missing or OpenCV cannot load it.
    """

    name = "yunet"

    def __init__(self, model: Path, *, min_score: float = 0.6, max_side: int = 640) -> None:
        if not model.is_file():
            raise RuntimeUnavailableError(f"detector yunet: there is no model file {model}")
        try:
            self._net = cv2.FaceDetectorYN.create(str(model), "", (320, 320), min_score, 0.3, _TOP_K)
        except cv2.error as error:
            reason = " ".join(str(error).split())
            raise RuntimeUnavailableError(f"detector yunet cannot load {model}: {reason}") from error
        self.min_score, self._max_side = min_score, max_side
        self._lock = threading.Lock()

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        """Find faces: see :class:`~exalign_engine.detect.base.Detector`."""
        small, pixels = shrink(image, self._max_side)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        with self._lock:
            self._net.setInputSize((bgr.shape[1], bgr.shape[0]))
            _, found = self._net.detect(bgr)
        if found is None:
            return []
        rows = np.asarray(found, dtype=np.float64)  # (n, 15) x, y, w, h, five points, score
        rows = rows[(rows[:, 2:4] > 0).all(axis=1)]
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        boxes = to_image_frame(np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]), pixels)
        return [RawDetection(box, float(score)) for box, score in zip(boxes, rows[:, 14], strict=True)]


def _open(model: Path | None) -> YunetDetector:
    if model is None:
        raise RuntimeUnavailableError("detector yunet: needs its model file")
    return YunetDetector(model)


SPEC = DetectorSpec("yunet", _open, model="ONNX file of the YuNet detector; not set: there is no YuNet")
