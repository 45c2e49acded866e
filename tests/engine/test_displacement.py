"""A displaced posterior is the posterior of displaced exemplars, in every view and under any evidence."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from displacement_toy import StatedDisplacer, drawn, features_of, mirrored
from exalign_engine.calibration.mixture import fit_coverage, fit_kernels
from exalign_engine.evidence.conditioning import EvidenceModel, condition
from exalign_engine.evidence.evidence import BoxMotion, Disc, Evidence, HardClick, RegionConstraint, SoftClick
from exalign_engine.evidence.suggestion import suggest
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.face.click_policies import heaviest_part
from exalign_engine.geometry.head_pose import solve_pose, wrap
from exalign_engine.geometry.landmarks import MIRROR, mirror_shapes
from exalign_engine.heatmaps.marginals import ERROR_BOUND, Grid, marginal_heatmaps
from exalign_engine.metrics.coverage import landmark_levels
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.kept import MOMENT_CUT
from exalign_engine.posterior.kernels import kernel_layout, moved_shapes, nearness
from exalign_engine.posterior.pose import displaced_poses, displaced_turn
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import DISPLACEMENT_REACH
from properties import examples

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

K, N = 60, 68
seeds = st.integers(0, 2**32 - 1)
motions = st.sampled_from(list(BoxMotion))
PLENTY = examples(15)

#: Kernels that differ between landmarks, and that agree between left and right.
SCALE = 0.6 + np.arange(N) / N
CALIBRATION = Calibration(
    temperature=0.4, kernel_scale=0.3, landmark_scale=tuple((SCALE + SCALE[MIRROR]) / (SCALE + SCALE[MIRROR]).mean())
)


def scores_of(seed: int, spread: float) -> F32:
    return np.random.default_rng(seed).normal(0, spread, K).astype(np.float32)


def pair(exemplars: Exemplars, seed: int, spread: float) -> tuple[Posterior, Posterior]:
    """A displaced posterior; and its twin, made of exemplars that were moved beforehand, in float64."""
    one = PosteriorModel(exemplars, CALIBRATION, StatedDisplacer()).posterior(scores_of(seed, spread), drawn(seed))
    p, shapes = one.probabilities.astype(np.float64), exemplars.shapes.astype(np.float64)
    kept = p >= MOMENT_CUT / K
    start = np.einsum("k,knc->nc", p[kept] / p[kept].sum(), shapes[kept])
    share = np.where(kept, np.exp(-((shapes - start) ** 2).sum(axis=2).mean(axis=1) / (2 * DISPLACEMENT_REACH**2)), 0)
    r = StatedDisplacer().displacement(drawn(seed), start)
    moved = replace(exemplars, shapes=(shapes + share[:, None, None] * r).astype(np.float32))
    return one, Posterior(PosteriorModel(moved, CALIBRATION), one.probabilities, one.presence)


def close(one: Posterior, twin: Posterior, atol: float = 5e-6) -> None:
    np.testing.assert_allclose(one.mean, twin.mean, atol=atol)
    np.testing.assert_allclose(one.covariance, twin.covariance, atol=atol)
    np.testing.assert_allclose(one.map_shape, twin.map_shape, atol=atol)
    np.testing.assert_allclose(one.confidence, twin.confidence, atol=1e-4)
    assert one.expected_error == pytest.approx(twin.expected_error, abs=atol)
    group, expected = one.group([30, 48, 54]), twin.group([30, 48, 54])
    np.testing.assert_allclose(group.centroid, expected.centroid, atol=atol)
    np.testing.assert_allclose(group.covariance, expected.covariance, atol=atol)


@PLENTY
@given(seeds, st.floats(0, 3))
@example(5518328, 2.0)  # the mean lies far from every exemplar, and hardly moves
def test_points_and_uncertainties_are_those_of_moved_exemplars(
    toy_exemplars: Exemplars, seed: int, spread: float
) -> None:
    one, twin = pair(toy_exemplars, seed, spread)
    close(one, twin)
    np.testing.assert_allclose(one.mean, one.mixture_mean + one.mean_displacement, atol=5e-6)
    assert (np.abs(one.mean_displacement) <= np.abs(one.displacement) * (1 + 1e-6)).all()
    for n in (0, 30):
        np.testing.assert_allclose(one.places(n), twin.places(n), atol=1e-6)


def test_points_move_where_the_mean_lies_among_the_exemplars(toy_exemplars: Exemplars) -> None:
    one, _ = pair(toy_exemplars, 1, 1.0)
    assert one.share is not None
    taken = float(one.probabilities.astype(np.float64) @ one.share)
    assert 0.3 < taken < 1
    np.testing.assert_allclose(one.mean - one.mixture_mean, taken * one.displacement, atol=1e-5)
    assert np.abs(one.mean - one.mixture_mean).max() > 0.01


@PLENTY
@given(seeds, st.floats(0, 3))
@example(164836, 0.0)
def test_heatmaps_and_levels_are_those_of_moved_exemplars(toy_exemplars: Exemplars, seed: int, spread: float) -> None:
    one, twin = pair(toy_exemplars, seed, spread)
    grid, landmarks, scale = Grid(-0.1, -0.2, 1.1, 1.2, 40, 32), np.array([0, 30, 50]), one.model.landmark_scale
    maps = [
        marginal_heatmaps(c.weights, c.index, c.shapes, c.class_variance, scale, landmarks, grid)
        for c in (one.components, twin.components)
    ]
    assert np.abs(maps[0].cells - maps[1].cells).sum(axis=(1, 2)).max() <= 2 * ERROR_BOUND
    truth = twin.mean + np.random.default_rng(seed).normal(0, 0.01, (N, 2))
    (level, nll), (expected_level, expected_nll) = (landmark_levels(p, truth) for p in (one, twin))
    # A level is a sum over cells: one that is as dense as the truth may fall on either side.
    np.testing.assert_allclose(level, expected_level, atol=6e-3)
    assert np.abs(level - expected_level).mean() <= 2e-4
    np.testing.assert_allclose(nll, expected_nll, atol=1e-3)


@PLENTY
@given(seeds, st.floats(0, 2), motions)
def test_evidence_meets_the_exemplars_where_they_were_moved_to(
    toy_exemplars: Exemplars, seed: int, spread: float, motion: BoxMotion
) -> None:
    one, twin = pair(toy_exemplars, seed, spread)
    (chin_x, chin_y), (eye_x, eye_y) = (twin.mean[[8, 36]] + [(0.02, 0.01), (0, 0)]).tolist()
    evidence = Evidence(
        (SoftClick(8, chin_x, chin_y, 0.01), HardClick(36, eye_x, eye_y, 0.15)),
        (RegionConstraint(33, Disc(0.5, 0.6, 0.4)), RegionConstraint(20, Disc(0.5, 0.9, 0.05), inside=False)),
        box_motion=motion,
    )
    model = EvidenceModel(0.6, 0.8, 0.03)
    given_one, given_twin = (condition(p, evidence, model=model) for p in (one, twin))
    assert given_one.outcome is given_twin.outcome
    assert given_one.surprise == pytest.approx(given_twin.surprise, rel=1e-3, abs=1e-4)
    np.testing.assert_allclose(given_one.posterior.probabilities, given_twin.posterior.probabilities, atol=1e-4)
    np.testing.assert_allclose(given_one.box_shift, given_twin.box_shift, atol=1e-5)
    close(given_one.posterior, given_twin.posterior, atol=3e-5)
    np.testing.assert_array_equal(given_one.posterior.displacement, one.displacement)
    np.testing.assert_array_equal(given_one.posterior.mean[8], (chin_x, chin_y))
    # What is to be clicked next.
    ranked = [{s.landmark: s for s in suggest(g.posterior, 0.014).ranked} for g in (given_one, given_twin)]
    for n in (0, 30, 66):
        assert ranked[0][n].error_reduction == pytest.approx(ranked[1][n].error_reduction, abs=2e-5)


@PLENTY
@given(seeds, st.floats(0, 2))
def test_the_mirrored_picture_and_scores_give_the_mirrored_answer(
    toy_exemplars: Exemplars, seed: int, spread: float
) -> None:
    model = PosteriorModel(toy_exemplars, CALIBRATION, StatedDisplacer())
    scores, image = scores_of(seed, spread), drawn(seed)
    here, there = model.posterior(scores, image), model.posterior(scores[toy_exemplars.mirror_of], mirrored(image))
    np.testing.assert_allclose(there.mean, mirror_shapes(here.mean), atol=2e-5)
    np.testing.assert_allclose(there.displacement, here.displacement[MIRROR] * (-1, 1), atol=2e-5)
    np.testing.assert_allclose(there.covariance, here.covariance[MIRROR] * (1, -1, 1), atol=2e-5)
    x, y = (float(v) for v in here.mean[54] + 0.02)
    click = Evidence((SoftClick(54, x, y, 0.01),))
    flipped = Evidence((SoftClick(int(MIRROR[54]), 1 - x, y, 0.01),))
    one, other = condition(here, click).posterior, condition(there, flipped).posterior
    np.testing.assert_allclose(other.mean, mirror_shapes(one.mean), atol=1e-4)


@PLENTY
@given(seeds)
def test_exemplars_displaced_as_one_are_translated(toy_exemplars: Exemplars, seed: int) -> None:
    model, r = PosteriorModel(toy_exemplars, CALIBRATION), np.array([0.03, -0.05])
    plain = model.posterior(scores_of(seed, 1.0))
    moved = Posterior(model, plain.probabilities, 1.0, displacement=np.tile(r, (N, 1)))
    assert moved.share is None
    np.testing.assert_allclose(moved.mean, plain.mean + r, atol=2e-6)
    np.testing.assert_allclose(moved.covariance, plain.covariance, atol=2e-6)
    np.testing.assert_allclose(moved.map_shape, plain.map_shape + r, atol=2e-6)
    np.testing.assert_allclose(moved.confidence, plain.confidence, atol=1e-4)
    x, y = (float(v) for v in plain.mean[30] + 0.01)
    here = condition(plain, Evidence((SoftClick(30, x, y, 0.01),), box_motion=BoxMotion.FIXED))
    there = condition(moved, Evidence((SoftClick(30, x + r[0], y + r[1], 0.01),), box_motion=BoxMotion.FIXED))
    np.testing.assert_allclose(there.posterior.probabilities, here.posterior.probabilities, atol=1e-4)
    np.testing.assert_allclose(there.posterior.mean, here.posterior.mean + r, atol=2e-5)


def test_an_exemplar_takes_the_less_the_farther_it_is_and_nothing_where_it_is_excluded(
    toy_exemplars: Exemplars,
) -> None:
    scores = scores_of(5, 0.5)
    scores[7] = -100.0
    posterior = PosteriorModel(toy_exemplars, CALIBRATION, StatedDisplacer()).posterior(scores, drawn(5))
    assert posterior.share is not None
    distance = np.sqrt(((toy_exemplars.shapes - posterior.mixture_mean) ** 2).sum(axis=2).mean(axis=1))
    order = [k for k in np.argsort(distance) if k != 7]
    assert (np.diff(posterior.share[order]) <= 1e-6).all()
    assert posterior.share[order[0]] > 0.5 > posterior.share[order[-1]]
    assert posterior.share[7] == 0
    np.testing.assert_array_equal(posterior.places(0)[:, 7], posterior.model.by_landmark[0][:, 7])


@pytest.mark.parametrize("displacer", [None, StatedDisplacer(pull=0.0)])
def test_no_displacement_moves_nothing(toy_exemplars: Exemplars, displacer: StatedDisplacer | None) -> None:
    plain = PosteriorModel(toy_exemplars, CALIBRATION).posterior(scores_of(1, 1.0))
    model = PosteriorModel(toy_exemplars, CALIBRATION, displacer)
    for image in (None, features_of(np.zeros((N, 2)))):
        posterior = model.posterior(scores_of(1, 1.0), image)
        np.testing.assert_array_equal(posterior.mean, plain.mean)
        np.testing.assert_array_equal(posterior.displacement, 0)


def test_a_part_of_a_posterior_is_displaced_as_the_whole(toy_exemplars: Exemplars) -> None:
    model = PosteriorModel(toy_exemplars, CALIBRATION, StatedDisplacer())
    whole = model.posterior(scores_of(3, 3.0), drawn(3))
    part = heaviest_part(whole, 40)
    np.testing.assert_allclose(part.mean, whole.mean, atol=2e-3)
    np.testing.assert_array_equal(part.displacement, whole.displacement)


def test_exemplars_are_turned_by_what_the_displacement_turns_their_mean(toy_exemplars: Exemplars) -> None:
    flat = toy_exemplars.shapes.astype(np.float64).mean(axis=0)
    flat = (flat + mirror_shapes(flat)) / 2 - 0.5
    face = np.column_stack([flat, 0.6 - 1.6 * flat[:, 0] ** 2])
    pose = np.array([[1, 2, 3], [-4, 5, 179]], np.float32)
    poses = Poses(face, pose, np.ones((2, 3), np.float32))
    model = PosteriorModel(toy_exemplars, CALIBRATION)
    p = model.posterior(scores_of(2, 1.0)).probabilities
    start = Posterior(model, p, 1.0).mixture_mean
    angle = np.deg2rad(10.0)
    turned = (start - 0.5) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 0.5
    posterior = Posterior(model, p, 1.0, displacement=turned - start)
    np.testing.assert_allclose(displaced_turn(posterior, poses), (0, 0, 10), atol=1e-3)
    np.testing.assert_allclose(displaced_poses(posterior, poses).pose, [[1, 2, 13], [-4, 5, -171]], atol=1e-3)
    # Where not all of it is taken, by what is.
    half = Posterior(model, p, 1.0, displacement=turned - start, share=np.full(K, 0.5, np.float32))
    there, here = solve_pose(np.stack([half.mean, start]), face).astype(np.float64)
    np.testing.assert_allclose(displaced_turn(half, poses), wrap(there - here), atol=1e-3)
    assert displaced_poses(Posterior(model, p, 1.0), poses) is poses


def test_the_fit_is_that_of_faces_where_the_exemplars_are_displaced_to(toy_exemplars: Exemplars) -> None:
    """Faces drawn about displaced exemplars: with the displacer the kernels are found, without it they are too wide."""
    rng, faces = np.random.default_rng(0), 60
    k = rng.integers(0, K, faces)
    scores = np.zeros((faces, K), np.float32)
    scores[np.arange(faces), k] = 100.0
    images = [drawn(i, 0.03) for i in range(faces)]
    displacer = StatedDisplacer(pull=0.0)
    stated = np.stack([displacer.displacement(image, toy_exemplars.shapes[0]) for image in images])
    sigma = np.sqrt(0.1 * toy_exemplars.variance[k])[:, None, None]
    truth = toy_exemplars.shapes[k] + stated + sigma * rng.standard_normal((faces, N, 2))
    fit = fit_kernels(scores, truth, toy_exemplars, displacer, images)
    assert fit.kernel_scale == pytest.approx(0.1, rel=0.06)
    assert fit_kernels(scores, truth, toy_exemplars).kernel_scale > 0.15
    width = fit_coverage(Calibration(kernel_scale=0.1), scores, truth, toy_exemplars, displacer, images)
    assert width.factor == pytest.approx(1, abs=0.1)


@PLENTY
@given(seeds, st.integers(1, 500), st.floats(0.005, 0.3))
def test_nearness_and_moved_shapes_agree_with_float64(seed: int, k: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = rng.uniform(0, 1, (1, 5, 2)) + rng.normal(0, spread, (2 * k, 5, 2))
    index = rng.permutation(2 * k)[:k].astype(np.int32)
    layout, start = kernel_layout(shapes), shapes.mean(axis=0).T
    seen = layout[index].astype(np.float64)
    expected = np.exp(-((seen - start) ** 2).sum(axis=1).mean(axis=1) / (2 * DISPLACEMENT_REACH**2))
    share = nearness(index, layout, start, DISPLACEMENT_REACH)
    np.testing.assert_allclose(share, expected, atol=1e-5)
    r, shift = rng.normal(0, 0.1, (2, 5)), rng.normal(0, 0.1, (k, 3)).astype(np.float32)
    moved = seen + share[:, None, None].astype(np.float64) * r
    moved = moved + shift[:, :2, None] + shift[:, 2, None, None].astype(np.float64) * (moved - 0.5)
    found = moved_shapes(index, layout, r.astype(np.float32), share, shift)
    np.testing.assert_allclose(found, moved, atol=1e-6)
    assert math.isfinite(float(found.sum()))
