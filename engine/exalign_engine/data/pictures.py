"""Image files of data sets: finding the one beside an annotation, and decoding it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from exalign_engine.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def image_beside(path: Path) -> Path:
    """The image of the same name as an annotation file.

    Raises:
        DataError: there is none.
    """
    for suffix in IMAGE_SUFFIXES:
        for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if candidate.is_file():
                return candidate
    raise DataError(path, f"no image beside it ({', '.join(IMAGE_SUFFIXES)})")


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB after EXIF orientation.

    Raises:
        DataError: the file cannot be decoded.
    """
    try:
        with Image.open(path) as im:
            return np.asarray(ImageOps.exif_transpose(im).convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, UnidentifiedImageError) as e:  # SyntaxError: Pillow's word for a broken PNG
        raise DataError(path, f"cannot be decoded: {e}") from e
