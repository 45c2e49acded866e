"""Frames of YouTube Faces with a table of landmarks: ``training_frames_keypoints.csv`` beside the folder ``training``.

The first column names an image, the other 136 are x and y of the 68 points in its pixels, counted from 0. The heading
of the columns does not matter. ``test_frames_keypoints.csv`` and ``test`` are the same for testing.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import check_landmarks
from exalign_engine.data.files import LeftOut, files_below, report_left_out
from exalign_engine.data.holdout import held_out
from exalign_engine.data.pictures import IMAGE_SUFFIXES, check_place, read_annotated
from exalign_engine.errors import DataError
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: Ending of a table's name; what stands before it is also the name of the folder of its images.
TABLE = "_frames_keypoints.csv"

_COLUMNS = 1 + 2 * N_LANDMARKS


class KeypointsCsvFaces:
    """The faces of one table, in its order; the collection's name is "ytf".

    Args:
        root: folder with the tables and the folders of images.
        split: "test" is the table ``test``; "train" and "val" divide the table ``training`` by persons
            (`exalign_engine.data.holdout`).

    Attributes:
        left_out: pictures beside the table that no row of it names; the log says it too.

    Raises:
        DataError: a table or image is missing, or a row is wrong (file and line).
    """

    def __init__(self, root: Path, split: str) -> None:
        if split not in ("train", "val", "test"):
            raise DataError(root, f"tables of frames have no split {split!r}; there are train, val and test")
        name = "test" if split == "test" else "training"
        self.path, self.folder = root / f"{name}{TABLE}", root / name
        rows = self._rows()
        self.left_out = self._without_row({self.folder / image for image, _ in rows})
        if split != "test":
            kept = held_out((person(image) for image, _ in rows), self.path)
            rows = [row for row in rows if (person(row[0]) in kept) == (split == "val")]
        self.images = [self.folder / image for image, _ in rows]
        self.ids = [path.stem for path in self.images]
        self.origins = ["ytf"] * len(rows)
        self.landmarks = np.stack([points for _, points in rows])

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`."""
        return read_annotated(self.images[index], self.landmarks[index], self.path)

    def _without_row(self, known: set[Path]) -> tuple[LeftOut, ...]:
        found, hidden = files_below(self.folder, IMAGE_SUFFIXES)
        left_out = [path for path in found if path not in known]
        return report_left_out(
            self.folder, [LeftOut("hidden files", tuple(hidden)), LeftOut("pictures without a row", tuple(left_out))]
        )

    def _rows(self) -> list[tuple[str, NDArray[np.float64]]]:
        """Image names and (68, 2) landmarks; every image is there."""
        if not self.path.is_file():
            raise DataError(self.path, "no such file")
        rows = []
        try:
            with self.path.open(newline="", encoding="utf-8") as f:
                table = csv.reader(f)
                for fields in table:
                    if table.line_num > 1 and fields:
                        rows.append(self._row(fields, table.line_num))
                    elif len(fields) != _COLUMNS:
                        raise DataError(self.path, f"{len(fields)} columns where {_COLUMNS} are needed", table.line_num)
        except (UnicodeDecodeError, csv.Error) as e:
            raise DataError(self.path, f"not text in CSV format: {e}") from e
        if not rows:
            raise DataError(self.path, "has no rows")
        return rows

    def _row(self, fields: list[str], line: int) -> tuple[str, NDArray[np.float64]]:
        if len(fields) != _COLUMNS:
            raise DataError(self.path, f"{len(fields)} columns where {_COLUMNS} are needed", line)
        image, values = fields[0], fields[1:]
        for column, value in enumerate(values, start=2):
            try:
                float(value)
            except ValueError as e:
                raise DataError(self.path, f"{value!r} in column {column} is not a number", line) from e
        points = np.array(values, dtype=np.float64).reshape(N_LANDMARKS, 2)
        check_landmarks(points, self.path, line, image or "row")
        if not (image and (self.folder / image).is_file()):
            raise DataError(self.path, f"there is no image {str(self.folder / image)!r}", line)
        check_place(self.folder / image, points, self.path, line)
        return image, points


def person(image: str) -> str:
    """Whose face it is: ``Luis_Fonsi_21.jpg`` is a frame of Luis_Fonsi's second video."""
    return re.sub(r"_\d+$", "", Path(image).stem)
