"""Which exemplars lie within τ of which, without lists (docs/decisions/neighbours.md).

    i ∈ N(j)  ⟺  Σ_n ‖µ_in − µ_jn‖² ≤ N τ²        (symmetric; every j is in its own N(j))                         (N1)

With Q the principal axes of the shapes, y = Qᵀ(µ − mean)/√N is split into a prefix of P coordinates and the length ρ of
the others, so that

    ‖y_i − y_j‖²_P + (ρ_i − ρ_j)²  ≤  d²_ij  ≤  ‖y_i − y_j‖²_P + (ρ_i + ρ_j)²                                     (N2)

Pairs that (N2) leaves open are summed by (N1), so membership is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, I32, U64
from exalign_engine.exemplars.spatial_order import SpatialOrder
from exalign_engine.hmm.kernels import LANES, first_near, mass_of_lanes, near_lanes, near_some, reach_first, spread_mass
from exalign_engine.posterior.kernels import kernel_layout
from exalign_engine.tables.store import Layout, Tables

#: Coordinate of what pads a block.
FAR = 1e15

#: Up to so many classes every n_k is exact; above, it is counted among a random part of the classes.
COUNTED = 50_000
#: Classes of that part at first, and neighbours to be found there before an estimate is believed.
SAMPLED, ENOUGH = 4096, 32


@dataclass(frozen=True)
class Sources:
    """Classes that others are compared with: made once, for any weights and targets.

    Attributes:
        order: (S,) places of the classes as they were given, in spatial order.
        blocks: sources, blocks, rests and boxes as `exalign_engine.hmm.kernels` has them.
    """

    order: NDArray[np.intp]
    blocks: tuple[I32, F32, F32, F32]


class Neighbours:
    """Nearness between the shapes of one bundle; read-only once built, so threads may share it.

    Args:
        shapes: (K, N, 2), box frame.
        tau: radius, box sides, > 0.
        order: of the same shapes, where it is at hand.
        tables: where what follows from shapes and radius is kept; None: nowhere.

    Attributes:
        count: K.
        order: of the shapes.
        rank: (K,) int32, places of the classes in that order, in which what is close in space mostly is close.

    Raises:
        ValueError: no shapes, shapes that are not finite, or a radius that is not finite and above 0.
    """

    def __init__(
        self,
        shapes: NDArray[np.floating],
        tau: float,
        order: SpatialOrder | None = None,
        tables: Tables | None = None,
    ) -> None:
        if shapes.ndim != 3 or shapes.shape[0] < 1 or shapes.shape[2] != 2:
            raise ValueError(f"shapes have shape {shapes.shape}, must be (K, N, 2) with K at least 1")
        if not np.isfinite(shapes).all():
            raise ValueError("shapes hold a coordinate that is not finite")
        if not (math.isfinite(tau) and tau > 0):
            raise ValueError(f"tau is {tau}, must be a finite number above 0")
        self.count, self.tau = len(shapes), float(tau)
        self._rows, self._tables = kernel_layout(shapes), Tables() if tables is None else tables
        self._limit = shapes.shape[1] * self.tau**2
        self.order = order or SpatialOrder.of(shapes)
        self._prefix, self._rest, self.rank = self.order.prefix, self.order.rest, self.order.rank
        self._low, self._high = _slack(self._prefix, self._rest, self.tau)

    def sources(self, classes: I32) -> Sources:
        """Classes, (S,) int32, all different, for `mass`."""
        order = np.argsort(self.rank[classes])
        return Sources(order, self._blocks(classes[order]))

    def near(self, sources: Sources, targets: I32) -> U64:
        """(T, B) uint64: which sources are near which target, for `mass_of`.

        Args:
            sources: made by `sources`.
            targets: (T,) int32.
        """
        return np.asarray(near_lanes(*sources.blocks, targets, *self._geometry()))

    def mass_of(self, near: U64, sources: Sources, weights: F64) -> F64:
        """(T,) float64: Σ_{i ∈ N(j)} w_i over the sources, for every target j.

        Args:
            near: made by `near` of the same sources.
            sources: made by `sources`.
            weights: (S,) float64, in the order in which the classes were given.
        """
        padded = np.zeros(sources.blocks[2].size)
        padded[: len(sources.order)] = weights[sources.order]
        return np.asarray(mass_of_lanes(near, padded))

    def mass(self, sources: Sources, weights: F64, targets: I32) -> F64:
        """`mass_of` for targets, (T,) int32."""
        return self.mass_of(self.near(sources, targets), sources, weights)

    def first(self, sources: I32, targets: I32) -> I32:
        """(T,) int32: position of the first source that is near each target; -1: none is.

        Args:
            sources: (S,) int32, classes, all different, in any order.
            targets: (T,) int32.
        """
        if not len(sources) or not len(targets):
            return np.full(len(targets), -1, np.int32)
        order = np.argsort(self.rank[sources]).astype(np.int32)
        blocks = self._blocks(sources[order])
        places = np.arange(blocks[2].size, dtype=np.int32)
        places[: len(order)] = order
        visit = np.argsort(places.reshape(-1, LANES).min(axis=1)).astype(np.int32)
        return np.asarray(first_near(*blocks, places, visit, targets, *self._geometry()))

    def _geometry(self) -> tuple[F32, F32, F32, float, float, float]:
        return self._prefix, self._rest, self._rows, self._limit, self._low, self._high

    def _blocks(self, sources: I32) -> tuple[I32, F32, F32, F32]:
        """Sources, blocks, rests and boxes as `exalign_engine.hmm.kernels` has them; sources in spatial order."""
        starts = np.arange(0, len(sources), LANES)
        prefix, rest = self._prefix[sources], self._rest[sources]
        blocks = np.full((len(starts), LANES, prefix.shape[1]), FAR, np.float32)
        blocks.reshape(-1, prefix.shape[1])[: len(sources)] = prefix
        rests = np.zeros((len(starts), LANES), np.float32)
        rests.reshape(-1)[: len(sources)] = rest
        least, most = np.minimum.reduceat(prefix, starts), np.maximum.reduceat(prefix, starts)
        middle = (least + most) / np.float32(2)
        half = np.nextafter(np.maximum(most - middle, middle - least), np.float32(np.inf))
        boxes = np.concatenate([middle, half, np.maximum.reduceat(rest, starts)[:, None]], axis=1)
        return sources, np.ascontiguousarray(blocks.transpose(0, 2, 1)), rests, boxes

    @property
    def counts(self) -> F64:
        """(K,) float64 ≥ 1: n_k = |N(k)|, k itself among them; counted when first read, then kept.

        Exact up to `COUNTED` classes, and for those with fewer than `ENOUGH` neighbours. Otherwise estimated from a
        seeded random part of the classes, with a relative standard error of at most about 1/√`ENOUGH`.
        """
        return self._census[0]

    def spread(self, sources: I32, weights: F64) -> F64:
        """(K,) float64: an estimate of `mass` for all classes, in no time; its sum is exact where all n_k are.

        Each class knows `ENOUGH` of its neighbours, or all where it has fewer. These stand for all of them.

        Args:
            sources: (S,) int32, classes, all different.
            weights: (S,) float64.
        """
        return np.asarray(spread_mass(sources, weights, *self._census))

    def reach(self, sources: I32) -> I32:
        """(K,) int32: position of the first source from which each class is known to be near; -1: of none.

        What `first` is for all classes, but for the neighbours that are not known (see `spread`).

        Args:
            sources: (S,) int32, classes, all different, in any order.
        """
        _, some, held = self._census
        return np.asarray(reach_first(sources, some, held))

    @cached_property
    def _census(self) -> tuple[F64, I32, I32]:
        """n_k (K,), some of the others near k (K, `ENOUGH`) and how many (K,)."""
        k = self.count
        layout: Layout = {
            "counts": (np.float64, (k,)),
            "some": (np.int32, (k, ENOUGH)),
            "held": (np.int32, (k,)),
        }
        made = self._tables.arrays(f"neighbours-{self.tau.hex()}", layout, self._take_census)
        return made["counts"], made["some"], made["held"]

    def _take_census(self) -> dict[str, NDArray[Any]]:
        everyone = np.arange(self.count, dtype=np.int32)
        shuffled = np.random.default_rng(0).permutation(everyone)
        some, held = np.zeros((self.count, ENOUGH), np.int32), np.zeros(self.count, np.int32)
        found, counts, open_ = np.zeros(self.count), np.empty(self.count), everyone
        place = np.empty(self.count, np.int32)
        place[shuffled] = everyone
        start, end = 0, self.count if self.count <= COUNTED else SAMPLED
        while len(open_):
            part = shuffled[start:end]
            part = part[np.argsort(self.rank[part])]
            found[open_] += near_some(*self._blocks(part), open_, *self._geometry(), some, held)
            itself = place[open_] < end
            others = found[open_]
            counts[open_] = 1 + others * (self.count - 1) / np.maximum(end - itself, 1)
            open_ = open_[others < ENOUGH] if end < self.count else open_[:0]
            start, end = end, min(8 * end, self.count)
        return {"counts": counts, "some": some, "held": held}


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
