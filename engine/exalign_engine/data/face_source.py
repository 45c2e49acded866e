"""The interface of every face reader, and the checks that they share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import DataError
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS


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


def implausible(landmarks: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows of (N, n, 2) landmarks that `check_landmarks` refuses, of all at once."""
    if landmarks.shape[1:] != (N_LANDMARKS, 2):
        return np.arange(len(landmarks))
    fine = np.isfinite(landmarks).all(axis=(1, 2)) & (np.ptp(landmarks, axis=1) > 0).all(axis=1)
    return np.flatnonzero(~fine)
