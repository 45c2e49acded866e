"""Suggestions against a dense float64 twin, and against conditioning itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence import suggestion
from exalign_engine.evidence.conditioning import EvidenceModel, condition
from exalign_engine.evidence.evidence import BoxMotion, Evidence, SoftClick
from exalign_engine.evidence.suggestion import MAX_MEMBERS, NODES, Criterion, normal_points, suggest, systematic
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import MIRROR
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from properties import examples

F64 = NDArray[np.float64]

N = 68
seeds = st.integers(0, 2**32 - 1)
sigmas = st.sampled_from([1e-3, 0.0135, 0.1])
PLENTY = examples(25)


def face(seed: int, k: int, peak: float = 1.0, kernel: float = 0.012) -> Posterior:
    """K shapes with a few modes of variation, so that one landmark tells about others."""
    rng = np.random.default_rng(seed)
    modes = rng.normal(0, 0.03, (4, N, 2))
    shapes = rng.uniform(0.1, 0.9, (1, N, 2)) + np.tensordot(rng.normal(0, 1, (k, 4)), modes, 1)
    shapes += rng.normal(0, 0.004, shapes.shape)
    exemplars = Exemplars(
        shapes.astype(np.float32),
        np.exp(rng.normal(2 * math.log(kernel), 0.3, k)).astype(np.float32),
        np.arange(k, dtype=np.int32),
        np.full(k, -1, np.int32),
        (),
    )
    scale = np.exp(rng.normal(0, 0.3, N))
    model = PosteriorModel(exemplars, Calibration(landmark_scale=tuple(scale / scale.mean())))
    return model.posterior(rng.normal(0, peak, k).astype(np.float32))


def twin(
    posterior: Posterior, n: int, sigma: float, nodes: NDArray[np.integer], noise: F64, misfit: float = 0.03
) -> tuple[float, float]:
    """Δε and ΔH by whole covariances and whole distributions, float64, over the posterior's components."""
    c, m = posterior.components, posterior.model
    p, mu = c.weights.astype(np.float64), c.shapes[c.index].astype(np.float64)
    p /= p.sum()
    variance = c.class_variance[c.index].astype(np.float64)
    for i, seen in posterior.measured.items():
        mu[:, :, i] = seen.x, seen.y

    def error(w: F64, clicked: int | None) -> float:
        mean = np.tensordot(w, mu, 1)
        spread = np.tensordot(w, ((mu - mean) ** 2).sum(axis=1), 1)
        kernel = w @ variance * m.landmark_scale
        for i in posterior.measured:
            kernel[i] = posterior.kernel_variance[i]
        if clicked is not None:
            spread[clicked] = 0
            kernel[clicked] = 1 / (1 / kernel[clicked] + 1 / sigma**2)
        return math.sqrt(float((spread + 2 * kernel).sum()) / N)

    errors, information = [], []
    own = EvidenceModel(misfit=misfit).misfit_variance(posterior.prior_error)[n]
    r = sigma**2 + own + variance * m.landmark_scale[n]
    for j, z in zip(nodes, noise, strict=True):
        at = mu[j, :, n] + math.sqrt(r[j]) * z
        log = -((mu[:, :, n] - at) ** 2).sum(axis=1) / (2 * r)
        w = p * np.exp(log)
        w /= w.sum()
        errors.append(error(w, n))
        positive = w > 0
        information.append(float((w[positive] * np.log(w[positive] / p[positive])).sum()))
    return error(p, None) - float(np.mean(errors)), float(np.mean(information))


@PLENTY
@given(seeds, st.one_of(st.integers(1, 20), st.integers(20, 1500)), st.floats(0, 5), sigmas, st.floats(0, 0.1))
def test_both_reductions_agree_with_the_dense_twin(seed: int, k: int, peak: float, sigma: float, misfit: float) -> None:
    posterior = face(seed, k, peak)
    node, count = systematic(posterior.components.weights, NODES)
    nodes, noise = np.repeat(node, count), normal_points(NODES)
    landmarks = [seed % N, (seed + 17) % N, (seed + 40) % N]
    for s in suggest(posterior, sigma, landmarks, model=EvidenceModel(misfit=misfit)).ranked:
        error, information = twin(posterior, s.landmark, sigma, nodes, noise, misfit)
        assert s.error_reduction == pytest.approx(error, abs=2e-6)
        assert s.entropy_reduction == pytest.approx(information, abs=1e-4)


@PLENTY
@given(seeds, sigmas)
def test_after_a_click_what_is_left_agrees_with_the_dense_twin(seed: int, sigma: float) -> None:
    first = face(seed, 300)
    x, y = (float(v) for v in first.mean[30])
    posterior = condition(first, Evidence((SoftClick(30, x, y, 0.02),))).posterior
    node, count = systematic(posterior.components.weights, NODES)
    ranked = suggest(posterior, sigma).ranked
    assert sorted(s.landmark for s in ranked) == [n for n in range(N) if n != 30]
    for s in ranked[:2]:
        error, information = twin(posterior, s.landmark, sigma, np.repeat(node, count), normal_points(NODES))
        assert s.error_reduction == pytest.approx(error, abs=2e-6)
        assert s.entropy_reduction == pytest.approx(information, abs=1e-4)


def test_the_expected_drop_is_what_clicks_drawn_from_the_posterior_buy() -> None:
    posterior, sigma, n = face(7, 300), 0.0135, 12
    rng = np.random.default_rng(0)
    p = posterior.probabilities.astype(np.float64)
    own = EvidenceModel().misfit_variance(posterior.expected_error)[n]
    variance = sigma**2 + own + posterior.model.class_variance * posterior.model.landmark_scale[n]
    errors, entropies = [], []
    for k in rng.choice(300, 400, p=p / p.sum()):
        x, y = posterior.model.exemplars.shapes[k, n] + rng.normal(0, math.sqrt(variance[k]), 2)
        click = SoftClick(n, float(x), float(y), sigma)
        after = condition(posterior, Evidence((click,), box_motion=BoxMotion.FIXED)).posterior
        errors.append(after.expected_error)
        entropies.append(after.entropy)
    (found,) = suggest(posterior, sigma, [n]).ranked
    assert found.error_reduction == pytest.approx(posterior.expected_error - np.mean(errors), rel=0.1)
    assert found.entropy_reduction == pytest.approx(posterior.entropy - np.mean(entropies), rel=0.1)


def test_a_large_posterior_is_resampled_and_answers_nearly_the_same() -> None:
    posterior = face(11, 4_000, 0.5)
    assert len(posterior.components.index) > MAX_MEMBERS
    rng = np.random.default_rng(1)
    p = posterior.components.weights.astype(np.float64)
    nodes = rng.choice(len(p), 200, p=p / p.sum())
    noise = rng.standard_normal((200, 2))
    for s in suggest(posterior, 0.0135, [0, 50]).ranked:
        error, information = twin(posterior, s.landmark, 0.0135, nodes, noise)
        assert s.error_reduction == pytest.approx(error, rel=0.1)
        assert s.entropy_reduction == pytest.approx(information, rel=0.1)


def test_the_best_landmark_is_the_one_that_tells_about_the_others() -> None:
    rng = np.random.default_rng(5)
    shapes = np.repeat(rng.uniform(0.2, 0.8, (1, N, 2)), 200, axis=0)
    move = rng.normal(0, 0.05, (200, 1))
    shapes[:, 20:60, 0] += 0.5 * move  # forty landmarks move together …
    shapes[:, 35, 0] += move[:, 0]  # … one of them most, where a click tells best
    shapes[:, 5] += rng.normal(0, 0.07, (200, 2))  # one is very uncertain, and tells nothing of the others
    exemplars = Exemplars(
        shapes.astype(np.float32),
        np.full(200, 1e-4, np.float32),
        np.arange(200, dtype=np.int32),
        np.full(200, -1, np.int32),
        (),
    )
    posterior = PosteriorModel(exemplars, Calibration()).posterior(np.zeros(200, np.float32))
    assert int(posterior.covariance[:, [0, 2]].sum(axis=1).argmax()) == 5
    assert suggest(posterior, 0.01).ranked[0].landmark == 35


def test_the_criterion_sets_the_order() -> None:
    posterior = face(3, 300)
    by_error, by_entropy = suggest(posterior, 0.01).ranked, suggest(posterior, 0.01, criterion=Criterion.ENTROPY).ranked
    assert sorted(by_error, key=lambda s: s.landmark) == sorted(by_entropy, key=lambda s: s.landmark)
    assert [s.error_reduction for s in by_error] == sorted((s.error_reduction for s in by_error), reverse=True)
    assert [s.entropy_reduction for s in by_entropy] == sorted((s.entropy_reduction for s in by_entropy), reverse=True)


@PLENTY
@given(seeds, st.integers(1, 300), st.floats(0, 10), st.sampled_from([1e-9, 0.012, 10.0]), st.sampled_from([1e-6, 1e6]))
def test_degenerate_posteriors_give_finite_answers(seed: int, k: int, peak: float, kernel: float, sigma: float) -> None:
    found = suggest(face(seed, k, peak, kernel), sigma)
    assert len(found.ranked) == N
    values = np.array([(s.error_reduction, s.entropy_reduction) for s in found.ranked])
    assert np.isfinite(values).all()
    assert values[:, 1].min() >= 0
    assert math.isfinite(found.expected_error)


def test_one_class_has_nothing_to_learn_of_itself() -> None:
    assert max(s.entropy_reduction for s in suggest(face(1, 1), 0.01).ranked) < 1e-12


def test_the_same_question_has_the_same_answer_to_the_last_bit() -> None:
    assert suggest(face(2, 4000, 0.3), 0.01) == suggest(face(2, 4000, 0.3), 0.01)


@examples(12)
@given(seeds)
def test_mirrored_posteriors_have_mirrored_suggestions(toy_exemplars: Exemplars, seed: int) -> None:
    model = PosteriorModel(toy_exemplars, Calibration(kernel_scale=0.5))
    scores = np.random.default_rng(seed).normal(0, 1, 60).astype(np.float32)
    # The nodes are not the mirrored nodes, so only what they estimate is the same; many estimate it well.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggestion, "NODES", 1024)
        here = {s.landmark: s for s in suggest(model.posterior(scores), 0.02).ranked}
        there = {s.landmark: s for s in suggest(model.posterior(scores[toy_exemplars.mirror_of]), 0.02).ranked}
    one = np.array([here[n].error_reduction for n in range(N)])
    other = np.array([there[int(MIRROR[n])].error_reduction for n in range(N)])
    assert np.abs(one - other).max() <= 0.05 * max(one.max(), other.max())


@PLENTY
@given(seeds, st.integers(1, 500), st.integers(1, 200))
def test_systematic_resampling_draws_each_row_as_often_as_it_weighs(seed: int, rows: int, draws: int) -> None:
    weights = np.random.default_rng(seed).exponential(1, rows) ** 3
    found, count = systematic(weights, draws)
    assert count.sum() == draws
    often = np.zeros(rows)
    often[found] = count
    assert np.abs(often - draws * weights / weights.sum()).max() < 1 + 1e-9


def test_no_draw_falls_on_a_row_without_weight() -> None:
    found, count = systematic(np.array([0, 1, 0, 3, 0]), 8)
    assert (found.tolist(), count.tolist()) == ([1, 3], [2, 6])


def test_the_normal_points_have_the_moments_of_a_normal() -> None:
    z = normal_points(512)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.06)


def test_every_wrong_candidate_is_named_at_once() -> None:
    posterior = condition(face(1, 20), Evidence((SoftClick(30, 0.5, 0.5, 0.1),))).posterior
    with pytest.raises(InvalidInputError) as raised:
        suggest(posterior, math.nan, [3, 68, 3, 30, -1])
    fields = [v.field for v in raised.value.violations]
    assert fields == ["sigma", "landmarks[1]", "landmarks[2]", "landmarks[3]", "landmarks[4]"]
