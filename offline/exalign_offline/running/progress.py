"""How far all videos are, on standard error: by what is kept of each, so that it does not matter who works on it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exalign.cli_support import report
from exalign_offline.one_video.place import frames_of
from exalign_offline.videos import VideoFile

#: Seconds between two looks: on a terminal, whose line is written over, and elsewhere.
_TERMINAL, _ELSEWHERE = 2.0, 30.0


class Progress:
    """Videos done, frames answered, and the time left if the rest goes on like that.

    A video counts by its bytes: how many frames it has is known only when somebody reads it.

    Args:
        videos: all of them.
        out: directory of all results.
        clock: the time, seconds.
    """

    def __init__(self, videos: Sequence[VideoFile], out: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._out, self._clock, self._count = out, clock, len(videos)
        self._size = {video.name: max(1, Path(video.path).stat().st_size) for video in videos}
        self._total = sum(self._size.values())
        #: Those that are not done, and the frames of those that are.
        self._open, self._frames, self._bytes = list(self._size), 0, 0.0
        self._start = self._look()
        self._since = clock()

    def line(self) -> str:
        """How far they are now."""
        frames, share = self._look()
        taken = max(self._clock() - self._since, 1e-9)
        text = f"{self._count - len(self._open)}/{self._count} videos, {frames} frames"
        gained, rate = share - self._start[1], (frames - self._start[0]) / taken
        if rate > 0:
            text += f", {rate:.1f} a second"
        if gained > 0 and share < 1:
            text += f", {_time((1 - share) / gained * taken)} left"
        return text

    def _look(self) -> tuple[int, float]:
        """Frames answered, and the share of all bytes that they are."""
        still, frames, size = [], self._frames, self._bytes
        for name in self._open:
            answered, share = frames_of(self._out, name)
            frames, size = frames + answered, size + share * self._size[name]
            if share < 1:
                still.append(name)
            else:
                self._frames, self._bytes = self._frames + answered, self._bytes + self._size[name]
        self._open = still
        return frames, size / self._total


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Lines about progress for the length of a ``with`` block."""
    terminal, ended = sys.stderr.isatty(), threading.Event()

    def show() -> None:
        width = 0
        while not ended.wait(_TERMINAL if terminal else _ELSEWHERE):
            line = progress.line()
            if terminal:
                print(f"\r{line:<{width}}", end="", file=sys.stderr, flush=True)
                width = len(line)
            else:
                report(line)

    thread = threading.Thread(target=show, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        line = progress.line()
        report(f"\r{line}" if terminal else line)


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
