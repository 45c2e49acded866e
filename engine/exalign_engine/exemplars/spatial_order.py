"""An order of the exemplars in which what is close in space mostly is close.

What is cut short leaves, along this order, every n-th of many (`exalign_engine.posterior.thinning`): so that what goes
is stood for by what lies near it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, I32

#: Coordinates of the prefix, P: a multiple of `STRIDE`.
PREFIX = 16

#: Coordinates that the kernels compare at a time.
STRIDE = 4

#: Most shapes in a part that is not halved any more.
LEAF = 8


@dataclass(frozen=True)
class SpatialOrder:
    """Where shapes lie, in short.

    Attributes:
        prefix: (K, P) float32, first principal coordinates ÷ √N.
        rest: (K,) float32, length of the other coordinates.
        rank: (K,) int32, place of each shape in the order.
        along: (K,) int32, the shapes in the order: the inverse of ``rank``.
    """

    prefix: F32
    rest: F32
    rank: I32
    along: I32

    @classmethod
    def of(cls, shapes: NDArray[np.floating]) -> SpatialOrder:
        """The order of some shapes, (K, N, 2)."""
        rows = np.ascontiguousarray(shapes.reshape(len(shapes), -1), dtype=np.float32)
        prefix, rest = _principal_prefix(rows, shapes.shape[1])
        rank = _spatial_rank(prefix)
        return cls(prefix, rest, rank, np.argsort(rank).astype(np.int32))


def padded_prefix(landmarks: int) -> int:
    """P for shapes of so many landmarks."""
    return -(-min(PREFIX, 2 * landmarks) // STRIDE) * STRIDE


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
    prefix = np.pad(prefix, ((0, 0), (0, padded_prefix(landmarks) - width)))
    return np.ascontiguousarray(prefix, dtype=np.float32), np.sqrt(left).astype(np.float32)
