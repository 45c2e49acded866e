"""300-W style folders: one ``.pts`` file beside each image, coordinates 1-based."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import check_landmarks
from exalign_engine.data.pictures import image_beside, read_image
from exalign_engine.errors import DataError


class PtsFaces:
    """All faces below a folder, sorted by path; the collection's name is the sub-folder's.

    Raises:
        DataError: a .pts file is malformed (file and line) or has no image beside it.
    """

    def __init__(self, root: Path) -> None:
        files = sorted(root.rglob("*.pts"))
        if not files:
            raise DataError(root, "no .pts file")
        self.images = [image_beside(f) for f in files]
        self.ids = [f.stem for f in files]
        self.origins = [f.parent.name for f in files]
        self.landmarks = np.stack([read_pts(f) for f in files])

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`."""
        return read_image(self.images[index])


def read_pts(path: Path) -> NDArray[np.float64]:
    """Read one .pts file.

    Returns:
        (68, 2) float64, image frame (0-based: the file's 1-based values minus 1).

    Raises:
        DataError: with file and line.
    """
    points: list[tuple[float, float]] = []
    inside = closed = False
    number: int | None = None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as e:
        raise DataError(path, f"not a .pts file: {e}") from e
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if line == "{":
            inside = True
        elif line == "}":
            closed = True
            break
        elif inside and line:
            try:
                x, y = (float(v) for v in line.split())
            except ValueError as e:
                raise DataError(path, f"{line!r} is not two numbers", number) from e
            if not (np.isfinite(x) and np.isfinite(y)):
                raise DataError(path, f"{line!r} is not finite", number)
            points.append((x - 1.0, y - 1.0))
    if not closed:
        raise DataError(path, "no closing brace: the file is cut off or not a .pts file", number)
    shape = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    check_landmarks(shape, path, number, "face")
    return shape
