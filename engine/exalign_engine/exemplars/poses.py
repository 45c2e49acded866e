"""Head pose: a 3-D mean face from the exemplars themselves, the pose of a shape, and the posterior of the pose.

**Frame.** x to the image's right, y down, z out of the picture towards the viewer; with y down that is a
left-handed triple. A shape is seen by scaled-orthographic projection, ``q = s · (R X)[:2] + t``, with
``R = Rz(roll) · Ry(yaw) · Rx(pitch)`` of the textbook matrices (``x' = x cos − y sin, y' = x sin + y cos`` about z, and
cyclic). In this frame they mean: roll > 0 clockwise on screen, yaw > 0 nose to the image's right, pitch > 0 up.

**Zero.** Yaw and roll are zero where the bilaterally symmetric mean face looks straight ahead, upright. Nothing in a
face marks zero pitch, so it is the median pitch of the training faces: how people hold their heads for a camera.

**Posterior.** Exemplar k says "pose_k, give or take": a Gaussian about pose_k, on the circle, independent in the three
angles, its variance found as v_k is for shapes, from the faces within τ of it (`exemplar_pose`), times a factor fitted
on ``val`` (`exalign_engine.calibration.pose`). Without it a posterior on one exemplar would claim to know the pose
exactly. Angles are degrees, in the order yaw, pitch, roll.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.exemplars import PRIOR_MEMBERS, SAME_SHAPE, Exemplars, squared_distances
from exalign_engine.geometry.head_pose import MIRROR_SIGN, fit_mean_face, solve_pose, wrap
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.geometry.pose_map import PoseMap

#: Faces among which an exemplar looks for its members.
MAX_MEMBERS = 4096


@dataclass(frozen=True)
class Poses:
    """What a bundle keeps of the pose.

    Attributes:
        mean_face: (68, 3) float64, from `fit_mean_face`.
        pose: (K, 3) float32, degrees: yaw, pitch, roll of each exemplar.
        variance: (K, 3) float32, square degrees: spread of the pose of faces like it, before the fitted factor.
        map: from the poses that the mean face says to those above.
        plain: the poses that it says; None where they are these.
    """

    mean_face: F64
    pose: F32
    variance: F32
    map: PoseMap = field(default_factory=PoseMap)
    plain: Poses | None = field(default=None, repr=False, compare=False)

    def of(self, shapes: NDArray[np.floating]) -> F64:
        """(B, 68, 2) shapes → (B, 3) float64 how the heads are turned, degrees; see `solve_pose` and `PoseMap`."""
        return self.map(solve_pose(shapes, self.mean_face))

    def mapped(self, by: PoseMap) -> Poses:
        """What the mean face says, brought to the heads' own poses by this map in place of any before."""
        said = self.plain or self
        if by == PoseMap():
            return said
        variance = said.variance * by.widening(said.pose) ** 2
        return Poses(self.mean_face, by(said.pose).astype(np.float32), variance.astype(np.float32), by, said)


def find_poses(exemplars: Exemplars, faces: F64, tau: float, mean_face: F64 | None = None) -> Poses:
    """The poses of a set of exemplars; see `fit_mean_face` and `exemplar_pose`.

    Args:
        exemplars: the classes.
        faces: (M, 68, 2), true upright faces, each in its own box frame.
        tau: membership radius τ, box sides.
        mean_face: (68, 3) `fit_mean_face` of ``faces``, where it is at hand; None fits it.
    """
    if mean_face is None:
        mean_face = fit_mean_face(faces)
    return Poses(mean_face, *exemplar_pose(exemplars, mean_face, faces, tau))


def exemplar_pose(exemplars: Exemplars, mean_face: F64, faces: F64, tau: float) -> tuple[F32, F32]:
    """What a bundle keeps of the pose: each exemplar's, and the spread of the pose of faces like it.

    The spread is the mean squared difference to exemplar k of the faces within τ of it (Eq. 6), shrunk to the mean of
    all exemplars by `PRIOR_MEMBERS` pseudo-members. Mirror exemplars get exactly mirrored values.

    Args:
        exemplars: the classes.
        mean_face: (68, 3) from `fit_mean_face`.
        faces: (M, 68, 2) box frame, candidate members; every n-th where M > `MAX_MEMBERS` / 2. Their mirrors are added.
        tau: membership radius τ, box sides.

    Returns:
        Pose (K, 3) float32 degrees, and its variance before the fitted factor, (K, 3) float32 square degrees.
    """
    k, mirror = exemplars.count, exemplars.mirror_of
    pose = solve_pose(exemplars.shapes, mean_face)
    pose += wrap(pose[mirror] * MIRROR_SIGN - pose).astype(np.float32) / 2
    # Halving rounds the two of a pair differently; the first of each pair decides.
    second = np.flatnonzero(mirror < np.arange(k))
    pose[second] = pose[mirror[second]] * MIRROR_SIGN.astype(np.float32)

    some = faces[:: -(-2 * len(faces) // MAX_MEMBERS)]
    pool = np.concatenate([some, mirror_shapes(some)])
    turn = np.deg2rad(solve_pose(pool, mean_face).astype(np.float64))
    wave = np.concatenate([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
    total, count = np.zeros((k, 3)), np.zeros((k, 1))
    for start in range(0, k, 1024):
        rows = slice(start, start + 1024)
        d = squared_distances(exemplars.shapes[rows], pool)
        member = ((d <= tau * tau) & (d > SAME_SHAPE)).astype(np.float32)
        count[rows] = member.sum(axis=1, keepdims=True)
        c, s = np.split((member @ wave).astype(np.float64), 2, axis=1)
        own = np.deg2rad(pose[rows].astype(np.float64))
        # Σ (a − b)² as Σ 2 − 2 cos(a − b): one matrix product, the same to 1 % up to 20°, and at home on the circle.
        total[rows] = np.maximum(2 * (count[rows] - np.cos(own) * c - np.sin(own) * s), 0)
    members = count.sum()
    mean = total.sum(axis=0) / members if members else np.full(3, np.deg2rad(1.0) ** 2)
    variance = np.rad2deg(np.rad2deg((total + PRIOR_MEMBERS * mean) / (count + PRIOR_MEMBERS)))
    return pose, ((variance + variance[mirror]) / 2).astype(np.float32)
