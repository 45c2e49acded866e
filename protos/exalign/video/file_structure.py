"""What the outermost structure of a video file says without decoding: whether its end is missing, how it is turned.

Only headers are read. What is not understood says nothing: None.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_TS_PACKETS = (188, 192, 204)
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"

#: A box of an MP4 file: its name, where its content begins, and where it ends, bytes.
_Box = tuple[bytes, int, int]


def missing_end(path: Path) -> str | None:
    """Why the file must once have been longer, as the end of a sentence that begins with it; None: it seems whole."""
    size = path.stat().st_size
    slack = 0
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            stated = max((end for _, _, end in _boxes(file, 0, size)), default=size)
        elif head[:4] == b"RIFF":
            stated, slack = _riff_end(file, size), 8  # some writers count the head too
        elif head[:4] == _EBML:
            stated = _matroska_end(file, size)
        elif head[:3] == b"GIF":
            file.seek(max(size - 64, 0))
            return None if file.read().rstrip(b"\0").endswith(b";") else "is cut off: a GIF file ends with ;"
        elif head[:1] == b"G" and _is_transport_stream(file, size):
            whole = any(size % length == 0 for length in _TS_PACKETS)
            return None if whole else f"is cut off within a packet: {size} bytes"
        else:
            return None
    return f"is cut off: {size} bytes of {stated}" if stated > size + slack else None


def display_matrix(path: Path) -> tuple[int, int, int, int]:
    """a, b, c, d of an MP4 file's first video track, as `upright` wants them; those of an upright picture elsewhere."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for _, start, end in _named(file, b"moov", 0, size):
            for _, track, track_end in _named(file, b"trak", start, end):
                if _handler(file, track, track_end) != b"vide":
                    continue
                for _, header, _ in _named(file, b"tkhd", track, track_end):
                    file.seek(header)
                    at = header + (52 if file.read(1) == b"\1" else 40)
                    file.seek(at)
                    matrix = file.read(20)
                    if len(matrix) == 20:
                        a, b, _, c, d = struct.unpack(">iiiii", matrix)
                        return a, b, c, d
    return 1, 0, 0, 1


def _handler(file: BinaryIO, start: int, end: int) -> bytes:
    for _, media, media_end in _named(file, b"mdia", start, end):
        for _, handler, _ in _named(file, b"hdlr", media, media_end):
            file.seek(handler + 8)
            return file.read(4)
    return b""


def _named(file: BinaryIO, name: bytes, start: int, end: int) -> Iterator[_Box]:
    return (box for box in _boxes(file, start, end) if box[0] == name)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """The boxes between two places of an MP4 file; the last may end behind ``end``."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:  # the file ends before the box around it does
            return
        length, name = struct.unpack(">I4s", head[:8])
        content = start + 8
        if length == 1 and len(head) == 16:
            length, content = struct.unpack(">Q", head[8:])[0], start + 16
        elif length == 0:  # to the end of the file
            length = end - start
        if length < content - start or not name.isascii():
            return  # no box: what follows cannot be told
        yield name, content, start + length
        start += length


def _riff_end(file: BinaryIO, size: int) -> int:
    """The end of the last RIFF chunk: large AVI files have several, one behind the other."""
    start = 0
    while start + 8 <= size:
        file.seek(start)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or not length:  # 0: it was never finished, and says nothing
            break
        start += 8 + length
    return start


def _matroska_end(file: BinaryIO, size: int) -> int:
    """The end of the segment; the size of the file where that is not known."""
    start = 0
    for name in (_EBML, _SEGMENT):
        file.seek(start)
        head = file.read(12)
        if head[:4] != name or len(head) < 5 or not head[4]:
            return size
        width = 9 - head[4].bit_length()
        unknown = (1 << 7 * width) - 1
        length = int.from_bytes(head[4 : 4 + width], "big") & unknown
        if length == unknown:
            return size
        start += 4 + width + length
    return start


def _is_transport_stream(file: BinaryIO, size: int) -> bool:
    file.seek(0, os.SEEK_SET)
    data = file.read(min(size, 5 * max(_TS_PACKETS)))
    return any(all(data[k : k + 1] == b"G" for k in range(0, len(data), length)) for length in _TS_PACKETS)
