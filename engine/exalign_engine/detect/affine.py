"""From a detector's box to the face box: three numbers for each detector, fitted on labelled faces.

Offsets are in the detector box's own width and height, scale relative to √(w·h). On 608 validation faces
this was the quietest choice for MTCNN, whose boxes are not square: with max(w, h), w or h as the side, the
logarithm of the face box's side scattered by .070, .063 and .070; with √(w·h) by .061. Offsets in √(w·h)
instead of own sides raise the vertical scatter from .0345 to .0363 face-box sides.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exalign_engine.detect.base import RawDetection
from exalign_engine.geometry.frames import iou

#: A detection whose mapped box meets the true square by less is a miss.
MISS_IOU = 0.3

#: The numbers of an affine.
NUMBERS = ("dx", "dy", "scale")


@dataclass(frozen=True)
class BoxAffine:
    """Maps a detector's box to the square face box.

    With the detector box's centre c, width w and height h: the face box has its centre at
    c + (dx·w, dy·h) and the side scale·√(w·h).

    Args:
        dx: to the right, in widths of the detector's box.
        dy: downwards, in heights of the detector's box.
        scale: side of the face box ÷ √(w·h), > 0.

    Raises:
        ValueError: a number is not finite, or scale is not positive.
    """

    dx: float
    dy: float
    scale: float

    def __post_init__(self) -> None:
        for name in NUMBERS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise ValueError(f"{name} is {value!r}, must be a finite number")
        if self.scale <= 0:
            raise ValueError(f"scale is {self.scale}, must be greater than 0")

    def apply(self, box: ArrayLike) -> NDArray[np.float64]:
        """Detector boxes (..., 4) → square face boxes (..., 4), float64, in the same frame."""
        b = np.asarray(box, dtype=np.float64)
        size = b[..., 2:] - b[..., :2]
        centre = (b[..., :2] + b[..., 2:]) / 2 + size * (self.dx, self.dy)
        half = self.scale / 2 * np.sqrt(size.prod(axis=-1, keepdims=True))
        return np.concatenate([centre - half, centre + half], axis=-1)

    @classmethod
    def fit(cls, detector_boxes: ArrayLike, face_boxes: ArrayLike) -> BoxAffine:
        """The medians over pairs of boxes, so that a few wrong pairs do not matter.

        Args:
            detector_boxes: (n, 4) in the detector's convention, n ≥ 1.
            face_boxes: (n, 4) tight face boxes of the same faces; made square about their centres here.

        Raises:
            ValueError: shapes differ, there are no pairs, or a box has no extent.
        """
        d, f = _pairs(detector_boxes, face_boxes)
        size = d[:, 2:] - d[:, :2]
        offset = (_centres(f) - _centres(d)) / size
        log_scale = np.log((f[:, 2:] - f[:, :2]).max(axis=1)) - np.log(size).mean(axis=1)
        dx, dy = np.median(offset, axis=0)
        return cls(float(dx), float(dy), float(np.exp(np.median(log_scale))))

    @property
    def reads_points(self) -> bool:
        """Whether a detection's points tell its face box."""
        return False

    def face_box(self, detection: RawDetection) -> NDArray[np.float64]:
        """A detection's face box (4,), in the same frame."""
        return self.apply(detection.box)

    def to_dict(self) -> dict[str, float]:
        """What ``detectors.json`` holds under "affine"."""
        return {name: getattr(self, name) for name in NUMBERS}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> BoxAffine:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is wrong; the message names it.
        """
        if sorted(values) != sorted(NUMBERS):
            raise ValueError(f"has the keys {sorted(values)}, must have {sorted(NUMBERS)}")
        return cls(**{name: values[name] for name in NUMBERS})  # type: ignore[arg-type]  # checked by __post_init__


@dataclass(frozen=True)
class ResidualStats:
    """How far mapped boxes are from the true square face boxes.

    Args:
        n: faces whose detection was measured.
        missed: faces without a detection of IoU ≥ ``MISS_IOU`` after the affine; not part of the statistics.
        dx_mean: mean centre offset (mapped − true) to the right, in face-box sides.
        dy_mean: the same downwards.
        log_scale_mean: mean of ln(mapped side ÷ true side).
        dx_std: standard deviation of the offset to the right.
        dy_std: of the offset downwards.
        log_scale_std: of the log scale.
    """

    n: int
    missed: int
    dx_mean: float
    dy_mean: float
    log_scale_mean: float
    dx_std: float
    dy_std: float
    log_scale_std: float

    @classmethod
    def of(cls, mapped: ArrayLike, face_boxes: ArrayLike, missed: int = 0) -> ResidualStats:
        """Measure mapped boxes (n, 4) against tight face boxes (n, 4), n ≥ 1.

        Raises:
            ValueError: shapes differ, there are no pairs, or a box has no extent.
        """
        m, f = _pairs(mapped, face_boxes)
        true_side = (f[:, 2:] - f[:, :2]).max(axis=1)
        offset = (_centres(m) - _centres(f)) / true_side[:, None]
        log_scale = np.log((m[:, 2:] - m[:, :2]).max(axis=1) / true_side)
        e = np.column_stack([offset, log_scale])
        return cls(len(m), missed, *(float(v) for v in (*e.mean(axis=0), *e.std(axis=0))))

    def to_dict(self) -> dict[str, float]:
        """Plain numbers, for JSON."""
        return asdict(self)


def square(box: ArrayLike) -> NDArray[np.float64]:
    """Boxes (..., 4) made square about their centres, side = max(w, h)."""
    b = np.asarray(box, dtype=np.float64)
    centre = (b[..., :2] + b[..., 2:]) / 2
    half = (b[..., 2:] - b[..., :2]).max(axis=-1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def best_overlap(boxes: NDArray[np.float64], face_box: ArrayLike) -> int | None:
    """Index of the box (n, 4) that meets the squared face box most, None if all are below ``MISS_IOU``."""
    target = square(face_box)
    overlaps = [iou(box, target) for box in boxes]
    best = int(np.argmax(overlaps)) if overlaps else -1
    return best if overlaps and overlaps[best] >= MISS_IOU else None


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    centres: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if p.shape != q.shape or p.ndim != 2 or p.shape[1:] != (4,) or len(p) == 0:
        raise ValueError(f"boxes have the shapes {p.shape} and {q.shape}, must both be (n, 4), n at least 1")
    for boxes in (p, q):
        if not (np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()):
            raise ValueError("a box is not finite or has no extent")
    return p, q
