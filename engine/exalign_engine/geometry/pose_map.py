"""From the pose that the 3-D mean face says to the pose that a head has.

The mean face comes from nearly frontal photographs, which do not tell depth, and the jaw that is marked on a turned
head is the contour that the camera sees, which slides along it. So a turned head is said to be turned less than it is,
by a law that is smooth and the same for all:

    yaw'   = yaw · (a₀ + a₁ y² + a₂ q + a₃ q²)
    pitch' = b₀ + pitch · (b₁ + b₂ q + b₃ q² + b₄ y²) + b₅ y²        y = yaw / 45°, q = pitch / 30°             (C2)

A mirrored face gets the mirrored pose. Factors are held beyond the turns that they were fitted on (`REACH`); roll
stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.geometry.head_pose import PITCH, YAW

#: Units of y and q, degrees; and how far the factors go on changing, in these units.
UNIT_YAW, UNIT_PITCH = 45.0, 30.0
REACH = 1.4

#: No yaw is beyond this, degrees; and no kernel becomes narrower than by this factor.
MOST_YAW, LEAST_SLOPE = 90.0, 0.1


@dataclass(frozen=True)
class PoseMap:
    """Eq. C2.

    Attributes:
        yaw: a₀ … a₃.
        pitch: b₀ … b₅; b₀ and b₅ are degrees.
    """

    yaw: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    pitch: tuple[float, ...] = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)

    def __call__(self, pose: NDArray[np.floating]) -> F64:
        """(..., 3) yaw, pitch and roll in degrees, by the mean face → the same of the head."""
        out = np.array(pose, dtype=np.float64)
        turn, nod = self._factors(out)
        bowed = self.pitch[0] + self.pitch[5] * _scaled(out)[0] ** 2
        out[..., YAW] = np.clip(out[..., YAW] * turn, -MOST_YAW, MOST_YAW)
        out[..., PITCH] = out[..., PITCH] * nod + bowed
        return out

    def widening(self, pose: NDArray[np.floating]) -> F64:
        """(..., 3) by how much the map stretches each angle there: its slope, at least `LEAST_SLOPE`; roll by 1."""
        said = np.asarray(pose, dtype=np.float64)
        y, q = _scaled(said)
        turn, nod = self._factors(said)
        out = np.ones(said.shape)
        # The factors' own slopes, where they are not held.
        out[..., YAW] = turn + np.where(np.abs(y) < REACH, 2 * self.yaw[1] * y**2, 0.0)
        out[..., PITCH] = nod + np.where(np.abs(q) < REACH, self.pitch[2] * q + 2 * self.pitch[3] * q**2, 0.0)
        return np.maximum(out, LEAST_SLOPE)

    def _factors(self, pose: F64) -> tuple[F64, F64]:
        y, q = _scaled(pose)
        a, b = self.yaw, self.pitch
        return a[0] + a[1] * y**2 + a[2] * q + a[3] * q**2, b[1] + b[2] * q + b[3] * q**2 + b[4] * y**2


def fit_pose_map(read: F64, known: F64) -> PoseMap:
    """Least squares of Eq. C2.

    Args:
        read: (B, 3) poses by the mean face, degrees; within `REACH`.
        known: (B, 3) the heads' own.
    """
    y, q = _scaled(read)
    yaw, pitch = read[:, YAW], read[:, PITCH]
    turns = np.stack([yaw, yaw * y**2, yaw * q, yaw * q**2], axis=1)
    nods = np.stack([np.ones_like(q), pitch, pitch * q, pitch * q**2, pitch * y**2, y**2], axis=1)
    a = np.linalg.lstsq(turns, known[:, YAW], rcond=None)[0]
    b = np.linalg.lstsq(nods, known[:, PITCH], rcond=None)[0]
    return PoseMap(tuple(a.tolist()), tuple(b.tolist()))


def _scaled(pose: F64) -> tuple[F64, F64]:
    """y and q, held at `REACH`."""
    return (
        np.clip(pose[..., YAW] / UNIT_YAW, -REACH, REACH),
        np.clip(pose[..., PITCH] / UNIT_PITCH, -REACH, REACH),
    )
