"""Faces made small enough to be carried to a machine that has nothing but the working tree.

What is written is a folder in the prepared format (`exalign_engine.data.prepared`): squares of a few box sides, of
fewer pixels. `test` is left out. It holds faces of the data set: it is for research, and for no repository.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.data.pictures import decode_file
from exalign_engine.data.source import open_faces
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box

SPLITS = ("train", "val")

#: Split of the faces that nobody annotated. Their landmarks are our model's own: they say where the face is, no more.
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Packing:
    """How faces are made small.

    Attributes:
        pixels: side of each square.
        margin: its side ÷ box side; augmentation needs more than the network's crop.
        quality: of JPEG, 1 to 100.
        most_mb: the whole folder, megabytes.
    """

    pixels: int = 112
    margin: float = 1.8
    quality: int = 90
    most_mb: float = 26.0


@dataclass(frozen=True)
class _Face:
    id: str
    origin: str
    split: str
    jpeg: NDArray[np.uint8]
    landmarks: F64


def pack(
    data: Path, out: Path, packing: Packing, unlabelled: Path | None = None, aligner: Aligner | None = None
) -> dict[str, int]:
    """Write the folder.

    Args:
        data: annotated faces with splits train and val.
        out: where.
        packing: sizes.
        unlabelled: folder with faces.npz (jpeg, offset) and index.csv (identity, file); None: none.
        aligner: finds the faces of those; needed where there are any.

    Returns:
        Faces by split, ``without_face`` (unlabelled pictures in which none is found), and ``bytes``.

    Raises:
        DataError: a folder is wrong.
        ValueError: it is larger than it may be; nothing is written.
    """
    counts = dict.fromkeys((*SPLITS, UNLABELLED, "without_face"), 0)
    faces: list[_Face] = []
    for split in SPLITS:
        source = open_faces(data, split)
        for i, (name, origin) in enumerate(zip(source.ids, source.origins, strict=True)):
            faces.append(_small(source.image(i), source.landmarks[i], (name, origin, split), packing))
            counts[split] += 1
    if unlabelled is not None:
        assert aligner is not None
        for name, picture in _pictures(unlabelled):
            found = aligner.align(picture, max_faces=1)
            if not found:
                counts["without_face"] += 1
                continue
            faces.append(_small(picture, found[0].landmarks, (name, UNLABELLED, UNLABELLED), packing))
            counts[UNLABELLED] += 1
    size = sum(len(face.jpeg) for face in faces) + 68 * 2 * 4 * len(faces)
    if size > packing.most_mb * 1e6:
        advice = "fewer pixels, a lower quality or a smaller margin make it smaller"
        raise ValueError(f"{len(faces)} faces take {size / 1e6:.1f} MB, at most {packing.most_mb:g}: {advice}")
    _write(out, faces)
    return counts | {"bytes": size}


def _small(image: NDArray[np.uint8], landmarks: F64, names: tuple[str, str, str], packing: Packing) -> _Face:
    frame = BoxFrame.from_box(tight_box(landmarks))
    square = extract_crop(image, frame, packing.margin, packing.pixels)
    points = (frame.from_image(landmarks) - 0.5) * packing.pixels / packing.margin + (packing.pixels - 1) / 2
    jpeg = cv2.imencode(".jpg", square[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, packing.quality])[1]
    return _Face(*names, np.asarray(jpeg, np.uint8).reshape(-1), np.asarray(points))


def _pictures(folder: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Names and pictures (H, W, 3) uint8 RGB of a folder without annotation."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as f:
        names = [row["file"] for row in csv.DictReader(f)]
    with np.load(folder / "faces.npz", allow_pickle=False) as stored:
        jpeg, offset = stored["jpeg"], stored["offset"]
    for i, name in enumerate(names):
        yield name, decode_file(bytes(jpeg[offset[i] : offset[i + 1]]), folder / "faces.npz", f"image of row {i} is")


def _write(out: Path, faces: list[_Face]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    offset = np.cumsum([0, *(len(face.jpeg) for face in faces)]).astype(np.int64)
    np.savez(out / "faces.npz", jpeg=np.concatenate([face.jpeg for face in faces]), offset=offset)
    np.save(out / "landmarks.npy", np.stack([face.landmarks for face in faces]).astype(np.float32))
    with (out / "index.csv").open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["row", "id", "source", "split"])
        table.writerows([i, face.id, face.origin, face.split] for i, face in enumerate(faces))
