"""Videos in: files, directories of pictures and cameras as pictures, each with its number, its time, or its problem.

Files need PyAV (extra ``video``) or OpenCV (extra ``cli``), the others OpenCV. Pixels are (H, W, 3) uint8 RGB in the
image frame.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from exalign.video.frames import DEFAULT_RATE, VideoError, VideoReader, plausible_rate
from exalign.video.reader import open_video_file
from exalign_client.errors import InvalidRequestError, MissingExtraError, Violation
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import READABLE_SUFFIXES, Pixels, decode_picture
from exalign_client.pictures.picture_files import read_directory

_CAMERA = re.compile(r"webcam(?::(\d{1,3}))?")


@dataclass(frozen=True, eq=False)
class VideoPicture:
    """One picture of a video.

    Attributes:
        index: its number, from 0.
        time: its presentation time, seconds.
        pixels: None where there is a problem.
        problem: why, as the end of a sentence that begins with the frame.
    """

    index: int
    time: Fraction
    pixels: Pixels | None
    problem: str | None = None

    @property
    def media_time(self) -> float:
        """The presentation time, seconds."""
        return float(self.time)


class Video:
    """A source of pictures. Iterating it reads them; once.

    Args:
        name: for messages.
        pictures: all of them, in order.
        rate: frames a second, on average.
        count: how many there are, by the source's own count; None: not known.
        live: whether they come by the clock, whoever is ready for them.
        reader: of the file, where it is one.
        skipped: names of hidden files that look like pictures and were left out.
    """

    def __init__(
        self,
        name: str,
        pictures: Iterator[VideoPicture],
        *,
        rate: Fraction,
        count: int | None,
        live: bool,
        reader: VideoReader | None = None,
        skipped: tuple[str, ...] = (),
    ) -> None:
        self.name, self.rate, self.count, self.live, self.skipped = name, rate, count, live, skipped
        self._pictures, self._reader = pictures, reader

    def __iter__(self) -> Iterator[VideoPicture]:
        return self._pictures

    @property
    def file(self) -> Path | None:
        """The video file; None where there is none."""
        return None if self._reader is None else self._reader.path

    @property
    def time_base(self) -> Fraction | None:
        """Unit of the times in the file, seconds; None where there is none."""
        return None if self._reader is None else self._reader.time_base

    @property
    def short(self) -> str | None:
        """After the last picture: why there should be more, as the end of a sentence that begins with the file."""
        return None if self._reader is None else self._reader.short


def open_video(source: str) -> Video:
    """Open a video.

    Args:
        source: a video file, a directory of pictures (in the order of the numbers in their names; hidden files are
            left out), or ``webcam``, ``webcam:1``, … for a camera.

    Raises:
        OSError: it is not there, or cannot be read.
        InvalidRequestError: there is no video in it.
        MissingExtraError: what reads it is not installed.
    """
    camera = _CAMERA.fullmatch(source)
    if camera is not None and not Path(source).exists():
        return _camera(require_opencv(), int(camera[1] or 0))
    path = Path(source)
    return _directory(path) if path.is_dir() else _file(path)


def _file(path: Path) -> Video:
    try:
        reader = open_video_file(path)
    except VideoError as error:
        raise InvalidRequestError([Violation(str(path), error.reason)]) from None
    except ModuleNotFoundError:
        raise MissingExtraError("reading videos", "video") from None

    def pictures() -> Iterator[VideoPicture]:
        with reader:
            for frame in reader:
                yield VideoPicture(frame.index, frame.time, frame.pixels, frame.problem)

    return Video(str(path), pictures(), rate=reader.rate, count=reader.count, live=False, reader=reader)


def _directory(path: Path) -> Video:
    require_opencv()
    found = read_directory(path)
    files = found.pictures
    if not files:
        raise InvalidRequestError([Violation(str(path), f"there is no picture in it ({' '.join(READABLE_SUFFIXES)})")])

    def pictures() -> Iterator[VideoPicture]:
        for index, file in enumerate(files):
            pixels, problem = None, None
            try:
                pixels = decode_picture(file.read_bytes())
            except InvalidRequestError:
                problem = f"({file.name}) cannot be decoded"
            except OSError as error:
                problem = f"({file.name}) cannot be read: {error.strerror}"
            yield VideoPicture(index, index / DEFAULT_RATE, pixels, problem)

    skipped = tuple(name for name in found.hidden if name.lower().endswith(READABLE_SUFFIXES))
    return Video(str(path), pictures(), rate=DEFAULT_RATE, count=len(files), live=False, skipped=skipped)


def _camera(cv2: Any, number: int) -> Video:
    capture = cv2.VideoCapture(number)
    if not capture.isOpened():
        raise FileNotFoundError(errno.ENODEV, os.strerror(errno.ENODEV), f"webcam:{number}")

    def pictures() -> Iterator[VideoPicture]:
        try:
            start, index = time.monotonic(), 0
            while True:
                there, decoded = capture.read()
                if not there:
                    return
                pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
                yield VideoPicture(index, Fraction(time.monotonic() - start), pixels)
                index += 1
        finally:
            capture.release()

    rate = plausible_rate(capture.get(cv2.CAP_PROP_FPS))
    return Video(f"webcam:{number}", pictures(), rate=rate, count=None, live=True)


def encode_jpeg(pixels: Pixels) -> bytes:
    """Pixels as a JPEG file of high quality."""
    cv2 = require_opencv()
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    data: bytes = encoded.tobytes()
    return data
