"""The prepared format: ``index.csv``, ``landmarks.npy`` and all JPEG streams in one ``faces.npz``."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import check_landmarks, implausible
from exalign_engine.data.pictures import check_inside, decode_file
from exalign_engine.errors import DataError
from exalign_engine.geometry.landmarks import N_LANDMARKS


class PreparedFaces:
    """One split of a folder in the prepared format.

    Args:
        root: folder with index.csv, landmarks.npy and faces.npz (jpeg: uint8, offset: int64 of N + 1).
        split: a value of the column ``split``.

    Raises:
        DataError: a file is missing or inconsistent; rows are named by their line in index.csv.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.root = root
        index = root / "index.csv"
        table = _read_index(index)
        landmarks = _load(root / "landmarks.npy")
        if landmarks.shape[0] != len(table):
            raise DataError(root / "landmarks.npy", f"{landmarks.shape[0]} shapes for {len(table)} rows of index.csv")
        self.rows = [i for i, r in enumerate(table) if r["split"] == split]
        if not self.rows:
            known = sorted({r["split"] for r in table})
            raise DataError(index, f"no row of split {split!r}; there are {', '.join(known) or 'no rows'}")
        self.table = [table[i] for i in self.rows]
        self.ids = [r["id"] for r in self.table]
        self.origins = [r["source"] for r in self.table]
        self.landmarks = landmarks[self.rows].astype(np.float64)
        for i in implausible(self.landmarks):
            check_landmarks(self.landmarks[i], index, self.rows[i] + 2, f"row {self.rows[i]}")
        faces = root / "faces.npz"
        if not faces.is_file():
            raise DataError(faces, "no such file")
        try:
            with np.load(faces, allow_pickle=False) as z:
                for key in ("jpeg", "offset"):
                    if key not in z:
                        raise DataError(faces, f"no array {key!r}")
                self._jpeg, self._offset = z["jpeg"], z["offset"]
        except (OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as e:
            raise DataError(faces, f"cannot be read as an .npz: {e}") from e
        if self._jpeg.dtype != np.uint8 or self._offset.dtype.kind not in "iu":
            types = f"jpeg {self._jpeg.dtype} and offset {self._offset.dtype}"
            raise DataError(faces, f"holds {types}, must be uint8 and whole numbers")
        if self._offset.shape != (len(table) + 1,):
            raise DataError(faces, f"offset has shape {self._offset.shape}, index.csv has {len(table)} rows")

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self, index: int) -> bytes:
        """The JPEG stream of face ``index``."""
        row = self.rows[index]
        return bytes(self._jpeg[self._offset[row] : self._offset[row + 1]])

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`."""
        path, row = self.root / "faces.npz", self.rows[index]
        image = decode_file(self.encoded(index), path, f"image of row {row} is missing or")
        check_inside(image, self.landmarks[index], path, f"of row {row}")
        return image


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A whole photograph with some of its faces annotated.

    Attributes:
        path: the image file.
        origin: the collection it came from.
        landmarks: (F, 68, 2) float64, image frame, pixels.
        ids: F names.
    """

    path: Path
    origin: str
    landmarks: NDArray[np.float64]
    ids: tuple[str, ...]

    def encoded(self) -> bytes:
        """The file's bytes.

        Raises:
            DataError: the file is missing.
        """
        if not self.path.is_file():
            raise DataError(self.path, "no such file")
        return self.path.read_bytes()


def annotated_photos(root: Path | str, split: str) -> list[AnnotatedPhoto]:
    """Photos listed in ``frames/frames.json`` for a split.

    Raises:
        DataError: the list is missing or a face in it is wrong.
    """
    listing = Path(root) / "frames" / "frames.json"
    if not listing.is_file():
        raise DataError(listing, "no such file")
    photos = []
    try:
        entries = json.loads(listing.read_text(encoding="utf-8"))
    except ValueError as e:
        raise DataError(listing, f"not JSON: {e}") from e
    if not isinstance(entries, list):
        raise DataError(listing, "must be a list of photos")
    for number, entry in enumerate(entries):
        name = f"photo {number}"
        try:
            if entry["split"] != split:
                continue
            name = str(entry["file"])
            photos.append(_photo(listing, name, entry))
        except KeyError as e:
            raise DataError(listing, f"{name}: no field {e}") from e
        except (TypeError, ValueError) as e:
            raise DataError(listing, f"{name}: fields or landmarks of the wrong kind: {e}") from e
    if not photos:
        raise DataError(listing, f"no photo of split {split!r}")
    return photos


def _photo(listing: Path, name: str, entry: dict[str, Any]) -> AnnotatedPhoto:
    faces = entry["faces"]
    if not faces:
        raise DataError(listing, f"{name}: has no faces")
    shapes = [np.asarray(face["landmarks"], dtype=np.float64) for face in faces]
    for face, points in zip(faces, shapes, strict=True):
        check_landmarks(points, listing, None, f"{name}, face {face['id']}")
    ids = tuple(str(face["id"]) for face in faces)
    return AnnotatedPhoto(listing.parent / name, str(entry["source"]), np.stack(shapes), ids)


def _read_index(path: Path) -> list[dict[str, str]]:
    """Rows of index.csv, with a value in every column that is read."""
    needed = ("id", "source", "split")
    try:
        with path.open(newline="", encoding="utf-8") as f:
            reader = csv.DictReader(f)
            columns, table = reader.fieldnames or (), list(reader)
    except (UnicodeDecodeError, csv.Error) as e:
        raise DataError(path, f"not text in CSV format: {e}") from e
    for column in needed:
        if column not in columns:
            raise DataError(path, f"no column {column!r}", 1)
    for line, row in enumerate(table, start=2):
        for column in needed:
            if row[column] is None:
                raise DataError(path, f"the row ends before its column {column!r}", line)
    return table


def _load(path: Path) -> NDArray[np.float32]:
    if not path.is_file():
        raise DataError(path, "no such file")
    try:
        array = np.load(path, allow_pickle=False)
    except (EOFError, ValueError) as e:
        raise DataError(path, f"not a NumPy array file: {e}") from e
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind != "f":
        found = f"shape {array.shape} and dtype {array.dtype}" if isinstance(array, np.ndarray) else "several arrays"
        raise DataError(path, f"has {found}, must have shape (N, {N_LANDMARKS}, 2) and real numbers")
    return array
