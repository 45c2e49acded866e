"""Making the exemplars of a training set (paper §3.1, Eq. 6).

Two ways, one function (`build`): K = 2 · V · M, where every training face, its mirror and synthetic poses of both are
exemplars; and k-means to any smaller K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.exemplars import PRIOR_MEMBERS, SAME_SHAPE, Exemplars, Recipe, squared_distances
from exalign_engine.exemplars.synthetic import Variation, draw_transforms, poses_by_variant
from exalign_engine.geometry.head_pose import fit_mean_face
from exalign_engine.geometry.landmarks import N_LANDMARKS, mirror_shapes

#: Coordinates are stored as 16-bit multiples of 2⁻¹⁴ box sides (range ±2; error ≤ 3.1e-5 box sides).
SHAPE_UNIT = 2.0**-14

#: Shapes among which a class looks for its members.
MAX_POOL = 40_000


def build(
    shapes: F64,
    ids: Sequence[str],
    tau: float,
    *,
    variants: int = 1,
    variation: Variation | None = None,
    k: int | None = None,
    seed: int = 0,
) -> Exemplars:
    """Make the exemplars of a training set.

    Args:
        shapes: (M, 68, 2) float64, each in its own box frame.
        ids: M names.
        tau: membership radius τ, box sides.
        variants: poses a face: the true one and ``variants − 1`` synthetic ones.
        variation: how the synthetic ones are drawn; default `Variation()`.
        k: None takes every pose and its mirror (K = 2 · M · variants). A smaller number runs k-means on those;
            an odd number adds the symmetrised mean as the one class that is its own mirror.
        seed: of synthetic poses and of k-means.

    Raises:
        ValueError: k is below 1 or above the number of poses.
    """
    rng = np.random.default_rng([seed, 0xE8])
    recipe = make_recipe(shapes, variants, variation or Variation(), rng)
    every = mirrored_exemplars(recipe, np.zeros(0, np.float32), tuple(ids))
    if k is None or k == every.count:
        half = every.count // 2
        variance = member_variance(every.shapes[:half], _thinned(every.shapes), tau)
        return replace(every, variance=np.concatenate([variance, variance]).astype(np.float32))
    if not 1 <= k <= every.count:
        raise ValueError(f"k = {k} is not between 1 and the {every.count} poses")
    half = k // 2
    poses = every.shapes[: every.count // 2].astype(np.float64)
    means = k_means(poses, half, rng) if half else np.empty((0, N_LANDMARKS, 2))
    centres = np.concatenate([means, mirror_shapes(means)])
    mirror = np.concatenate([np.arange(half, 2 * half), np.arange(half)])
    if k % 2:
        centres = np.concatenate([centres, every.shapes.mean(axis=0, keepdims=True, dtype=np.float64)])
        mirror = np.append(mirror, k - 1)
    variance = member_variance(centres, _thinned(every.shapes), tau)
    return Exemplars(
        shapes=centres.astype(np.float32),
        # Equal for a class and its mirror to the last bit.
        variance=((variance + variance[mirror]) / 2).astype(np.float32),
        mirror_of=mirror.astype(np.int32),
        source=np.full(k, -1, np.int32),
        source_ids=tuple(ids),
    )


def mirrored_exemplars(
    recipe: Recipe, variance: F32, source_ids: tuple[str, ...], shapes: F32 | None = None
) -> Exemplars:
    """What a recipe makes, and its mirror image: K = 2 · V · M.

    Args:
        recipe: see `Recipe`.
        variance: (K,) v_k.
        source_ids: M names.
        shapes: `mirrored_shapes` of the recipe, where they are at hand.
    """
    shapes = np.ascontiguousarray(mirrored_shapes(recipe)) if shapes is None else shapes
    half = len(shapes) // 2
    owner = np.tile(np.arange(len(recipe.faces), dtype=np.int32), len(recipe.transforms))
    return Exemplars(
        shapes=shapes,
        variance=variance,
        mirror_of=np.concatenate([np.arange(half, 2 * half), np.arange(half)]).astype(np.int32),
        source=np.concatenate([owner, owner]),
        source_ids=source_ids,
        recipe=recipe,
    )


def mirrored_shapes(recipe: Recipe) -> F32:
    """(K, 68, 2) what a recipe makes, then its mirror image. In memory it is (K, 2, 68), as the kernels read it."""
    faces, half = len(recipe.faces), len(recipe.faces) * len(recipe.transforms)
    shapes = np.empty((2 * half, 2, N_LANDMARKS), np.float32)
    for v, poses in enumerate(poses_by_variant(recipe)):
        start = v * faces
        shapes[start : start + faces] = np.swapaxes(poses, 1, 2)
        shapes[half + start : half + start + faces] = np.swapaxes(mirror_shapes(poses), 1, 2)
    return np.swapaxes(shapes, 1, 2)


def _thinned(pool: F32) -> F32:
    """Every n-th shape, `MAX_POOL` at most: v_k is a mean, and K² distances at K = 140,000 take minutes."""
    return pool[:: -(-len(pool) // MAX_POOL)]


def make_recipe(shapes: F64, variants: int, variation: Variation, rng: np.random.Generator) -> Recipe:
    """Draw the synthetic poses: the first variant of each face is the face itself.

    Args:
        shapes: (M, 68, 2) float64, each in its own box frame; rounded to `SHAPE_UNIT`, as a bundle keeps them.
        variants: V.
        variation: how the others are drawn.
        rng: the only source of randomness.
    """
    faces = np.round(shapes / SHAPE_UNIT) * SHAPE_UNIT
    transforms = np.zeros((variants, len(faces), 6), np.float32)
    for v in range(1, variants):
        transforms[v] = draw_transforms(len(faces), variation, rng)
    # Without turns the depth is not looked at, and a few faces need not do for structure from motion.
    mean_face = fit_mean_face(faces) if transforms[:, :, :2].any() else np.zeros((N_LANDMARKS, 3))
    return Recipe(faces, transforms, mean_face)


def member_variance(centres: NDArray[np.floating], pool: NDArray[np.floating], tau: float, block: int = 1024) -> F64:
    """v_k: mean squared per-coordinate distance of the members M_k = {i : ‖y_i − µ_k‖ ≤ τ} (Eq. 6).

    A class's own face is no member here, and small classes are shrunk to the mean of all by
    `PRIOR_MEMBERS` pseudo-members.

    Args:
        centres: (K, 68, 2).
        pool: (M, 68, 2).
        tau: box sides.
        block: classes at a time; bounds memory to block × M floats.

    Returns:
        (K,) box sides², > 0.
    """
    total, count = np.zeros(len(centres)), np.zeros(len(centres))
    for start in range(0, len(centres), block):
        d = squared_distances(centres[start : start + block], pool)
        member = (d <= tau * tau) & (d > SAME_SHAPE)
        total[start : start + block] = np.where(member, d, 0).sum(axis=1) / 2
        count[start : start + block] = member.sum(axis=1)
    mean = total.sum() / count.sum() if count.sum() else tau * tau / 2
    return (total + PRIOR_MEMBERS * mean) / (count + PRIOR_MEMBERS)


def k_means(shapes: F64, k: int, rng: np.random.Generator, iterations: int = 40) -> F64:
    """Lloyd's algorithm from k-means++ seeds.

    Args:
        shapes: (M, 68, 2).
        k: 1 … M clusters.
        rng: draws the seeds.
        iterations: at most; stops when no shape changes its cluster.

    Returns:
        (k, 68, 2) cluster means. A cluster that loses all its members restarts at the shape farthest from its mean.
    """
    m = len(shapes)
    centres = np.empty((k, N_LANDMARKS, 2))
    nearest = np.full(m, np.inf)
    centres[0] = shapes[rng.integers(m)]
    for j in range(1, k):
        nearest = np.minimum(nearest, squared_distances(centres[j - 1 : j], shapes)[0])
        total = nearest.sum()
        weights = nearest / total if total > 0 else np.full(m, 1 / m)
        centres[j] = shapes[rng.choice(m, p=weights)]
    label = np.full(m, -1)
    for _ in range(iterations):
        previous, best = label, np.empty(m)
        label = np.empty(m, dtype=np.int64)
        for start in range(0, m, 4096):
            d = squared_distances(shapes[start : start + 4096], centres)
            label[start : start + 4096] = d.argmin(axis=1)
            best[start : start + 4096] = d.min(axis=1)
        if np.array_equal(label, previous):
            break
        size = np.bincount(label, minlength=k)
        sums = np.zeros_like(centres)
        np.add.at(sums, label, shapes)
        filled = size > 0
        centres[filled] = sums[filled] / size[filled, None, None]
        centres[~filled] = shapes[np.argsort(best)[::-1][: int((~filled).sum())]]
    return centres
