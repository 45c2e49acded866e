"""A picture that is larger than a server takes, made to fit.

It travels as a JPEG file of high quality, in its own size where that is enough, and scaled down otherwise. Needs OpenCV
and Pillow (extra ``cli``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from exalign_client.errors import MessageTooLargeError
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import Pixels

#: Longest side that any server decodes, pixels; the contract's limits do not name it.
MAX_SIDE = 16_384

_QUALITY = 95


@dataclass(frozen=True)
class FittedPicture:
    """A picture that fits: a JPEG file, the size that it was made of and the size that it has, width and height."""

    encoded: bytes
    original: tuple[int, int]
    size: tuple[int, int]


def fit_picture(pixels: Pixels, max_bytes: int, max_pixels: int) -> FittedPicture:
    """Encode a picture so that it is within limits, as large as that allows.

    Args:
        pixels: (H, W, 3) uint8, RGB, upright.
        max_bytes: of the file.
        max_pixels: width × height.

    Raises:
        MessageTooLargeError: no picture is that small.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv()
    height, width = pixels.shape[:2]
    scale = min(1.0, math.sqrt(max_pixels / (width * height)), MAX_SIDE / max(width, height))
    while True:
        size = (max(math.floor(width * scale), 1), max(math.floor(height * scale), 1))
        # Averages over what a pixel covers: nothing aliases.
        small = pixels if size == (width, height) else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if len(encoded) <= max_bytes:
            return FittedPicture(encoded.tobytes(), (width, height), size)
        if size == (1, 1):
            raise MessageTooLargeError(f"image: the server takes {max_bytes:,} bytes, too few for any picture")
        scale *= min(0.9, 0.97 * math.sqrt(max_bytes / len(encoded)))
