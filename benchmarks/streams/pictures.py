"""Frames of videos, as JPEG files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from exalign_client.pictures.video_files import open_video
from exalign_engine.arrays import U8

QUALITY = 90

#: Side of the face in the photograph, pixels, its centre, and its side in the frames, in heights of the picture.
_FACE_SIDE, _FACE_CENTRE, _FACE_SHARE = 119.0, (224.0, 129.0), 0.4

_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True)
class Clip:
    """A video.

    Attributes:
        name: of it.
        frames: JPEG files.
    """

    name: str
    frames: list[bytes]

    def to_and_fro(self) -> Iterator[bytes]:
        """Its frames over and over, without a cut."""
        return cycle([*self.frames, *self.frames[-2:0:-1]])


def moving_face(width: int, height: int, count: int) -> Clip:
    """A photograph that turns, grows and shifts from frame to frame; the face takes .4 of the height."""
    picture, frames = data.astronaut()[..., ::-1], []
    centre, scale = np.array(_FACE_CENTRE), _FACE_SHARE * height / _FACE_SIDE
    for t in range(count):
        turn = cv2.getRotationMatrix2D(_FACE_CENTRE, 6 * np.sin(t / 5), scale * (1 + 0.05 * np.sin(t / 7)))
        turn[:, 2] += np.array([width / 2, 0.45 * height]) - centre
        turn[:, 2] += np.array([0.008 * np.sin(t / 3), 0.005 * np.cos(t / 4)]) * height
        frames.append(_encoded(cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)))
    return Clip(f"{width}x{height}", frames)


def clips(place: Path, most: int) -> list[Clip]:
    """The first frames of a video, or of each in a directory.

    Raises:
        FileNotFoundError: there is none.
    """
    paths = [place] if place.is_file() else sorted(p for p in place.glob("*") if p.suffix.lower() in _ENDINGS)
    if not paths:
        raise FileNotFoundError(f"there is no clip in {place}")
    return [Clip(path.name, _frames(path, most)) for path in paths]


def _frames(path: Path, most: int) -> list[bytes]:
    pictures = (picture.pixels for picture in open_video(str(path)) if picture.pixels is not None)
    return [_encoded(pixels[..., ::-1]) for pixels in islice(pictures, most)]


def _encoded(bgr: U8) -> bytes:
    made: bytes = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return made
