"""Evidence and the posterior given it, against dense float64 twins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from conditioning_twin import N, check_sound, draw_evidence, face, likelihood_twin, poses_of, synthetic
from exalign_engine.evidence.conditioning import (
    LEFT_OUT_OF_ANSWER,
    NEAREST_SLACK,
    ConditioningOutcome,
    EvidenceModel,
    condition,
)
from exalign_engine.evidence.evidence import (
    BoxMotion,
    Disc,
    Evidence,
    HardClick,
    Polygon,
    PoseRange,
    Rectangle,
    RegionConstraint,
    SoftClick,
)
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import MIRROR, mirror_shapes
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from properties import examples

F64 = NDArray[np.float64]

MODEL = EvidenceModel(0.6, 0.8, 0.03)
seeds = st.integers(0, 2**32 - 1)
#: Mostly small; the largest reaches the K of a real bundle's order.
counts = st.one_of(st.integers(1, 5), st.integers(1, 300), st.sampled_from([5_000, 20_000]))
motions = st.sampled_from(list(BoxMotion))
PLENTY = examples(40)


@PLENTY
@given(seeds, st.integers(1, 150), st.floats(0, 8), st.sampled_from([1e-5, 0.012, 3.0]), motions)
def test_any_evidence_agrees_with_dense_least_squares(
    seed: int, k: int, peak: float, kernel: float, motion: BoxMotion
) -> None:
    posterior, poses = face(seed, k, peak, kernel), poses_of(seed, k)
    evidence = draw_evidence(seed, posterior, motion)
    result = condition(posterior, evidence, poses=poses, model=MODEL)
    check_sound(result)
    log, b, excess = likelihood_twin(posterior, evidence, poses, MODEL)
    p = posterior.probabilities.astype(np.float64)
    if result.outcome is ConditioningOutcome.IMPOSSIBLE:
        assert not (np.isfinite(log) & (p > 0)).any()
        assert excess[result.posterior.probabilities > 0].max() <= excess.min() + NEAREST_SLACK + 1e-6
        return
    with np.errstate(divide="ignore"):
        joint = np.log(p) + log
    top = joint.max()
    expected = np.exp(joint - top)
    assert result.surprise == pytest.approx(max(-(top + math.log(expected.sum())), 0), rel=1e-4, abs=1e-5)
    # b_k is kept in float32, which a click of σ = 2e-3 sees as 1e-4 of a nat.
    np.testing.assert_allclose(result.posterior.probabilities, expected / expected.sum(), rtol=2e-3, atol=1e-6)
    if result.posterior.box_shift is not None:
        rows = slice(None) if result.posterior.held is None else result.posterior.held
        np.testing.assert_allclose(result.posterior.box_shift[rows], b[rows], atol=1e-6)
        weights = result.posterior.probabilities.astype(np.float64)
        np.testing.assert_allclose(result.box_shift, weights @ b, atol=1e-6)


@PLENTY
@given(seeds, counts, st.floats(0, 8))
def test_one_soft_click_in_a_fixed_box_is_eq_10b(seed: int, k: int, peak: float) -> None:
    posterior = face(seed, k, peak)
    m, n = posterior.model, seed % N
    x, y = (float(v) for v in posterior.mean[n] + 0.01)
    result = condition(posterior, Evidence((SoftClick(n, x, y, 0.02),), box_motion=BoxMotion.FIXED))
    check_sound(result)
    squared = ((m.exemplars.shapes[:, n].astype(np.float64) - (x, y)) ** 2).sum(axis=1)
    noise = 0.02**2 + EvidenceModel().misfit_variance(posterior.expected_error)[n]
    likelihood = np.exp(-squared / (2 * (noise + m.class_variance.astype(np.float64) * m.landmark_scale[n])))
    joint = posterior.probabilities.astype(np.float64) * likelihood
    np.testing.assert_allclose(result.posterior.probabilities, joint / joint.sum(), rtol=1e-5, atol=1e-9)
    assert result.surprise == pytest.approx(-math.log(joint.sum()), rel=1e-5, abs=1e-6)


@PLENTY
@given(seeds, counts, st.floats(0, 8), st.floats(0.01, 0.2))
def test_one_hard_click_in_a_fixed_box_keeps_those_within_the_radius(
    seed: int, k: int, peak: float, radius: float
) -> None:
    posterior = face(seed, k, peak)
    n = seed % N
    x, y = (float(v) for v in posterior.mean[n])
    result = condition(posterior, Evidence((HardClick(n, x, y, radius),), box_motion=BoxMotion.FIXED))
    check_sound(result)
    distance = np.linalg.norm(posterior.model.exemplars.shapes[:, n].astype(np.float64) - (x, y), axis=1)
    p = posterior.probabilities.astype(np.float64)
    mass = p[distance <= radius].sum()
    if result.outcome is ConditioningOutcome.IMPOSSIBLE:
        assert mass == 0
    else:
        expected = np.where(distance <= radius, p, 0) / mass
        np.testing.assert_allclose(result.posterior.probabilities, expected, rtol=1e-5, atol=1e-9)
        assert result.surprise == pytest.approx(-math.log(min(mass, 1)), abs=1e-5)


@PLENTY
@given(seeds, motions)
def test_neither_order_nor_repeats_matter_to_the_last_bit(seed: int, motion: BoxMotion) -> None:
    posterior, poses = face(seed, 200), poses_of(seed, 200)
    evidence = draw_evidence(seed, posterior, motion)
    rng = np.random.default_rng(seed)

    def shuffled(items: Sequence[object]) -> tuple[object, ...]:
        return tuple(items[i] for i in rng.permutation(np.repeat(np.arange(len(items)), 2)))

    again = Evidence(*(shuffled(c) for c in (evidence.clicks, evidence.regions, evidence.poses)), motion)  # type: ignore[arg-type]
    assert again == evidence
    assert evidence.union(evidence) == evidence
    one, two = (condition(posterior, e, poses=poses) for e in (evidence, again))
    assert np.array_equal(one.posterior.probabilities, two.posterior.probabilities)
    assert one.surprise == two.surprise


@PLENTY
@given(seeds, counts, motions)
def test_evidence_that_every_exemplar_meets_changes_nothing(seed: int, k: int, motion: BoxMotion) -> None:
    posterior = face(seed, k)
    everywhere = (Rectangle(-9, -9, 9, 9), Disc(0.5, 0.5, 9), Polygon(((-9, -9), (9, -9), (9, 9), (-9, 9))))
    evidence = Evidence(
        tuple(HardClick(n, 0.5, 0.5, 9) for n in (0, 30)),
        tuple(RegionConstraint(n, r) for n, r in itertools.product((3, 40), everywhere)),
        (PoseRange(yaw=(-180, 180)), PoseRange()),
        motion,
    )
    result = condition(posterior, evidence, poses=poses_of(seed, k))
    assert result.posterior is posterior
    assert result.surprise == 0
    assert result.outcome is ConditioningOutcome.CONDITIONED


@pytest.mark.parametrize("motion", BoxMotion)
def test_no_evidence_changes_nothing(motion: BoxMotion) -> None:
    posterior = face(1, 50)
    assert condition(posterior, Evidence(box_motion=motion)).posterior is posterior


@PLENTY
@given(seeds)
def test_a_box_that_cannot_move_is_a_fixed_box(seed: int) -> None:
    posterior, poses = face(seed, 100), poses_of(seed, 100)
    still = condition(
        posterior, draw_evidence(seed, posterior, BoxMotion.FREE), poses=poses, model=EvidenceModel(0.0, 0.0)
    )
    fixed = condition(posterior, draw_evidence(seed, posterior, BoxMotion.FIXED), poses=poses)
    assert np.array_equal(still.posterior.probabilities, fixed.posterior.probabilities)
    assert still.surprise == fixed.surprise


def test_a_wrong_box_is_corrected_by_clicks_where_it_may_move(toy_exemplars: Exemplars) -> None:
    posterior = PosteriorModel(toy_exemplars, Calibration(kernel_scale=0.02)).posterior(np.zeros(60, np.float32))
    truth = toy_exemplars.shapes[7].astype(np.float64)
    shifted = truth + np.array([0.25, -0.2])
    clicks = tuple(SoftClick(n, float(shifted[n, 0]), float(shifted[n, 1]), 0.005) for n in (0, 8, 16, 30))
    unit = posterior.expected_error
    free = condition(posterior, Evidence(clicks), model=EvidenceModel(0.2 / unit, 0.1 / unit, 0.0))
    fixed = condition(posterior, Evidence(clicks, box_motion=BoxMotion.FIXED))
    np.testing.assert_allclose(free.box_shift[:2], (0.25, -0.2), atol=0.03)
    assert np.abs(free.posterior.mean - shifted).mean() < 0.02 < np.abs(fixed.posterior.mean - shifted).mean()
    assert free.surprise is not None
    assert fixed.surprise is not None
    assert free.surprise < fixed.surprise
    # The exemplar behind the answer is shown where the answer is.
    k = free.posterior.map_index
    assert free.posterior.box_shift is not None
    b = free.posterior.box_shift[k]
    moved = toy_exemplars.shapes[k] + b[:2] + b[2] * (toy_exemplars.shapes[k] - 0.5)
    np.testing.assert_allclose(free.posterior.map_shape, moved, atol=1e-6)


def test_a_hard_click_pulls_a_box_that_may_move_no_farther_than_it_must() -> None:
    posterior = face(3, 20, kernel=1e-4)
    x, y = (float(v) for v in posterior.model.exemplars.shapes[:, 30].mean(axis=0) + 0.3)
    hard = HardClick(30, x, y, 0.05)
    assert condition(posterior, Evidence((hard,), box_motion=BoxMotion.FIXED)).outcome is ConditioningOutcome.IMPOSSIBLE
    free = condition(posterior, Evidence((hard,)), model=EvidenceModel(0.3 / posterior.expected_error, 0.0))
    assert free.outcome is ConditioningOutcome.CONDITIONED
    assert np.linalg.norm(free.posterior.mean[30] - (x, y)) <= 0.05
    assert np.linalg.norm(free.box_shift[:2]) < np.linalg.norm((0.3, 0.3))


def test_the_clicked_landmarks_own_marginal_becomes_the_clicks() -> None:
    posterior = face(5, 100)
    result = condition(posterior, Evidence((SoftClick(30, 0.4, 0.6, 0.01),), box_motion=BoxMotion.FIXED)).posterior
    np.testing.assert_allclose(result.mean[30], (0.4, 0.6))
    kernel = result.probabilities.astype(np.float64) @ result.model.class_variance * result.model.landmark_scale[30]
    product = 1 / (1 / 0.01**2 + 1 / kernel)
    np.testing.assert_allclose(result.covariance[30], (product, 0, product), rtol=2e-3)
    assert result.confidence[30] > 0.99
    group = result.group([30])
    np.testing.assert_allclose(group.centroid, (0.4, 0.6))
    np.testing.assert_allclose(group.covariance, result.covariance[30], atol=1e-12)


@PLENTY
@given(seeds, counts, motions)
def test_impossible_evidence_is_answered_by_the_nearest(seed: int, k: int, motion: BoxMotion) -> None:
    posterior = face(seed, k)
    apart = (HardClick(0, -50.0, 0.0, 0.01), HardClick(1, 50.0, 0.0, 0.01))
    result = condition(posterior, Evidence(apart, box_motion=motion))
    check_sound(result)
    assert result.outcome is ConditioningOutcome.IMPOSSIBLE


def test_impossible_evidence_keeps_the_prior_among_the_nearest() -> None:
    posterior = face(9, 500)
    region = RegionConstraint(4, Disc(30.0, 30.0, 0.1))
    result = condition(posterior, Evidence(regions=(region,)))
    x, y = posterior.model.exemplars.shapes[:, 4].astype(np.float64).T
    excess = region.region.signed_distance(x, y)
    near = excess <= excess.min() + NEAREST_SLACK
    expected = np.where(near, posterior.probabilities, 0) / posterior.probabilities[near].sum()
    np.testing.assert_allclose(result.posterior.probabilities, expected, rtol=1e-5)


def test_the_nearest_share_alike_where_the_prior_leaves_them_nothing() -> None:
    scores = np.full(10, -1e6, np.float32)
    scores[0] = 0
    posterior = synthetic(2, 10).posterior(scores)
    x, y = (float(v) for v in posterior.model.exemplars.shapes[6, 20])
    evidence = Evidence((HardClick(20, x, y, 1e-5),), box_motion=BoxMotion.FIXED)
    result = condition(posterior, evidence)
    check_sound(result)
    assert result.outcome is ConditioningOutcome.IMPOSSIBLE
    assert result.posterior.probabilities[6] == result.posterior.probabilities.max()
    assert result.posterior.probabilities[0] == 0


@pytest.mark.parametrize("motion", BoxMotion)
@pytest.mark.parametrize("sigma", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("place", [0.5, -30.0, 1e6])
def test_soft_clicks_are_never_impossible_and_never_nan(place: float, sigma: float, motion: BoxMotion) -> None:
    for kernel in (1e-9, 1.0, 1e6):
        result = condition(face(4, 30, 8, kernel), Evidence((SoftClick(12, place, place, sigma),), box_motion=motion))
        check_sound(result)
        assert result.outcome is ConditioningOutcome.CONDITIONED


@PLENTY
@given(seeds, motions)
def test_mirrored_evidence_on_mirrored_scores_gives_the_mirrored_answer(
    toy_exemplars: Exemplars, seed: int, motion: BoxMotion
) -> None:
    model = PosteriorModel(toy_exemplars, Calibration(kernel_scale=0.5))
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 2, 60).astype(np.float32)
    n, (x, y) = int(rng.integers(N)), (float(v) for v in rng.uniform(0.2, 0.8, 2))
    here = condition(model.posterior(scores), Evidence((SoftClick(n, x, y, 0.03),), box_motion=motion))
    mirrored = Evidence((SoftClick(int(MIRROR[n]), 1 - x, y, 0.03),), box_motion=motion)
    there = condition(model.posterior(scores[toy_exemplars.mirror_of]), mirrored)
    np.testing.assert_allclose(there.posterior.mean, mirror_shapes(here.posterior.mean), atol=1e-4)
    assert here.surprise == pytest.approx(there.surprise, rel=1e-3, abs=1e-4)
    np.testing.assert_allclose(there.box_shift, here.box_shift * (-1, 1, 1), atol=1e-4)


def test_pose_ranges_keep_the_poses_within_both_ends() -> None:
    posterior = face(6, 5, 0.0)
    poses = np.array([[-10, 0, 0], [10, 0, 0], [11, 0, 0], [0, 5, 0], [0, 0, 40]], np.float32)
    evidence = Evidence(poses=(PoseRange(yaw=(-10, 10)), PoseRange(pitch=(-1, 1), roll=(-5, 40))))
    result = condition(posterior, evidence, poses=poses)
    assert (result.posterior.probabilities > 0).tolist() == [True, True, False, False, True]
    assert result.surprise == pytest.approx(-math.log(3 / 5), abs=1e-6)


@pytest.mark.parametrize("poses", [None, np.zeros((4, 3), np.float32)])
def test_pose_ranges_need_the_poses_of_every_exemplar(poses: NDArray[np.float32] | None) -> None:
    with pytest.raises(ValueError, match=r"poses of shape \(5, 3\)"):
        condition(face(1, 5), Evidence(poses=(PoseRange(yaw=(0, 1)),)), poses=poses)


def test_a_posterior_that_holds_clicks_is_not_conditioned_again() -> None:
    click = Evidence((SoftClick(30, 0.5, 0.5, 0.1),))
    with pytest.raises(ValueError, match="holds clicks already"):
        condition(condition(face(1, 5), click).posterior, click)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_an_evidence_model_takes_finite_numbers_in_their_ranges(value: float) -> None:
    for name in ("shift", "log_scale", "misfit"):
        with pytest.raises(ValueError, match=f"{name} is"):
            EvidenceModel(**{name: value})


@PLENTY
@given(seeds, st.sampled_from([5_000, 20_000]), motions)
def test_a_click_is_weighed_for_few_classes_of_a_sure_posterior(seed: int, k: int, motion: BoxMotion) -> None:
    posterior = face(seed, k, 8.0)
    x, y = (float(v) for v in posterior.mean[30])
    result = condition(posterior, Evidence((SoftClick(30, x, y, 0.05),), box_motion=motion))
    assert result.posterior.held is not None
    assert len(result.posterior.held) < k
    assert not np.delete(result.posterior.probabilities, result.posterior.held).any()


def test_a_click_on_what_hardly_any_probability_is_left_for_is_weighed_for_all_classes() -> None:
    posterior = face(8, 2_000, 8.0, 1e-3)
    order = np.argsort(posterior.probabilities)
    counts_of_classes = []
    for k in order[[-1, -40, 0]]:
        shape = posterior.model.exemplars.shapes[k].astype(np.float64)
        clicks = tuple(SoftClick(n, float(shape[n, 0]), float(shape[n, 1]), 1e-3) for n in range(0, N, 7))
        evidence = Evidence(clicks, box_motion=BoxMotion.FIXED)
        result = condition(posterior, evidence, model=EvidenceModel(misfit=0.0))
        log, _, _ = likelihood_twin(posterior, evidence, np.zeros((0, 3)), EvidenceModel(misfit=0.0))
        joint = np.log(posterior.probabilities.astype(np.float64)) + log
        expected = np.exp(joint - joint.max())
        np.testing.assert_allclose(
            result.posterior.probabilities, expected / expected.sum(), rtol=1e-4, atol=LEFT_OUT_OF_ANSWER
        )
        counts_of_classes.append(2_000 if result.posterior.held is None else len(result.posterior.held))
    assert counts_of_classes == sorted(counts_of_classes)
    assert counts_of_classes[0] < counts_of_classes[-1] == 2_000
