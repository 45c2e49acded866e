"""Synthetic poses: a training face turned in space, rotated in the plane, and seen in an imperfect box.

There are too few photographs of every pose, and an exemplar can neither turn nor translate by itself. So each training
face lends its shape to several exemplars. Order: out of the plane (yaw, pitch), in the plane (roll), then the box.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.exemplars import Recipe
from exalign_engine.geometry.head_pose import rotation, solve_pose

#: Columns of `Recipe.transforms`.
YAW, PITCH, ROLL, DX, DY, LOG_SCALE = range(6)

#: Draws of a normal distribution are cut at so many standard deviations.
CUT = 3.0

#: Standard deviation of synthetic pitch, as a share of that of yaw: people nod less than they turn.
PITCH_SHARE = 0.4

#: A face is turned no farther than this from looking straight ahead, degrees: beyond it the jaw that a photograph
#: shows is no longer the jaw that was annotated.
MAX_YAW = 45.0


@dataclass(frozen=True)
class Variation:
    """How synthetic poses of a face are drawn.

    A box given by a detector is never the tight one, and an exemplar cannot translate: exemplars whose box is
    off let the mixture answer rightly in a box that is off. Normal draws are cut at 3 σ.

    Attributes:
        roll_deg: standard deviation of the rotation in the plane, degrees.
        wide_roll: share of poses whose rotation is drawn uniformly …
        wide_roll_deg: … from this far to either side, degrees.
        turned: share of poses that are turned out of the plane.
        turn_deg: standard deviation of their yaw, degrees; pitch has `PITCH_SHARE` of it.
        shift: standard deviation of the box centre's offset in x and y, box sides.
        log_scale: standard deviation of ln(box side ÷ true side).
    """

    roll_deg: float = 15.0
    wide_roll: float = 0.0
    wide_roll_deg: float = 60.0
    turned: float = 0.0
    turn_deg: float = 14.0
    shift: float = 0.035
    log_scale: float = 0.07


def draw_transforms(count: int, variation: Variation, rng: np.random.Generator) -> F32:
    """(count, 6) float32 columns as in `Recipe.transforms`, drawn independently."""
    normal = np.clip(rng.standard_normal((count, 6)), -CUT, CUT)
    spread = (1.0, PITCH_SHARE, 0.0, 0.0, 0.0, 0.0)
    out = normal * (
        variation.turn_deg * np.array(spread)
        + np.array([0, 0, variation.roll_deg, variation.shift, variation.shift, variation.log_scale])
    )
    out[rng.random(count) >= variation.turned, :ROLL] = 0.0
    wide = rng.random(count) < variation.wide_roll
    out[wide, ROLL] = rng.uniform(-1, 1, int(wide.sum())) * variation.wide_roll_deg
    transforms: F32 = out.astype(np.float32)
    return transforms


def synthesise(recipe: Recipe) -> F64:
    """The exemplars of a recipe without their mirrors: (V · M, 68, 2) float64, box frame."""
    return np.concatenate(list(poses_by_variant(recipe)))


def poses_by_variant(recipe: Recipe) -> Iterator[F64]:
    """`synthesise`, variant by variant: V times (M, 68, 2)."""
    turning = bool(recipe.transforms[:, :, :ROLL].any())
    if turning:
        yaw = solve_pose(recipe.faces, recipe.mean_face)[:, 0].astype(np.float64)
        depth = depth_of(recipe.faces, recipe.mean_face)
    for transform in recipe.transforms.astype(np.float64):
        shapes = recipe.faces
        if turning:
            shapes = turn_out_of_plane(shapes, depth, bounded_turn(yaw, transform))
        rotated = rotate(shapes, transform[:, ROLL])
        yield rebox(rotated, transform[:, DX], transform[:, DY], np.exp(transform[:, LOG_SCALE]))


def bounded_turn(yaw: F64, transform: F64) -> F64:
    """(M, 3) yaw, pitch and zero of (M, 6) transforms for faces that look (M,) degrees aside: see `MAX_YAW`."""
    turn = np.zeros((len(transform), 3))
    target = np.clip(yaw + transform[:, YAW], -MAX_YAW, MAX_YAW)
    # Who looks farther aside than that already is not turned back to the bound.
    turn[:, 0] = np.where(np.abs(yaw) < MAX_YAW, target - yaw, 0.0) * (transform[:, YAW] != 0)
    turn[:, 1] = transform[:, PITCH]
    return turn


def depth_of(shapes: F64, mean_face: F64) -> F64:
    """Depth of the landmarks: that of the 3-D mean face in each shape's own pose and scale.

    Args:
        shapes: (M, 68, 2), any scale.
        mean_face: (68, 3).

    Returns:
        (M, 68) towards the viewer, mean 0, in the shapes' unit.
    """
    model = (mean_face - mean_face.mean(axis=0)) @ np.swapaxes(rotation(solve_pose(shapes, mean_face)), 1, 2)
    flat = shapes - shapes.mean(axis=1, keepdims=True)
    scale = (flat * model[:, :, :2]).sum(axis=(1, 2)) / (model[:, :, :2] ** 2).sum(axis=(1, 2))
    return np.asarray(scale[:, None] * model[:, :, 2])


def turn_out_of_plane(shapes: F64, depth: F64, turn: F64) -> F64:
    """Shapes (M, 68, 2) with depth (M, 68), turned by (M, 3) degrees of yaw, pitch and roll about their centroids."""
    centre = shapes.mean(axis=1, keepdims=True)
    solid = np.concatenate([shapes - centre, depth[:, :, None]], axis=2)
    turned: F64 = (solid @ np.swapaxes(rotation(turn), 1, 2))[:, :, :2] + centre
    return turned


def rotate(shapes: F64, degrees: F64) -> F64:
    """Rotate (M, 68, 2) clockwise on screen about their own centres, by (M,) degrees."""
    a = np.deg2rad(degrees)[:, None]
    low, high = extent(shapes)
    centre = ((low + high) / 2)[:, None]
    x, y = np.moveaxis(shapes - centre, -1, 0)
    turned: F64 = np.stack([np.cos(a) * x - np.sin(a) * y, np.sin(a) * x + np.cos(a) * y], axis=-1) + centre
    return turned


def extent(shapes: F64) -> tuple[F64, F64]:
    """(M, 2) least and (M, 2) largest coordinates of (M, 68, 2): along rows that lie together, a fifth of the time."""
    by_axis = np.ascontiguousarray(np.moveaxis(shapes, 2, 0))
    return by_axis.min(axis=2).T, by_axis.max(axis=2).T


def rebox(shapes: F64, dx: F64, dy: F64, scale: F64) -> F64:
    """Express shapes in a box that is off from their tight square.

    Args:
        shapes: (M, 68, 2), any frame.
        dx: (M,) offset of the box centre, in true sides.
        dy: as dx.
        scale: (M,) box side ÷ true side.

    Returns:
        (M, 68, 2) in the frame of the box; dx = dy = 0 and scale = 1 give the shapes' own box frame.
    """
    low, high = extent(shapes)
    side = (high - low).max(axis=1)
    centre = (low + high) / 2 + np.stack([dx, dy], axis=-1) * side[:, None]
    result: F64 = (shapes - centre[:, None]) / (side * scale)[:, None, None] + 0.5
    return result
