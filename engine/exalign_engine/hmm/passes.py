"""Compiled passes over all K classes in a step of the filter: each in place of several of NumPy's, with the same bits.

Every number is rounded as in the line of NumPy that is named. The tests have those lines, and compare exactly.
"""

from __future__ import annotations

import numpy as np

from exalign_engine.arrays import F32, F64, I32
from exalign_engine.libraries.njit import njit


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
def without(values: F32, places: I32) -> F32:
    """``np.delete(values, places)``, copied stretch by stretch.

    Args:
        values: (K,).
        places: ascending, all different.
    """
    out, size, start = np.empty(values.shape[0] - places.shape[0], np.float32), 0, 0
    for place in places:
        if place > start:
            end = size + place - start
            out[size:end] = values[start:place]
            size = end
        start = place + 1
    out[size:] = values[start:]
    return out
