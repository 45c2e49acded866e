"""What decoding a file takes, from its structure alone: CPU time and memory.

Measured by `benchmarks/decode_cost.py`; the table, and how far estimates were off, is in
docs/decisions/decode-bounds.md. One thread, one core of a server of 2020s make.
"""

from __future__ import annotations

from dataclasses import dataclass

from exalign.pictures.jpeg_data import JpegStructure
from exalign_engine.geometry.image_structure import FileStructure

#: Ways of decoding -> CPU milliseconds a megapixel, and a megabyte of the file.
_RATES = {
    "JPEG in one scan": (6.5, 12.0),
    "JPEG in one scan of other colours": (19.0, 12.0),
    "JPEG in several scans": (12.0, 45.0),
    "WebP": (12.0, 35.0),
    "lossless WebP": (22.0, 12.0),
    "PNG": (6.0, 6.0),
    "BMP": (10.0, 0.0),
    "BMP in runs": (150.0, 1000.0),
    "AVIF": (27.0, 80.0),
    "HEIC": (60.0, 160.0),
}

#: CPU milliseconds a megapixel of each scan of a JPEG, be it empty, and of each byte that a pixel of a PNG has.
_SCAN, _PIXEL_BYTE = 0.5, 8.0

#: A PNG in seven passes takes so many times as long; turning a picture takes so many ms a megapixel.
_INTERLACED, _TURN = 1.3, 13.0

#: CPU milliseconds a part of a file (chunk, segment), and a megabyte of decompressed metadata.
_PART, _TEXT = 0.006, 2.5

#: Ways whose cost their structure does not bound: what their encoders chose can make it many times the estimate.
_UNBOUNDED = ("lossless WebP", "BMP in runs", "AVIF", "HEIC")

#: Bytes a pixel that are held while decoding: two copies by OpenCV, a third and a fourth by Pillow. Turning a picture
#: needs two, when the others are gone.
_OPENCV_BYTES, _WEBP_BYTES, _PILLOW_BYTES = 6, 8, 10


@dataclass(frozen=True)
class Estimate:
    """What decoding a file takes.

    Attributes:
        way: how it is decoded, for people.
        cpu_ms: of one core.
        peak_bytes: most memory for pixels at once.
        bounded: whether ``cpu_ms`` holds for every file of this structure.
    """

    way: str
    cpu_ms: float
    peak_bytes: int
    bounded: bool


def estimate(
    kind: str,
    mode: str,
    pixels: int,
    size: int,
    structure: JpegStructure | FileStructure,
    turned: bool,
) -> Estimate:
    """What decoding a file takes.

    Args:
        kind: format, as Pillow names it.
        mode: of the pixels, as Pillow names it.
        pixels: width × height.
        size: of the file, bytes.
        structure: of the file.
        turned: a copy is made to turn the picture upright.
    """
    megapixels = pixels / 1e6
    if isinstance(structure, JpegStructure):
        way, extra = _jpeg_way(mode, structure), structure.scans * megapixels * _SCAN + structure.segments * _PART
    else:
        way = _other_way(kind, structure)
        extra = structure.parts * _PART + structure.text_bytes / 1e6 * _TEXT
    by_pixel, by_byte = _RATES[way]
    if way == "PNG" and isinstance(structure, FileStructure):
        by_pixel += structure.pixel_bytes * _PIXEL_BYTE
        if structure.interlaced:
            way, by_pixel = "interlaced PNG", by_pixel * _INTERLACED
    if turned:
        by_pixel += _TURN
    peak = {"JPEG in one scan": _OPENCV_BYTES, "WebP": _WEBP_BYTES, "lossless WebP": _WEBP_BYTES}.get(
        way, _PILLOW_BYTES
    )
    return Estimate(way, megapixels * by_pixel + size / 1e6 * by_byte + extra, peak * pixels, way not in _UNBOUNDED)


def _jpeg_way(mode: str, structure: JpegStructure) -> str:
    if structure.scans > 1:
        return "JPEG in several scans"
    return "JPEG in one scan" if mode in ("L", "RGB") else "JPEG in one scan of other colours"


def _other_way(kind: str, structure: FileStructure) -> str:
    if kind == "WEBP":
        return "lossless WebP" if structure.lossless else "WebP"
    if kind == "BMP":
        return "BMP in runs" if structure.run_length else "BMP"
    return {"HEIF": "HEIC"}.get(kind, kind)
