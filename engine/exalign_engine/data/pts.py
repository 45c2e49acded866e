"""300-W style folders: one ``.pts`` file beside each image, coordinates 1-based.

The suffixes may be spelled in capitals. Hidden files are no faces, among them those that a Mac leaves beside each file.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import check_landmarks
from exalign_engine.data.files import LeftOut, files_below, report_left_out
from exalign_engine.data.pictures import IMAGE_SUFFIXES, check_place, image_beside, read_annotated
from exalign_engine.errors import DataError

SUFFIX = ".pts"

#: Where a comment begins; it ends with its line.
_COMMENT = re.compile(r"//|[#%;]")


class PtsFaces:
    """All faces below a folder, sorted by path; the collection's name is the sub-folder's.

    Attributes:
        left_out: what is not read below the folder; the log says it too.

    Raises:
        DataError: a .pts file is malformed (file and line), has no image beside it, or no point in that.
    """

    def __init__(self, root: Path) -> None:
        files, hidden = files_below(root, (SUFFIX,))
        if not files:
            raise DataError(root, "no .pts file")
        self.files = files
        self.images = [image_beside(f) for f in files]
        self.ids = [f.stem for f in files]
        self.origins = [f.parent.name for f in files]
        self.landmarks = np.stack([read_pts(f) for f in files])
        for image, points, file in zip(self.images, self.landmarks, files, strict=True):
            check_place(image, points, file)
        self.left_out = report_left_out(
            root, [LeftOut("hidden files", tuple(hidden)), without_annotation(root, self.images)]
        )

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`."""
        return read_annotated(self.images[index], self.landmarks[index], self.files[index])


def without_annotation(root: Path, images: list[Path]) -> LeftOut:
    """The pictures below a folder that are not among those with an annotation."""
    found, _ = files_below(root, IMAGE_SUFFIXES)
    known = set(images)
    return LeftOut("pictures without an annotation", tuple(path for path in found if path not in known))


def read_pts(path: Path) -> NDArray[np.float64]:
    """Read one .pts file: UTF-8 or UTF-16 text, with or without a byte order mark, comments and blank lines.

    Returns:
        (68, 2) float64, image frame (0-based: the file's 1-based values minus 1).

    Raises:
        DataError: with file and line.
    """
    points: list[tuple[float, float]] = []
    inside = closed = False
    number: int | None = None
    for number, raw in enumerate(_lines(path), start=1):
        line = _COMMENT.split(raw, maxsplit=1)[0]
        if not inside:  # the brace may stand behind the number of points
            _, brace, line = line.partition("{")
            inside = bool(brace)
        line, brace, _ = line.partition("}")
        if inside and line.strip():
            points.append(_point(path, line.strip(), number))
        if inside and brace:
            closed = True
            break
    if not closed:
        raise DataError(path, "no closing brace: the file is cut off or not a .pts file", number)
    shape = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    check_landmarks(shape, path, number, "face")
    return shape


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if wide else "utf-8-sig").splitlines()
    except OSError as e:
        raise DataError(path, f"cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise DataError(path, f"not a .pts file: {e}") from e


def _point(path: Path, line: str, number: int) -> tuple[float, float]:
    """One line of two numbers, counted from 1, as a point of the image frame."""
    try:
        x, y = (float(v) for v in line.split())
    except ValueError as e:
        raise DataError(path, f"{line!r} is not two numbers", number) from e
    if not (np.isfinite(x) and np.isfinite(y)):
        raise DataError(path, f"{line!r} is not finite", number)
    return x - 1.0, y - 1.0
