"""The interface of every face reader, and the function that picks the reader for a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import DataError
from exalign_engine.frames import BoxFrame, tight_box
from exalign_engine.landmarks import N_LANDMARKS


class FaceSource(Protocol):
    """Annotated faces of one split, in a fixed order.

    Attributes:
        ids: N names, one a face; may repeat.
        origins: N names of the collection each face came from ("helen", "ytf", …).
        landmarks: (N, 68, 2) float64, image frame of ``image(i)``, pixels.
    """

    @property
    def ids(self) -> Sequence[str]:
        """See above."""

    @property
    def origins(self) -> Sequence[str]:
        """See above."""

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """See above."""

    def __len__(self) -> int:
        """Number of faces."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of face ``index``, after EXIF orientation.

        Raises:
            DataError: the image is missing or cannot be decoded.
        """


def open_faces(folder: Path | str, split: str) -> FaceSource:
    """Open the faces of one split.

    What a folder is is told by what it holds, in this order:

    - ``index.csv``: the prepared format (`exalign_engine.data.prepared`);
    - ``*_frames_keypoints.csv``: frames of YouTube Faces (`exalign_engine.data.keypoints_csv`);
    - folders with ``vid.avi`` and ``annot``: 300VW (`exalign_engine.data.annotated_videos`);
    - ``.pts`` beside images, below it or below its sub-folder ``split``: 300-W (`exalign_engine.data.pts`);
    - ``.mat`` beside images, likewise: 300W-LP (`exalign_engine.data.mat`).

    A 300-W folder without sub-folders train, val or test is one split under any name; of the others' data sets, which
    have no ``val``, a tenth of the clips, persons or faces is kept out of ``train`` for it.

    Raises:
        DataError: the folder is none of these, or a file in it is wrong (path and line are named).
    """
    from exalign_engine.data.annotated_videos import VideoFaces, is_video_folder
    from exalign_engine.data.keypoints_csv import TABLE, KeypointsCsvFaces
    from exalign_engine.data.mat import MatFaces
    from exalign_engine.data.prepared import PreparedFaces
    from exalign_engine.data.pts import PtsFaces

    root = Path(folder)
    if not root.is_dir():
        raise DataError(root, "no such folder")
    if (root / "index.csv").is_file():
        return PreparedFaces(root, split)
    if any(root.glob(f"*{TABLE}")):
        return KeypointsCsvFaces(root, split)
    if is_video_folder(root):
        return VideoFaces(root, split)
    splits = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    if splits and not (root / split).is_dir():
        # Reading the whole folder instead would mix what must be kept apart.
        raise DataError(root, f"no split {split!r}; there are {', '.join(splits)}")
    candidate = root / split if splits else root
    if any(candidate.rglob("*.pts")):
        return PtsFaces(candidate)
    if any(candidate.rglob("*.mat")):
        return MatFaces(candidate, None if splits else split)
    known = "no index.csv, no table of frames, no clip, no .pts or .mat file"
    raise DataError(root, f"neither the prepared format nor a data set that is known here ({known})")


def box_frame_shapes(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shapes in their own box frames: (N, 68, 2) pixels → (N, 68, 2) in [0, 1]²."""
    return np.stack([BoxFrame.from_box(tight_box(p)).from_image(p) for p in landmarks])


def check_landmarks(points: NDArray[np.floating], path: Path, line: int | None, name: str) -> None:
    """Refuse a shape that cannot be one.

    Raises:
        DataError: wrong count of points, a value that is not finite, or a box without extent.
    """
    if points.shape != (N_LANDMARKS, 2):
        if points.ndim != 2 or points.shape[1] != 2:
            raise DataError(path, f"{name}: landmarks have shape {points.shape}, must have ({N_LANDMARKS}, 2)", line)
        raise DataError(path, f"{name}: {points.shape[0]} points where {N_LANDMARKS} are needed", line)
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise DataError(path, f"{name}: point {bad} is {points[bad].tolist()}, not finite", line)
    extent = np.ptp(points, axis=0)
    if not (extent > 0).all():
        raise DataError(path, f"{name}: the points' box is empty ({extent[0]:g} x {extent[1]:g} pixels)", line)
