"""Which exemplars lie within τ of which, without a list of neighbours.

    i ∈ N(j)  ⟺  Σ_n ‖µ_in − µ_jn‖² ≤ N τ²        (distance of design §2; symmetric; every j is in its own N(j))  (N1)

At K = 140k the lists would hold half a thousand million entries, so nearness is decided when it is asked. With Q the
principal axes of the shapes, y = Qᵀ(µ − mean)/√N split into a prefix of P coordinates and the length ρ of what is left,

    ‖y_i − y_j‖²_P + (ρ_i − ρ_j)²  ≤  d²_ij  ≤  ‖y_i − y_j‖²_P + (ρ_i + ρ_j)²                                     (N2)

Most pairs are told apart by the first few coordinates; those that (N2) leaves open are summed by (N1) itself, so
that membership is exact: (N2) is widened by what float32 may be wrong by (`_slack`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exalign_engine.hmm_kernels import LANES, ROUNDING, STRIDE, first_near, near_mass

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

#: Coordinates of the prefix, P: a multiple of `STRIDE`.
PREFIX = 16

#: Most shapes in a part that is not halved any more when shapes are put into spatial order.
LEAF = 8

#: Coordinate of what pads a block.
FAR = 1e15

#: Up to so many classes n̄ is counted; above it is the mean over a seeded sample of that many.
COUNTED, SAMPLED = 4096, 1024


class Neighbours:
    """Nearness between the shapes of one bundle; read-only once built, so threads may share it.

    Args:
        shapes: (K, N, 2), box frame.
        tau: radius, box sides, > 0.

    Raises:
        ValueError: no shapes, shapes that are not finite, or a radius that is not finite and above 0.
    """

    def __init__(self, shapes: NDArray[np.floating], tau: float) -> None:
        if shapes.ndim != 3 or shapes.shape[0] < 1 or shapes.shape[2] != 2:
            raise ValueError(f"shapes have shape {shapes.shape}, must be (K, N, 2) with K at least 1")
        if not np.isfinite(shapes).all():
            raise ValueError("shapes hold a coordinate that is not finite")
        if not (math.isfinite(tau) and tau > 0):
            raise ValueError(f"tau is {tau}, must be a finite number above 0")
        self.count, self.tau = len(shapes), float(tau)
        self._rows: F32 = np.ascontiguousarray(shapes.reshape(self.count, -1), dtype=np.float32)
        self._limit = shapes.shape[1] * self.tau**2
        self._prefix, self._rest = _principal_prefix(self._rows, shapes.shape[1])
        self._low, self._high = _slack(self._prefix, self._rest, self.tau)
        self._rank = _spatial_rank(self._prefix)
        self.mean_count = self._mean_count()

    def mass(self, sources: I32, weights: F64, targets: I32) -> F64:
        """(T,) float64: Σ_{i ∈ N(j)} w_i over the sources, for every target j.

        Args:
            sources: (S,) int32, classes, all different.
            weights: (S,) float64.
            targets: (T,) int32.
        """
        if not len(sources) or not len(targets):
            return np.zeros(len(targets))
        order = np.argsort(self._rank[sources])
        blocks = self._blocks(sources[order])
        padded = np.zeros(blocks[2].size)
        padded[: len(order)] = weights[order]
        return np.asarray(near_mass(*blocks, padded, targets, *self._geometry()))

    def first(self, sources: I32, targets: I32) -> I32:
        """(T,) int32: position of the first source that is near each target; -1: none is.

        Args:
            sources: (S,) int32, classes, all different, in any order.
            targets: (T,) int32.
        """
        if not len(sources) or not len(targets):
            return np.full(len(targets), -1, np.int32)
        order = np.argsort(self._rank[sources]).astype(np.int32)
        blocks = self._blocks(sources[order])
        places = np.arange(blocks[2].size, dtype=np.int32)
        places[: len(order)] = order
        visit = np.argsort(places.reshape(-1, LANES).min(axis=1)).astype(np.int32)
        return np.asarray(first_near(*blocks, places, visit, targets, *self._geometry()))

    def _geometry(self) -> tuple[F32, F32, F32, float, float, float]:
        return self._prefix, self._rest, self._rows, self._limit, self._low, self._high

    def _blocks(self, sources: I32) -> tuple[I32, F32, F32, F32]:
        """Sources, blocks, rests and balls as `exalign_engine.hmm_kernels` has them; sources in spatial order."""
        starts = np.arange(0, len(sources), LANES)
        padding = len(starts) * LANES - len(sources)
        prefix, rest = self._prefix[sources], self._rest[sources]
        blocks = np.pad(prefix, ((0, padding), (0, 0)), constant_values=FAR).reshape(len(starts), LANES, -1)
        rests = np.pad(rest, (0, padding)).reshape(len(starts), LANES)
        sizes = np.diff(np.append(starts, len(sources)))
        balls = np.empty((len(starts), prefix.shape[1] + 2), np.float32)
        balls[:, :-2] = np.add.reduceat(prefix, starts) / sizes[:, None]
        off = prefix.astype(np.float64) - np.repeat(balls[:, :-2], sizes, axis=0)
        radius = np.sqrt(np.maximum.reduceat((off**2).sum(axis=1), starts))
        balls[:, -2] = np.nextafter((radius * (1 + ROUNDING)).astype(np.float32), np.float32(np.inf))
        balls[:, -1] = np.maximum.reduceat(rest, starts)
        return sources, np.ascontiguousarray(blocks.transpose(0, 2, 1)), rests, balls

    def _mean_count(self) -> float:
        """n̄: mean |N(j)|, counted up to `COUNTED` classes; above, the mean over a seeded sample of them."""
        everyone = np.arange(self.count, dtype=np.int32)
        targets = everyone
        if self.count > COUNTED:
            targets = np.random.default_rng(0).choice(everyone, SAMPLED, replace=False)
        return float(self.mass(everyone, np.ones(self.count), targets).mean())


def _spatial_rank(prefix: F32) -> I32:
    """(K,) int32: places in an order in which what is close in space mostly is close: halved along the widest axis."""
    rank = np.empty(len(prefix), np.int32)
    parts, place = [np.arange(len(prefix))], 0
    while parts:
        part = parts.pop()
        if len(part) <= LEAF:
            rank[part] = np.arange(place, place + len(part))
            place += len(part)
            continue
        points = prefix[part]
        along = points[:, int(np.argmax(points.max(axis=0) - points.min(axis=0)))]
        part = part[np.argsort(along, kind="stable")]
        parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return rank


def _principal_prefix(rows: F32, landmarks: int) -> tuple[F32, F32]:
    """(K, P) float32 first principal coordinates over √N, and (K,) float32 length of the others."""
    centred = rows.astype(np.float64)
    centred -= centred.mean(axis=0)
    centred /= math.sqrt(landmarks)
    _, axes = np.linalg.eigh(centred.T @ centred)
    width = min(PREFIX, rows.shape[1])
    prefix = centred @ axes[:, ::-1][:, :width]
    left = np.maximum((centred**2).sum(axis=1) - (prefix**2).sum(axis=1), 0.0)
    # Shapes of few landmarks have few coordinates; the kernels take them by the stride.
    prefix = np.pad(prefix, ((0, 0), (0, -width % STRIDE)))
    return np.ascontiguousarray(prefix, dtype=np.float32), np.sqrt(left).astype(np.float32)


def _slack(prefix: F32, rest: F32, tau: float) -> tuple[float, float]:
    """Squared distances above which a pair is surely apart, and up to which it is surely near.

    Each coordinate is at most R = max(|y|, ρ) and was rounded to float32, as its difference is: the vector of P + 1
    differences is off by at most η = √(P + 1) · 2⁻²² R, and the sum of its squares by P + 2 roundings more. ρ itself
    comes of a difference of squares and may be off by 2⁻²⁴ R, where R² bounds both squares.
    """
    reach = float(max(np.sqrt((prefix.astype(np.float64) ** 2).sum(axis=1)).max(), rest.max()))
    eta = (math.sqrt(prefix.shape[1] + 1) * 2.0**-22 + 2.0**-20) * reach
    grow = 1 + (prefix.shape[1] + 2) * 2.0**-22
    low = (tau + eta) ** 2 * grow
    high = max(tau - eta, 0.0) ** 2 / grow
    return low, high
