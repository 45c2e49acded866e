"""A video with the answers to its frames drawn over them, frame by frame, into a file. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.track import draw_track
from exalign_client.pictures.video_files import VideoPicture
from exalign_client.pictures.video_writer import VideoWriter
from exalign_client.track.results import TrackResult, TrackState

#: A cut changes this share of the cells of a small picture by more than so many levels: docs/decisions/video-files.md.
_THUMBNAIL, _LEVELS, _CUT_SHARE = 32, 12, 0.45

#: A face is back in the picture when its crop is so surely a face.
_PRESENT = 0.5


class Shots:
    """Which tracks' faces come from an earlier shot and have not been seen in this one.

    For some frames the answers still hold on to where a face was, for it may only be hidden. Behind a cut that is a
    ghost. The pictures tell a cut from a hidden face: an occluder covers part of a picture, a cut changes all of it.
    """

    def __init__(self) -> None:
        self._before: Pixels | None = None
        self._known: set[int] = set()
        self._absent: set[int] = set()
        self._session = 0

    def absent(self, pixels: Pixels | None, result: TrackResult) -> frozenset[int]:
        """The ids of tracks that are not in the shot of this frame.

        Args:
            pixels: (H, W, 3) uint8 RGB, of one size for all frames; None: the frame has no picture.
            result: the answer to it.
        """
        if result.session != self._session:  # ids begin again
            self._known, self._absent, self._session = set(), set(), result.session
        if pixels is not None:
            size = (_THUMBNAIL, _THUMBNAIL)
            cv2 = require_opencv()
            small: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            if self._before is not None and is_cut(self._before, small):
                self._absent |= self._known
            self._before = small
        for track in result.tracks:
            if track.state is TrackState.VISIBLE and track.face.presence >= _PRESENT:
                self._absent.discard(track.track_id)
            self._known.add(track.track_id)
        return frozenset(self._absent)


def is_cut(before: Pixels, after: Pixels) -> bool:
    """Whether two pictures in a row, both made small, (32, 32, 3) uint8, are of different shots."""
    change = np.abs(before.astype(np.int16) - after).max(axis=2)
    return float((change > _LEVELS).mean()) > _CUT_SHARE


class DrawnVideo:
    """Pictures wait here for their answers, and go into the file with them.

    A frame that has no picture, or one of another size, is drawn on the picture before it.

    Args:
        writer: of the file.
    """

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer
        self._shots = Shots()
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
        fitted = None if picture.pixels is None else self._fitted(picture.pixels)
        absent = self._shots.absent(fitted, result)
        shown = self._before if fitted is None else fitted
        if shown is None:
            self._leading.append((picture.time, result))
            return
        for time, earlier in self._leading:
            self._writer.write(draw_track(np.zeros_like(shown), earlier), time)
        self._leading.clear()
        self._before = shown
        self._writer.write(draw_track(shown, result, absent=absent), picture.time)

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
