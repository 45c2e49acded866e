"""Video files by OpenCV, where PyAV is not installed. Its times count from the first frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from exalign.video.file_structure import display_matrix, missing_end
from exalign.video.frames import Pixels, VideoError, VideoFrame, VideoReader, plausible_rate, upright

#: Frames that may fail in a row before a video is given up: OpenCV does not tell a broken frame from the end.
_MOST_BROKEN = 64


class OpenCVReader(VideoReader):
    """See `exalign.video.reader.open_video_file`.

    What OpenCV reports is not always so, and is used only where it is: POS_MSEC is the time of the frame just read, and
    falls to 0 behind the last one; the frame count of WebM and Matroska is duration × rate, and that of an MP4 file
    with an edit list counts what is cut away.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._capture: Any = _open(path)
        # OpenCV turns a mirrored picture upside down.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._matrix = display_matrix(path)
        self.rate = plausible_rate(self._capture.get(cv2.CAP_PROP_FPS))
        stated = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = stated if stated > 0 and path.suffix.lower() == ".avi" else None
        self._ahead: list[VideoFrame] = []
        self._index, self._time = 0, Fraction(-1)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _next(self, pixels: bool) -> VideoFrame | None:
        if self._ahead:
            return self._ahead.pop(0)
        failed = 0
        limit = _MOST_BROKEN if self.count is None else min(_MOST_BROKEN, self.count - self._index)
        while not self._capture.grab():
            failed += 1
            if failed > limit:
                self.short = missing_end(self.path) or self._fewer()
                return None
        at = Fraction(self._capture.get(cv2.CAP_PROP_POS_MSEC)).limit_denominator(10**6) / 1000
        there, bgr = self._capture.retrieve() if pixels else (True, None)
        times = [self._after(self._time, n + 1) for n in range(failed)]
        self._time = at if at > self._time else self._after(self._time, failed + 1)
        shown = None if bgr is None or not there else self._pixels(bgr)
        frames = [VideoFrame(self._index + n, time, None, "cannot be decoded") for n, time in enumerate(times)]
        frames.append(VideoFrame(self._index + failed, self._time, shown, None if there else "cannot be decoded"))
        self._index += len(frames)
        self._ahead = frames[1:]
        return frames[0]

    def _after(self, time: Fraction, frames: int) -> Fraction:
        return frames / self.rate + (time if time >= 0 else -1 / self.rate)

    def _fewer(self) -> str | None:
        if self.count is None or self._index >= self.count:
            return None
        return f"ends after {self._index} of {self.count} frames"

    def _pixels(self, bgr: Any) -> Pixels:
        return upright(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8), self._matrix)


def _open(path: Path) -> Any:
    try:
        capture = cv2.VideoCapture(str(path))
    except UnicodeEncodeError:
        raise VideoError(path, "has a name that OpenCV cannot open: it is not UTF-8") from None
    if not capture.isOpened():
        raise VideoError(path, "is no video that OpenCV can read")
    return capture
