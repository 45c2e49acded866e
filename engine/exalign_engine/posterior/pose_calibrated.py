"""Poses of the exemplars as one face's posterior sees them, calibrated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import PITCH, YAW, wrap
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose import pose_moments

ANGLES = ("yaw", "pitch", "roll")

#: How far a head is turned, max(|yaw|, 1.5 |pitch|), where ``Calibration.pose_turned`` says what its angles have
#: beside; degrees. Between them it is interpolated.
TURNS = (0.0, 15.0, 30.0, 45.0, 60.0)


def calibrated_poses(p: F32, poses: Poses, calibration: Calibration) -> tuple[F32, F32]:
    """Places and variances of the pose's kernels for one face (Eq. C1): what `exalign_engine.posterior.pose` reads.

    Args:
        p: (K,) probabilities.
        poses: of the exemplars.
        calibration: its ``pose_scale``, ``pose_excess`` and ``pose_turned``.

    Returns:
        (K, 3) float32 degrees, and (K, 3) float32 square degrees.
    """
    variance = poses.variance * np.asarray(calibration.pose_scale, dtype=np.float32)
    excess = np.asarray(calibration.pose_excess, dtype=np.float64)
    beside = np.asarray(calibration.pose_turned).reshape(3, len(TURNS))
    if not (excess.any() or beside.any()):
        return poses.pose, variance
    mean, covariance = pose_moments(p, poses.pose)
    if beside.any():
        at = turn_of(mean)
        variance = variance + np.array([np.interp(at, TURNS, row) for row in beside], dtype=np.float32) ** 2
    if not excess.any():
        return poses.pose, variance
    drawn = mean + _shrink(np.diag(covariance), excess) * wrap(poses.pose - mean)
    return drawn.astype(np.float32), variance


def turn_of(pose: NDArray[np.floating]) -> F64:
    """(..., 3) degrees → (...) how far a head is turned; see `TURNS`."""
    return np.asarray(np.maximum(np.abs(pose[..., YAW]), 1.5 * np.abs(pose[..., PITCH])), dtype=np.float64)


def _shrink(spread: NDArray[np.floating], excess: NDArray[np.floating]) -> F64:
    """s of Eq. C1, from V and ν; 1 where both are 0."""
    return np.asarray(np.where(excess > 0, spread / np.maximum(spread + excess, 1e-300), 1.0))
