"""Image files as the server sees them: the same pixels, upright by the same rules, or the same refusal.

Needs OpenCV and Pillow (extra ``cli``), for HEIC also the extra ``heic``. The rules are those of the contract
(`exalign/v1/image.proto`) and of `exalign_engine.geometry.image`, which the client must not import; a test compares
the two over formats, modes, depths and orientations.
"""

from __future__ import annotations

import importlib
import io
import struct
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign.pictures import jpeg_data
from exalign.pictures.jpeg_data import JpegStructure
from exalign_client.errors import InvalidRequestError, MissingExtraError, Violation
from exalign_client.opencv import require_opencv

Pixels = NDArray[np.uint8]

#: What Pillow may recognise; nothing else is even parsed.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "AVIF")

#: Endings of files that `decode_picture` reads.
READABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".avif", ".heic")

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
_HEIC_MODULES = ("pi_heif", "pillow_heif")

#: What Pillow's readers raise on damaged files; its own guard against huge ones is a plain Exception.
_DAMAGED = (
    RuntimeError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
)

_ORIENTATION = 0x0112


def require_pillow() -> ModuleType:
    """Import Pillow's module ``Image``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("reading and drawing pictures", "cli") from None
    return Image


def decode_picture(data: bytes) -> Pixels:
    """Decode an image file as the server does.

    Args:
        data: a JPEG, PNG, WebP, AVIF, BMP or HEIC file.

    Returns:
        (H, W, 3) uint8, RGB, in the image frame: upright by its EXIF orientation.

    Raises:
        InvalidRequestError: it cannot be decoded.
        MissingExtraError: OpenCV or Pillow is not installed, or what reads HEIC.
    """
    cv2 = require_opencv()
    jpeg = jpeg_data.read_structure(data) if data.startswith(b"\xff\xd8") else None
    header = _open(data)
    if jpeg is not None:
        pixels = _of_jpeg(cv2, data, header, jpeg)
    elif header.format != "HEIF" and getattr(header, "is_animated", False):
        raise _refusal(data, f"it is an animated {header.format}, must be a single picture")
    else:
        pixels = _by_opencv(cv2, data, header) if header.format == "WEBP" else _by_pillow(data, header)
    return _upright(pixels, _orientation(header))


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of an image file as they are stored; no pixel is decoded.

    Returns:
        None where the header cannot be read, or Pillow is not installed.
    """
    try:
        width, height = _open(data).size
    except (InvalidRequestError, MissingExtraError):
        return None
    return width, height


def _refusal(data: bytes, problem: str) -> InvalidRequestError:
    return InvalidRequestError([Violation("image", f"{len(data):,} bytes that the client cannot decode: {problem}")])


def _open(data: bytes) -> Any:
    """The header, an image of Pillow's; no pixel is decoded."""
    image = require_pillow()
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not _says_avif(data):
        return _open_heic(data)
    try:
        return image.open(io.BytesIO(data), formats=_FORMATS)
    except (*_DAMAGED, image.DecompressionBombError, image.DecompressionBombWarning):
        raise _refusal(data, "it is no AVIF, JPEG, PNG, WebP, BMP or HEIC file") from None


def _says_avif(data: bytes) -> bool:
    """Whether a HEIF file names AVIF among its brands."""
    length = min(int.from_bytes(data[:4], "big"), 256)
    return b"avif" in (data[at : at + 4] for at in range(16, length, 4))


def _open_heic(data: bytes) -> Any:
    for name in _HEIC_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return module.HeifImageFile(io.BytesIO(data))
        except _DAMAGED:
            raise _refusal(data, "it is a truncated or damaged HEIC file") from None
    raise MissingExtraError("reading a HEIC file", "heic")


def _of_jpeg(cv2: Any, data: bytes, header: Any, structure: JpegStructure) -> Pixels:
    """A JPEG whose data reach to the end of its picture; OpenCV fills what is missing with grey."""
    if structure.cut or structure.problem:
        raise _refusal(
            data, f"it is a JPEG that {structure.problem}" if structure.problem else "it is a truncated JPEG"
        )
    if structure.scans > 1 or header.mode not in ("L", "RGB"):
        _check_whole(header, data, structure)
        return _by_pillow(data, header)
    pixels = _by_opencv(cv2, data, header)
    if (pixels[-1, -1] == 128).all():
        small = require_pillow().open(io.BytesIO(data), formats=("JPEG", "MPO"))
        small.draft("L", (1, 1))
        _check_whole(small, data, structure)
    return pixels


def _check_whole(header: Any, data: bytes, structure: JpegStructure) -> None:
    try:
        whole = jpeg_data.load_whole(header, data, structure)
    except _DAMAGED:
        whole = False
    if not whole:
        raise _refusal(data, "it is a truncated or damaged JPEG: its data end before its picture does")


def _by_opencv(cv2: Any, data: bytes, header: Any) -> Pixels:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        bgr = None
    if bgr is None or bgr.shape[:2] != (header.height, header.width):
        raise _refusal(data, f"it is a truncated or damaged {header.format} file")
    rgb: Pixels = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)
    return rgb


def _by_pillow(data: bytes, header: Any) -> Pixels:
    stated = header.size
    try:
        header.load()
        if header.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
            grey = (np.asarray(header).astype(np.uint16) >> 8).astype(np.uint8)
            pixels: Pixels = np.repeat(grey[..., None], 3, axis=2)
        else:
            pixels = np.array(header if header.mode == "RGB" else header.convert("RGB"), dtype=np.uint8)
    except _DAMAGED:
        raise _refusal(data, f"it is a truncated or damaged {header.format} file") from None
    if header.size != stated:
        raise _refusal(data, f"it is a truncated or damaged {header.format} file")
    return pixels


def _orientation(header: Any) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none. To be asked after decoding."""
    for xmp in ("XML:com.adobe.xmp", "xmp"):  # where Pillow looks next, unlike the contract
        header.info.pop(xmp, None)
    try:
        value = header.getexif().get(_ORIENTATION, 1)
    except _DAMAGED:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
