"""Parquet, a row a face: everything that there is, in our own frame (the centre of the top-left pixel is (0, 0))."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from exalign.output_files import replacing
from exalign_client.errors import MissingExtraError
from exalign_client.formats.faces import FormatError, LabelledFace, LabelledPicture, checked_face
from exalign_client.formats.format import Format


def _pyarrow() -> Any:
    """pyarrow and its Parquet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Parquet", "parquet") from None
    return arrow


#: Pictures whose rows are in memory at a time.
_GROUP = 2000


def write(pictures: Iterable[LabelledPicture], out: Path) -> None:
    """Write one file. A picture without a face has a row without points.

    Args:
        pictures: read once, and not held.
        out: the file.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    numbers, whole = arrow.list_(arrow.float64()), arrow.int64()
    types = {"image": arrow.string(), "width": whole, "height": whole, "frame": whole, "time": arrow.float64()}
    types |= {"track_id": whole, "score": arrow.float64(), "box": numbers, "x": numbers, "y": numbers}
    types |= {"visibility": arrow.list_(arrow.int8()), "xx": numbers, "xy": numbers, "yy": numbers}
    schema, left = arrow.schema(list(types.items())), iter(pictures)
    with replacing(out) as partial, arrow.parquet.ParquetWriter(partial, schema) as writer:
        while group := list(islice(left, _GROUP)):
            rows = [row for picture in group for row in _rows(picture)]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _rows(picture: LabelledPicture) -> list[dict[str, Any]]:
    width, height = picture.size or (None, None)
    head = {"image": picture.name, "width": width, "height": height, "frame": picture.frame, "time": picture.time}
    return [head | _columns(face) for face in picture.faces] or [head]


def _columns(face: LabelledFace) -> dict[str, Any]:
    found: dict[str, Any] = {"track_id": face.track_id, "score": face.score, "visibility": face.visibility.tolist()}
    found |= {"x": face.points[:, 0].tolist(), "y": face.points[:, 1].tolist()}
    if face.box is not None:
        found["box"] = face.box.tolist()
    if face.covariances is not None:
        found |= {axes: face.covariances[:, i, j].tolist() for axes, i, j in (("xx", 0, 0), ("xy", 0, 1), ("yy", 1, 1))}
    return found


def read(path: Path) -> list[LabelledPicture]:
    """Read a file that `write` made.

    Raises:
        FormatError: it is no such file.
        MissingExtraError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    pictures: dict[tuple[str, int | None], LabelledPicture] = {}
    try:
        with path.open("rb") as file:
            rows = arrow.parquet.read_table(file).to_pylist()
        for row in rows:
            size = (row["width"], row["height"]) if row["width"] else None
            key = (row["image"], row["frame"])
            found = pictures.get(key, LabelledPicture(row["image"], size, (), row["frame"], row["time"]))
            faces = found.faces if row["x"] is None else (*found.faces, _face(row))
            pictures[key] = LabelledPicture(found.name, found.size, faces, found.frame, found.time)
    except (arrow.ArrowException, KeyError, TypeError, ValueError, FormatError) as error:
        raise FormatError(f"{path}: is no such Parquet file: {str(error).splitlines()[0]}") from None
    return list(pictures.values())


def _face(row: dict[str, Any]) -> LabelledFace:
    points = np.column_stack([row["x"], row["y"]])
    face = checked_face(points, row["visibility"], box=row["box"], score=row["score"], track_id=row["track_id"])
    if row["xx"] is None:
        return face
    matrices = np.array([[row["xx"], row["xy"]], [row["xy"], row["yy"]]], dtype=np.float64).transpose(2, 0, 1)
    return LabelledFace(face.points, face.visibility, face.box, face.score, face.track_id, matrices)


FORMAT = Format("parquet", (".parquet",), "Parquet, with everything (extra 'parquet')", write, read)
