"""What a video file is read as: numbered frames, each with its time and its pixels or a problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

#: Frames a second where a source names none, and the most that is believed.
DEFAULT_RATE, MAX_RATE = Fraction(25), 1000


class VideoError(Exception):
    """A file is no video that can be read.

    Args:
        path: the file.
        reason: what is wrong with it, without its name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame of a video.

    Attributes:
        index: its number in the order of presentation, from 0. Broken frames are counted too.
        time: its presentation time as the file says, seconds; a video may start later than 0.
        pixels: (H, W, 3) uint8 RGB, upright as players show it; None where there is a problem, or where they were not
            asked for.
        problem: why there are no pixels, as the end of a sentence that begins with the frame; None: nothing is wrong.
    """

    index: int
    time: Fraction
    pixels: Pixels | None
    problem: str | None = None


class VideoReader(ABC):
    """The frames of one video file, in order, once. Not to be used by two threads at once.

    Attributes:
        path: the file.
        rate: frames a second, on average.
        time_base: unit of the file's own times, seconds.
        count: how many frames there are, by the file's own count; None: it does not say.
        frames: read so far.
        problems: those of them that have no pixels because something is wrong.
        short: after the last frame: why there should be more, as the end of a sentence that begins with the file;
            None: the file is whole, as far as can be seen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate = DEFAULT_RATE
        self.time_base = Fraction(1, 90000)
        self.count: int | None = None
        self.frames = self.problems = 0
        self.short: str | None = None

    def read(self, pixels: bool = True) -> VideoFrame | None:
        """The next frame; None after the last one.

        Args:
            pixels: whether its pixels are wanted: without them reading is cheaper.
        """
        frame = self._next(pixels)
        if frame is not None:
            self.frames += 1
            self.problems += frame.problem is not None
        return frame

    @abstractmethod
    def _next(self, pixels: bool) -> VideoFrame | None:
        """As `read`."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __iter__(self) -> Iterator[VideoFrame]:
        while (frame := self.read()) is not None:
            yield frame

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def plausible_rate(rate: Fraction | float | None) -> Fraction:
    """A rate that a file states, or `DEFAULT_RATE` where it is none."""
    if rate is None or not 0 < rate < MAX_RATE:
        return DEFAULT_RATE
    return Fraction(rate).limit_denominator(100_000)


def upright(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Pixels as players show them.

    Args:
        pixels: (H, W, 3), as stored.
        matrix: a, b, c, d of the display matrix: the stored point (x, y) is shown at (a·x + c·y, b·x + d·y), up to a
            shift. Taken as the nearest of the eight orientations; other angles and scales are not carried out.
    """
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        turned, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        turned, across, down = pixels, a, d
    turned = turned[:, ::-1] if across < 0 else turned
    return np.ascontiguousarray(turned[::-1] if down < 0 else turned)
