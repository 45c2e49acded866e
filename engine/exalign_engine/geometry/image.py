"""From what a caller sends to pixels: an (H, W, 3) uint8 RGB array in the image frame.

The header is read by Pillow before anything is decoded, so that an image is refused for its format, its
frames, its size or what its decoding would cost (`exalign_engine.geometry.decode_cost`) without memory being spent on
it. Then:

- JPEG in one scan and WebP are decoded by OpenCV (faster than Pillow, and bit-equal to it); OpenCV fills what is
  missing of a truncated JPEG with grey. So the stream is followed to its end marker; and where the last pixel is that
  grey, the data are followed too (`exalign.pictures.jpeg_data`).
- JPEG in several scans, PNG, BMP, AVIF and CMYK JPEG are decoded by Pillow, HEIC by libheif where the extra ``heic``
  is installed.

The orientation is EXIF's, 1 to 8, written as a SHORT or a LONG; of AVIF and HEIC it is that of the container, as
their standards have it. An orientation in XMP alone is not applied: what shows pictures to people does not either.

16-bit samples keep their high byte, grey becomes three equal channels, palettes are looked up, CMYK is converted
without colour management, and alpha is dropped: the colours stored under transparent pixels stay. GIF and animated
PNG, WebP or AVIF are refused, for they do not say which of their frames is meant; a JPEG that carries further pictures
behind the first one (MPO, as telephones write) is read as its first, a HEIC file as its primary one. JPEG without loss
or with arithmetic codes is refused: nobody sends it, and nothing tells whether it is whole.

`exalign_client.pictures.decode` is the same for callers without the engine; a test compares the two.

Every function is thread safe; decoding releases the GIL.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from exalign.pictures import jpeg_data
from exalign.pictures.jpeg_data import JpegStructure
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.geometry import image_structure
from exalign_engine.geometry.decode_cost import Estimate, estimate
from exalign_engine.geometry.image_header import DAMAGED, READABLE, check_memory, open_header
from exalign_engine.geometry.image_limits import ImageLimits, too_large
from exalign_engine.geometry.image_structure import FileStructure

#: What libjpeg gives pixels for which it has no data.
_NO_DATA = 128

#: How OpenCV decodes a JPEG at 1/1, 1/2, 1/4 and 1/8 of its size.
_AT_STEP = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

#: Orientations that reverse the rows, and the columns, of a picture whose axes have been exchanged where they must be.
_ROWS_REVERSED, _COLUMNS_REVERSED = (3, 4, 7, 8), (2, 3, 6, 7)


#: Rows that are converted, or copied, at a time: of large pictures there is never a second copy.
_BAND = 128

#: A picture as stored: (H, W, 3) uint8 RGB, or as Pillow has it.
_Decoded = NDArray[np.uint8] | Image.Image


@dataclass(frozen=True)
class DecodePlan:
    """What decoding a file will be, by its structure. A plain value: it holds nothing of the file.

    Attributes:
        format: as Pillow names it, such as "JPEG" or "HEIF".
        width: pixels, as stored: before the picture is turned upright.
        height: pixels, as stored.
        decoded_bytes: of the picture that `decode` returns: 3 a pixel.
        peak_bytes: most memory for pixels while it is decoded, copies among them.
        cpu_ms: CPU time that decoding takes, milliseconds of one core, estimated.
        bounded: whether ``cpu_ms`` holds for every file of this structure. Where it does not (AVIF, HEIC, WebP
            without loss, BMP in runs), decoding must be watched.
    """

    format: str
    width: int
    height: int
    decoded_bytes: int
    peak_bytes: int
    cpu_ms: float
    bounded: bool


@dataclass(frozen=True)
class ExaminedPicture:
    """A file whose structure has been read, and no pixel of it. `decode` once, unless it is `one_scan`."""

    data: bytes
    header: Image.Image
    structure: JpegStructure | FileStructure
    estimate: Estimate
    field: str

    @property
    def plan(self) -> DecodePlan:
        """What decoding it will be."""
        (width, height), cost = self.header.size, self.estimate
        kind = self.header.format or ""
        return DecodePlan(kind, width, height, 3 * width * height, cost.peak_bytes, cost.cpu_ms, cost.bounded)

    @cached_property
    def _turned(self) -> int:
        """EXIF orientation. Of a PNG to be asked after decoding."""
        return _orientation(self.header)

    @property
    def one_scan(self) -> bool:
        """Whether it is a JPEG that is decoded in one go, by OpenCV: then it can be decoded at a scale."""
        return isinstance(self.structure, JpegStructure) and _in_one_scan(self.header, self.structure)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the upright picture."""
        width, height = self.header.size
        return (width, height, 3) if self._turned >= 5 else (height, width, 3)

    def corner(self, shape: tuple[int, ...], step: int) -> NDArray[np.float64]:
        """(2,) x, y where the picture of ``shape``, decoded at 1/``step``, begins in edge coordinates of the whole.

        What reaches out of the picture is its last row and column, as stored: turned upright, perhaps its first.
        """
        orientation, (height, width) = self._turned, self.shape[:2]
        left = width - step * shape[1] if orientation in _COLUMNS_REVERSED else 0
        top = height - step * shape[0] if orientation in _ROWS_REVERSED else 0
        return np.array([left, top], dtype=np.float64)

    def decode(self, step: int = 1, into: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """See `decode`.

        Args:
            step: 2, 4 or 8: at such a part of its size, upwards to whole pixels; where it is `one_scan`.
            into: as for `decode`; of the whole picture alone.

        Raises:
            InvalidInputError: the file is truncated or damaged.
        """
        if isinstance(self.structure, JpegStructure):
            image = _decode_jpeg(self, self.structure, self.field, step)
        elif self.header.format == "WEBP":
            image = _decode_opencv(self.data, self.header, self.field)
        else:
            image = _decode_pillow(self.header, self.field)
        try:
            return _upright(image, _orientation(self.header), into)  # a PNG may say it behind its pixels
        except DAMAGED as error:
            raise _damaged(self.header, self.field) from error


def decode(
    data: bytes,
    limits: ImageLimits | None = None,
    *,
    field: str = "image.encoded",
    into: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, WebP, AVIF or BMP file, or HEIC where the extra ``heic`` is installed.

    Args:
        data: the whole file.
        limits: what is accepted; default ``ImageLimits()``.
        field: name of the field in errors.
        into: as many bytes as the picture has, which it is written to; None: new ones.

    Returns:
        (H, W, 3) uint8 RGB, contiguous, in the image frame (upright).

    Raises:
        InvalidInputError: the file is empty, too large, too costly, of another format, animated, truncated or
            damaged.
        MemoryError: there is no memory for it.
    """
    return examine(data, limits, field=field).decode(into=into)


def examine(data: bytes, limits: ImageLimits | None = None, *, field: str = "image.encoded") -> ExaminedPicture:
    """Read a file's structure; no pixel is decoded. Takes less than a millisecond for ordinary files.

    Args:
        data: the whole file.
        limits: what is accepted; default ``ImageLimits()``.
        field: name of the field in errors.

    Raises:
        InvalidInputError: what `decode` would raise, as far as the structure tells.
    """
    limits = limits or ImageLimits()
    if not data:
        raise InvalidInputError.of(field, f"is empty (0 bytes), must be an {READABLE} file")
    if len(data) > limits.max_bytes:
        raise InvalidInputError.of(field, f"has {len(data):,} bytes, at most {limits.max_bytes:,} accepted")
    is_jpeg = data.startswith(b"\xff\xd8\xff")  # so Pillow has it; what follows is not looked through otherwise
    structure = jpeg_data.read_structure(data) if is_jpeg else image_structure.read_structure(data)
    if not is_jpeg and structure.problem:
        raise InvalidInputError.of(field, f"is a file that {structure.problem}")
    header = open_header(data, limits, field)
    _check_size(header, limits, field)
    if not is_jpeg and header.format != "HEIF" and getattr(header, "is_animated", False):
        raise InvalidInputError.of(field, f"is an animated {header.format}, must be a single picture")
    if isinstance(structure, JpegStructure):
        if structure.cut:
            raise InvalidInputError.of(
                field, f"is a truncated JPEG: it stops after {len(data):,} bytes without its end marker"
            )
        if structure.problem:
            raise InvalidInputError.of(field, f"is a JPEG that {structure.problem}")
        turned = _orientation(header) > 1
    else:
        # Of a PNG, Pillow reads the orientation with the pixels alone.
        turned = structure.exif if header.format == "PNG" else _orientation(header) > 1
    cost = estimate(header.format or "", header.mode, header.width * header.height, len(data), structure, turned)
    if cost.cpu_ms > 1000 * limits.max_seconds:
        scans = f" of {structure.scans:,} scans" if isinstance(structure, JpegStructure) else ""
        raise InvalidInputError.of(
            field,
            f"is a {cost.way} of {header.width} × {header.height} pixels{scans}, which takes about "
            f"{cost.cpu_ms / 1000:.3g} s to decode, at most {limits.max_seconds:g} s accepted",
        )
    return ExaminedPicture(data, header, structure, cost, field)


def _check_size(header: Image.Image, limits: ImageLimits, field: str) -> None:
    """Refuse by the header's size."""
    w, h = header.size
    if w < 1 or h < 1:
        raise InvalidInputError.of(field, f"is {w} × {h} pixels, must have at least one")
    wrong = too_large(w, h, limits)
    if wrong:
        raise InvalidInputError(Violation(field, text) for text in wrong)


def _in_one_scan(header: Image.Image, structure: JpegStructure) -> bool:
    return structure.scans == 1 and header.mode in ("L", "RGB")


def _decode_jpeg(examined: ExaminedPicture, structure: JpegStructure, field: str, step: int) -> _Decoded:
    """Decode a JPEG whose data reach to its end, without orientation."""
    data, header = examined.data, examined.header
    if not _in_one_scan(header, structure):
        if not _load_whole(header, data, structure):
            raise _ends_early(data, header, field)
        return _decode_pillow(header, field)
    image = _decode_opencv(data, header, field, step)
    if (image[-1, -1] == _NO_DATA).all():  # so it is where data are missing; or the picture is that grey
        small = Image.open(io.BytesIO(data), formats=("JPEG", "MPO"))
        small.draft("L", (1, 1))  # an eighth of the size, brightness alone: twice as fast
        if not _load_whole(small, data, structure):
            raise _ends_early(data, header, field)
    return image


def _load_whole(header: Image.Image, data: bytes, structure: JpegStructure) -> bool:
    try:
        return jpeg_data.load_whole(header, data, structure)
    except DAMAGED:
        return False


def _ends_early(data: bytes, header: Image.Image, field: str) -> InvalidInputError:
    check_memory(header.width * header.height)
    return InvalidInputError.of(
        field, f"is a truncated or damaged JPEG: the data in its {len(data):,} bytes end before its picture does"
    )


def _decode_opencv(data: bytes, header: Image.Image, field: str, step: int = 1) -> NDArray[np.uint8]:
    """Decode by OpenCV, without orientation."""
    flags = _AT_STEP[step] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr is None or bgr.shape[:2] != (-(-header.height // step), -(-header.width // step)):
            raise _damaged(header, field)
        rgb = np.asarray(bgr, dtype=np.uint8)
        for rows in _bands(len(rgb)):  # OpenCV copies what it is to convert in its place
            cv2.cvtColor(rgb[rows], cv2.COLOR_BGR2RGB, dst=rgb[rows])
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(error.err) from error
        raise _damaged(header, field) from error
    return rgb


def _decode_pillow(header: Image.Image, field: str) -> Image.Image:
    """Decode by Pillow, without orientation. Its pixels take four bytes, and are copied a few rows at a time."""
    stated = header.size
    try:
        header.load()
        if header.size != stated:
            raise _damaged(header, field)
    except DAMAGED as error:
        raise _damaged(header, field) from error
    return header


def _pixels(decoded: _Decoded, rows: slice) -> NDArray[np.uint8]:
    """Some rows as RGB, or as grey levels (h, w, 1)."""
    if not isinstance(decoded, Image.Image):
        return decoded[rows]
    part = decoded.crop((0, rows.start, decoded.width, rows.stop))
    if decoded.mode.startswith("I;16"):  # Pillow's own conversion would clip at 255
        return (np.asarray(part).astype(np.uint16) >> 8).astype(np.uint8)[..., None]
    return np.asarray(part if part.mode == "RGB" else part.convert("RGB"), dtype=np.uint8)


def _bands(height: int) -> Iterator[slice]:
    """All rows, a few at a time."""
    for top in range(0, height, _BAND):
        yield slice(top, min(top + _BAND, height))


def _damaged(header: Image.Image, field: str) -> InvalidInputError:
    check_memory(header.width * header.height)
    return InvalidInputError.of(field, f"is a truncated or damaged {header.format} file")


def _orientation(header: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the metadata cannot be read.

    Of a PNG to be asked after decoding: it loads the pixels.
    """
    for xmp in ("XML:com.adobe.xmp", "xmp"):  # where Pillow looks next, unlike this contract
        header.info.pop(xmp, None)
    try:
        value = header.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGED:
        return 1  # the pixels are fine: broken metadata is no reason to refuse them
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(decoded: _Decoded, orientation: int, into: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Apply an EXIF orientation; the pixels are written to ``into`` where there is one."""
    if not isinstance(decoded, Image.Image) and orientation == 1 and into is None:
        return decoded
    height, width = (decoded.height, decoded.width) if isinstance(decoded, Image.Image) else decoded.shape[:2]
    shape = (width, height, 3) if orientation >= 5 else (height, width, 3)
    image = np.empty(shape, np.uint8) if into is None else into.reshape(shape)
    as_stored = image
    if orientation in _COLUMNS_REVERSED:
        as_stored = as_stored[:, ::-1]
    if orientation in _ROWS_REVERSED:
        as_stored = as_stored[::-1]
    if orientation >= 5:
        as_stored = as_stored.swapaxes(0, 1)
    for rows in _bands(height):
        as_stored[rows] = _pixels(decoded, rows)
    return image
