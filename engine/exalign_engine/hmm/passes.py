"""Compiled passes over all K classes in a step of the filter: each in place of several of NumPy's, with the same bits.

Every number is rounded as in the line of NumPy beside it, and sums are taken in NumPy's order
(`exalign_engine.posterior.held`). The tests have those lines, and compare exactly.
"""

from __future__ import annotations

import numpy as np

from exalign_engine.arrays import F32, F64, I32
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.held import pairwise_sum

#: Numbers of another type that NumPy converts, and then adds, at a time.
CHUNK = 8192


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def most_mass(
    evidence: F32, counts: F64, scale: F64, total: float, peak: float, even: float, index: I32, stays: F64
) -> F32:
    """(K,) float32 α̂: e · float32(min(Σ w, n · max w) · n^-½ + what stays + even).

    Args:
        evidence: (K,) e^γ.
        counts: (K,) n_k.
        scale: (K,) n_k^-½.
        total: Σ w of the sources.
        peak: their largest w.
        even: what every class gets.
        index: (S,) the sources.
        stays: (S,) what stays with each.
    """
    out = np.empty(evidence.shape[0], np.float32)
    for j in range(evidence.shape[0]):
        out[j] = evidence[j] * np.float32(min(total, counts[j] * peak) * scale[j] + even)
    for s in range(index.shape[0]):
        j = index[s]
        out[j] = evidence[j] * np.float32(min(total, counts[j] * peak) * scale[j] + stays[s] + even)
    return out


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def places_between(values: F32, low: float, above: float) -> I32:
    """(M,) int32 ascending: ``np.flatnonzero((values >= low) & (values < above))``."""
    found, size = np.empty(values.shape[0], np.int32), 0
    for i in range(values.shape[0]):
        found[size] = i
        size += (values[i] >= low) & (values[i] < above)
    return found[:size].copy()


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def sum_below(values: F32, limit: float) -> float:
    """``values[values < limit].sum(dtype=np.float64)``."""
    chunk, size, total = np.empty(CHUNK), 0, 0.0
    for i in range(values.shape[0]):
        chunk[size] = values[i]
        size += values[i] < limit
        if size == CHUNK:
            total += pairwise_sum(chunk, CHUNK)
            size = 0
    return total + pairwise_sum(chunk, size) if size else total
