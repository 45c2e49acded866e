"""Compiled kernels of the marginal heatmaps. `exalign_engine.heatmaps.marginals` states their error.

A Gaussian of variance V about a point is replaced by Gaussians of the smaller variance R = `RESIDUAL` about the 4 × 4
nodes around it, on a lattice whose spacing h follows σ, not the cells. Along each axis the four weights have the
point's own moments: Σw = 1, mean 0, variance t = V/h² − R, third moment 0 (bilinear splatting is the same with two
nodes and no say in t: that is where its own 1/6 px² comes from). So the variance of every single class is exact, and
one lattice serves a whole range of σ. The R that is left is applied once for a lattice, by the exact share of each
node's Gaussian that falls into each cell: cells of any size and aspect, with nothing lost or folded at the borders.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, I32, I64
from exalign_engine.heatmaps.stencil import add_stencil
from exalign_engine.libraries.njit import njit

#: R, and the range of t that one lattice serves, in h². Within it the replaced Gaussian is off by at most 0.0075 in
#: L1 for the worst point and t (0.002 at t = 0.35); outside, the fourth moment drifts away fast.
RESIDUAL = 2.0
SPLAT_LOW, SPLAT_MIDDLE, SPLAT_HIGH = 0.2, 0.35, 0.5

#: A Gaussian is followed to so many σ along each axis; beyond lies 7e-6 of its mass.
KERNEL_REACH = 4.5

#: `splat` works on so many exemplars and landmarks at a time: copies of those exemplars stay in the L2 cache, those
#: landmarks' lattices in L1. Taking all landmarks of one exemplar after the other takes 1.4 times as long.
BLOCK, TILE = 256, 12

#: `normal_table` covers |z| ≤ Z_MAX in steps of 1/Z_CELLS.
Z_MAX, Z_CELLS = 6, 256


@lru_cache(maxsize=1)
def normal_table() -> F32:
    """(2 · Z_MAX · Z_CELLS + 2,) float32: Φ(z) from −Z_MAX; read linearly it is within 6e-7."""
    z = np.arange(-Z_MAX * Z_CELLS, Z_MAX * Z_CELLS + 2) / Z_CELLS
    table = np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in z], dtype=np.float32)
    table.setflags(write=False)
    return table


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _phi(z: float, table: F32) -> float:
    """Φ(z)."""
    p = (min(max(z, -Z_MAX), Z_MAX) + Z_MAX) * Z_CELLS
    i = int(p)
    low = table[i]
    return float(low + (table[i + 1] - low) * (p - i))


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _cell_range(centre: float, reach: float, start: float, step: float, count: int) -> tuple[int, int]:
    """Cells [first, end) of a row of ``count`` cells that [centre − reach, centre + reach] touches."""
    # Clamped as floats: a far component would overflow an integer.
    first = min(max(math.floor((centre - reach - start) / step), 0.0), float(count))
    end = min(max(math.floor((centre + reach - start) / step) + 1.0, 0.0), float(count))
    return int(first), int(end)


@njit(cache=True, nogil=True, fastmath=True, inline="always")  # type: ignore[untyped-decorator]
def _cell_masses(
    centre: float, sigma: float, start: float, step: float, first: int, end: int, table: F32, out: F32
) -> None:
    """Write the mass of N(centre, σ²) in the cells [first, end) to ``out[: end − first]``."""
    scale = 1.0 / sigma
    below = _phi((start + first * step - centre) * scale, table)
    for c in range(first, end):
        upto = _phi((start + (c + 1) * step - centre) * scale, table)
        out[c - first] = upto - below
        below = upto


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def add_directly(
    cells: F32,
    weights: F32,
    index: I32,
    shapes: F32,
    class_variance: F32,
    landmark_scale: F64,
    landmarks: I64,
    rows: I64,
    origin: F64,
    step: F64,
    table: F32,
) -> None:
    """Add every component to every heatmap by its exact cell masses, one by one.

    Args:
        cells: (L, H, W) float32, added to.
        weights: (M,) float32.
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        class_variance: (K,) float32, c·v_k.
        landmark_scale: (N,) float64, a_n.
        landmarks: (L,) int64, the landmark of each heatmap.
        rows: (J,) int64, the heatmaps to add to.
        origin: (L, 2) float64, x0, y0 of each heatmap.
        step: (L, 2) float64, width and height of its cells.
        table: `normal_table()`.
    """
    height, width = cells.shape[1], cells.shape[2]
    mx, my = np.empty(width, dtype=np.float32), np.empty(height, dtype=np.float32)
    for m in range(index.shape[0]):
        k, w = index[m], weights[m]
        for i in range(rows.shape[0]):
            j = rows[i]
            n = landmarks[j]
            sigma = math.sqrt(class_variance[k] * landmark_scale[n])
            x, y = float(shapes[k, 0, n]), float(shapes[k, 1, n])
            reach = KERNEL_REACH * sigma
            left, right = _cell_range(x, reach, origin[j, 0], step[j, 0], width)
            top, bottom = _cell_range(y, reach, origin[j, 1], step[j, 1], height)
            if left >= right or top >= bottom:
                continue
            _cell_masses(x, sigma, origin[j, 0], step[j, 0], left, right, table, mx)
            _cell_masses(y, sigma, origin[j, 1], step[j, 1], top, bottom, table, my)
            for r in range(top, bottom):
                share = w * my[r - top]
                for c in range(left, right):
                    cells[j, r, c] += share * mx[c - left]


# Long: one compiled kernel, whose loops share what lies in registers.
@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def splat(
    weights: F32,
    index: I32,
    splat_variance: F32,
    shapes: F32,
    landmarks: I64,
    origin: F32,
    spacing: F32,
    nodes: I32,
    start: I32,
    lattice: F32,
    touched: I32,
) -> None:
    """Spread every component over the 4 × 4 nodes around it, on each landmark's lattice.

    Args:
        weights: (M,) float32.
        index: (M,) int32, rows of ``shapes``.
        splat_variance: (M,) float32, t = V/h² − R.
        shapes: (K, 2, N) float32.
        landmarks: (J,) int64.
        origin: (J, 2) float32, x and y of each lattice's node (0, 0).
        spacing: (J,) float32, h.
        nodes: (J, 2) int32, nodes along x and y; components beyond the nodes are left out.
        start: (J,) int32, where each lattice begins.
        lattice: (Σ nodes_x · nodes_y,) float32, added to; node (x, y) of lattice j is at start + x · nodes_y + y.
        touched: (J, 4) int32 out: first and last x, first and last y of the components' lower nodes.
    """
    count = landmarks.shape[0]
    # What the inner loop reads of a landmark lies in two rows: twelve arrays would not fit the registers.
    real, whole = np.empty((count, 5), dtype=np.float32), np.empty((count, 3), dtype=np.int32)
    for j in range(count):
        real[j, 0], real[j, 1], real[j, 2] = origin[j, 0], origin[j, 1], 1 / spacing[j]
        real[j, 3], real[j, 4] = nodes[j, 0] - 3, nodes[j, 1] - 3
        whole[j, 0], whole[j, 1], whole[j, 2] = landmarks[j], nodes[j, 1], start[j] - nodes[j, 1] - 1
    seen_x = np.zeros((count, nodes[:, 0].max()), dtype=np.uint8)
    seen_y = np.zeros((count, nodes[:, 1].max()), dtype=np.uint8)
    one = np.float32(1)
    near = np.empty((BLOCK, 2, count), dtype=np.float32)
    for block in range(0, index.shape[0], BLOCK):
        end = min(block + BLOCK, index.shape[0])
        for m in range(block, end):
            for c in range(2):
                source, copy = shapes[index[m], c], near[m - block, c]
                for j in range(count):
                    copy[j] = source[np.uint32(whole[j, 0])]
        for first in range(0, count, TILE):
            for m in range(block, end):
                w, t = weights[m], splat_variance[m]
                for j in range(first, min(first + TILE, count)):
                    # Beyond the outermost nodes lies nothing that reaches the grid: clamped, it still does not.
                    x = min(max((near[m - block, 0, j] - real[j, 0]) * real[j, 2], one), real[j, 3])
                    y = min(max((near[m - block, 1, j] - real[j, 1]) * real[j, 2], one), real[j, 4])
                    row, line = np.uint32(np.int32(x)), np.uint32(np.int32(y))
                    seen_x[j, row] = 1
                    seen_y[j, line] = 1
                    at = whole[j, 2] + np.int32(row) * whole[j, 1] + np.int32(line)
                    add_stencil(lattice, at, whole[j, 1], w, t, x - np.float32(row), y - np.float32(line))
    for j in range(count):
        touched[j, 0], touched[j, 1] = _ends(seen_x[j])
        touched[j, 2], touched[j, 3] = _ends(seen_y[j])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ends(seen: NDArray[np.uint8]) -> tuple[int, int]:
    """First and last place of a non-zero value."""
    first, last = 0, seen.shape[0] - 1
    while first < last and seen[first] == 0:
        first += 1
    while last > first and seen[last] == 0:
        last -= 1
    return first, last


# Long: one compiled kernel, whose loops share what lies in registers.
@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def blur_into_cells(
    cells: F32,
    rows: I64,
    lattice: F32,
    lattice_origin: F32,
    spacing: F32,
    nodes: I32,
    start: I32,
    touched: I32,
    origin: F64,
    step: F64,
    table: F32,
) -> None:
    """Add to each heatmap what its lattice stands for: Gaussians of variance R·h² about the nodes.

    Args:
        cells: (L, H, W) float32, added to.
        rows: (J,) int64, the heatmap of each lattice.
        lattice: see `splat`; so are ``lattice_origin``, ``spacing``, ``nodes``, ``start`` and ``touched``.
        lattice_origin: (J, 2) float32.
        spacing: (J,) float32.
        nodes: (J, 2) int32.
        start: (J,) int32.
        touched: (J, 4) int32.
        origin: (L, 2) float64, x0, y0 of each heatmap.
        step: (L, 2) float64, width and height of its cells.
        table: `normal_table()`.
    """
    height, width = cells.shape[1], cells.shape[2]
    mass = np.empty(max(height, width), dtype=np.float32)
    for i in range(rows.shape[0]):
        j, h = rows[i], spacing[i]
        sigma = h * math.sqrt(RESIDUAL)
        reach = KERNEL_REACH * sigma
        x0, x1 = touched[i, 0] - 1, touched[i, 1] + 3
        y0, y1 = touched[i, 2] - 1, touched[i, 3] + 3
        left, _ = _cell_range(lattice_origin[i, 0] + x0 * h, reach, origin[j, 0], step[j, 0], width)
        _, right = _cell_range(lattice_origin[i, 0] + (x1 - 1) * h, reach, origin[j, 0], step[j, 0], width)
        if left >= right:
            continue
        # Along x: nodes (x, y) → (cell, y), contiguous in y.
        half = np.zeros((right - left, y1 - y0), dtype=np.float32)
        for x in range(x0, x1):
            centre = lattice_origin[i, 0] + x * h
            first, end = _cell_range(centre, reach, origin[j, 0], step[j, 0], width)
            _cell_masses(centre, sigma, origin[j, 0], step[j, 0], first, end, table, mass)
            line = lattice[start[i] + x * nodes[i, 1] + y0 : start[i] + x * nodes[i, 1] + y1]
            for c in range(first, end):
                share, out = mass[c - first], half[c - left]
                for y in range(y1 - y0):
                    out[y] += share * line[y]
        # Along y: (y, cell) → (cell, cell), contiguous in x.
        turned = np.ascontiguousarray(half.T)
        for y in range(y0, y1):
            centre = lattice_origin[i, 1] + y * h
            first, end = _cell_range(centre, reach, origin[j, 1], step[j, 1], height)
            _cell_masses(centre, sigma, origin[j, 1], step[j, 1], first, end, table, mass)
            line = turned[y - y0]
            for r in range(first, end):
                share, out = mass[r - first], cells[j, r, left:right]
                for c in range(right - left):
                    out[c] += share * line[c]


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def point_density(
    weights: F32,
    index: I32,
    shapes: F32,
    class_variance: F32,
    landmark_scale: F64,
    landmarks: I64,
    points: F64,
) -> F64:
    """Σ_k p_k N(y; µ_kn, σ²_kn I) at one point for each landmark.

    Args:
        weights: (M,) float32.
        index: (M,) int32, rows of ``shapes``.
        shapes: (K, 2, N) float32.
        class_variance: (K,) float32, c·v_k.
        landmark_scale: (N,) float64, a_n.
        landmarks: (L,) int64.
        points: (L, 2) float64.

    Returns:
        (L,) float64, per unit area of the shapes' frame.
    """
    density = np.zeros(landmarks.shape[0])
    for m in range(index.shape[0]):
        k = index[m]
        for j in range(landmarks.shape[0]):
            n = landmarks[j]
            dx, dy = shapes[k, 0, n] - points[j, 0], shapes[k, 1, n] - points[j, 1]
            variance = class_variance[k] * landmark_scale[n]
            density[j] += weights[m] / (2 * math.pi * variance) * math.exp(-(dx * dx + dy * dy) / (2 * variance))
    return density


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mass_floor(probabilities: F32, cut: float) -> float:
    """The largest p₀ = 2^e·(1 + i/8) for which all p_k < p₀ together hold at most ``cut`` of the whole.

    Args:
        probabilities: (K,) float32 ≥ 0.
        cut: 0 to below 1.

    Returns:
        p₀; the least positive number when nothing may be cut.
    """
    # A float's upper bits, read as an integer, are a logarithmic scale: 8 steps an octave.
    scale = probabilities.view(np.int32)
    held = np.zeros(1 << 11)
    for k in range(probabilities.shape[0]):
        held[scale[k] >> 20] += probabilities[k]
    allowed, below = cut * held.sum(), 0.0
    for i in range(held.shape[0]):
        below += held[i]
        if below > allowed:
            first = np.full(1, i << 20, dtype=np.int32)
            return max(float(first.view(np.float32)[0]), 1e-45)
    return 1e-45
