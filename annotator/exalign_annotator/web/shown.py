"""Pictures in a form that browsers show: most files as they are, HEIC as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

from exalign_client.pictures.decode import Pixels, decode_picture, require_pillow

#: Files that not every browser shows.
_CONVERTED = (".heic",)


def shown_picture(path: Path) -> bytes | None:
    """A JPEG where the file itself would not be shown; None where it would.

    Raises:
        InvalidRequestError: it cannot be decoded.
        MissingExtraError: what reads it is not installed.
        OSError: it cannot be read.
    """
    return jpeg_of(decode_picture(path.read_bytes())) if path.suffix.lower() in _CONVERTED else None


def jpeg_of(pixels: Pixels, quality: int = 92) -> bytes:
    """A JPEG of (H, W, 3) uint8, RGB."""
    out = io.BytesIO()
    require_pillow().fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()
