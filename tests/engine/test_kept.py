"""What stands for many exemplars, against all of them in float64. Bounds are about twice what was seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import heatmaps, pose
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.kept import MAX_KEPT, MOMENT_CUT, STAND_INS, Support
from exalign_engine.posterior.pose import PoseGrid
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import DISPLACEMENT_REACH
from exalign_engine.posterior.thinning import drawn, thinned
from properties import examples
from toy_faces import mean_face
from tracking_toy import MIDDLE, at

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
PLENTY = examples(60)
K = 6000


@pytest.fixture(scope="module")
def model() -> PosteriorModel:
    """Faces turned, leant, grown and moved at random, about as far as the default bundle's."""
    rng = np.random.default_rng(1)
    face = mean_face() - 0.5
    turn, lean = rng.normal(0, 0.3, (K, 1)), rng.normal(0, 0.2, (K, 1))
    x, y = face[:, 0] * (1 + rng.normal(0, 0.1, (K, 1))), face[:, 1] * (1 + rng.normal(0, 0.1, (K, 1)))
    shapes = np.stack([x * np.cos(turn) - y * np.sin(lean), x * np.sin(lean) + y], axis=2)
    shapes += 0.5 + rng.normal(0, 0.05, (K, 1, 2)) + rng.normal(0, 0.005, (K, 68, 2))
    nobody = np.zeros(K, np.int32)
    variance = rng.uniform(2e-4, 1e-3, K).astype(np.float32)
    return PosteriorModel(Exemplars(shapes.astype(np.float32), variance, nobody, nobody, ()), Calibration())


def flat(p: F32) -> F32:
    return np.full_like(p, 1 / len(p))


def wavy(p: F32) -> F32:
    """Some heavy ones, and many light ones of unlike weights."""
    rng = np.random.default_rng(2)
    w = rng.gamma(2.0, size=len(p))
    w[rng.integers(0, len(p), 20)] *= 500
    return (w / w.sum()).astype(np.float32)


BOTH = pytest.mark.parametrize("shape", [flat, wavy])


def posterior(model: PosteriorModel, shape: Callable[[F32], F32]) -> Posterior:
    return Posterior(model, shape(np.zeros(K, np.float32)), 0.1)


@PLENTY
@given(st.integers(0, 2**32 - 1), st.integers(1, 2000), st.integers(1, 2000), st.booleans())
@example(34534, 278, 205, True)  # ten marks fall on borders
def test_drawn_weights_are_the_thinned_ones(seed: int, size: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    masses = rng.gamma(0.3, size=size) * (rng.random(size) < 0.8)
    masses[rng.integers(size)] += 1e-3
    if ties:
        masses = np.ceil(2 * masses)
    (rows, weights), found, (expected, moved) = drawn(masses, count), np.zeros(size), thinned(masses, count)
    found[rows] = weights
    assert moved == pytest.approx(masses[expected == 0].sum(), abs=1e-12)
    assert np.count_nonzero(found) <= count
    assert found.sum() == pytest.approx(masses.sum(), rel=1e-9)
    # No stretch from the beginning on gains or loses more than half of what a mark weighs.
    mark = float(found[found > 0].min())
    assert np.abs(np.cumsum(found) - np.cumsum(masses)).max() <= mark * (0.5 + 1e-6)
    # Where a mark falls on the border of two weights, rounding may put it on either: seldom, where none are equal.
    step = max(float(found[found > 0].min()), float(expected[expected > 0].min()))
    assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= step * (1 + 1e-9)
    assert ties or np.count_nonzero(~np.isclose(found, expected)) <= 0.02 * size + 2


def test_the_light_ones_have_one_place_where_all_others_are_heavy() -> None:
    masses = np.array([1.0, 100.0, 1.0, 50.0, 1.0, 1.0])
    rows, weights = drawn(masses, 3)
    assert dict(zip(rows.tolist(), weights.tolist(), strict=True)) == {1: 100.0, 3: 50.0, 4: 4.0}


def test_few_exemplars_are_all_kept(model: PosteriorModel) -> None:
    p = np.zeros(K, np.float32)
    p[:MAX_KEPT] = 1 / MAX_KEPT
    p[-1] = MOMENT_CUT / K / 2
    kept = Support.of(p, model.exemplars)
    np.testing.assert_array_equal(kept.index, np.arange(MAX_KEPT))
    np.testing.assert_allclose(kept.weights, 1 / MAX_KEPT, rtol=1e-6)
    assert kept.cut < MOMENT_CUT


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_what_has_no_probability_is_an_error_before_any_kernel(model: PosteriorModel, value: float) -> None:
    nothing = np.full(K, value, np.float32)
    with pytest.raises(ArithmeticError, match="no exemplar has a probability"):
        Support.of(nothing, model.exemplars)
    with pytest.raises(ArithmeticError, match="no exemplar has a probability"):
        Support.of(nothing, model.exemplars, np.arange(3, dtype=np.int32))


@BOTH
def test_many_are_stood_for_by_few_and_the_mass_is_stated(model: PosteriorModel, shape: Callable[[F32], F32]) -> None:
    p = shape(np.zeros(K, np.float32))
    kept = Support.of(p, model.exemplars)
    assert len(kept.index) <= STAND_INS
    assert (np.diff(kept.index) > 0).all()
    assert kept.weights.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert kept.cut == pytest.approx(1 - p[kept.index].sum(dtype=np.float64), abs=1e-6)
    heavy = np.flatnonzero(p > 2 / STAND_INS)
    np.testing.assert_allclose(kept.weights[np.searchsorted(kept.index, heavy)], p[heavy], rtol=1e-5)


@BOTH
def test_the_entropy_and_the_number_of_exemplars_are_those_of_all(
    model: PosteriorModel, shape: Callable[[F32], F32]
) -> None:
    few = posterior(model, shape)
    p = few.probabilities.astype(np.float64)
    assert few.entropy == pytest.approx(-float((p * np.log(p)).sum()), rel=1e-6)
    assert few.effective_number == pytest.approx(1 / float(np.square(p).sum()), rel=1e-6)


@BOTH
def test_moments_and_confidence_are_near_those_of_all(model: PosteriorModel, shape: Callable[[F32], F32]) -> None:
    few = posterior(model, shape)
    p, shapes = few.probabilities.astype(np.float64), model.exemplars.shapes.astype(np.float64)
    mean = np.tensordot(p, shapes, 1)
    kernel = (p @ model.class_variance) * model.landmark_scale
    spread = np.tensordot(p, np.square(shapes - mean), 1) + kernel[:, None]
    sigma = np.sqrt(spread.sum(axis=1))
    assert (np.linalg.norm(few.mean - mean, axis=1) / sigma).max() < 0.03
    np.testing.assert_allclose(np.sqrt(few.covariance[:, [0, 2]].sum(axis=1)), sigma, rtol=0.03)
    whole = Posterior(model, few.probabilities, 0.1, kept=Support.of_all(few.probabilities))
    assert np.abs(few.confidence - whole.confidence).max() < 0.03


@BOTH
def test_heatmaps_are_near_those_of_all(model: PosteriorModel, shape: Callable[[F32], F32]) -> None:
    few = posterior(model, shape)
    place = at(MIDDLE)
    x0, y0, x1, y1 = (float(v) for v in place.frame.box)
    view = heatmaps(Face(place, few), [8, 30], (x0, y0, x1, y1), 24, 24)
    edges = np.linspace(0, 1, 25)
    sigma = np.sqrt(model.class_variance.astype(np.float64))[:, None]
    for cells, n in zip(view.cells, (8, 30), strict=True):
        x, y = (np.diff(ndtr((edges - model.shapes[:, a, n, None]) / sigma), axis=1) for a in (0, 1))
        dense = (y * few.probabilities[:, None].astype(np.float64)).T @ x
        assert np.abs(cells - dense).sum() < 0.11
    assert view.mass_cut == few.cut_mass > MOMENT_CUT


@BOTH
def test_the_pose_is_near_that_of_all(model: PosteriorModel, shape: Callable[[F32], F32]) -> None:
    few = posterior(model, shape)
    solid = np.concatenate([mean_face() - 0.5, np.zeros((68, 1))], axis=1)
    # Poses that go with the shapes, as they do in a bundle.
    lean = model.shapes[:, 1, 16] - model.shapes[:, 1, 0]
    width = model.shapes[:, 0, 16] - model.shapes[:, 0, 0]
    angles = np.stack([90 * (width - 0.9), 20 * width, 50 * lean], axis=1).astype(np.float32)
    poses = Poses(solid, angles, np.full((K, 3), 9, np.float32))
    grid = PoseGrid(18, 18)
    face = Face(at(MIDDLE), few)
    given, whole = (
        pose(Face(face.located, one), poses, Calibration(), grid=grid)
        for one in (few, Posterior(model, few.probabilities, 0.1, kept=Support.of_all(few.probabilities)))
    )
    assert given.histogram is not None
    assert whole.histogram is not None
    assert np.abs(given.mean - whole.mean).max() < 1.0
    assert np.abs(given.intervals - whole.intervals).max() < 3.0
    assert np.abs(given.histogram - whole.histogram).sum() < 0.11


def test_shares_of_few_are_those_of_all(model: PosteriorModel) -> None:
    p, r, start = flat(np.zeros(K, np.float32)), np.full((68, 2), 0.01), model.exemplars.shapes[0].astype(np.float64)
    first, second = (Posterior(model, p, 0.1, displacement=r, start=start) for _ in range(2))
    shares = second.share
    assert shares is not None
    squared = np.square(model.exemplars.shapes.astype(np.float64) - start).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(shares, np.exp(-squared / (2 * DISPLACEMENT_REACH**2)), atol=1e-5)
    np.testing.assert_array_equal(first.components.shapes, second.components.shapes)


def test_places_of_a_landmark_are_displaced_as_each_exemplar_is(model: PosteriorModel) -> None:
    p, shapes = flat(np.zeros(K, np.float32)), model.exemplars.shapes
    r, start = np.random.default_rng(3).normal(0, 0.02, (68, 2)), shapes[0].astype(np.float64)
    near, alike = Posterior(model, p, 0.1, displacement=r, start=start), Posterior(model, p, 0.1, displacement=r)
    assert near.share is not None
    for one, share in ((near, near.share), (alike, 1.0), (Posterior(model, p, 0.1), 0.0)):
        moves = np.multiply.outer(np.broadcast_to(share, K), r[8])
        np.testing.assert_allclose(one.places(8), (shapes[:, 8] + moves).T, atol=1e-6)
        rows = np.array([5, 0, 77], np.int32)
        np.testing.assert_array_equal(one.places(8, rows), one.places(8)[:, rows])
