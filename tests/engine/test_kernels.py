"""The compiled kernels against dense float64 twins, within the bounds that their docstrings state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.posterior.kernels import (
    disc_mass,
    integrated_rice_table,
    kernel_layout,
    marginal_log_likelihood,
    moved_shapes,
    rice_table,
    weighted_moments,
)
from properties import examples

stats = pytest.importorskip("scipy.stats", reason="SciPy is the reference of the Rice distribution")

F64 = NDArray[np.float64]

N = 5
seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 2000)
PLENTY = examples(40)


def mixture(seed: int, k: int, peak: float) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Weights that sum to 1 (the higher the peak, the fewer carry them), their rows, and shapes (K, 2, N)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, peak, k)
    weights = np.exp(scores - scores.max())
    shapes = rng.normal(0, rng.uniform(0.001, 0.15), (2 * k, N, 2)) + rng.uniform(0, 1, (N, 2))
    index = rng.choice(2 * k, k, replace=False).astype(np.int32)
    return (weights / weights.sum()).astype(np.float32), index, kernel_layout(shapes)


def moments_twin(weights: F64, shapes: F64) -> tuple[F64, F64]:
    """(M,), (M, 2, N) → (2, N), (3, N)."""
    p = weights / weights.sum()
    mean = np.einsum("m,mcn->cn", p, shapes)
    d = shapes - mean
    xx, xy, yy = (np.einsum("m,mn->n", p, d[:, a] * d[:, b]) for a, b in ((0, 0), (0, 1), (1, 1)))
    return mean, np.stack([xx, xy, yy])


@PLENTY
@given(seeds, counts, st.floats(0, 20), st.sampled_from([1.0, 1e-3, 1e3]))
def test_moments_agree_with_float64(seed: int, k: int, peak: float, scale: float) -> None:
    weights, index, shapes = mixture(seed, k, peak)
    weights *= np.float32(scale)  # any scale will do
    mean, covariance = weighted_moments(weights, index, shapes)
    expected = moments_twin(weights.astype(np.float64), shapes[index].astype(np.float64))
    np.testing.assert_allclose(mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(covariance, expected[1], atol=1e-6)
    assert (covariance[[0, 2]] >= 0).all()


def test_moments_of_one_class_are_that_class_without_spread() -> None:
    weights, index, shapes = mixture(0, 1, 0)
    mean, covariance = weighted_moments(weights, index, shapes)
    np.testing.assert_array_equal(mean, shapes[index[0]])
    np.testing.assert_array_equal(covariance, np.zeros((3, N)))


def test_moments_with_all_mass_on_one_class_are_that_class() -> None:
    _, index, shapes = mixture(0, 100, 0)
    weights = np.zeros(100, np.float32)
    weights[37] = 1
    mean, covariance = weighted_moments(weights, index, shapes)
    np.testing.assert_allclose(mean, shapes[index[37]], atol=1e-6)
    np.testing.assert_allclose(covariance, 0, atol=1e-6)


@PLENTY
@given(seeds, st.integers(1, 50))
def test_moved_shapes_agree_with_float64(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    _, index, shapes = mixture(seed, k, 0)
    r, share, shift = rng.normal(0, 0.1, (2, N)), rng.random(k), rng.normal(0, 0.2, (k, 3))
    given = (a.astype(np.float32) for a in (r, share, shift))
    displaced = shapes[index].astype(np.float64) + share[:, None, None] * r
    expected = displaced + shift[:, :2, None] + shift[:, 2, None, None] * (displaced - 0.5)
    np.testing.assert_allclose(moved_shapes(index, shapes, *given), expected, atol=1e-6)


def disc_twin(weights: F64, shapes: F64, sigma: F64, centre: F64, radius: float) -> F64:
    """(N,) exact mass: (M,), (M, 2, N), sigma (M, N)."""
    distance = np.hypot(*(shapes - centre).swapaxes(0, 1))
    inside = stats.ncx2.cdf((radius / sigma) ** 2, 2, (distance / sigma) ** 2)
    return np.asarray(weights @ inside, dtype=np.float64)


@PLENTY
@given(
    seeds,
    counts,
    st.floats(0, 20),
    st.floats(math.log(0.07), math.log(2.0)),
    st.floats(0.005, 0.2),
)
def test_disc_mass_is_within_its_bound_where_kernels_are(
    seed: int, k: int, peak: float, log_sigma: float, radius: float
) -> None:
    weights, index, shapes = mixture(seed, k, peak)
    rng = np.random.default_rng(seed)
    low, high = math.log(0.07), math.log(2.0)
    class_log = np.clip(log_sigma + rng.normal(0, 0.3, shapes.shape[0]), low, high) + math.log(radius)
    landmark_log = np.zeros(N)
    centre = moments_twin(weights.astype(np.float64), shapes[index].astype(np.float64))[0]
    got = disc_mass(
        weights,
        index,
        shapes,
        class_log.astype(np.float32),
        landmark_log.astype(np.float32),
        centre,
        radius,
        rice_table(),
    )
    sigma = np.exp(class_log[index][:, None] + landmark_log)
    expected = disc_twin(weights.astype(np.float64), shapes[index].astype(np.float64), sigma, centre, radius)
    np.testing.assert_allclose(got, expected, atol=2e-3)


@pytest.mark.parametrize("ratio", [1e-4, 1e-3, 0.01, 0.02, 0.04, 0.07, 0.2, 1.0, 2.0, 3.0, 6.0, 20.0, 1e3])
def test_disc_mass_of_one_kernel_is_within_the_stated_bounds_at_any_width(ratio: float) -> None:
    radius, distance = 0.05, np.linspace(0, 1.0, 4001)
    shapes = np.zeros((1, 2, len(distance)), np.float32)
    shapes[0, 0] = distance
    got = disc_mass(
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
        shapes,
        np.full(1, math.log(ratio * radius), np.float32),
        np.zeros(len(distance), np.float32),
        np.zeros((2, len(distance))),
        radius,
        rice_table(),
    )
    expected = disc_twin(
        np.ones(1), shapes.astype(np.float64), np.full((1, 1), ratio * radius), np.zeros((2, 1)), radius
    )
    error = np.abs(got - expected)
    assert got.min() >= 0
    assert got.max() <= 1
    if 0.07 <= ratio <= 2.0:
        assert error.max() <= 2e-3
    elif ratio > 2.0:
        assert error.max() <= 1e-2
    elif ratio >= 0.02:
        assert error.max() <= 2e-2
    else:
        assert error[np.abs(distance / radius - 1) > 0.08].max() <= 2e-3


def test_the_rice_table_is_shared_and_read_only() -> None:
    assert rice_table() is rice_table()
    assert not rice_table().flags.writeable
    assert np.isfinite(rice_table()).all()


TOP, STEPS = 8.0, 18


def likelihood_twin(weights: F64, shapes: F64, variance: F64, truth: F64) -> F64:
    """(S, N) log Σ_k p_k N(y; µ_k, scale·v_k), scales TOP · 2^(−i/2), in logs throughout."""
    squared = ((shapes - truth) ** 2).sum(axis=1)
    v = (TOP * 2.0 ** (-np.arange(STEPS) / 2))[:, None, None] * variance[None, :, None]
    with np.errstate(divide="ignore"):
        log = np.log(weights)[None, :, None] - np.log(2 * np.pi * v) - squared[None] / (2 * v)
    top = log.max(axis=1, keepdims=True)
    return np.asarray((top + np.log(np.exp(log - top).sum(axis=1, keepdims=True)))[:, 0])


#: ln of the floor under a density.
FLOOR = math.log(1e-12)


@PLENTY
@given(seeds, counts, st.floats(0, 20), st.floats(-9, -2))
def test_log_likelihoods_agree_with_float64_above_the_floor(
    seed: int, k: int, peak: float, log_variance: float
) -> None:
    weights, index, shapes = mixture(seed, k, peak)
    rng = np.random.default_rng(seed)
    variance = np.exp(log_variance + rng.normal(0, 0.5, shapes.shape[0])).astype(np.float32)
    truth = rng.normal(0, 0.05, (2, N)) + shapes[index].mean(axis=0)
    got = marginal_log_likelihood(weights, index, shapes, variance, truth, TOP, STEPS)
    expected = likelihood_twin(
        weights.astype(np.float64),
        shapes[index].astype(np.float64),
        variance[index].astype(np.float64),
        truth,
    )
    np.testing.assert_allclose(got, np.maximum(expected, FLOOR), atol=1e-4)


@pytest.mark.parametrize("variance", [1e-12, 1e12])
def test_impossible_and_flat_likelihoods_stay_finite(variance: float) -> None:
    weights, index, shapes = mixture(1, 10, 1)
    got = marginal_log_likelihood(
        weights, index, shapes, np.full(20, variance, np.float32), np.full((2, N), 9.0), TOP, STEPS
    )
    assert np.isfinite(got).all()
    assert got.min() >= FLOOR - 1e-9


def test_the_rice_table_in_its_file_is_what_is_integrated() -> None:
    # The processor's mathematics may round the last bit of a float32 otherwise.
    np.testing.assert_allclose(rice_table(), integrated_rice_table(), rtol=2.0**-22, atol=1e-30)
