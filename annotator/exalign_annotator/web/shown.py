"""Pictures in a form that browsers show: most files as they are, HEIC as JPEG."""

from __future__ import annotations

from pathlib import Path

from exalign_annotator.solving.jpeg import jpeg_of
from exalign_client.pictures.decode import decode_picture

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
