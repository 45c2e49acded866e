"""A video with the answers to its frames drawn over them, frame by frame, into a file. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from exalign_client.pictures.overlay import Pixels, require_opencv
from exalign_client.pictures.track import draw_track
from exalign_client.pictures.video_files import VideoPicture
from exalign_client.pictures.video_writer import VideoWriter
from exalign_client.track.results import TrackResult


class DrawnVideo:
    """Pictures wait here for their answers, and go into the file with them.

    A frame that has no picture, or one of another size, is drawn on the picture before it.

    Args:
        writer: of the file.
    """

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, VideoPicture] = {}
        self._before: Pixels | None = None
        #: Times of frames at the start that have no picture yet.
        self._leading: list[tuple[Fraction, TrackResult]] = []

    def keep(self, picture: VideoPicture) -> None:
        """A picture that is going to be answered or skipped. May be called by another thread than the rest."""
        self._waiting[picture.index] = picture

    def draw(self, result: TrackResult) -> None:
        """Write the frame of an answer.

        Raises:
            OSError: the file cannot be written.
        """
        picture = self._waiting.pop(result.frame_index)
        for skipped in result.skipped_frames:
            self._waiting.pop(skipped, None)
        shown = self._before if picture.pixels is None else self._fitted(picture.pixels)
        if shown is None:
            self._leading.append((picture.time, result))
            return
        for time, earlier in self._leading:
            self._writer.write(draw_track(np.zeros_like(shown), earlier), time)
        self._leading.clear()
        self._before = shown
        self._writer.write(draw_track(shown, result), picture.time)

    def _fitted(self, pixels: Pixels) -> Pixels:
        """A picture within the size of those before it, its proportions kept, on black."""
        if self._before is None or pixels.shape == self._before.shape:
            return pixels
        height, width = self._before.shape[:2]
        scale = min(height / pixels.shape[0], width / pixels.shape[1])
        h, w = max(int(pixels.shape[0] * scale), 1), max(int(pixels.shape[1] * scale), 1)
        fitted = np.zeros_like(self._before)
        top, left = (height - h) // 2, (width - w) // 2
        cv2 = require_opencv()
        fitted[top : top + h, left : left + w] = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_AREA)
        return fitted
