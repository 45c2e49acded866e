"""What callers in this process give: pictures, boxes and numbers, each checked and named."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode, examine
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.levels import LevelsWanted, Pixels, open_levels

#: A picture: (H, W, 3) uint8 RGB, the bytes of an encoded image, or the path of one.
ImageInput = U8 | bytes | bytearray | memoryview | str | Path


def read_image(image: ImageInput, field: str = "image") -> U8:
    """A picture as (H, W, 3) uint8 RGB.

    Raises:
        InvalidInputError: it is none; the error names ``field``.
        OSError: the file cannot be read.
    """
    if isinstance(data := _encoded(image), bytes):
        return decode(data, ImageLimits(), field=field)
    return _checked(data, field)


def open_image(image: ImageInput, wanted: Callable[[tuple[int, ...]], LevelsWanted], field: str = "image") -> Pixels:
    """A picture to look at: an encoded one is decoded as far as somebody looks.

    Args:
        image: the picture.
        wanted: see `open_levels`.
        field: its name in errors.

    Raises:
        InvalidInputError: it is none; the error names ``field``.
        OSError: the file cannot be read.
    """
    if isinstance(data := _encoded(image), bytes):
        return open_levels(examine(data, ImageLimits(), field=field), wanted)
    return _checked(data, field)


def _encoded(image: ImageInput) -> Any:
    """The bytes of an encoded picture; anything else as it is."""
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    return bytes(image) if isinstance(image, bytearray | memoryview) else image


def _checked(image: Any, field: str) -> U8:
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise InvalidInputError.of(field, f"is a {kind}, must be a path, the bytes of an image file or an array")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InvalidInputError.of(field, f"is {image.dtype} of shape {image.shape}, must be (H, W, 3) uint8 RGB")
    return image


def read_boxes(boxes: Any, field: str = "boxes") -> Sequence[Any]:
    """Boxes as a sequence; empty where there are none.

    Raises:
        InvalidInputError: they are no sequence.
    """
    if boxes is None:
        return ()
    if isinstance(boxes, str | bytes) or not isinstance(boxes, Sequence | np.ndarray):
        raise InvalidInputError.of(field, f"is {boxes!r}, must be boxes of four numbers x0, y0, x1, y1")
    return boxes  # type: ignore[return-value]  # an array of boxes is one too


def read_count(value: int | None, field: str) -> int | None:
    """A whole number from 1 on, or None.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        number = None if value is None else operator.index(value)
    except TypeError:
        number = 0
    if number is not None and number < 1:
        raise InvalidInputError.of(field, f"is {value!r}, must be a whole number, at least 1")
    return number
