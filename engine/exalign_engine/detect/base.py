"""What a detector is, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RawDetection:
    """A face in the detector's own box convention.

    Args:
        box: (4,) float64 x0, y0, x1, y1, image frame; may reach out of the image.
        score: the detector's own score in [0, 1].
        points: (n, 2) float64 points of the face that the detector sees, image frame; None where it sees none.
    """

    box: NDArray[np.float64]
    score: float
    points: NDArray[np.float64] | None = None


class Detector(Protocol):
    """Finds faces. Implementations are thread safe."""

    @property
    def name(self) -> str:
        """Name on the wire and in the bundle's ``detectors.json``."""

    @property
    def min_score(self) -> float:
        """Detections below this score are not returned."""

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        """Find faces.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            One entry a face (duplicates removed), by score, highest first; none for an image too small to
            hold a face.
        """


def first_side(detector: Detector) -> int | None:
    """Longer side of a picture that is enough for a detector's first look, of one that takes `Levels` beside arrays.

    Returns:
        None where it takes arrays alone.
    """
    side: int | None = getattr(detector, "first_side", None)
    return side


def shrink(image: NDArray[np.uint8], max_side: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Shrink an image by area averaging so that its longer side has at most ``max_side`` pixels.

    Returns:
        The image (itself if it is small enough), and (4,) float64: original pixels a shrunk pixel,
        for x, y, x, y.
    """
    h, w = image.shape[:2]
    factor = max_side / max(h, w)
    if factor >= 1:
        return image, np.ones(4)
    new_w, new_h = max(round(w * factor), 1), max(round(h * factor), 1)
    small = np.asarray(cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return small, np.array([w / new_w, h / new_h, w / new_w, h / new_h])


def to_image_frame(edges: NDArray[np.float64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (n, 4) in edge coordinates of a shrunk image → image frame of the original.

    In edge coordinates the image's left edge is 0 and pixel i covers [i, i + 1]; in the image frame that
    pixel's centre is i.

    Args:
        edges: (n, 4) boxes.
        pixels: (4,) as :func:`shrink` returns it.
    """
    boxes: NDArray[np.float64] = edges * pixels - 0.5
    return boxes
