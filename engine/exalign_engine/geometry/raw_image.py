"""Pixels as a caller has them: an (H, W, 3) uint8 RGB array in the image frame."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.geometry.image_limits import ImageLimits, too_large

PixelFormat = Literal["RGB8", "BGR8", "GRAY8"]


def from_raw(
    data: bytes,
    width: int,
    height: int,
    pixel_format: PixelFormat,
    row_stride: int | None = None,
    limits: ImageLimits | None = None,
    *,
    field: str = "image.raw",
) -> NDArray[np.uint8]:
    """Take pixels as they are.

    Args:
        data: rows from the top, ``row_stride`` bytes apart; the padding behind the last row may be left out.
        width: pixels a row.
        height: rows.
        pixel_format: RGB8 and BGR8 have 3 bytes a pixel, GRAY8 has 1.
        row_stride: bytes from one row to the next; None: rows follow each other without padding.
        limits: what is accepted; default ``ImageLimits()``.
        field: name of the message in errors; its parts are named ``<field>.width`` and so on.

    Returns:
        (height, width, 3) uint8 RGB, contiguous, a copy.

    Raises:
        InvalidInputError: names every wrong part: format, size, stride, or bytes that disagree with them.
    """
    limits = limits or ImageLimits()
    _check_raw(width, height, pixel_format, limits, field)
    channels = 1 if pixel_format == "GRAY8" else 3
    row = width * channels
    stride = row if row_stride is None else row_stride
    if stride < row:
        raise InvalidInputError.of(
            f"{field}.row_stride",
            f"is {stride}, must be at least {row} ({width} pixels of {channels} bytes)",
        )
    least, most = stride * (height - 1) + row, stride * height
    if not least <= len(data) <= most:
        must = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        raise InvalidInputError.of(
            f"{field}.data",
            f"has {len(data):,} bytes, {width} × {height} {pixel_format} with rows {stride:,} bytes apart "
            f"must have {must}",
        )
    pixels = np.lib.stride_tricks.as_strided(
        np.frombuffer(data, np.uint8), (height, width, channels), (stride, channels, 1), writeable=False
    )
    if pixel_format == "BGR8":
        pixels = pixels[..., ::-1]
    return np.array(np.broadcast_to(pixels, (height, width, 3)), dtype=np.uint8, order="C")


def _check_raw(width: int, height: int, pixel_format: str, limits: ImageLimits, field: str) -> None:
    """Refuse formats and sizes that cannot be, all at once."""
    formats = get_args(PixelFormat)
    wrong: list[Violation] = []
    if pixel_format not in formats:
        text = f"is {pixel_format!r}, must be one of {', '.join(formats)}"
        wrong.append(Violation(f"{field}.pixel_format", text))
    for name, value in (("width", width), ("height", height)):
        if value < 1:
            wrong.append(Violation(f"{field}.{name}", f"is {value}, must be at least 1"))
    if width >= 1 and height >= 1:
        wrong.extend(Violation(field, text) for text in too_large(width, height, limits))
    if wrong:
        raise InvalidInputError(wrong)
