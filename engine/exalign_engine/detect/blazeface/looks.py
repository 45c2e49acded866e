"""Where the networks look: a picture on their fixed inputs, and their answers back in the picture's pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from exalign_engine.detect.blazeface.decoding import Found, decoded
from exalign_engine.detect.blazeface.network import Network
from exalign_engine.geometry.levels import Level

#: A picture is enlarged by no more than this for a look; beyond, nothing is gained.
_MOST_ENLARGED = 2.0


class Scaled:
    """A picture at the scale of a look.

    Args:
        level: the picture, at least as large as that scale if it is not smaller itself.
        long_side: its longer side at that scale, pixels.

    Attributes:
        pixels: the scaled picture.
    """

    def __init__(self, level: Level, long_side: int) -> None:
        image = level.pixels
        h, w = image.shape[:2]
        factor = min(long_side / max(h, w), _MOST_ENLARGED)
        size = max(round(w * factor), 1), max(round(h * factor), 1)
        # A level has been averaged already, and needs it again only where it is shrunk to less than half of its size.
        averaged = factor <= 0.5 if level.step > 1 else factor < 1
        how = cv2.INTER_AREA if averaged else cv2.INTER_LINEAR
        self.pixels = image if factor == 1 else np.asarray(cv2.resize(image, size, interpolation=how), dtype=np.uint8)
        self._unit = level.step * np.array([w / size[0], h / size[1]])
        self._corner = level.corner

    def look(self, network: Network, side: int, left: int, top: int, min_score: float) -> Found:
        """What a network sees in the square of ``side`` pixels at (left, top), black outside of the picture.

        Returns:
            In edge coordinates of the original picture: its left edge is 0, pixel i covers [i, i + 1].
        """
        h, w = self.pixels.shape[:2]
        canvas = np.zeros((side, side, 3), np.uint8)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, w), min(top + side, h)
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = self.pixels[y0:y1, x0:x1]
        found = decoded(*network(canvas), side, min_score)
        corner = np.array([left, top])
        boxes = (found.boxes.reshape(-1, 2, 2) + corner) * self._unit + self._corner
        return Found(boxes.reshape(-1, 4), (found.points + corner) * self._unit + self._corner, found.scores)

    def centred(self, network: Network, side: int, min_score: float) -> Found:
        """What a network sees with the picture in the middle of its input."""
        h, w = self.pixels.shape[:2]
        return self.look(network, side, -((side - w) // 2), -((side - h) // 2), min_score)

    def tiles(self, network: Network, side: int, overlap: int, min_score: float) -> Iterator[Found]:
        """What a network sees in squares that cover the picture.

        A face that no tile's inner border cuts is seen whole; those that such a border cuts are left to the next tile.
        So a face of up to ``overlap`` pixels is seen by one of them at least.
        """
        h, w = self.pixels.shape[:2]
        for top in _starts(h, side, overlap):
            for left in _starts(w, side, overlap):
                found = self.look(network, side, left, top, min_score)
                inner = np.array([left > 0, top > 0, left + side < w, top + side < h])
                edges = np.array([left, top, left + side, top + side]) * np.tile(self._unit, 2) + np.tile(
                    self._corner, 2
                )
                outside = (found.boxes - edges) * (-1, -1, 1, 1) >= 0
                size = np.max((found.boxes[:, 2:] - found.boxes[:, :2]) / self._unit, axis=1, initial=0)
                yield found.of(~(outside & inner).any(axis=1) & (size <= overlap))


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Where tiles begin along one axis; one tile in the middle where the picture is no longer than it."""
    if length <= side:
        return [-((side - length) // 2)]
    steps = math.ceil((length - side) / (side - overlap))
    return [round(i * (length - side) / steps) for i in range(steps + 1)]
