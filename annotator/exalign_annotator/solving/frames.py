"""The frames of a video as JPEGs in a folder of this process: what the model sees is what the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exalign_annotator.solving.jpeg import jpeg_of
from exalign_client.errors import ExalignClientError
from exalign_client.pictures.video_files import open_video

#: Most frames of a video; of a longer one, the first.
MOST_FRAMES = 3000

#: Quality of the JPEGs.
_QUALITY = 92


class NoFramesError(ExalignClientError):
    """A video has no frame that can be shown."""


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        path: its JPEG; where the frame cannot be decoded, that of the frame before.
        time: seconds.
        readable: whether it could be decoded.
    """

    path: Path
    time: float
    readable: bool


def extract(video: Path, folder: Path) -> Iterator[tuple[Frame, tuple[int, int]]]:
    """Write the frames of a video, one after the other.

    Args:
        video: the file.
        folder: where to.

    Yields:
        Each frame, and the size of all, pixels.

    Raises:
        NoFramesError: there is no frame that can be decoded.
        InvalidRequestError: it is no video.
        MissingExtraError: what reads videos is not installed.
        OSError: a file cannot be read or written.
    """
    size: tuple[int, int] | None = None
    last: Path | None = None
    for number, picture in enumerate(open_video(str(video))):
        if number >= MOST_FRAMES:
            return
        if picture.pixels is not None:
            height, width = picture.pixels.shape[:2]
            size = size or (width, height)
            if (width, height) == size:
                last = folder / f"{number:06d}.jpg"
                last.write_bytes(jpeg_of(picture.pixels, _QUALITY))
                yield Frame(last, picture.media_time, True), size
                continue
        if last is not None and size is not None:
            yield Frame(last, picture.media_time, False), size
    if size is None:
        raise NoFramesError(f"{video.name}: no frame of it can be decoded")
