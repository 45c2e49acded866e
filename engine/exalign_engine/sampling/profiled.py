"""Faces turned far, as the paper's training data were made: *face profiling* (docs/decisions/turned-heads.md).

A near-frontal photograph takes the depth of the canonical face and of a skull
(`exalign_engine.geometry.canonical_face`), and is turned to a pose that is known: to ±80° of yaw, ±40° of pitch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64, U8
from exalign_engine.geometry.canonical_face import CANONICAL_FACE, skull
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import PITCH, angles_of, rotation, solve_pose
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.turning import TurnableFace

#: Faces that look no farther aside than this are turned: yaw, pitch and roll, degrees.
BASE = (20.0, 20.0, 15.0)

#: Turns, degrees: yaw evenly to either side; pitch of a share of the pictures evenly too, else drawn by this deviation,
#: as roll is. Where both are far, half the yaw.
MOST_YAW, MOST_PITCH, NODDING, LITTLE_PITCH, ROLL = 80.0, 40.0, 0.4, 8.0, 10.0
BOTH = (40.0, 20.0)

#: Standard deviations of the box, box sides and ln of its side.
SHIFT, LOG_SCALE = 0.02, 0.04

#: People's faces differ in depth: standard deviation of its logarithm.
DEPTH = 0.08

#: Vertices along a side of the mesh.
VERTICES = 73


@dataclass(frozen=True)
class ProfiledCrop:
    """A crop of a turned face.

    Attributes:
        crop: (S, S, 3) uint8 RGB.
        pose: (3,) yaw, pitch and roll, degrees; known, for it was made so.
        shape: (68, 2) the landmarks, points of the surface, frame of the box that the crop was cut about.
    """

    crop: U8
    pose: F64
    shape: F64


def level_face(shapes: F64) -> F64:
    """(68, 3) the canonical face with the zero of pitch of a training set: the median of (M, 68, 2) upright shapes."""
    pitch = float(np.median(solve_pose(shapes, CANONICAL_FACE)[:, PITCH]))
    return np.asarray(CANONICAL_FACE @ rotation(np.array([0.0, pitch, 0.0])).T)


def profiled_crops(
    faces: FaceMemory, face: F64, size: int, margin: float, *, limit: int, pictures: int, seed: int
) -> Iterator[ProfiledCrop]:
    """Near-frontal faces, turned.

    Args:
        faces: in memory.
        face: (68, 3) `level_face` of the training set.
        size: of a crop, pixels.
        margin: crop side ÷ box side.
        limit: at most so many faces, evenly spaced.
        pictures: of each.
        seed: the pictures of face i depend on (seed, i) alone.
    """
    straight = straight_faces(faces, face)
    for i in straight[np.unique(np.linspace(0, len(straight) - 1, min(limit, len(straight))).astype(int))]:
        rng = np.random.default_rng([seed, int(i)])
        own = face * (1.0, 1.0, float(np.exp(DEPTH * np.clip(rng.normal(), -2, 2))))
        still = TurnableFace(faces.images[i], faces.landmarks[i], own, VERTICES, skull(own))
        looks = solve_pose(faces.landmarks[i : i + 1], own)[0].astype(np.float64)
        for _ in range(pictures):
            pose = drawn_pose(rng)
            turn = angles_of((rotation(pose) @ rotation(looks).T)[None])[0]
            points = still.turned(turn)
            dx, dy, log_scale = np.clip(rng.standard_normal(3), -2, 2) * (SHIFT, SHIFT, LOG_SCALE)
            frame = BoxFrame.from_box(tight_box(points)).moved(dx, dy, float(np.exp(log_scale)))
            scale = size / (margin * frame.side)
            x0, y0 = frame.moved(0.0, 0.0, margin).box[:2]
            camera = np.array([[scale, 0, -x0 * scale - 0.5], [0, scale, -y0 * scale - 0.5]])
            yield ProfiledCrop(still.draw(turn, camera, size), pose, frame.from_image(points))


def straight_faces(faces: FaceMemory, face: F64) -> NDArray[np.intp]:
    """(M,) which faces look nearly ahead, by (68, 3) `level_face`: those that can be turned."""
    return np.flatnonzero((np.abs(solve_pose(faces.landmarks, face)) < BASE).all(axis=1))


def drawn_pose(rng: np.random.Generator) -> F64:
    """(3,) yaw, pitch and roll, degrees."""
    yaw = rng.uniform(-MOST_YAW, MOST_YAW)
    nods = rng.random() < NODDING
    pitch = rng.uniform(-MOST_PITCH, MOST_PITCH) if nods else float(np.clip(rng.normal(0, LITTLE_PITCH), -30, 30))
    if abs(yaw) > BOTH[0] and abs(pitch) > BOTH[1]:
        yaw /= 2
    return np.array([yaw, pitch, float(np.clip(rng.normal(0, ROLL), -30, 30))])
