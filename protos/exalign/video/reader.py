"""One reader of video files for everything: PyAV where it is installed, or else OpenCV."""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec
from pathlib import Path

from exalign.video.frames import VideoReader


def open_video_file(path: Path) -> VideoReader:
    """Open a video file.

    With PyAV (extra ``video``), index, time, orientation and count come from the file. OpenCV alone counts times from
    the first frame, and loses frames of some damaged files; it says so where it can be seen.

    Raises:
        OSError: it is not there, or cannot be read.
        VideoError: it is no video that can be read.
        ModuleNotFoundError: neither PyAV nor OpenCV is installed.
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with path.open("rb"):  # the system's own words where it must not be read
        pass
    if has_pyav():
        from exalign.video.pyav_reader import PyAVReader

        return PyAVReader(path)
    from exalign.video.opencv_reader import OpenCVReader

    return OpenCVReader(path)


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    try:
        return find_spec("av") is not None
    except ValueError:  # a module that has been made impossible to import
        return False
