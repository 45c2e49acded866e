"""Sheets of example pictures as files."""

from __future__ import annotations

import errno
from pathlib import Path

import cv2
import numpy as np

from exalign.output_files import write_file
from exalign_engine.arrays import U8


def write_sheet(path: Path, sheet: U8) -> None:
    """Write (H, W, 3) uint8 RGB in the format of the file's ending, whole or not at all.

    Raises:
        OSError: the file cannot be written, or its ending names no format that OpenCV writes.
    """
    try:
        _, encoded = cv2.imencode(path.suffix, np.ascontiguousarray(sheet[..., ::-1]))
    except cv2.error:
        raise OSError(errno.EINVAL, "must end in .png, or in another ending that OpenCV writes", str(path)) from None
    write_file(path, encoded.tobytes())
