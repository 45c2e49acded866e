"""Sums over K classes of which few hold anything: the same bits as NumPy's over all of them.

A sum in floating point depends on its order. NumPy adds in pairs: halves of the array, down to blocks of `BLOCK`, and
in a block eight running sums. What is 0 changes none of them, so it may be left out. A test compares with NumPy,
exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.libraries.njit import njit

#: Numbers that are added without halving, and how many running sums there are.
BLOCK, LANES = 128, 8

#: Halvings of the longest array.
_DEPTH = 64


def entropy(p: F32, held: NDArray[np.int32] | None) -> float:
    """−Σ p ln p, nats, of (K,) probabilities; of `exalign_engine.posterior.posterior.Posterior.held`."""
    if held is not None:
        p = p[held]
    terms = (p if p.min() > 0 else p[p > 0]).astype(np.float64)
    terms *= np.log(terms)
    return max(0.0, -float(terms.sum()))  # in this order, never −0.0


def sum_of_squares(p: F32, held: NDArray[np.int32] | None) -> float:
    """Σ p² in float64 of (K,) probabilities; held: as in `entropy`."""
    if held is None:
        return float(np.square(p, dtype=np.float64).sum())
    return float(sparse_sum(np.square(p[held], dtype=np.float64), held, len(p)))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sparse_sum(values: F64, places: NDArray[np.int32], count: int) -> float:
    """NumPy's sum of ``count`` numbers that are 0 but for some.

    Args:
        values: (H,) float64, those that are not.
        places: (H,) int32 ascending, where they stand.
        count: of all numbers.
    """
    starts, sizes, depths = np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64), np.zeros(_DEPTH, np.int64)
    sums, levels, waiting, done, first = np.zeros(_DEPTH), np.zeros(_DEPTH, np.int64), 1, 0, 0
    sizes[0] = count
    while waiting:
        waiting -= 1
        start, size, depth = starts[waiting], sizes[waiting], depths[waiting]
        # A half without any number adds nothing: it is not looked into.
        while size > BLOCK and first < places.shape[0] and places[first] < start + size:
            half = size // 2 - size // 2 % LANES
            depth += 1
            starts[waiting], sizes[waiting], depths[waiting] = start + half, size - half, depth
            waiting += 1
            size = half
        end = first
        while end < places.shape[0] and places[end] < start + size:
            end += 1
        sums[done], levels[done] = _sparse_block_sum(values, places, first, end, start, size), depth
        first = end
        done += 1
        while done > 1 and levels[done - 1] == levels[done - 2]:  # both halves of one
            done -= 1
            sums[done - 1] += sums[done]
            levels[done - 1] -= 1
    return sums[0]  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sparse_block_sum(values: F64, places: NDArray[np.int32], first: int, end: int, start: int, size: int) -> float:
    """`sparse_sum` of a block: ``size`` numbers from ``start`` on, of which those of [first, end) are not 0."""
    lanes, whole = np.zeros(LANES), start + size - size % LANES
    while first < end and places[first] < whole:
        lanes[(places[first] - start) % LANES] += values[first]
        first += 1
    total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))
    for i in range(first, end):
        total += values[i]
    return total  # type: ignore[no-any-return]
