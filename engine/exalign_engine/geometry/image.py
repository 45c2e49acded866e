"""From what a caller sends to pixels: an (H, W, 3) uint8 RGB array in the image frame.

The header is read by Pillow before anything is decoded, so that an image is refused for its format, its
frames or its size without memory being spent on it. Then:

- JPEG and WebP are decoded by OpenCV (three times as fast as Pillow at 1080p, and bit-equal to it);
  OpenCV fills what is missing of a truncated JPEG with grey, so the stream is first followed to its end
  marker.
- PNG, BMP, AVIF and CMYK JPEG are decoded by Pillow, HEIC by libheif where the extra ``heic`` is installed.

The orientation is EXIF's, 1 to 8, written as a SHORT or a LONG; of AVIF and HEIC it is that of the container, as
their standards have it. An orientation in XMP alone is not applied: what shows pictures to people does not either.

16-bit samples keep their high byte, grey becomes three equal channels, palettes are looked up, CMYK is converted
without colour management, and alpha is dropped: the colours stored under transparent pixels stay. GIF and animated
PNG, WebP or AVIF are refused, for they do not say which of their frames is meant; a JPEG that carries further pictures
behind the first one (MPO, as telephones write) is read as its first, a HEIC file as its primary one.

`exalign_client.pictures.decode` is the same for callers without the engine; a test compares the two.

Every function is thread safe; decoding releases the GIL.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from exalign_engine.errors import InvalidInputError, Violation

PixelFormat = Literal["RGB8", "BGR8", "GRAY8"]

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

#: What Pillow's readers raise on damaged files, its bomb warning among them where warnings are errors.
_DAMAGED = (
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

#: A JPEG marker that ends entropy-coded data: not a stuffed byte, a restart marker or a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: Pillow warns above this size by itself; a limit beyond it would need a change of Pillow's global settings.
_PILLOW_MAX_PIXELS = 89_478_485

#: OpenCV's resampling takes no longer side.
_OPENCV_MAX_SIDE = 32_766


@dataclass(frozen=True)
class ImageLimits:
    """What an image may measure at most.

    Args:
        max_bytes: size of an encoded image. Raw images are bounded by ``max_pixels``.
        max_pixels: width × height, 1 to 89,478,485 (where Pillow's own guard begins).
        max_side: width or height, 1 to 32,766 (where OpenCV's resampling ends).

    Raises:
        InvalidInputError: a limit is outside its range.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side: int = 16_384

    @classmethod
    def widest(cls) -> ImageLimits:
        """The most that can be read: for files of the caller's own."""
        return cls(max_bytes=2**31 - 1, max_pixels=_PILLOW_MAX_PIXELS, max_side=_OPENCV_MAX_SIDE)

    def __post_init__(self) -> None:
        ranges = {"max_bytes": 2**31 - 1, "max_pixels": _PILLOW_MAX_PIXELS, "max_side": _OPENCV_MAX_SIDE}
        wrong = [
            Violation(name, f"is {getattr(self, name)}, must be 1 to {most:,}")
            for name, most in ranges.items()
            if not 1 <= getattr(self, name) <= most
        ]
        if wrong:
            raise InvalidInputError(wrong)


def decode(data: bytes, limits: ImageLimits | None = None, *, field: str = "image.encoded") -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP, AVIF or BMP file, or HEIC where the extra ``heic`` is installed.

    Args:
        data: the whole file.
        limits: what is accepted; default ``ImageLimits()``.
        field: name of the field in errors.

    Returns:
        (H, W, 3) uint8 RGB, contiguous, in the image frame (upright).

    Raises:
        InvalidInputError: the file is empty, too large, of another format, animated, truncated or damaged.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InvalidInputError.of(field, f"is empty (0 bytes), must be an {READABLE} file")
    if len(data) > limits.max_bytes:
        raise InvalidInputError.of(field, f"has {len(data):,} bytes, at most {limits.max_bytes:,} accepted")
    header = _open(data, limits, field)
    _check_size(header, limits, field)
    if header.format not in ("JPEG", "MPO", "HEIF") and getattr(header, "is_animated", False):
        raise InvalidInputError.of(field, f"is an animated {header.format}, must be a single picture")
    if header.format in ("JPEG", "MPO"):
        if not _jpeg_is_complete(data):
            raise InvalidInputError.of(
                field, f"is a truncated JPEG: it stops after {len(data):,} bytes without its end marker"
            )
        by_opencv = header.mode in ("L", "RGB")
    else:
        by_opencv = header.format == "WEBP"
    image = _decode_opencv(data, header, field) if by_opencv else _decode_pillow(header, field)
    return _upright(image, _orientation(header))


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
    except (*_DAMAGED, InvalidInputError):
        return None


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not _says_avif(data)


def _open(data: bytes, limits: ImageLimits, field: str) -> Image.Image:
    """Read the header; no pixel is decoded."""
    if _is_heic(data):
        return _open_heic(data, field)
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInputError.of(
            field, f"claims more than {_PILLOW_MAX_PIXELS:,} pixels, at most {limits.max_pixels:,} accepted"
        ) from error
    except _DAMAGED as error:
        kind = next((name for name, magic in _REFUSED.items() if data.startswith(magic)), None)
        found = f"it is a {kind} file" if kind else f"it begins with {data[:4].hex(' ')}"
        raise InvalidInputError.of(field, f"is not a readable {READABLE} file ({found})") from error


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
    except _DAMAGED as error:
        raise InvalidInputError.of(field, "is a truncated or damaged HEIC file") from error


def _check_size(header: Image.Image, limits: ImageLimits, field: str) -> None:
    """Refuse by the header's size."""
    w, h = header.size
    if w < 1 or h < 1:
        raise InvalidInputError.of(field, f"is {w} × {h} pixels, must have at least one")
    wrong = _too_large(w, h, limits)
    if wrong:
        raise InvalidInputError(Violation(field, text) for text in wrong)


def _too_large(w: int, h: int, limits: ImageLimits) -> list[str]:
    """One sentence for each limit that a size breaks."""
    wrong = []
    if w * h > limits.max_pixels:
        wrong.append(f"is {w} × {h} = {w * h:,} pixels, at most {limits.max_pixels:,} accepted")
    if max(w, h) > limits.max_side:
        wrong.append(f"is {w} × {h}, its longer side may have at most {limits.max_side:,} pixels")
    return wrong


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether the first picture of a JPEG stream reaches its end marker (EOI).

    Segments are skipped by their stated length, so that the end marker of a thumbnail inside the metadata is
    not taken for the picture's own.
    """
    at = 2  # behind SOI, which Pillow has seen
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            return False
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:  # EOI
            return True
        if marker in (0x01, 0xD8):  # TEM and SOI have no length
            continue
        if at + 2 > len(data):
            return False
        at += int.from_bytes(data[at : at + 2], "big")  # what follows an SOS header is searched, not skipped


def _decode_opencv(data: bytes, header: Image.Image, field: str) -> NDArray[np.uint8]:
    """Decode by OpenCV, without orientation."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _damaged(header, field) from error
    if bgr is None or bgr.shape[:2] != (header.height, header.width):
        raise _damaged(header, field)
    rgb: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)
    return rgb


def _decode_pillow(header: Image.Image, field: str) -> NDArray[np.uint8]:
    """Decode by Pillow, without orientation."""
    stated = header.size
    try:
        header.load()
        if header.size != stated:
            raise _damaged(header, field)
        if header.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
            grey = (np.asarray(header).astype(np.uint16) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(header.convert("RGB"), dtype=np.uint8)
    except _DAMAGED as error:
        raise _damaged(header, field) from error


def _damaged(header: Image.Image, field: str) -> InvalidInputError:
    return InvalidInputError.of(field, f"is a truncated or damaged {header.format} file")


def _orientation(header: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the metadata cannot be read. To be asked after decoding."""
    for xmp in ("XML:com.adobe.xmp", "xmp"):  # where Pillow looks next, unlike this contract
        header.info.pop(xmp, None)
    try:
        value = header.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGED:
        return 1  # the pixels are fine: broken metadata is no reason to refuse them
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


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
        wrong.extend(Violation(field, text) for text in _too_large(width, height, limits))
    if wrong:
        raise InvalidInputError(wrong)
