"""Exemplars: the K discrete shapes µ_k that the network scores (paper Eq. 2, 6).

All shapes live in the box frame. `exalign_engine.exemplars.building` makes them; the set is closed under mirroring:
``shapes[mirror_of[k]]`` is ``shapes[k]`` flipped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.spatial_order import SpatialOrder, padded_prefix
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.tables.store import Layout, Tables

#: Pseudo-members by which a small class borrows the mean spread of all classes.
PRIOR_MEMBERS = 10.0


#: Shapes nearer than this are one and the same (box sides²): above the float32 noise of `squared_distances`, which
#: was seen to reach 3e-7, and below the nearest two of 1,500 training faces, 8e-5.
SAME_SHAPE = 3e-6


@dataclass(frozen=True)
class Recipe:
    """How K = 2 · V · M exemplars come from M training faces; see `exalign_engine.exemplars.synthetic.synthesise`.

    Exemplar v · M + m is face m under ``transforms[v, m]``, and exemplar V · M + v · M + m its mirror. So a bundle
    keeps M shapes and six numbers an exemplar instead of 136.

    Attributes:
        faces: (M, 68, 2) float64, each in its own box frame.
        transforms: (V, M, 6) float32: yaw, pitch, roll in degrees; dx, dy of the box in box sides; ln of its scale.
        mean_face: (68, 3) float64, from which the faces' depth is taken.
    """

    faces: F64
    transforms: F32
    mean_face: F64


@dataclass(frozen=True)
class Exemplars:
    """The discrete shapes and what is known of each.

    Attributes:
        shapes: (K, 68, 2) float32, box frame; of a bundle, a view of what the kernels read, (K, 2, 68).
        variance: (K,) float32, v_k: mean squared per-coordinate distance of class k's members, box sides².
        mirror_of: (K,) int32.
        source: (K,) int32, index into ``source_ids``; −1 for a k-means centre.
        source_ids: ids of the training faces.
        recipe: how the shapes come from the training faces; None for k-means centres.
        tables: where what follows from the shapes is kept.
    """

    shapes: F32
    variance: F32
    mirror_of: NDArray[np.int32]
    source: NDArray[np.int32]
    source_ids: tuple[str, ...]
    recipe: Recipe | None = None
    tables: Tables = field(default_factory=Tables, compare=False, repr=False)

    @property
    def count(self) -> int:
        """K."""
        return int(self.shapes.shape[0])

    @cached_property
    def order(self) -> SpatialOrder:
        """Where the shapes lie; found when first read. At K = 140,000 that takes two seconds where it is not kept."""
        k, width = self.count, padded_prefix(self.shapes.shape[1])
        layout: Layout = {
            "prefix": (np.float32, (k, width)),
            "rest": (np.float32, (k,)),
            "rank": (np.int32, (k,)),
            "along": (np.int32, (k,)),
        }

        def make() -> dict[str, NDArray[Any]]:
            order = SpatialOrder.of(self.shapes)
            return {key: getattr(order, key) for key in layout}

        return SpatialOrder(**self.tables.arrays("order", layout, make))

    def source_id(self, k: int) -> str:
        """Id of the training face behind class k; empty for a k-means centre."""
        return self.source_ids[self.source[k]] if self.source[k] >= 0 else ""

    def part(self, classes: NDArray[np.integer]) -> Exemplars:
        """Some classes, (M,) ids in the order in which they will be; an id may occur again.

        Which class mirrors which, and the recipe, are not known of a part: ``mirror_of`` is all 0.
        """
        unknown = np.zeros(len(classes), np.int32)
        return Exemplars(self.shapes[classes], self.variance[classes], unknown, self.source[classes], self.source_ids)


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> F32:
    """Squared distances between shapes: the mean over points of the squared Euclidean distance.

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
