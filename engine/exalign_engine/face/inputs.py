"""What callers in this process give: pictures, boxes and numbers, each checked and named."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits

#: A picture: (H, W, 3) uint8 RGB, the bytes of an encoded image, or the path of one.
ImageInput = U8 | bytes | bytearray | memoryview | str | Path


def read_image(image: ImageInput, field: str = "image") -> U8:
    """A picture as (H, W, 3) uint8 RGB.

    Raises:
        InvalidInputError: it is none; the error names ``field``.
        OSError: the file cannot be read.
    """
    if isinstance(image, str | Path):
        image = Path(image).read_bytes()
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image), ImageLimits(), field=field)
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
