"""Videos in and out: files, directories of pictures and cameras as frames, and drawn frames as an MP4 file.

Needs OpenCV (extra ``cli``). Pixels are (H, W, 3) uint8 RGB in the image frame.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.pictures.overlay import SUFFIXES, Pixels, decode_picture, require_opencv

#: Frames a second where a source names none.
_DEFAULT_RATE = 25.0

_CAMERA = re.compile(r"webcam(?::(\d{1,3}))?")

#: What OpenCV's wheels can write everywhere, unlike H.264: MPEG-4 part 2.
_CODEC = "mp4v"


@dataclass(frozen=True)
class VideoPicture:
    """One picture of a video: its number, presentation time in seconds, and pixels."""

    index: int
    media_time: float
    pixels: Pixels


class Video:
    """A source of pictures. Iterating it reads them; once.

    Args:
        name: for messages.
        pictures: all of them, in order.
        rate: frames a second.
        count: how many there are, by the file's own count; None: not known.
        live: whether they come by the clock, whoever is ready for them.
    """

    def __init__(
        self, name: str, pictures: Iterator[VideoPicture], *, rate: float, count: int | None, live: bool
    ) -> None:
        self.name, self.rate, self.count, self.live = name, rate, count, live
        self._pictures = pictures

    def __iter__(self) -> Iterator[VideoPicture]:
        return self._pictures


def open_video(source: str) -> Video:
    """Open a video.

    Args:
        source: a video file, a directory of pictures (taken in the order of their names), or ``webcam``,
            ``webcam:1``, … for a camera.

    Raises:
        OSError: it is not there, or cannot be read.
        InvalidRequestError: there is no video in it.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv()
    camera = _CAMERA.fullmatch(source)
    if camera is not None and not Path(source).exists():
        return _camera(cv2, int(camera[1] or 0))
    path = Path(source)
    if path.is_dir():
        return _directory(path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
    return _file(cv2, path)


def _file(cv2: Any, path: Path) -> Video:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise InvalidRequestError([Violation(str(path), "is no video that OpenCV can read")])
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if 0 < rate < 1000 else _DEFAULT_RATE
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))

    def pictures() -> Iterator[VideoPicture]:
        try:
            index = 0
            while True:
                there, decoded = capture.read()
                if not there:
                    return
                yield VideoPicture(index, index / rate, cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))
                index += 1
        finally:
            capture.release()

    return Video(str(path), pictures(), rate=rate, count=count if count > 0 else None, live=False)


def _directory(path: Path) -> Video:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise InvalidRequestError([Violation(str(path), f"there is no picture in it ({' '.join(SUFFIXES)})")])

    def pictures() -> Iterator[VideoPicture]:
        for index, file in enumerate(files):
            try:
                pixels = decode_picture(file.read_bytes())
            except InvalidRequestError:
                raise InvalidRequestError([Violation(str(file), "is no picture that OpenCV can decode")]) from None
            yield VideoPicture(index, index / _DEFAULT_RATE, pixels)

    return Video(str(path), pictures(), rate=_DEFAULT_RATE, count=len(files), live=False)


def _camera(cv2: Any, number: int) -> Video:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise FileNotFoundError(errno.ENODEV, os.strerror(errno.ENODEV), f"webcam:{number}")
    rate = capture.get(cv2.CAP_PROP_FPS)

    def pictures() -> Iterator[VideoPicture]:
        try:
            start, index = time.monotonic(), 0
            while True:
                there, decoded = capture.read()
                if not there:
                    return
                pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
                yield VideoPicture(index, time.monotonic() - start, pixels)
                index += 1
        finally:
            capture.release()

    name = f"webcam:{number}"
    return Video(name, pictures(), rate=rate if 0 < rate < 1000 else _DEFAULT_RATE, count=None, live=True)


def encode_jpeg(pixels: Pixels) -> bytes:
    """Pixels as a JPEG file of high quality."""
    cv2 = require_opencv()
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    data: bytes = encoded.tobytes()
    return data


class VideoWriter:
    """An MP4 file in the making; leaving its ``with`` block finishes it.

    Args:
        path: the file; an old one is replaced.
        rate: frames a second.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._cv2: Any = require_opencv()
        self._path, self._rate = path, rate
        self._writer: Any = None
        self._size = (0, 0)

    def write(self, pixels: Pixels) -> None:
        """Add a frame; all have the size of the first.

        Raises:
            OSError: the file cannot be written.
            InvalidRequestError: a frame has another size.
        """
        size = (pixels.shape[1], pixels.shape[0])
        if self._writer is None:
            code = self._cv2.VideoWriter_fourcc(*_CODEC)
            self._writer, self._size = self._cv2.VideoWriter(str(self._path), code, self._rate, size), size
            if not self._writer.isOpened():
                raise OSError(errno.EIO, "OpenCV cannot write a video there", str(self._path))
        if size != self._size:
            (w, h), (width, height) = size, self._size
            raise InvalidRequestError([Violation("pixels", f"{w}×{h} pixels, but the video has {width}×{height}")])
        self._writer.write(pixels[..., ::-1])

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: it cannot be read back, as when the disk is full.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        written = self._cv2.VideoCapture(str(self._path))
        there = written.isOpened() and written.read()[0]
        written.release()
        if not there:
            raise OSError(errno.EIO, "the video could not be written", str(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
