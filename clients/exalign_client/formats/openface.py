"""A table with OpenFace's columns: ``frame, face_id, timestamp, confidence, success, x_0 …, y_0 …``.

One row a face, frames from 1. Pixels as OpenCV counts them: the centre of the top-left one is (0, 0). ``confidence`` is
the presence. After OpenFace's own columns come ``v_0 …`` (visibility) and the picture's name and size.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from exalign.output_files import write_file
from exalign_client.formats.faces import FormatError, LabelledFace, LabelledPicture, checked_face
from exalign_client.formats.format import Format, text_of

_HEAD = ("frame", "face_id", "timestamp", "confidence", "success")
_TAIL = ("image", "width", "height")


def write(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write one file. A picture without a face has no row.

    Raises:
        FormatError: faces have different numbers of points.
    """
    counts = {len(face.points) for picture in pictures for face in picture.faces} or {68}
    if len(counts) > 1:
        raise FormatError(f"faces of {' and '.join(map(str, sorted(counts)))} points cannot be in one table")
    (count,) = counts
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*_HEAD, *(f"{axis}_{n}" for axis in "xyv" for n in range(count)), *_TAIL])
    for place, picture in enumerate(pictures):
        number = place if picture.frame is None else picture.frame
        for face_id, face in enumerate(picture.faces):
            track = face_id if face.track_id is None else face.track_id
            score = "" if face.score is None else f"{face.score:.6g}"
            time = "" if picture.time is None else f"{picture.time:.6f}"
            xs, ys = ([f"{v:.3f}" for v in face.points[:, axis]] for axis in (0, 1))
            row = [number + 1, track, time, score, 1, *xs, *ys, *face.visibility, picture.name]
            table.writerow([*row, *(picture.size or ("", ""))])
    write_file(out, text.getvalue())


def read(path: Path) -> list[LabelledPicture]:
    """Read such a table, or one of OpenFace's own; rows without success are left out.

    Raises:
        FormatError: it is no such file.
    """
    rows = csv.reader(io.StringIO(text_of(path)))
    pictures: dict[tuple[str, int], LabelledPicture] = {}
    try:
        names = [name.strip() for name in next(rows, [])]  # OpenFace 1 writes a blank after each comma
        count = sum(name.startswith("x_") for name in names)
        if not count:
            raise FormatError("there is no column x_0")
        tracked = "image" not in names
        for row in filter(None, rows):
            cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
            if float(cells.get("success") or 1) < 1:
                continue
            name = cells.get("image") or path.stem
            frame = int(float(cells.get("frame") or 1)) - 1
            time = cells.get("timestamp")
            size = (int(cells["width"]), int(cells["height"])) if cells.get("width") else None
            is_frame = tracked or bool(time)
            key = (name, frame)
            empty = LabelledPicture(name, size, (), frame if is_frame else None, float(time) if time else None)
            found = pictures.get(key, empty)
            face = _face(cells, count, tracked=is_frame)
            pictures[key] = LabelledPicture(found.name, found.size, (*found.faces, face), found.frame, found.time)
    except (ValueError, KeyError, csv.Error, FormatError) as error:
        raise FormatError(f"{path}: is no table of OpenFace's: {error}") from None
    return list(pictures.values())


def _face(cells: dict[str, str], count: int, *, tracked: bool) -> LabelledFace:
    points = [(cells[f"x_{n}"], cells[f"y_{n}"]) for n in range(count)]
    seen = [cells[f"v_{n}"] for n in range(count)] if "v_0" in cells else None
    track = cells.get("face_id") if tracked else None
    return checked_face(points, seen, score=cells.get("confidence") or None, track_id=track or None)


FORMAT = Format("openface", (".csv",), "a table with OpenFace's columns", write, read)
