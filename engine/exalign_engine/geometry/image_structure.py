"""What the parts of a PNG, WebP or BMP file say about the work that its decoding is. Nothing is decompressed.

Walked before Pillow opens the file, for Pillow itself reads metadata part by part, and decompresses some of it.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Parts that a file of any size may have, and bytes a further one: libpng writes one every 8 kB.
_MOST_PARTS, _PART_BYTES = 20_000, 256

#: Chunks of PNG that Pillow decompresses while it reads them, each to at most `_MOST_TEXT` bytes.
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")

#: Pillow's bound on one text (`PngImagePlugin.MAX_TEXT_CHUNK`), and the most that deflate makes of a byte.
_MOST_TEXT, _MOST_DEFLATED = 1 << 20, 1032

#: The name of a text that holds EXIF, as ImageMagick writes it.
_TEXT_EXIF = b"Raw profile type exif\0"

#: Samples a pixel by PNG's colour type.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

#: Values of a BMP's field "compression" that mean runs, which Pillow reads in Python.
_RUN_LENGTH = (1, 2)


@dataclass
class FileStructure:
    """What the parts of a file say.

    Attributes:
        parts: chunks.
        problem: what is wrong with them, to follow "is a PNG that"; None where nothing is.
        pixel_bytes: bytes of a pixel as it is stored.
        interlaced: a PNG in seven passes.
        text_bytes: most bytes of metadata that are decompressed.
        exif: a chunk may hold an orientation.
        lossless: WebP without loss, in its colours or its transparency.
        run_length: BMP in runs.
    """

    parts: int = 0
    problem: str | None = None
    pixel_bytes: int = 3
    interlaced: bool = False
    text_bytes: int = 0
    exif: bool = False
    lossless: bool = False
    run_length: bool = False


def read_structure(data: bytes) -> FileStructure:
    """Walk the chunks of a PNG or WebP file, or read the header of a BMP; of another file, nothing."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _read_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp(data)
    found = FileStructure()
    if data.startswith(b"BM"):
        found.run_length = int.from_bytes(data[30:34], "little") in _RUN_LENGTH
    return found


def _add_part(found: FileStructure, data: bytes) -> bool:
    """Count a part; whether there may be so many."""
    found.parts += 1
    most = _MOST_PARTS + len(data) // _PART_BYTES
    if found.parts > most:
        found.problem = f"has more than {most:,} chunks"
    return found.problem is None


def _read_png(data: bytes) -> FileStructure:
    found, at = FileStructure(), 8
    while at + 8 <= len(data) and _add_part(found, data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IHDR":
            depth, colour = data[at + 16 : at + 17], data[at + 17 : at + 18]
            channels = _CHANNELS.get(int.from_bytes(colour, "big"), 4)
            found.pixel_bytes = channels * (2 if depth == b"\x10" else 1)
            found.interlaced = data[at + 20 : at + 21] == b"\1"
        elif kind in _COMPRESSED:
            found.text_bytes += min(length * _MOST_DEFLATED, _MOST_TEXT)
        found.exif = found.exif or kind == b"eXIf" or data.startswith(_TEXT_EXIF, at + 8)
        if kind == b"IEND":
            break
        at += 12 + length
    return found


def _read_webp(data: bytes) -> FileStructure:
    found, at = FileStructure(), 12
    while at + 8 <= len(data) and _add_part(found, data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        found.lossless = found.lossless or kind in (b"VP8L", b"ALPH")
        found.exif = found.exif or kind == b"EXIF"
        at += 8 + length + (length & 1)
    return found
