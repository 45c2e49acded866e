"""One video after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from exalign_offline.one_video.place import Report
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.one_video.tracking import track_video
from exalign_offline.videos import VideoFile


def track_here(settings: RunSettings, videos: Sequence[VideoFile], out: Path) -> Iterator[Report]:
    """Track videos, and yield what came of each.

    Raises:
        ExalignError: the model cannot be opened.
    """
    model = OpenModel(settings)
    for video in videos:
        yield track_video(model, settings, video, out)
