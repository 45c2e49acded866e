"""The posterior over exemplars: what is read off it, against dense float64 twins."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmarks import GROUPS, MIRROR, N_LANDMARKS, mirror_shapes
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.kept import MOMENT_CUT
from exalign_engine.posterior.posterior import CONFIDENCE_RADIUS, Measurement, Posterior, PosteriorModel
from properties import examples

F64 = NDArray[np.float64]

K = 60
seeds = st.integers(0, 2**32 - 1)
PLENTY = examples(30)

#: Kernels that differ between landmarks, as calibrated ones do.
CALIBRATION = Calibration(
    temperature=0.4,
    kernel_scale=0.3,
    landmark_scale=tuple(float(a) for a in 0.5 + np.arange(N_LANDMARKS) / (N_LANDMARKS - 1)),
    presence_slope=0.5,
    presence_offset=1.0,
)


@pytest.fixture(scope="module")
def model(toy_exemplars: Exemplars) -> PosteriorModel:
    return PosteriorModel(toy_exemplars, CALIBRATION)


def draw(seed: int, spread: float = 1.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, spread, K).astype(np.float32)


def softmax(scores: Any, temperature: float = CALIBRATION.temperature) -> F64:
    z = np.asarray(scores, dtype=np.float64) / temperature
    p = np.exp(z - z.max())
    return np.asarray(p / p.sum())


@PLENTY
@given(seeds, st.floats(0, 10))
def test_probabilities_are_the_softmax_at_temperature_t(model: PosteriorModel, seed: int, spread: float) -> None:
    p = model.posterior(draw(seed, spread)).probabilities
    assert p.dtype == np.float32
    assert p.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(p, softmax(draw(seed, spread)), atol=1e-5)


@PLENTY
@given(seeds, st.floats(0, 5))
def test_mean_and_covariance_agree_with_the_dense_mixture(model: PosteriorModel, seed: int, spread: float) -> None:
    posterior = model.posterior(draw(seed, spread))
    p, shapes = softmax(draw(seed, spread)), model.exemplars.shapes.astype(np.float64)
    mean = np.einsum("k,knc->nc", p, shapes)
    d = shapes - mean
    kernel = CALIBRATION.kernel_scale * np.asarray(CALIBRATION.landmark_scale) * (p @ model.exemplars.variance)
    xx, xy, yy = (np.einsum("k,kn->n", p, d[..., a] * d[..., b]) for a, b in ((0, 0), (0, 1), (1, 1)))
    # Leaving out a mass m moves the mean by at most m times the reach of the exemplars.
    reach = float(np.ptp(shapes, axis=0).max())
    bound = 2 * posterior.cut_mass * reach + 2e-6
    np.testing.assert_allclose(posterior.mean, mean, atol=bound)
    expected = np.stack([xx + kernel, xy, yy + kernel], axis=1)
    np.testing.assert_allclose(posterior.covariance, expected, atol=2 * reach * bound + 2e-6)
    trace = posterior.covariance[:, 0] + posterior.covariance[:, 2]
    assert posterior.expected_error == pytest.approx(math.sqrt(trace.mean()))


@PLENTY
@given(seeds, st.floats(0, 8))
def test_the_mass_left_out_is_stated_and_below_the_cut(model: PosteriorModel, seed: int, spread: float) -> None:
    posterior = model.posterior(draw(seed, spread))
    p = softmax(draw(seed, spread))
    assert 0 <= posterior.cut_mass < MOMENT_CUT
    left_out = p[posterior.probabilities < MOMENT_CUT / K].sum()
    assert posterior.cut_mass == pytest.approx(left_out, abs=1e-6)


@pytest.mark.parametrize("landmarks", [[30], list(GROUPS["mouth"]), [0, 16, 8], list(range(N_LANDMARKS))])
def test_a_groups_uncertainty_agrees_with_the_dense_mixture(model: PosteriorModel, landmarks: list[int]) -> None:
    scores = draw(3, 0.3)
    group = model.posterior(scores).group(landmarks)
    p, shapes = softmax(scores), model.exemplars.shapes.astype(np.float64)
    centroids = shapes[:, landmarks].mean(axis=1)
    mean = p @ centroids
    a = np.asarray(CALIBRATION.landmark_scale)[landmarks]
    own = CALIBRATION.kernel_scale * float(p @ model.exemplars.variance) * a.sum() / len(landmarks) ** 2
    c = np.einsum("k,ka,kb->ab", p, centroids - mean, centroids - mean) + own * np.eye(2)
    np.testing.assert_allclose(group.centroid, mean, atol=1e-4)
    np.testing.assert_allclose(group.covariance, [c[0, 0], c[0, 1], c[1, 1]], atol=1e-5)
    each = model.posterior(scores).covariance[landmarks]
    assert group.rms_spread == pytest.approx(math.sqrt((each[:, 0] + each[:, 2]).mean()))


def test_a_group_of_one_landmark_is_that_landmark(model: PosteriorModel) -> None:
    posterior = model.posterior(draw(4))
    group = posterior.group([17])
    np.testing.assert_allclose(group.centroid, posterior.mean[17], atol=1e-6)
    np.testing.assert_allclose(group.covariance, posterior.covariance[17], atol=1e-6)


def test_equal_scores_are_the_uniform_distribution(model: PosteriorModel) -> None:
    posterior = model.posterior(np.full(K, -3.5, np.float32))
    assert posterior.entropy == pytest.approx(math.log(K), abs=1e-5)
    assert posterior.effective_number == pytest.approx(K, rel=1e-5)
    np.testing.assert_allclose(posterior.mean, model.exemplars.shapes.mean(axis=0), atol=1e-5)


def test_one_overwhelming_score_is_certainty(model: PosteriorModel) -> None:
    scores = np.zeros(K, np.float32)
    scores[23] = 500
    posterior = model.posterior(scores)
    assert posterior.map_index == 23
    assert posterior.entropy == pytest.approx(0, abs=1e-6)
    assert posterior.effective_number == pytest.approx(1)
    assert posterior.cut_mass == 0
    np.testing.assert_allclose(posterior.mean, posterior.map_shape, atol=1e-6)


@PLENTY
@given(seeds, st.floats(0, 5))
def test_entropy_and_effective_number_agree_with_float64(model: PosteriorModel, seed: int, spread: float) -> None:
    posterior, p = model.posterior(draw(seed, spread)), softmax(draw(seed, spread))
    assert posterior.entropy == pytest.approx(-(p * np.log(np.maximum(p, 1e-300))).sum(), abs=1e-4)
    assert posterior.effective_number == pytest.approx(1 / (p**2).sum(), rel=1e-4)


@given(seeds, st.integers(0, 2 * K))
@examples(30)
def test_the_top_exemplars_are_sorted_and_start_with_the_most_probable(
    model: PosteriorModel, seed: int, n: int
) -> None:
    posterior = model.posterior(draw(seed))
    top = posterior.top(n)
    assert len(top) == min(n, K)
    assert [k for k, _ in top] == sorted(range(K), key=lambda k: -float(posterior.probabilities[k]))[:n]
    assert all(p == posterior.probabilities[k] for k, p in top)
    if top:
        assert top[0][0] == posterior.map_index
        np.testing.assert_array_equal(posterior.map_shape, model.exemplars.shapes[posterior.map_index])


def test_equal_probabilities_come_in_the_order_of_class_ids(model: PosteriorModel) -> None:
    assert [k for k, _ in model.posterior(np.zeros(K, np.float32)).top(K)] == list(range(K))


@PLENTY
@given(seeds, st.floats(0, 3))
def test_mirrored_scores_give_the_mirrored_answer(toy_exemplars: Exemplars, seed: int, spread: float) -> None:
    # Landmark scales must agree between left and right for that.
    model = PosteriorModel(toy_exemplars, dataclasses.replace(CALIBRATION, landmark_scale=(1.0,) * N_LANDMARKS))
    scores = draw(seed, spread)
    here, there = model.posterior(scores), model.posterior(scores[toy_exemplars.mirror_of])
    np.testing.assert_allclose(there.mean, mirror_shapes(here.mean), atol=2e-5)
    np.testing.assert_allclose(there.covariance, here.covariance[MIRROR] * (1, -1, 1), atol=2e-5)
    np.testing.assert_allclose(there.confidence, here.confidence[MIRROR], atol=1e-3)
    assert there.entropy == pytest.approx(here.entropy, abs=1e-5)


@pytest.mark.parametrize("constant", [-1000.0, -3.0, 50.0, 1000.0])
def test_a_constant_added_to_all_scores_changes_the_presence_alone(model: PosteriorModel, constant: float) -> None:
    scores = (np.round(draw(1) * 64) / 64).astype(np.float32)  # so that adding loses no digit
    here, there = model.posterior(scores), model.posterior(scores + np.float32(constant))
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=1e-6)
    np.testing.assert_allclose(there.mean, here.mean, atol=1e-6)
    assert (there.presence > here.presence) == (constant > 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(model: PosteriorModel, value: float) -> None:
    scores = draw(0)
    scores[5] = value
    with pytest.raises(ValueError, match="not finite"):
        model.posterior(scores)


def test_the_largest_finite_scores_are_no_overflow(model: PosteriorModel) -> None:
    scores = np.zeros(K, np.float32)
    scores[3] = np.finfo(np.float32).max
    posterior = model.posterior(scores)
    assert posterior.map_index == 3
    assert posterior.probabilities[3] == 1


@pytest.mark.parametrize("shape", [(K - 1,), (K + 1,), (1, K), ()])
def test_scores_of_another_shape_are_refused(model: PosteriorModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="K = 60"):
        model.posterior(np.zeros(shape, np.float32))


@PLENTY
@given(seeds, st.floats(0, 3))
def test_confidence_agrees_with_the_dense_mixture(model: PosteriorModel, seed: int, spread: float) -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy is the reference of the Rice distribution")
    posterior = model.posterior(draw(seed, spread))
    p, shapes = softmax(draw(seed, spread)), model.exemplars.shapes.astype(np.float64)
    radius = CONFIDENCE_RADIUS * diagonal(tight_box(posterior.mean))
    scale = CALIBRATION.kernel_scale * np.asarray(CALIBRATION.landmark_scale)
    variance = scale * model.exemplars.variance.astype(np.float64)[:, None]
    squared = ((shapes - posterior.mean) ** 2).sum(axis=-1)
    expected = p @ stats.ncx2.cdf(radius**2 / variance, 2, squared / variance)
    # The kernel's bound, and what the cut leaves out.
    np.testing.assert_allclose(posterior.confidence, expected, atol=2e-3 + 2 * MOMENT_CUT)
    assert ((posterior.confidence >= 0) & (posterior.confidence <= 1)).all()


def test_a_landmark_that_was_measured_is_where_it_was_seen(model: PosteriorModel) -> None:
    plain, seen = model.posterior(draw(5)), Measurement(0.4, 0.6, 1e-4)
    one = Posterior(model, plain.probabilities, plain.presence, measured={30: seen})
    others = np.arange(N_LANDMARKS) != 30
    np.testing.assert_array_equal(one.mean[others], plain.mean[others])
    np.testing.assert_array_equal(one.covariance[others], plain.covariance[others])
    # The kernel is one thing that is known of it, the measurement another.
    variance = 1 / (1 / plain.kernel_variance[30] + 1 / seen.variance)
    np.testing.assert_allclose(one.mean[30], (0.4, 0.6))
    np.testing.assert_allclose(one.covariance[30], (variance, 0, variance))
    radius = CONFIDENCE_RADIUS * diagonal(tight_box(one.mean))
    assert one.confidence[30] == pytest.approx(1 - math.exp(-(radius**2) / (2 * variance)))
    np.testing.assert_allclose(one.group([30]).centroid, (0.4, 0.6))


def test_confidence_falls_as_kernels_widen(toy_exemplars: Exemplars) -> None:
    scores = np.zeros(K, np.float32)
    scores[7] = 100  # one exemplar: every kernel is about the mean
    answers = [
        PosteriorModel(toy_exemplars, dataclasses.replace(CALIBRATION, kernel_scale=c)).posterior(scores).confidence
        for c in np.geomspace(1e-4, 1e4, 30)
    ]
    assert (np.diff(np.stack(answers), axis=0) <= 1e-6).all()
    assert answers[0].min() > 0.999
    assert answers[-1].max() < 0.01


@pytest.mark.parametrize("level", [-1e30, -200.0, 0.0, 200.0, 1e30])
def test_presence_is_a_probability_for_any_scores(model: PosteriorModel, level: float) -> None:
    assert 0 <= model.posterior(np.full(K, level, np.float32)).presence <= 1
