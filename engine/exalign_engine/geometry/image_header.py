"""The header of an image file: which format it is, and an image of Pillow's whose pixels are not decoded yet."""

from __future__ import annotations

import importlib
import io
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image_limits import PILLOW_MAX_PIXELS, ImageLimits

#: What Pillow may recognise; nothing else is even parsed.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "AVIF")

#: The same for people.
READABLE = "AVIF, JPEG, PNG, WebP or BMP"

#: Brands of HEIF files whose pictures are HEVC, as telephones write: bytes 8 to 12, behind "ftyp".
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")

#: What reads HEIC, the first that is there. Both are one project; the second also writes, by a library under the GPL.
_HEIC_MODULES = ("pi_heif", "pillow_heif")

#: Formats that people send and that are not read, by their first bytes: an error should call them by name.
_REFUSED = {"GIF": b"GIF8", "TIFF": b"II*\0", "big-endian TIFF": b"MM\0*", "PDF": b"%PDF"}

#: Most bytes that decoding takes for a pixel: 4 in the decoder of WebP, 3 in the picture, and what it keeps beside.
_MOST_BYTES = 8

#: What Pillow's readers raise on damaged files, its bomb warning among them where warnings are errors. RuntimeError is
#: what that of AVIF raises.
DAMAGED = (
    RuntimeError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def stored_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file as they are stored, before orientation; no pixel is decoded.

    Returns:
        None where the header cannot be read: `decode` says why.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
            heic = _heic_module() if _is_heic(head) else None
            file.seek(0)
            with heic.HeifImageFile(file) if heic is not None else Image.open(file, formats=_FORMATS) as header:
                width, height = header.size
                return width, height
    except (*DAMAGED, InvalidInputError):
        return None


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not _says_avif(data)


def open_header(data: bytes, limits: ImageLimits, field: str) -> Image.Image:
    """Read the header; no pixel is decoded.

    Raises:
        InvalidInputError: it cannot be read.
        MemoryError: there is no memory for its decoder.
    """
    if _is_heic(data):
        return _open_heic(data, field)
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError.of(
            field, f"claims more than {PILLOW_MAX_PIXELS:,} pixels, at most {limits.max_pixels:,} accepted"
        ) from error
    except DAMAGED as error:
        if data.startswith(b"RIFF"):  # of a WebP, the decoder and its memory are there from here on
            check_memory(limits.max_pixels)
        kind = next((name for name, magic in _REFUSED.items() if data.startswith(magic)), None)
        found = f"it is a {kind} file" if kind else f"it begins with {data[:4].hex(' ')}"
        raise InvalidInputError.of(field, f"is not a readable {READABLE} file ({found})") from error


def check_memory(pixels: int) -> None:
    """Find out whether a picture that could not be decoded may lack nothing but memory: decoders do not say.

    Raises:
        MemoryError: there is not enough for so many pixels.
    """
    np.empty(_MOST_BYTES * pixels, np.uint8)  # taken, not touched: it costs nothing


def _says_avif(data: bytes) -> bool:
    """Whether the first box of a HEIF file, its brands, names AVIF among them: some writers name mif1 first."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    return b"avif" in (data[at : at + 4] for at in range(16, length, 4))


def _heic_module() -> ModuleType | None:
    """What reads HEIC here; None where the extra ``heic`` is not installed."""
    for name in _HEIC_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _open_heic(data: bytes, field: str) -> Image.Image:
    """Read the header of a HEIC file; its class is used as it is, so that Pillow stays as the process set it up."""
    module = _heic_module()
    if module is None:
        text = "is a HEIC file, which is read where the extra 'heic' is installed: pip install 'exalign[heic]'"
        raise InvalidInputError.of(field, text)
    try:
        header: Image.Image = module.HeifImageFile(io.BytesIO(data))
        return header
    except DAMAGED as error:
        raise InvalidInputError.of(field, "is a truncated or damaged HEIC file") from error
