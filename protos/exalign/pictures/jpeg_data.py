"""Whether the data of a JPEG end before its picture does, also where an end marker (EOI) stands behind them.

libjpeg fills what is missing with grey and only warns of it on stderr, so neither OpenCV nor Pillow say so. But
Pillow's decoder waits where its data are at an end. So it is fed a file without its end marker: a picture that is
whole comes out all the same, one that is not keeps waiting (docs/decisions/decode-bounds.md).

Shared by the engine and the client. Standard library only, until `load_whole` is handed an image of Pillow's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

#: A marker that ends entropy-coded data: not a stuffed byte, a restart marker or a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

_RESTART = re.compile(rb"\xff[\xd0-\xd7]")

#: Frames with Huffman codes: baseline, extended sequential, progressive. No camera and no browser knows the others.
_KNOWN_FRAMES = (0xC0, 0xC1, 0xC2)

#: In the range of frames, C0 to CF, but none: Huffman tables, an extension, and conditioning of arithmetic codes.
_NO_FRAMES = (0xC4, 0xC8, 0xCC)

_EOI, _SOS, _DRI = 0xD9, 0xDA, 0xDD

#: Markers without a length: TEM and SOI.
_BARE = (0x01, 0xD8)

#: So much is read ahead by libjpeg, bytes: fed behind the data, so that a whole picture needs nothing more. The codes
#: are long ones in the first case, so that they stand for few blocks where data are missing.
_AHEAD_OF_ONE, _AHEAD_OF_MANY = b"\xfe" * 8, bytes(8)

#: Segments that a file of any size may have, and bytes a further one: cameras and encoders write fewer than a hundred.
_MOST_SEGMENTS, _SEGMENT_BYTES = 20_000, 256


@dataclass
class _Component:
    """Sampling of one channel."""

    across: int
    down: int


@dataclass
class JpegStructure:
    """What the markers of a JPEG's first picture say.

    Attributes:
        problem: what is wrong with it, to follow "is a JPEG that"; None where nothing is.
        cut: it stops before its end marker.
        scans: passes over the picture; one unless it is progressive or its channels follow each other.
        segments: parts before the first scan and between scans, and stray bytes before the first.
        data_begin: where the data of the last scan begin.
        data_end: where they end.
    """

    problem: str | None = None
    cut: bool = False
    scans: int = 0
    segments: int = 0
    data_begin: int = 0
    data_end: int = 0
    _size: tuple[int, int] = (0, 0)
    _components: dict[int, _Component] = field(default_factory=dict)
    _scanned: set[int] = field(default_factory=set)
    _last: tuple[int, ...] = ()
    _restart_interval: int = 0

    def add_frame(self, body: bytes) -> None:
        """A frame header (SOF), behind its length."""
        self._size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big")
        for at in range(6, len(body) - 2, 3):
            self._components[body[at]] = _Component(max(body[at + 1] >> 4, 1), max(body[at + 1] & 15, 1))

    def add_scan(self, body: bytes) -> None:
        """A scan header (SOS), behind its length."""
        self.scans += 1
        self._last = tuple(body[1 : 1 + 2 * body[0] : 2]) if body else ()
        self._scanned.update(self._last)

    def add_restart_interval(self, body: bytes) -> None:
        """A segment DRI, behind its length: units (MCU) from one restart marker to the next."""
        self._restart_interval = int.from_bytes(body[:2], "big")

    @property
    def unscanned(self) -> int:
        """Channels that no scan is about."""
        return len(self._components.keys() - self._scanned)

    def restarts(self) -> int:
        """Restart markers that the last scan must hold."""
        parts = [self._components[name] for name in self._last if name in self._components]
        if not self._restart_interval or not parts:
            return 0
        (width, height), all_parts = self._size, self._components.values()
        across, down = max(c.across for c in all_parts), max(c.down for c in all_parts)
        if len(parts) == 1:  # then a unit is one block of the channel itself
            blocks = -(-width * parts[0].across // (8 * across)), -(-height * parts[0].down // (8 * down))
        else:
            blocks = -(-width // (8 * across)), -(-height // (8 * down))
        return max(-(-blocks[0] * blocks[1] // self._restart_interval) - 1, 0)


def read_structure(data: bytes) -> JpegStructure:
    """Follow the segments of a JPEG's first picture to its end marker. Nothing is decoded.

    Segments are skipped by their stated length, so that the end marker of a thumbnail inside the metadata is not
    taken for the picture's own.

    Args:
        data: begins with the marker SOI.

    Returns:
        What was found. Where there is a problem, the rest has not been read.
    """
    found, at, in_scan = JpegStructure(), 2, False
    most = _MOST_SEGMENTS + len(data) // _SEGMENT_BYTES
    while True:
        marker = _MARKER.search(data, at)
        if marker is None:
            found.cut = True
            return found
        if in_scan:
            found.data_end, in_scan = marker.start(), False
        elif not found.scans:
            found.segments += marker.start() - at
        code, at = data[marker.start() + 1], marker.end()
        found.segments += 1
        if found.segments > most:
            found.problem = f"has more than {most:,} segments or stray bytes between them"
            return found
        if code == _EOI:
            _check_whole(data, found)
            return found
        if code in _BARE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + length]
        at += max(length, 2)
        if at > len(data):
            found.cut = True
            return found
        if 0xC0 <= code <= 0xCF and code not in _NO_FRAMES:
            if code not in _KNOWN_FRAMES:
                found.problem = (
                    f"is of the rare kind SOF{code - 0xC0}, must be baseline or progressive with Huffman codes"
                )
                return found
            found.add_frame(body)
        elif code == _SOS:
            found.add_scan(body)
            found.data_begin, in_scan = at, True
        elif code == _DRI:
            found.add_restart_interval(body)


def _check_whole(data: bytes, found: JpegStructure) -> None:
    """What an end marker that comes too early leaves out as a whole."""
    if found.unscanned:
        found.problem = f"ends before the data of {found.unscanned} of its channels"
    elif found.scans > 1:
        # Where data end at a restart marker, the decoder does not wait for data but for that marker.
        needed = found.restarts()
        if needed and len(_RESTART.findall(data, found.data_begin, found.data_end)) < needed:
            found.problem = "holds data that end before its picture does"


def load_whole(header: Any, data: bytes, structure: JpegStructure) -> bool:
    """Decode a JPEG, and find out whether its data reach to the end of the picture.

    Up to eight bytes may be missing unseen: that is a few blocks at most.
    Of a progressive file that lacks whole scans the standard says that it is complete, though coarse.

    Args:
        header: the file as `PIL.Image.open` gives it, perhaps with `draft`; holds the pixels afterwards.
        data: the file.
        structure: of it, without a problem.

    Returns:
        False where data are missing, or damaged so that nothing can be decoded; then there are no pixels.
    """
    from PIL import Image

    name, extents, _, arguments = header.tile[0]
    header.load_prepare()
    decoder = Image._getdecoder(header.mode, name, arguments, header.decoderconfig)
    try:
        decoder.setimage(header.im, extents)
        feed = _feed_one_scan if structure.scans == 1 else _feed_scans
        if not feed(decoder, data[: structure.data_end]):
            return False
    finally:
        decoder.cleanup()
    header.tile = []  # so that Pillow takes the picture for loaded
    return True


def _feed_one_scan(decoder: Any, data: bytes) -> bool:
    """The rows come as the data do: the decoder has finished where it has had them all."""
    used, error = decoder.decode(data + _AHEAD_OF_ONE)
    return used < 0 and not error


def _feed_scans(decoder: Any, data: bytes) -> bool:
    """The rows come behind the last scan.

    A decoder that looks for the next marker throws a single byte away; one that looks for data keeps it, for it
    takes no fewer than three at once.
    """
    used, error = decoder.decode(data + _AHEAD_OF_MANY)
    if error or used != len(data) + len(_AHEAD_OF_MANY) or decoder.decode(b"\0")[0] != 1:
        return False
    used, error = decoder.decode(b"\xff\xd9")
    return used < 0 and not error
