"""Small videos whose truth is known: each frame shows its number, and which way up it is. They are damaged here too."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

#: (width, height) of a frame.
SIZE = (96, 64)
CONSTANT = [n / 25 for n in range(20)]
VARIABLE = [n / 25 if n < 10 else n / 25 + 0.8 for n in range(20)]
LATE = [0.852 + n / 25 for n in range(20)]

#: Codec, pixel format and options by what they are called here; x264 and MPEG-4 with B-frames.
CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264": ("libx264", "yuv420p", {"bf": "3", "crf": "10", "preset": "medium"}),
    "hevc": ("libx265", "yuv420p", {"x265-params": "log-level=none:crf=10"}),
    "mjpeg": ("mjpeg", "yuvj420p", {}),
    "mpeg4": ("mpeg4", "yuv420p", {"bf": "2", "g": "12", "b": "20M", "qmax": "2"}),
    "vp8": ("libvpx", "yuv420p", {"b": "1M", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9": ("libvpx-vp9", "yuv420p", {"b": "1M", "cpu-used": "8"}),
    "gif": ("gif", "rgb8", {}),
}


def picture(number: int, size: tuple[int, int] = SIZE) -> Pixels:
    """Grey by its number; the top left corner is white, the top right one black."""
    width, height = size
    pixels = np.full((height, width, 3), 40 + 8 * number, np.uint8)
    pixels[: height // 4, : width // 4] = 255
    pixels[: height // 4, -(width // 4) :] = 0
    return pixels


def number_of(pixels: Pixels) -> int:
    """The number that a picture shows, whichever way it is turned."""
    height, width = pixels.shape[:2]
    middle = pixels[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
    return round((float(middle.mean()) - 40) / 8)


def write_clip(
    path: Path,
    codec: str = "h264",
    times: Sequence[float] = CONSTANT,
    *,
    muxer: dict[str, str] | None = None,
    unit: Fraction = Fraction(1, 1000),
    sound: str | None = None,
) -> Path:
    """A clip of one frame a time, seconds; with ``sound``, a tone by that codec."""
    name, pixel_format, options = CODECS[codec]
    with av.open(str(path), "w", container_options=muxer or {}) as container:
        stream = container.add_stream(name, rate=25, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = unit
        packets: list[Any] = []
        tone = None if sound is None else container.add_stream(sound, rate=48000, layout="stereo")
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = round(time / unit), unit
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if tone is not None:
            packets += _tone(tone, times[-1])
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def _tone(stream: Any, seconds: float) -> Iterator[Any]:
    wave = (8000 * np.sin(np.arange(int(48000 * seconds)) * 2 * np.pi * 440 / 48000)).astype(np.int16)
    for start in range(0, len(wave) - 1024, 1024):
        samples = np.repeat(wave[start : start + 1024], 2)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def packets_of(path: Path) -> list[tuple[int, bytes, int]]:
    """Where each packet of the video lies in the file, what it holds, and its presentation time."""
    with av.open(str(path)) as container:
        found = [(p.pos, bytes(p), p.pts) for p in container.demux(video=0) if p.size]
    data, placed, at = path.read_bytes(), [], 0
    for _, content, time in found:
        at = data.index(content, at)
        placed.append((at, content, 0 if time is None else time))
        at += len(content)
    return placed


def break_packet(path: Path, place: int, *, keep: int = 0) -> int:
    """Put zeros in place of a packet's content, all but its first bytes.

    Returns:
        The number of the frame that it would have become.
    """
    packets = packets_of(path)
    at, content, time = packets[place]
    data = bytearray(path.read_bytes())
    data[at + keep : at + len(content)] = bytes(len(content) - keep)
    path.write_bytes(data)
    return sorted(t for _, _, t in packets).index(time)


def boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """Start, length and name of the boxes in part of an MP4 file."""
    while start + 8 <= end:
        length, name = struct.unpack_from(">I4s", data, start)
        yield start, length, name
        start += max(length, 8)


def box(data: bytes | bytearray, *path: str) -> int:
    """Where a box of an MP4 file begins; the first of its name at each level."""
    start, end = 0, len(data)
    for name in path:
        at, length = next((s, n) for s, n, found in boxes(data, start, end) if found.decode("latin-1") == name)
        start, end = at + 8, at + length
    return start - 8


def set_display_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d, each −1, 0 or 1, into the header of the first track."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value * 0x10000 for value in matrix)
    struct.pack_into(">9i", data, box(data, "moov", "trak", "tkhd") + 48, a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


def set_edit_list(path: Path, first: int, frames: int) -> None:
    """Let the file show so many frames from the ``first`` on; they take 1/25 s each."""
    data = bytearray(path.read_bytes())
    scale = struct.unpack_from(">I", data, box(data, "moov", "trak", "mdia", "mdhd") + 20)[0]
    movie = struct.unpack_from(">I", data, box(data, "moov", "mvhd") + 20)[0]
    at = box(data, "moov", "trak", "edts", "elst") + 16
    start = struct.unpack_from(">i", data, at + 4)[0]
    struct.pack_into(">Ii", data, at, frames * movie // 25, start + first * scale // 25)
    path.write_bytes(data)


def empty_sample(path: Path, place: int) -> int:
    """Take the content of a sample out of an MP4 file whose samples lie in one chunk.

    Returns:
        The number of the frame that it would have become.
    """
    packets = packets_of(path)
    at, content, time = packets[place]
    data = bytearray(path.read_bytes())
    table = box(data, "moov", "trak", "mdia", "minf", "stbl", "stsz") + 20
    struct.pack_into(">I", data, table + 4 * place, 0)
    media = box(data, "mdat")
    struct.pack_into(">I", data, media, struct.unpack_from(">I", data, media)[0] - len(content))
    del data[at : at + len(content)]
    path.write_bytes(data)
    return sorted(t for _, _, t in packets).index(time)


def empty_chunk(path: Path, place: int) -> None:
    """Take the content of a chunk out of an AVI file, as capture programs write a frame that they dropped."""
    at, content, _ = packets_of(path)[place]
    data, gone = bytearray(path.read_bytes()), len(content) + len(content) % 2
    index = data.index(b"idx1")
    for entry in range(struct.unpack_from("<I", data, index + 4)[0] // 16):
        where = index + 8 + 16 * entry
        offset, length = struct.unpack_from("<II", data, where + 8)
        moved = offset - gone if entry > place else offset
        struct.pack_into("<II", data, where + 8, moved, 0 if entry == place else length)
    struct.pack_into("<I", data, at - 4, 0)
    for size_at in (4, data.index(b"movi") - 4):
        struct.pack_into("<I", data, size_at, struct.unpack_from("<I", data, size_at)[0] - gone)
    del data[at : at + gone]
    path.write_bytes(data)


def write_two_sizes(path: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    """A clip whose frames have these sizes, (width, height)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuvj420p"
        for number, size in enumerate(sizes):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height = size
            encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = 0, Fraction(1, 25)
            for packet in [*encoder.encode(frame), *encoder.encode(None)]:
                packet.pts = packet.dts = number
                packet.time_base = Fraction(1, 25)
                packet.stream = stream
                container.mux(packet)
    return path


def ffprobe_times(path: Path) -> list[float]:
    """Presentation times of the frames that ffprobe decodes, seconds; nan where it knows none."""
    if shutil.which("ffprobe") is None:
        pytest.skip("needs ffprobe")
    entries = ["-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"]
    done = subprocess.run(
        ["ffprobe", "-v", "quiet", *entries, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    times = [line.strip(",") for line in done.stdout.split()]
    return [float("nan") if time == "N/A" else float(time) for time in times]
