"""Pictures as JPEGs."""

from __future__ import annotations

import io

from exalign_client.pictures.decode import Pixels, require_pillow


def jpeg_of(pixels: Pixels, quality: int = 92) -> bytes:
    """A JPEG of (H, W, 3) uint8, RGB."""
    out = io.BytesIO()
    require_pillow().fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()
