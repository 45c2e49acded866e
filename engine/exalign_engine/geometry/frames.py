"""Coordinate frames: image frame, face box, box frame and crop (docs/architecture.md#frames).

The image frame has the centre of the top-left pixel at (0, 0), y down. The box frame is the face box made
square about its centre (side = max(w, h)) and mapped to [0, 1]²; it is isotropic. The crop is the square of
side ``margin`` × box side about the same centre, resized to the network's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from exalign_engine.arrays import F64


@dataclass(frozen=True)
class BoxFrame:
    """A square box in the image frame; carries shapes between the image frame and the box frame.

    Args:
        cx: centre x, pixels.
        cy: centre y, pixels.
        side: side, pixels, > 0.
    """

    cx: float
    cy: float
    side: float

    @classmethod
    def from_box(cls, box: ArrayLike) -> BoxFrame:
        """The square about the centre of a box (x0, y0, x1, y1), pixels.

        Raises:
            ValueError: the box is not finite or has no extent.
        """
        x0, y0, x1, y1 = np.asarray(box, dtype=np.float64).tolist()
        side = max(x1 - x0, y1 - y0)
        # Each number by itself: max() drops a NaN that comes second.
        if not all(map(math.isfinite, (x0, y0, x1, y1, side))):
            raise ValueError(f"box ({x0}, {y0}, {x1}, {y1}) is not finite")
        if side <= 0:
            raise ValueError(f"box ({x0}, {y0}, {x1}, {y1}) has no extent")
        return cls((x0 + x1) / 2, (y0 + y1) / 2, side)

    @property
    def box(self) -> F64:
        """(4,) the square as x0, y0, x1, y1 in pixels."""
        h = self.side / 2
        return np.array([self.cx - h, self.cy - h, self.cx + h, self.cy + h])

    def to_image(self, points: ArrayLike) -> F64:
        """(..., 2) box frame → image frame."""
        return np.asarray(points, dtype=np.float64) * self.side + self.box[:2]

    def from_image(self, points: ArrayLike) -> F64:
        """(..., 2) image frame → box frame."""
        return (np.asarray(points, dtype=np.float64) - self.box[:2]) / self.side

    def moved(self, dx: float, dy: float, scale: float) -> BoxFrame:
        """The square shifted by (dx, dy) of its own sides and enlarged by ``scale``."""
        return BoxFrame(self.cx + dx * self.side, self.cy + dy * self.side, self.side * scale)


def tight_box(points: ArrayLike) -> F64:
    """The face box of a shape: (68, 2) → (4,) x0, y0, x1, y1, in the frame of the points."""
    p = np.asarray(points, dtype=np.float64)
    return np.concatenate([p.min(axis=0), p.max(axis=0)])


def diagonal(box: ArrayLike) -> float:
    """Length of a box's diagonal, in the unit of the box."""
    b = np.asarray(box, dtype=np.float64)
    return float(np.hypot(b[2] - b[0], b[3] - b[1]))


def iou(a: ArrayLike, b: ArrayLike) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1); 0 where they do not meet."""
    p, q = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    w = min(p[2], q[2]) - max(p[0], q[0])
    h = min(p[3], q[3]) - max(p[1], q[1])
    if w <= 0 or h <= 0:
        return 0.0
    inter = w * h
    return float(inter / ((p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - inter))


def extract_crop(image: NDArray[np.uint8], frame: BoxFrame, margin: float, size: int) -> NDArray[np.uint8]:
    """Cut the network's input out of an image.

    The square of side ``margin * frame.side`` about the frame's centre is sampled on ``size`` × ``size`` pixel
    centres; outside the image its border is repeated, as in the training data. A square much larger than the
    crop is first shrunk by area averaging, so that large faces do not alias.

    Args:
        image: (H, W, 3) uint8.
        frame: the square box in this image's frame.
        margin: crop side ÷ box side, from the bundle.
        size: crop side in pixels, from the bundle.

    Returns:
        (size, size, 3) uint8, contiguous.
    """
    side = margin * frame.side
    x0, y0 = frame.cx - side / 2, frame.cy - side / 2
    step = side / size  # image pixels a crop pixel
    if step > 2.0:
        h, w = image.shape[:2]
        left, top = max(int(np.floor(x0)) - 2, 0), max(int(np.floor(y0)) - 2, 0)
        right, bottom = min(int(np.ceil(x0 + side)) + 3, w), min(int(np.ceil(y0 + side)) + 3, h)
        if right > left and bottom > top:
            shrink = int(step)
            region = image[top:bottom, left:right]
            new_w, new_h = max(region.shape[1] // shrink, 1), max(region.shape[0] // shrink, 1)
            fx, fy = new_w / region.shape[1], new_h / region.shape[0]
            image = cv2.resize(region, (new_w, new_h), interpolation=cv2.INTER_AREA)
            matrix = np.array(
                [
                    [step * fx, 0, (x0 + 0.5 * step - left + 0.5) * fx - 0.5],
                    [0, step * fy, (y0 + 0.5 * step - top + 0.5) * fy - 0.5],
                ]
            )
            return _warp(image, matrix, size)
    matrix = np.array([[step, 0, x0 + 0.5 * step], [0, step, y0 + 0.5 * step]])
    return _warp(image, matrix, size)


def _warp(image: NDArray[np.uint8], matrix: F64, size: int) -> NDArray[np.uint8]:
    """Sample ``image`` at matrix · (column, row, 1), bilinear, border repeated."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(out, dtype=np.uint8)
