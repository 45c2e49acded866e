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


def level_of(image: Pixels, step: int) -> Level:
    """A picture at 1/step; of pixels that are there already, those."""
    return image.level(step) if isinstance(image, Levels) else Level(image, 1, np.zeros(2))


def seen_at(image: Pixels, long_side: int) -> Level:
    """A picture whose longer side has ``long_side`` pixels at least, and little more: for who shrinks it further."""
    step = step_of_side(image.shape, long_side)
    if isinstance(image, Levels):
        return image.level(step)
    height, width = image.shape[:2]
    if height * width <= SMALL_PIXELS:
        step = 1
    pixels, made = image, 1
    while made < step:  # two by two, which OpenCV does fastest; an odd last row or column is left out
        h, w = pixels.shape[0] // 2, pixels.shape[1] // 2
        if not (h and w):
            break
        halved = cv2.resize(pixels[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
        pixels, made = np.asarray(halved, dtype=np.uint8), 2 * made
    return Level(pixels, made, np.zeros(2))


def step_of_side(shape: tuple[int, ...], long_side: int) -> int:
    """The coarsest level of a picture (H, W, ...) whose longer side has ``long_side`` pixels at least."""
    return coarsest_step(max(shape[:2]) / long_side)


def coarsest_step(pixels: float) -> int:
    """The coarsest level of which a pixel covers no more than ``pixels`` of the picture: 1, 2, 4 or 8."""
    step = 1
    while step < COARSEST and 2 * step <= pixels:
        step *= 2
    return step
