"""Compiled kernels of the posterior. Each has a slow float64 twin in the tests and states its error bound.

They run without the GIL. Shapes are laid out (K, 2, N): all x of an exemplar, then all y, so that the inner
loops over landmarks are contiguous. Compilation is cached on disk (`NUMBA_CACHE_DIR` moves the cache).
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.libraries.njit import njit

#: Grid of `rice_table`: d/r from 0 to U_MAX, and ln(σ/r) from LOG_S_MIN to LOG_S_MAX.
U_CELLS, U_MAX = 384, 6.0
S_CELLS, LOG_S_MIN, LOG_S_MAX = 96, math.log(0.02), math.log(20.0)
RICE_TABLE = Path(__file__).with_name("rice_table.npy")


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def weighted_moments(weights: F32, index: NDArray[np.int32], shapes: F32) -> tuple[F64, F64]:
    """First and second moments of a weighted set of shapes.

    Args:
        weights: (M,) float32 ≥ 0, in any scale.
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.

    Returns:
        mean (2, N) float64, and covariance (3, N) float64 as xx, xy, yy. Sums are taken about the first shape,
        so that float32 products lose no digits to the common mean; against float64 throughout, the error is
        below 1e-6 box sides and 1e-6 box sides².
    """
    n = shapes.shape[2]
    sums = np.zeros((5, n))
    pivot = shapes[index[0]]
    total = 0.0
    for m in range(index.shape[0]):
        shape, w = shapes[index[m]], float(weights[m])
        total += w
        for j in range(n):
            x, y = shape[0, j] - pivot[0, j], shape[1, j] - pivot[1, j]
            sums[0, j] += w * x
            sums[1, j] += w * y
            sums[2, j] += w * x * x
            sums[3, j] += w * x * y
            sums[4, j] += w * y * y
    mean, covariance = np.empty((2, n)), np.empty((3, n))
    for j in range(n):
        mx, my = sums[0, j] / total, sums[1, j] / total
        mean[0, j], mean[1, j] = mx + pivot[0, j], my + pivot[1, j]
        covariance[0, j] = max(sums[2, j] / total - mx * mx, 0.0)
        covariance[1, j] = sums[3, j] / total - mx * my
        covariance[2, j] = max(sums[4, j] / total - my * my, 0.0)
    return mean, covariance


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def nearness(index: NDArray[np.int32], shapes: F32, start: F64, reach: float) -> F32:
    """exp(−‖µ_k − y₀‖² / 2h²) for some exemplars.

    Args:
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        start: (2, N) float64, y₀.
        reach: h > 0, a distance (root mean square over the N points), same unit as the shapes.

    Returns:
        (M,) float32 in [0, 1]; within 1e-5.
    """
    n = shapes.shape[2]
    out = np.empty(index.shape[0], np.float32)
    centre = np.ascontiguousarray(start).astype(np.float32)  # often a transposed view: rows are read along j
    scale = -0.5 / (n * reach * reach)
    for m in range(index.shape[0]):
        shape, total = shapes[index[m]], np.float32(0)
        for j in range(n):
            x, y = shape[0, j] - centre[0, j], shape[1, j] - centre[1, j]
            total += x * x + y * y
        out[m] = math.exp(scale * total)
    return out


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def moved_shapes(index: NDArray[np.int32], shapes: F32, displacement: F32, share: F32, shift: F32) -> F32:
    """Copies of exemplars, displaced and then moved with the box.

    Args:
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        displacement: (2, N) float32, r.
        share: (M,) float32, how much of r each takes.
        shift: (M, 3) float32, (dx, dy, ln s) of each: y + (dx, dy) + ln s · (y − ½).

    Returns:
        (M, 2, N) float32; within 1e-6 of float64 for shapes and moves of order one.
    """
    n = shapes.shape[2]
    out = np.empty((index.shape[0], 2, n), np.float32)
    half = np.float32(0.5)
    for m in range(index.shape[0]):
        w, grown = share[m], shift[m, 2]
        for c in range(2):
            source, target, r, d = shapes[index[m], c], out[m, c], displacement[c], shift[m, c]
            for j in range(n):
                y = source[j] + w * r[j]
                target[j] = y + (d + grown * (y - half))
    return out


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def disc_mass(
    weights: F32,
    index: NDArray[np.int32],
    shapes: F32,
    class_log_sigma: F32,
    landmark_log_sigma: F32,
    centre: F64,
    radius: float,
    table: F32,
) -> F64:
    """P(‖y_n − centre_n‖ ≤ radius) for every landmark under a mixture of isotropic Gaussians.

    Args:
        weights: (M,) float32 that sum to 1.
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        class_log_sigma: (K,) float32, ln √(c v_k).
        landmark_log_sigma: (N,) float32, ln √a_n.
        centre: (2, N) float64.
        radius: > 0, same unit as the shapes.
        table: `rice_table()`.

    Returns:
        (N,) float64 in [0, 1]; within 2e-3 of the exact value where σ/radius is from 0.07 to 2, as calibrated
        kernels are. A wider kernel is within 1e-2. A narrower one is within 2e-2 down to 0.02; below that it is read
        as 0.02, which is wrong only where its mean lies within 8 % of the disc's rim.
    """
    n = shapes.shape[2]
    out = np.zeros(n)
    per_u = U_CELLS / U_MAX / radius
    per_s = S_CELLS / (LOG_S_MAX - LOG_S_MIN)
    log_radius = math.log(radius)
    for m in range(index.shape[0]):
        k = index[m]
        shape, w = shapes[k], weights[m]
        base = class_log_sigma[k] - log_radius - LOG_S_MIN
        for j in range(n):
            dx, dy = shape[0, j] - centre[0, j], shape[1, j] - centre[1, j]
            u = min(math.sqrt(dx * dx + dy * dy) * per_u, U_CELLS - 1e-3)
            s = min(max((base + landmark_log_sigma[j]) * per_s, 0.0), S_CELLS - 1e-3)
            iu, js = int(u), int(s)
            fu, fs = u - iu, s - js
            low = table[js, iu] * (1 - fu) + table[js, iu + 1] * fu
            high = table[js + 1, iu] * (1 - fu) + table[js + 1, iu + 1] * fu
            out[j] += w * (low * (1 - fs) + high * fs)
    return out


@lru_cache(maxsize=1)
def rice_table() -> F32:
    """(S_CELLS + 1, U_CELLS + 1) float32: P(‖x‖ ≤ 1) for x ~ N((u, 0), σ² I), over u and ln σ.

    Read from the file that `integrated_rice_table` was written to: to integrate takes a second, and as long to compile.
    """
    result: F32 = np.load(RICE_TABLE, allow_pickle=False)
    result.setflags(write=False)
    return result


def integrated_rice_table() -> F32:
    """What `rice_table` reads, integrated anew."""
    table = np.empty((S_CELLS + 1, U_CELLS + 1))
    _fill_rice_table(table)
    return table.astype(np.float32)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_rice_table(table: F64) -> None:
    """Integrate over the chord of the disc: ∫ φ((t − u)/σ)/σ · erf(√(1 − t²)/(σ√2)) dt, t from −1 to 1."""
    steps = 400
    for i in range(table.shape[0]):
        sigma = math.exp(LOG_S_MIN + (LOG_S_MAX - LOG_S_MIN) * i / S_CELLS)
        for j in range(table.shape[1]):
            u = U_MAX * j / U_CELLS
            low, high = max(-1.0, u - 9 * sigma), min(1.0, u + 9 * sigma)
            total = 0.0
            if high > low:
                # The substitution t = mid + half·sin(θ) takes the square root's singular ends out.
                mid, half = (low + high) / 2, (high - low) / 2
                for q in range(steps):
                    theta = -math.pi / 2 + math.pi * (q + 0.5) / steps
                    t = mid + half * math.sin(theta)
                    chord = math.erf(math.sqrt(max(1 - t * t, 0.0)) / (sigma * math.sqrt(2.0)))
                    gauss = math.exp(-0.5 * ((t - u) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
                    total += gauss * chord * half * math.cos(theta)
                total *= math.pi / steps
            table[i, j] = min(max(total, 0.0), 1.0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def marginal_log_likelihood(
    weights: F32, index: NDArray[np.int32], shapes: F32, class_variance: F32, truth: F64, top: float, steps: int
) -> F64:
    """log Σ_k p_k N(y_n; µ_kn, scale·v_k·I) for every landmark and scales top · 2^(−i/2), i < steps (Eq. 3).

    Halving a scale squares its exponential, so two calls of exp serve the whole ladder.

    Args:
        weights: (M,) float32 that sum to 1.
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        class_variance: (K,) float32, v_k.
        truth: (2, N) float64.
        top: largest candidate for c·a_n, > 0.
        steps: S, number of candidates; even.

    Returns:
        (S, N) float64, nats, densities per unit area of the shapes' frame.
    """
    n, pairs = shapes.shape[2], steps // 2
    total = np.zeros((steps, n))
    root2 = math.sqrt(2.0)
    for m in range(index.shape[0]):
        k = index[m]
        w = weights[m] / (2 * math.pi * class_variance[k])
        for j in range(n):
            dx, dy = shapes[k, 0, j] - truth[0, j], shapes[k, 1, j] - truth[1, j]
            d = (dx * dx + dy * dy) / (2 * class_variance[k] * top)
            even, odd, inverse = math.exp(-d), math.exp(-d * root2), w / top
            for i in range(pairs):
                total[2 * i, j] += inverse * even
                total[2 * i + 1, j] += inverse * root2 * odd
                even, odd, inverse = even * even, odd * odd, inverse * 2
    for i in range(steps):
        for j in range(n):
            # The floor keeps one impossible landmark from making the mean infinite.
            total[i, j] = math.log(max(total[i, j], 1e-12))
    return total


def kernel_layout(shapes: NDArray[np.floating[Any]]) -> F32:
    """(K, N, 2) → (K, 2, N) float32, contiguous: the layout that the kernels read."""
    return np.ascontiguousarray(np.swapaxes(shapes, 1, 2), dtype=np.float32)
