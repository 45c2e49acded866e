"""Which videos there are, and what their results are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exalign.cli_support import UsageError

#: Endings of the files that are taken for videos in a directory; a file that is named itself may have any.
_ENDINGS = "3gp avi flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf ogv ts webm wmv"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())


@dataclass(frozen=True)
class VideoFile:
    """A video.

    Attributes:
        path: of the file; absolute, so that a worker elsewhere finds it too.
        name: of its results, below the directory of all: a relative path with ``/``. It does not depend on which
            other videos there are.
    """

    path: str
    name: str


def find_videos(given: Sequence[Path]) -> list[VideoFile]:
    """The videos that are named, and those in directories that are, with what is below; hidden ones are left out.

    Raises:
        UsageError: there is none, or results of two would have one name.
        OSError: one is not there, or a directory cannot be read.
    """
    found: list[VideoFile] = []
    for path in given:
        path.stat()
        if not path.is_dir():
            found.append(VideoFile(str(path.absolute()), path.name))
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        for file in inside:
            name = file.relative_to(path)
            if not any(part.startswith(".") for part in name.parts):
                found.append(VideoFile(str(file.absolute()), name.as_posix()))
    if not found:
        raise UsageError(f"{', '.join(map(str, given))}: there is no video in it ({' '.join(sorted(SUFFIXES))})")
    count = Counter(video.name for video in found)
    twice = [video.path for video in found if count[video.name] > 1]
    if twice:
        raise UsageError(f"results of these would have the same name: {', '.join(twice)}; name the directory of both")
    return found
