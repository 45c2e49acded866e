"""The difficult faces of a split: whom the mean figures hide.

Each subset is a tenth of the faces, chosen by the annotation alone, so that it is the same for every model and every
kind of boxes (``large_yaw`` of data without the column ``yaw_proxy``: for every model with the same 3-D mean face).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.data.face_source import FaceSource, box_frame_shapes
from exalign_engine.data.prepared import PreparedFaces
from exalign_engine.errors import DataError
from exalign_engine.geometry.head_pose import YAW, solve_pose
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: A subset is one face in so many, rounded up.
ONE_IN = 10

#: Column of index.csv with how far a face is turned, from −1 to 1.
YAW_PROXY = "yaw_proxy"


def difficult_subsets(landmarks: F64, yaw: F64) -> dict[str, NDArray[np.intp]]:
    """The faces of each subset, as ascending indices.

    - ``large_yaw``: the tenth with the largest \\|yaw\\|.
    - ``hard``: the tenth whose shapes are farthest from the mean shape (paper §4.2), by the mean
      squared distance of points in the box frame; the mean is that of the faces themselves.

    Args:
        landmarks: (N, 68, 2) true shapes, each in any frame that is isotropic.
        yaw: (N,) of the faces, in any unit; see `yaw_of`.
    """
    shapes = box_frame_shapes(landmarks)
    deviation = ((shapes - shapes.mean(axis=0)) ** 2).sum(axis=(1, 2)) / N_LANDMARKS
    return {"large_yaw": _largest(np.abs(yaw)), "hard": _largest(deviation)}


def yaw_of(faces: FaceSource, mean_face: F64) -> F64:
    """How far each face is turned: ``yaw_proxy`` of index.csv, or else the yaw of the true shape in degrees.

    Args:
        faces: annotated faces.
        mean_face: (68, 3), see `exalign_engine.geometry.head_pose.solve_pose`.

    Returns:
        (N,) float64.

    Raises:
        DataError: the column is there, and a value in it is not a finite number.
    """
    if not isinstance(faces, PreparedFaces) or YAW_PROXY not in faces.table[0]:
        return solve_pose(faces.landmarks, mean_face)[:, YAW].astype(np.float64)
    found = np.empty(len(faces))
    for i, entry in enumerate(faces.table):
        try:
            found[i] = float(entry[YAW_PROXY] or "")
        except ValueError:
            found[i] = math.nan
        if not math.isfinite(found[i]):
            line = faces.rows[i] + 2
            raise DataError(faces.root / "index.csv", f"{YAW_PROXY} is {entry[YAW_PROXY]!r}, not a finite number", line)
    return found


def _largest(values: F64) -> NDArray[np.intp]:
    """Indices of the tenth with the largest values; of equal ones the first."""
    count = -(-len(values) // ONE_IN)
    return np.sort(np.argsort(-values, kind="stable")[:count])
