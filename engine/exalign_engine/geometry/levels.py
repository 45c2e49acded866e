"""A picture at its own size and at a half, a quarter and an eighth of it: decoded as far as somebody looks.

A JPEG in one scan can be decoded at such a scale, which takes a third to two thirds of the time. A pixel of the level
1/s is then the mean of s × s pixels of the picture: pixel i covers [s·i, s·(i + 1)] in edge coordinates, so its centre
is s·(i + ½) − ½ in the image frame. The last row and column may reach out of the picture. Measured, a level is off by
less than .02 pixels of the picture.

Who looks at a level gets the same pixels whoever looked before: what is answered about a face depends on no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.geometry.image import ExaminedPicture

# docs/decisions/scaled-decoding.md
#: The coarsest level that libjpeg decodes.
COARSEST = 8

#: Pictures of no more pixels are decoded whole: there is little to gain. VGA is more.
SMALL_PIXELS = 2**18


@dataclass(frozen=True)
class Level:
    """A picture at a scale.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        step: pixels of the picture that a pixel covers along each axis.
        corner: (2,) x, y where the first pixel begins, edge coordinates of the picture: at or left of and above its
            own, where it was turned upright and the part that reaches out of it came first.
    """

    pixels: U8
    step: int
    corner: F64

    def frame(self, frame: BoxFrame) -> BoxFrame:
        """A square of the picture in this level's own pixels."""
        if self.step == 1:
            return frame
        x, y = (np.array([frame.cx, frame.cy]) + 0.5 - self.corner) / self.step - 0.5
        return BoxFrame(float(x), float(y), frame.side / self.step)


class LevelsWanted(NamedTuple):
    """How to open a picture.

    Attributes:
        first: the level that is decoded at once, so that a damaged file is found out: 1, 2, 4 or 8; None: none.
        coarsest: no coarser level is made: a finer one that is there anyway serves as well.
    """

    first: int | None
    coarsest: int = COARSEST


class Levels:
    """An encoded picture whose levels are decoded when first looked at. Thread safe.

    Args:
        examined: the file; `scalable`.
        wanted: see `LevelsWanted`.

    Raises:
        InvalidInputError: the file is truncated or damaged.
        MemoryError: there is no memory for it.

    Attributes:
        shape: (height, width, 3) of the upright picture.
    """

    def __init__(self, examined: ExaminedPicture, wanted: LevelsWanted) -> None:
        self._examined, self._coarsest = examined, wanted.coarsest
        self.shape = examined.shape
        self._lock, self._made = threading.Lock(), dict[int, Level]()
        if wanted.first is not None:
            self.level(wanted.first)

    def level(self, step: int) -> Level:
        """The picture at 1/step: 1, 2, 4 or 8; at the coarsest that is made where ``step`` is coarser.

        Raises:
            InvalidInputError: the file is truncated or damaged.
            MemoryError: there is no memory for it.
        """
        step = min(step, self._coarsest)
        with self._lock:
            if step not in self._made:
                pixels = self._examined.decode(step)
                corner = self._examined.corner(pixels.shape, step)
                self._made[step] = Level(pixels, step, corner)
            return self._made[step]


#: A picture to look at: (H, W, 3) uint8 RGB, or its levels.
Pixels = U8 | Levels


def scalable(examined: ExaminedPicture) -> bool:
    """Whether a file is worth decoding at a scale, and can be."""
    return examined.one_scan and examined.header.width * examined.header.height > SMALL_PIXELS


def open_levels(examined: ExaminedPicture, wanted: Callable[[tuple[int, ...]], LevelsWanted]) -> Pixels:
    """Decode a picture as far as somebody looks; whole where it is small, or cannot be decoded at a scale.

    Args:
        examined: the file.
        wanted: told the upright picture's shape, (height, width, 3), how to open it. Not asked where it is whole.

    Raises:
        InvalidInputError: the file is truncated or damaged.
        MemoryError: there is no memory for it.
    """
    return Levels(examined, wanted(examined.shape)) if scalable(examined) else examined.decode()


def whole(image: Pixels) -> U8:
    """(H, W, 3) uint8 RGB: a picture at its own size."""
    return image.level(1).pixels if isinstance(image, Levels) else image


def level_about(image: Pixels, square: F64, step: int) -> Level:
    """A picture at 1/step where somebody looks at a part of it.

    Args:
        image: the picture.
        square: (4,) x0, y0, x1, y1 of that part, image frame; of pixels that are there already no more is made.
        step: 1, 2, 4 or 8. Small pictures without levels stay as they are.
    """
    if isinstance(image, Levels):
        return image.level(step)
    height, width = image.shape[:2]
    if step == 1 or height * width <= SMALL_PIXELS:
        return Level(image, 1, np.zeros(2))
    # Two pixels of the level around it: what is interpolated there reads them, and the border is repeated outwards.
    begin = np.floor(square[:2] / step).astype(int) - 2
    end = np.ceil(square[2:] / step).astype(int) + 3
    most = np.array([-(-width // step), -(-height // step)])
    begin = np.clip(begin, 0, most - 1)
    (left, top), (right, bottom) = step * begin, step * np.clip(end, begin + 1, most)
    part = image[top:bottom, left:right]
    over = bottom - top - part.shape[0], right - left - part.shape[1]
    if any(over):
        part = np.asarray(cv2.copyMakeBorder(part, 0, over[0], 0, over[1], cv2.BORDER_REPLICATE), dtype=np.uint8)
    return Level(_halved(part, step), step, np.array([left, top], dtype=np.float64))


def seen_at(image: Pixels, long_side: int) -> Level:
    """A picture whose longer side has ``long_side`` pixels at least, and little more: for who shrinks it further."""
    step = step_of_side(image.shape, long_side)
    if isinstance(image, Levels):
        return image.level(step)
    height, width = image.shape[:2]
    if height * width <= SMALL_PIXELS:
        step = 1
    while step > 1 and not (height // step and width // step):
        step //= 2
    # An odd last row or column is left out.
    pixels = image if step == 1 else _halved(image[: height // step * step, : width // step * step], step)
    return Level(pixels, step, np.zeros(2))


def _halved(pixels: U8, step: int) -> U8:
    """Means of step × step pixels, of sides that are multiples of ``step``: two by two, which OpenCV does fastest."""
    for _ in range(step.bit_length() - 1):
        size = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return pixels


def step_of_side(shape: tuple[int, ...], long_side: int) -> int:
    """The coarsest level of a picture (H, W, ...) whose longer side has ``long_side`` pixels at least."""
    return coarsest_step(max(shape[:2]) / long_side)


def coarsest_step(pixels: float) -> int:
    """The coarsest level of which a pixel covers no more than ``pixels`` of the picture: 1, 2, 4 or 8."""
    step = 1
    while step < COARSEST and 2 * step <= pixels:
        step *= 2
    return step
