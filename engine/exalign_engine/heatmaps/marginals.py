"""Marginal heatmaps: where one landmark may be, as probability mass on a grid (paper Eq. 3).

    p(y_n) = Σ_k p_k N(y_n; µ_kn, σ²_kn I),   σ²_kn = c · a_n · v_k,   a cell holds ∫ p(y_n) over its area

Everything here lives in the box frame. Mixtures are given as the kernels take them: weights that sum to 1, the
exemplars they belong to, and exemplars, where they were displaced to, in the layout (K, 2, N) of
`exalign_engine.posterior.kernels.kernel_layout`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, I32, I64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.heatmaps.kernels import (
    KERNEL_REACH,
    RESIDUAL,
    SPLAT_HIGH,
    SPLAT_LOW,
    SPLAT_MIDDLE,
    add_directly,
    blur_into_cells,
    mass_floor,
    normal_table,
    point_density,
    splat,
)
from exalign_engine.posterior.checks import Check, checked, unchecked
from exalign_engine.posterior.kernels import weighted_moments

#: Bound on Σ_cells |fast − exact| + |mass outside, fast − exact| of one heatmap, for any mixture and grid. What a
#: splat costs is 0.0075 at its worst point and t, see `RESIDUAL`; the rest is cut tails and table reading. That takes
#: all exemplars at one point: on real posteriors the errors of many average out, and at most 0.001 was seen.
ERROR_BOUND = 0.01

#: Most cells along one side of a grid.
MAX_CELLS = 256

#: Side and half-width, in standard deviations, of the grid on which `highest_density_level` looks.
LEVEL_CELLS, LEVEL_REACH = 96, 5.0

#: Where a lattice would have more nodes (σ below 1/300 of the grid), components are added one by one.
_MAX_NODES = 1 << 18
#: Lattices worked on at once hold at most so many nodes together, to stay near the caches.
_GROUP_NODES = 1 << 21
#: Cells that components added one by one reach before the next check.
_MAX_UPDATES = 1 << 25
#: Components are added one by one where this many cell updates do it: a lattice costs about as much.
_DIRECT_WORK = 1 << 13
#: Widest ratio of variances that one lattice serves.
_BIN_RATIO = (RESIDUAL + SPLAT_HIGH) / (RESIDUAL + SPLAT_LOW)


@dataclass(frozen=True)
class Grid:
    """A rectangle of the box frame, divided into cells.

    Args:
        x0: left edge.
        y0: top edge.
        x1: right edge, > x0.
        y1: bottom edge, > y0.
        width: cells a row, 1 to `MAX_CELLS`.
        height: rows, 1 to `MAX_CELLS`.

    Raises:
        InvalidInputError: names every field that is out of its range.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    width: int
    height: int

    def __post_init__(self) -> None:
        wrong = [
            Violation(name, f"{getattr(self, name)} is not finite")
            for name in ("x0", "y0", "x1", "y1")
            if not math.isfinite(getattr(self, name))
        ]
        if not wrong:
            for low, high in (("x0", "x1"), ("y0", "y1")):
                if not getattr(self, high) > getattr(self, low):
                    limit = f"must be above {low} = {getattr(self, low)}"
                    wrong.append(Violation(high, f"{getattr(self, high)} {limit}"))
        for name in ("width", "height"):
            if not 1 <= getattr(self, name) <= MAX_CELLS:
                wrong.append(Violation(name, f"{getattr(self, name)} is not between 1 and {MAX_CELLS}"))
        if wrong:
            raise InvalidInputError(wrong)

    @property
    def step(self) -> tuple[float, float]:
        """Width and height of a cell."""
        return (self.x1 - self.x0) / self.width, (self.y1 - self.y0) / self.height


@dataclass(frozen=True)
class Heatmaps:
    """Marginals on one grid, in the order in which the landmarks were asked for.

    Attributes:
        cells: (L, H, W) float32 ≥ 0, mass in each cell; rows from the top.
        mass_outside: (L,) float64, mass beyond the grid; with the cells it sums to 1.
        error_bound: bound for each heatmap on Σ |error of a cell| + |error of ``mass_outside``|.
    """

    cells: F32
    mass_outside: F64
    error_bound: float


def heaviest(probabilities: F32, cut: float = 1e-3) -> tuple[I32, F32, float]:
    """The most probable exemplars, without those that together hold at most ``cut``.

    Args:
        probabilities: (K,) float32 that sum to 1.
        cut: probability that may be left out, 0 to below 1.

    Returns:
        index (M,) int32 ascending; weights (M,) float32 that sum to 1; and the probability left out. The set is the
        smallest but for exemplars within a ninth of its lightest one's probability. Each heatmap changes by at most
        twice the probability left out (L1).
    """
    index = np.flatnonzero(probabilities >= mass_floor(probabilities, cut)).astype(np.int32)
    weights = probabilities[index]
    mass = float(weights.sum(dtype=np.float64))
    total = float(probabilities.sum(dtype=np.float64))
    return index, (weights / np.float32(mass)).astype(np.float32), max(1.0 - mass / total, 0.0)


def marginal_heatmaps(
    weights: F32,
    index: I32,
    shapes: F32,
    class_variance: F32,
    landmark_scale: F64,
    landmarks: NDArray[np.integer],
    grid: Grid,
    check: Check = unchecked,
) -> Heatmaps:
    """Integrate the marginals of some landmarks over the cells of a grid.

    Args:
        weights: (M,) float32 ≥ 0 that sum to 1.
        index: (M,) int32, rows of ``shapes``, M ≥ 1.
        shapes: (K, 2, N) float32.
        class_variance: (K,) float32 > 0, c·v_k.
        landmark_scale: (N,) float64 > 0, a_n.
        landmarks: (L,) 0-based.
        grid: where to look.
        check: called before each of the parts in which this is done.

    Returns:
        The heatmaps, each within `ERROR_BOUND`.
    """
    chosen = np.asarray(landmarks, dtype=np.int64)
    origin = np.tile(np.array([grid.x0, grid.y0]), (len(chosen), 1))
    step = np.tile(np.array(grid.step), (len(chosen), 1))
    cells = np.zeros((len(chosen), grid.height, grid.width), dtype=np.float32)
    _integrate(cells, weights, index, shapes, class_variance, landmark_scale, chosen, origin, step, check)
    inside = cells.sum(axis=(1, 2), dtype=np.float64)
    return Heatmaps(cells, np.clip(1.0 - inside, 0.0, 1.0), ERROR_BOUND)


def _integrate(
    cells: F32,
    weights: F32,
    index: I32,
    shapes: F32,
    class_variance: F32,
    landmark_scale: F64,
    landmarks: I64,
    origin: F64,
    step: F64,
    check: Check = unchecked,
) -> None:
    """Add the marginals to ``cells`` (L, H, W); each heatmap has its own ``origin`` and ``step``, (L, 2)."""
    table = normal_table()
    size = np.array([cells.shape[2], cells.shape[1]])
    v = class_variance[index]
    low, high = float(v.min()), float(v.max())
    bins = max(math.ceil(math.log(high / low) / math.log(_BIN_RATIO)), 1)
    edges = low * (high / low) ** (np.arange(bins + 1) / bins)
    member = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, bins - 1) if bins > 1 else None
    for b in range(bins):
        if member is None:
            w, k = weights, index
        else:
            mine = np.flatnonzero(member == b)
            if not len(mine):
                continue
            w, k = weights[mine], index[mine]
        # In units of a_n: what h² would be at a_n = 1.
        unit = (edges[b] + edges[b + 1]) / 2 / (RESIDUAL + SPLAT_MIDDLE)
        h = np.sqrt(unit * landmark_scale[landmarks])
        reach = KERNEL_REACH * math.sqrt(RESIDUAL + SPLAT_HIGH)
        # Compared as floats: for a tiny σ they would overflow an integer.
        nodes = np.ceil(size * step / h[:, None] + 2 * reach) + 6
        sigma = h * math.sqrt(RESIDUAL + SPLAT_MIDDLE)
        window = np.minimum(2 * KERNEL_REACH * sigma[:, None] / step + 1, size).prod(axis=1)
        direct = (nodes.prod(axis=1) > _MAX_NODES) | (window * len(k) <= _DIRECT_WORK)
        for rows in checked(_runs(np.flatnonzero(direct), window * len(k), _MAX_UPDATES), check):
            add_directly(cells, w, k, shapes, class_variance, landmark_scale, landmarks, rows, origin, step, table)
        rows = np.flatnonzero(~direct)
        if not len(rows):
            continue
        t = (class_variance[k] / np.float32(unit) - np.float32(RESIDUAL)).astype(np.float32)
        # Node 0 lies `reach` and the stencil's own width before the grid.
        lattice_origin = (origin - (reach + 2) * h[:, None]).astype(np.float32)
        for group in checked(_runs(rows, nodes.prod(axis=1), _GROUP_NODES), check):
            n = nodes[group].astype(np.int32)
            ends = np.cumsum(n.prod(axis=1))
            start = (ends - n.prod(axis=1)).astype(np.int32)
            lattice = np.zeros(int(ends[-1]), dtype=np.float32)
            touched = np.empty((len(group), 4), dtype=np.int32)
            at, spacing = np.ascontiguousarray(lattice_origin[group]), h[group].astype(np.float32)
            splat(w, k, t, shapes, landmarks[group], at, spacing, n, start, lattice, touched)
            blur_into_cells(cells, group, lattice, at, spacing, n, start, touched, origin, step, table)
    # Cubic weights may be negative where t < 1/3; what is left of that after the blur is below 1e-5.
    np.maximum(cells, 0, out=cells)


def _runs(rows: I64, work: F64, most: float) -> list[I64]:
    """Cut ``rows`` into runs whose ``work`` (L,) is at most ``most`` together, at least one a run."""
    groups: list[list[int]] = []
    total = math.inf
    for row in rows:
        total += work[row]
        if total > most:
            groups.append([])
            total = work[row]
        groups[-1].append(int(row))
    return [np.array(g, dtype=np.int64) for g in groups]


def quantise_uint8(cells: F32) -> tuple[NDArray[np.uint8], float, float]:
    """Heatmap cells as one byte each.

    Args:
        cells: (H, W) float32 ≥ 0.

    Returns:
        (H, W) uint8 q; the scale > 0, a float32's value, so that a cell's mass is q · scale; and Σ |q · scale − cell|.
    """
    # Where 255 steps of float32 would round to nothing, any scale will do: every q is 0 or the error is nil.
    scale = float(np.float32(max(float(cells.max(initial=0.0)) / 255, float(np.finfo(np.float32).tiny))))
    # In one array: six of them cost three times as much, for the pages that each one has to be given.
    work = cells.astype(np.float64)
    np.divide(work, scale, out=work)
    np.minimum(np.rint(work, out=work), 255, out=work)
    q = work.astype(np.uint8)
    np.subtract(np.multiply(work, scale, out=work), cells, out=work)
    return q, scale, float(np.abs(work, out=work).sum())


def sparse(cells: F32, mass: float = 0.999) -> tuple[I32, F32, float]:
    """The heaviest cells that together hold a share of the mass on the grid.

    Args:
        cells: (H, W) float32 ≥ 0.
        mass: share that must be kept, in (0, 1].

    Returns:
        (S,) int32 ascending indices, row · W + column; (S,) float32 their masses; and the mass of all other cells,
        which is the exact L1 error. Cells that hold nothing are never kept.
    """
    flat = cells.ravel()
    order = np.argsort(-flat, kind="stable")
    held = np.cumsum(flat[order], dtype=np.float64)
    count = min(int(np.searchsorted(held, mass * held[-1])) + 1, int(np.count_nonzero(flat)))
    indices = np.sort(order[:count]).astype(np.int32)
    return indices, flat[indices], float(flat[order[count:]].sum(dtype=np.float64))


def highest_density_level(
    weights: F32,
    index: I32,
    shapes: F32,
    class_variance: F32,
    landmark_scale: F64,
    landmarks: NDArray[np.integer],
    truth: F64,
) -> F64:
    """How much mass lies where a landmark's marginal is denser than at the truth.

    Over calibrated faces these are uniform on [0, 1]: the 90 % region holds the truth where the value is ≤ 0.9.

    Args:
        weights: as in `marginal_heatmaps`; so are ``index``, ``shapes``, ``class_variance``, ``landmark_scale`` and
            ``landmarks``.
        index: (M,) int32.
        shapes: (K, 2, N) float32.
        class_variance: (K,) float32.
        landmark_scale: (N,) float64.
        landmarks: (L,) 0-based.
        truth: (L, 2) where each of these landmarks really is, box frame.

    Returns:
        (L,) float64 in [0, 1]. The density at the truth is exact; its level set is measured on a grid of
        `LEVEL_CELLS`² cells over `LEVEL_REACH` standard deviations each way of each landmark. Within 0.045 where those
        are up to 8 σ (few narrow modes far apart, nearly equal in height); on calibrated posteriors, 2 to 5 σ, at
        most 0.006 was seen.
    """
    chosen = np.asarray(landmarks, dtype=np.int64)
    mean, covariance = weighted_moments(weights, index, shapes)
    kernel = float(weights.astype(np.float64) @ class_variance[index]) / float(weights.sum(dtype=np.float64))
    spread = np.sqrt(covariance[[0, 2]][:, chosen] + kernel * landmark_scale[chosen])
    origin = np.ascontiguousarray((mean[:, chosen] - LEVEL_REACH * spread).T)
    step = np.ascontiguousarray((2 * LEVEL_REACH / LEVEL_CELLS * spread).T)
    cells = np.zeros((len(chosen), LEVEL_CELLS, LEVEL_CELLS), dtype=np.float32)
    _integrate(cells, weights, index, shapes, class_variance, landmark_scale, chosen, origin, step)
    at_truth = point_density(weights, index, shapes, class_variance, landmark_scale, chosen, truth)
    denser = cells > (at_truth * step.prod(axis=1)).astype(np.float32)[:, None, None]
    mass: F64 = np.where(denser, cells, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.minimum(mass, 1.0)
