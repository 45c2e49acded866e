"""Exemplars: the K discrete shapes µ_k that the network scores (paper Eq. 2, 6).

All shapes live in the box frame. Two ways to make them, one function (`build`): K = M, where every training
face, its mirror and synthetic poses of both are exemplars; and k-means to any smaller K. Either way the set is
closed under mirroring: ``shapes[mirror_of[k]]`` is ``shapes[k]`` flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.landmarks import N_LANDMARKS, mirror_shapes

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Pseudo-members by which a small class borrows the mean spread of all classes.
PRIOR_MEMBERS = 10.0


#: Shapes nearer than this are one and the same (box sides²): above the float32 noise of `squared_distances`, which
#: was seen to reach 3e-7, and below the nearest two of 1,500 training faces, 8e-5.
SAME_SHAPE = 3e-6


@dataclass(frozen=True)
class Variation:
    """How synthetic poses of a face are drawn: rotated in the plane, and seen in an imperfect box.

    A box given by a detector is never the tight one, and an exemplar cannot translate: exemplars whose box is
    off let the mixture answer rightly in a box that is off.

    Args:
        roll_deg: standard deviation of the rotation, degrees; cut at 3 σ.
        shift: standard deviation of the box centre's offset in x and y, box sides; cut at 3 σ.
        log_scale: standard deviation of ln(box side ÷ true side); cut at 3 σ.
    """

    roll_deg: float = 15.0
    shift: float = 0.035
    log_scale: float = 0.07


@dataclass(frozen=True)
class Exemplars:
    """The discrete shapes and what is known of each.

    Attributes:
        shapes: (K, 68, 2) float32, box frame.
        variance: (K,) float32, v_k: mean squared per-coordinate distance of class k's members, box sides².
        mirror_of: (K,) int32.
        source: (K,) int32, index into ``source_ids``; −1 for a k-means centre.
        source_ids: ids of the training faces.
    """

    shapes: F32
    variance: F32
    mirror_of: NDArray[np.int32]
    source: NDArray[np.int32]
    source_ids: tuple[str, ...]

    @property
    def count(self) -> int:
        """K."""
        return int(self.shapes.shape[0])

    def source_id(self, k: int) -> str:
        """Id of the training face behind class k; empty for a k-means centre."""
        return self.source_ids[self.source[k]] if self.source[k] >= 0 else ""


def vary(shapes: F64, variation: Variation, rng: np.random.Generator) -> F64:
    """One synthetic pose of each shape: rotated, then seen in an imperfect box.

    Args:
        shapes: (M, 68, 2), each in its own box frame.
        variation: spreads.
        rng: the only source of randomness.

    Returns:
        (M, 68, 2) in the frames of the imperfect boxes.
    """
    m = shapes.shape[0]
    roll, dx, dy, log_scale = np.clip(rng.standard_normal((4, m)), -3, 3)
    rotated = rotate(shapes, variation.roll_deg * roll)
    return rebox(rotated, variation.shift * dx, variation.shift * dy, np.exp(variation.log_scale * log_scale))


def rotate(shapes: F64, degrees: F64) -> F64:
    """Rotate (M, 68, 2) clockwise on screen about their own centres, by (M,) degrees."""
    a = np.deg2rad(degrees)[:, None]
    centre = (shapes.min(axis=1, keepdims=True) + shapes.max(axis=1, keepdims=True)) / 2
    x, y = np.moveaxis(shapes - centre, -1, 0)
    turned: F64 = np.stack([np.cos(a) * x - np.sin(a) * y, np.sin(a) * x + np.cos(a) * y], axis=-1) + centre
    return turned


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
    low, high = shapes.min(axis=1), shapes.max(axis=1)
    side = (high - low).max(axis=1)
    centre = (low + high) / 2 + np.stack([dx, dy], axis=-1) * side[:, None]
    result: F64 = (shapes - centre[:, None]) / (side * scale)[:, None, None] + 0.5
    return result


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
    variation = variation or Variation()
    poses = np.concatenate([shapes, *(vary(shapes, variation, rng) for _ in range(variants - 1))])
    owner = np.tile(np.arange(len(ids), dtype=np.int32), variants)
    pool = np.concatenate([poses, mirror_shapes(poses)])
    if k is None or k == len(pool):
        centres = pool
        half = len(poses)
        mirror = np.concatenate([np.arange(half, 2 * half), np.arange(half)])
        source = np.concatenate([owner, owner])
    else:
        if not 1 <= k <= len(pool):
            raise ValueError(f"k = {k} is not between 1 and the {len(pool)} poses")
        half = k // 2
        means = k_means(poses, half, rng) if half else np.empty((0, N_LANDMARKS, 2))
        centres = np.concatenate([means, mirror_shapes(means)])
        mirror = np.concatenate([np.arange(half, 2 * half), np.arange(half)])
        if k % 2:
            centres = np.concatenate([centres, pool.mean(axis=0, keepdims=True)])
            mirror = np.append(mirror, k - 1)
        source = np.full(k, -1)
    variance = member_variance(centres, pool, tau)
    return Exemplars(
        shapes=centres.astype(np.float32),
        variance=variance.astype(np.float32),
        mirror_of=mirror.astype(np.int32),
        source=source.astype(np.int32),
        source_ids=tuple(ids),
    )


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> F32:
    """Squared distances between shapes (design §2: mean over points of the squared Euclidean distance).

    Args:
        a: (A, 68, 2).
        b: (B, 68, 2).

    Returns:
        (A, B) float32, box sides².
    """
    # Centred at 0.5 so that the expansion |a|² + |b|² − 2ab loses no float32 digits to the mean.
    p = (np.asarray(a, dtype=np.float32) - 0.5).reshape(len(a), -1)
    q = (np.asarray(b, dtype=np.float32) - 0.5).reshape(len(b), -1)
    d = (p * p).sum(axis=1)[:, None] + (q * q).sum(axis=1) - 2.0 * (p @ q.T)
    result: F32 = np.maximum(d, 0.0) / np.float32(N_LANDMARKS)
    return result


def member_variance(centres: F64, pool: F64, tau: float, block: int = 1024) -> F64:
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
