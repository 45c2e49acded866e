"""Marginal heatmaps against exact cell masses in float64, within the bounds that their docstrings state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError
from exalign_engine.heatmaps.marginals import (
    ERROR_BOUND,
    Grid,
    heaviest,
    highest_density_level,
    marginal_heatmaps,
    quantise_uint8,
    sparse,
)
from exalign_engine.posterior.kernels import kernel_layout
from properties import examples

special = pytest.importorskip("scipy.special", reason="SciPy's Φ is the reference")

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mixture = tuple[F32, NDArray[np.int32], F32, F32, F64]

N = 4
ALL = np.arange(N)
seeds = st.integers(0, 2**32 - 1)
PLENTY = examples(60)


def mixture(seed: int, k: int, sigma: float, ratio: float, spread: float, peak: float = 1.0) -> Mixture:
    """K exemplars of N landmarks; σ² from sigma² / ratio to sigma² · ratio, times a_n from 0.4 to 1.6."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, peak, k)
    p = np.exp(scores - scores.max())
    shapes = rng.uniform(0.2, 0.8, (N, 2)) + rng.normal(0, spread, (k + 3, N, 2))
    variance = sigma**2 * ratio ** rng.uniform(-1, 1, k + 3)
    scale = np.linspace(0.4, 1.6, N)
    index = rng.permutation(k + 3)[:k].astype(np.int32)
    return (p / p.sum()).astype(np.float32), index, kernel_layout(shapes), variance.astype(np.float32), scale


def exact(m: Mixture, grid: Grid) -> F64:
    """(N, H, W): Σ_k p_k [Φ(right) − Φ(left)] · [Φ(bottom) − Φ(top)]."""
    weights, index, shapes, variance, scale = m
    edges = np.linspace(grid.x0, grid.x1, grid.width + 1), np.linspace(grid.y0, grid.y1, grid.height + 1)
    out = np.empty((N, grid.height, grid.width))
    for n in range(N):
        sigma = np.sqrt(variance[index].astype(np.float64) * scale[n])[:, None]
        x, y = (
            np.diff(special.ndtr((edges[a] - shapes[index, a, n].astype(np.float64)[:, None]) / sigma), axis=1)
            for a in (0, 1)
        )
        out[n] = np.einsum("k,kr,kc->rc", weights.astype(np.float64), y, x, optimize=True)
    return out


def worst_error(m: Mixture, grid: Grid) -> float:
    """The largest, over landmarks, of what `ERROR_BOUND` bounds; the shape of the answer is checked on the way."""
    maps, expected = marginal_heatmaps(*m, ALL, grid), exact(m, grid)
    assert maps.cells.shape == (N, grid.height, grid.width)
    assert maps.cells.dtype == np.float32
    assert (maps.cells >= 0).all()
    total = maps.cells.sum(axis=(1, 2), dtype=np.float64) + maps.mass_outside
    assert (np.abs(total - 1) <= maps.error_bound).all()
    outside = 1 - expected.sum(axis=(1, 2))
    error = np.abs(maps.cells - expected).sum(axis=(1, 2)) + np.abs(maps.mass_outside - outside)
    return float(error.max())


@PLENTY
@given(
    seeds,
    st.sampled_from([1, 2, 30, 400, 3000]),
    st.floats(-9, 4),
    st.sampled_from([1.0, 1.1, 1.5, 30.0]),
    st.floats(0, 0.5),
    st.integers(1, 70),
    st.integers(1, 70),
    st.floats(0.05, 5),
    st.floats(-2, 2),
)
@example(0, 3000, -4.2, 1.2, 0.03, 64, 64, 1.3, 0.0)  # as calibrated posteriors are
@example(1, 20_000, -4.2, 1.2, 0.03, 64, 64, 1.3, 0.0)
@example(2, 3000, -9.0, 1.2, 0.03, 64, 64, 1.3, 0.0)  # σ far below a cell
@example(3, 3000, 4.0, 1.2, 0.03, 64, 64, 1.3, 0.0)  # σ far above the grid
@example(4, 3000, -4.2, 1.2, 0.03, 7, 61, 0.4, 1.0)  # landmarks off the grid
def test_heatmaps_agree_with_exact_cell_masses(
    seed: int, k: int, log_sigma: float, ratio: float, spread: float, width: int, height: int, side: float, at: float
) -> None:
    m = mixture(seed, k, float(np.exp(log_sigma)), ratio, spread)
    x0 = 0.5 + at - side / 2
    aspect = 0.3 + (seed % 100) / 40  # cells are seldom square
    grid = Grid(x0, 0.5 - at * side - side / 2, x0 + side, 0.5 - at * side + side * aspect, width, height)
    assert worst_error(m, grid) <= ERROR_BOUND


@PLENTY
@given(st.floats(0, 1), st.floats(0, 1), st.floats(-0.12, 0.13), st.floats(0.6, 8))
@example(0.0, 0.0, 0.13, 8.0)
@example(0.0, 0.0, -0.12, 8.0)
def test_the_bound_holds_where_all_exemplars_err_alike(u: float, v: float, tilt: float, sigma_in_cells: float) -> None:
    # Exemplars at one point: no error averages out. Two variances make the lattice serve both ends of its range.
    k, cell = 2000, 1 / 64
    shapes = np.broadcast_to(np.array([0.4 + u * cell, 0.5 + v * cell]), (k, N, 2))
    variance = np.full(k, (sigma_in_cells * cell) ** 2)
    variance[0] *= 1 + tilt
    weights = np.full(k, 1 / k)
    index = np.arange(k, dtype=np.int32)
    m = weights.astype(np.float32), index, kernel_layout(shapes), variance.astype(np.float32), np.linspace(0.9, 1.1, N)
    assert worst_error(m, Grid(0, 0, 1, 1, 64, 64)) <= ERROR_BOUND


def test_mass_far_off_the_grid_is_all_outside() -> None:
    m = mixture(0, 500, 0.015, 1.1, 0.03)
    maps = marginal_heatmaps(*m, ALL, Grid(1e6, 1e6, 1e6 + 1, 1e6 + 1, 16, 16))
    np.testing.assert_array_equal(maps.mass_outside, 1)
    assert maps.cells.sum() == 0


def test_landmarks_come_in_the_order_asked_for() -> None:
    m, grid = mixture(1, 700, 0.02, 1.2, 0.05), Grid(0, 0, 1, 1, 32, 24)
    every, some = marginal_heatmaps(*m, ALL, grid), marginal_heatmaps(*m, np.array([3, 1]), grid)
    np.testing.assert_allclose(some.cells, every.cells[[3, 1]], atol=1e-7)
    assert marginal_heatmaps(*m, np.array([], dtype=int), grid).cells.shape == (0, 24, 32)


@PLENTY
@given(seeds, st.integers(1, 5000), st.floats(0, 15), st.floats(0, 0.5))
def test_the_heaviest_are_few_and_leave_out_no_more_than_allowed(seed: int, k: int, peak: float, cut: float) -> None:
    p = mixture(seed, k, 0.02, 1.1, 0.05, peak)[0]
    index, weights, left_out = heaviest(p, cut)
    assert left_out <= cut + 1e-6
    assert weights.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert (np.diff(index) > 0).all()
    left = np.delete(p, index)
    assert left.size == 0 or left.max() < p[index].min()
    # All that lie within a ninth of the lightest one's probability cannot be left out as well.
    lightest = p[index] < p[index].min() * 1.125
    assert left.sum(dtype=np.float64) + p[index][lightest].sum(dtype=np.float64) >= cut * p.sum(dtype=np.float64) - 1e-6


def test_leaving_out_the_lightest_changes_a_heatmap_by_twice_their_mass_at_most() -> None:
    m, grid = mixture(5, 4000, 0.02, 1.2, 0.1, 2.0), Grid(0, 0, 1, 1, 48, 48)
    index, weights, left_out = heaviest(m[0], 0.05)
    kept = marginal_heatmaps(weights, m[1][index], *m[2:], ALL, grid)
    assert left_out > 0.03
    assert np.abs(kept.cells - exact(m, grid)).sum(axis=(1, 2)).max() <= 2 * left_out + ERROR_BOUND


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"x1": 0.0}, ["x1"]),
        ({"y0": float("nan")}, ["y0"]),
        ({"x0": float("inf"), "width": 0, "height": 257}, ["x0", "width", "height"]),
    ],
)
def test_a_wrong_grid_names_every_wrong_field(change: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Grid(**{"x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0, "width": 8, "height": 8} | change)
    assert [v.field for v in caught.value.violations] == fields


cell_arrays = st.tuples(seeds, st.integers(1, 20), st.integers(1, 20), st.floats(0, 8))


def cells_of(drawn: tuple[int, int, int, float]) -> F32:
    """(H, W) float32 of total mass at most 1, from even to peaked."""
    seed, h, w, peak = drawn
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, peak, (h, w)))
    return np.asarray(values / values.sum() * rng.uniform(0.2, 1), dtype=np.float32)


@PLENTY
@given(cell_arrays)
def test_bytes_decode_to_the_cells_within_the_stated_error(drawn: tuple[int, int, int, float]) -> None:
    cells = cells_of(drawn)
    q, scale, error = quantise_uint8(cells)
    assert q.dtype == np.uint8
    assert q.shape == cells.shape
    assert scale > 0
    difference = np.abs(q * float(np.float32(scale)) - cells.astype(np.float64))
    assert difference.max() <= scale * 0.5001
    assert difference.sum() == pytest.approx(error, rel=1e-9, abs=1e-12)


def test_bytes_of_an_empty_heatmap_are_zero() -> None:
    q, scale, error = quantise_uint8(np.zeros((3, 4), dtype=np.float32))
    assert not q.any()
    assert scale > 0
    assert error == 0


@PLENTY
@given(cell_arrays, st.floats(0.01, 1))
def test_sparse_cells_are_the_heaviest_that_hold_the_mass(drawn: tuple[int, int, int, float], mass: float) -> None:
    cells = cells_of(drawn)
    indices, masses, error = sparse(cells, mass)
    flat, total = cells.ravel(), cells.sum(dtype=np.float64)
    assert (np.diff(indices) > 0).all()
    np.testing.assert_array_equal(masses, flat[indices])
    rest = np.delete(flat, indices)
    assert error == pytest.approx(rest.sum(dtype=np.float64), abs=1e-12)
    assert masses.sum(dtype=np.float64) >= mass * total * (1 - 1e-9)
    assert masses.sum(dtype=np.float64) - masses.min() < mass * total  # one cell fewer would not do
    assert rest.size == 0 or rest.max() <= masses.min()


def test_sparse_cells_of_an_empty_heatmap_are_none() -> None:
    indices, masses, error = sparse(np.zeros((3, 4), dtype=np.float32), 0.999)
    assert len(indices) == len(masses) == error == 0


def test_a_gaussian_region_is_a_disc_of_the_known_radius() -> None:
    # Of a 2-D Gaussian, 1 − exp(−r²/2σ²) lies within r.
    radii = np.array([0.0, 0.5, 1.177, 2.0, 3.0])
    sigma, n = 0.02, len(radii)
    shapes = np.full((1, n, 2), 0.5)
    truth = np.stack([0.5 + sigma * radii * 0.6, 0.5 + sigma * radii * 0.8], axis=1)
    level = highest_density_level(
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
        kernel_layout(shapes),
        np.full(1, sigma**2, np.float32),
        np.ones(n),
        np.arange(n),
        truth,
    )
    np.testing.assert_allclose(level, 1 - np.exp(-(radii**2) / 2), atol=0.01)


@examples(15)
@given(seeds, st.sampled_from([1, 3, 200]), st.floats(0.0, 0.08), st.floats(0, 2))
def test_the_level_agrees_with_samples(seed: int, k: int, spread: float, peak: float) -> None:
    m = mixture(seed, k, 0.02, 1.2, spread, peak)
    weights, index, shapes, variance, scale = m
    rng = np.random.default_rng(seed)
    count = 6000
    for n in (0, N - 1):
        s2 = variance[index].astype(np.float64) * scale[n]
        mu = shapes[index, :, n].astype(np.float64)

        def density(points: F64, mu: F64 = mu, s2: F64 = s2) -> F64:
            d = np.square(points[:, None] - mu).sum(axis=2)
            result: F64 = (weights / (2 * np.pi * s2) * np.exp(-d / (2 * s2))).sum(axis=1)
            return result

        p = weights.astype(np.float64) / weights.sum(dtype=np.float64)
        chosen = rng.choice(k, count, p=p)
        samples = mu[chosen] + np.sqrt(s2[chosen])[:, None] * rng.standard_normal((count, 2))
        truth = samples[:1]
        expected = float((density(samples) > density(truth)).mean())
        found = highest_density_level(*m, np.array([n]), truth)
        # 0.045 is stated; a share of 6,000 samples has a standard error of at most 0.0065.
        assert abs(float(found[0]) - expected) <= 0.045 + 6 * 0.0065
