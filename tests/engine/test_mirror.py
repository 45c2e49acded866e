"""A mirrored face gets the mirrored answer: scores permuted by ``mirror_of``, toy exemplars and the default bundle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from displacement_toy import StatedDisplacer, drawn, mirrored
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.evidence.conditioning import condition
from exalign_engine.evidence.evidence import Evidence, HardClick, SoftClick
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import MIRROR_SIGN
from exalign_engine.geometry.landmarks import MIRROR, mirror_shapes
from exalign_engine.heatmaps.marginals import Grid, marginal_heatmaps
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose import PoseGrid, displaced_poses, view_pose
from exalign_engine.posterior.pose_calibrated import calibrated_poses
from exalign_engine.posterior.posterior import Posterior, PosteriorModel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Shapes are stored in steps of 2⁻¹⁴ box sides, and half a step is rounded the same way on both sides.
STEP = 2.0**-14

Pair = tuple[Posterior, Posterior, Poses]


def toy(exemplars: Exemplars) -> tuple[PosteriorModel, Poses]:
    """Kernels and poses that are closed under mirroring, as a bundle's are."""
    rng = np.random.default_rng(1)
    k, m = exemplars.count, exemplars.mirror_of
    scale = np.exp(rng.normal(0, 0.3, 68))
    scale += scale[MIRROR]
    drawn = rng.normal(0, 15, (k, 3))
    pose: F32 = ((drawn + drawn[m] * MIRROR_SIGN) / 2).astype(np.float32)
    variance: F32 = rng.uniform(2, 9, (k, 3)).astype(np.float32)
    calibration = Calibration(
        kernel_scale=0.2,
        landmark_scale=tuple(float(a) for a in scale / scale.mean()),
        pose_scale=(0.1, 0.2, 0.1),
        pose_excess=(4.0, 3.0, 2.0),
    )
    flat = exemplars.shapes.astype(np.float64).mean(axis=0)
    flat = (flat + mirror_shapes(flat)) / 2 - 0.5
    face = np.column_stack([flat, 0.6 - 1.6 * flat[:, 0] ** 2])
    poses = Poses(face, pose, variance + variance[m])
    return PosteriorModel(exemplars, calibration, StatedDisplacer()), poses


@pytest.fixture(scope="module", params=["toy", "default bundle"])
def pair(request: pytest.FixtureRequest, toy_exemplars: Exemplars) -> Pair:
    """A posterior, its mirror image, and the poses of their exemplars."""
    if request.param == "toy":
        model, poses = toy(toy_exemplars)
    else:
        bundle = Bundle.load(default_bundle_path())
        # What displaces here is made up, and no embedding of the bundle's network.
        calibration = replace(bundle.calibration, presence_embedding=())
        model, poses = PosteriorModel(bundle.exemplars, calibration, StatedDisplacer()), bundle.poses
    # Like a network's: high for exemplars about one, which is not its own mirror image.
    shapes = model.exemplars.shapes
    one = int(np.argmax(np.abs(poses.pose[:, 0])))
    distance = np.sqrt(((shapes - shapes[one]) ** 2).sum(axis=2).mean(axis=1))
    noise = np.random.default_rng(2).normal(0, 0.5, len(shapes))
    scores = (noise - 40 * distance).astype(np.float32)
    image = drawn(1)
    # Of all exemplars: those that stand for many are drawn, and not in pairs of mirror images.
    here = model.posterior(scores, image, whole=True)
    return here, model.posterior(scores[model.exemplars.mirror_of], mirrored(image), whole=True), poses


def flipped(covariance: F64) -> F64:
    """(68, 3) xx, xy, yy of a mirrored shape."""
    return np.asarray(covariance[MIRROR] * (1, -1, 1))


def test_the_calibration_of_a_bundle_does_not_prefer_a_side(pair: Pair) -> None:
    scale = pair[0].model.landmark_scale
    np.testing.assert_allclose(scale[MIRROR], scale, rtol=1e-12)


def test_points_and_uncertainties_are_mirrored(pair: Pair) -> None:
    here, there, _ = pair
    assert np.abs(here.mean[:17, 0].mean() - 0.5) > 1e-3, "a face that is its own mirror image would show nothing"
    np.testing.assert_allclose(there.mean, mirror_shapes(here.mean), atol=STEP)
    np.testing.assert_allclose(there.map_shape, mirror_shapes(here.map_shape), atol=STEP)
    np.testing.assert_allclose(there.covariance, flipped(here.covariance), atol=1e-5, rtol=1e-3)
    np.testing.assert_allclose(there.confidence, here.confidence[MIRROR], atol=4e-3)  # twice the bound of `disc_mass`
    assert there.entropy == pytest.approx(here.entropy, rel=1e-5)
    assert there.effective_number == pytest.approx(here.effective_number, rel=1e-4)
    assert there.expected_error == pytest.approx(here.expected_error, rel=1e-4)


def test_heatmaps_are_mirrored(pair: Pair) -> None:
    here, there, _ = pair
    landmarks = np.array([0, 8, 17, 30, 36, 48])
    grid, mirrored = Grid(-0.2, -0.1, 0.9, 1.1, 64, 48), Grid(0.1, -0.1, 1.2, 1.1, 64, 48)
    scale = here.model.landmark_scale

    def maps(posterior: Posterior, chosen: NDArray[np.int64], on: Grid) -> tuple[F64, F64, float]:
        c = posterior.components
        made = marginal_heatmaps(c.weights, c.index, c.shapes, c.class_variance, scale, chosen, on)
        return made.cells.astype(np.float64), made.mass_outside, made.error_bound

    cells, outside, bound = maps(here, landmarks, grid)
    flipped_cells, flipped_outside, _ = maps(there, np.asarray(MIRROR)[landmarks], mirrored)
    difference = np.abs(flipped_cells[..., ::-1] - cells).sum(axis=(1, 2)) + np.abs(flipped_outside - outside)
    assert (difference <= 2 * bound).all()


def test_the_pose_changes_the_signs_of_yaw_and_roll(pair: Pair) -> None:
    here, there, poses = pair
    calibration = here.model.calibration
    grid = PoseGrid(36, 36)
    views = []
    for posterior in (here, there):
        p, turned = posterior.probabilities, displaced_poses(posterior, poses)
        views.append(view_pose(p, *calibrated_poses(p, turned, calibration), (0.5, 0.9), grid))
    one, other = views
    assert abs(one.mean[0]) > 2
    np.testing.assert_allclose(other.mean, one.mean * MIRROR_SIGN, atol=1e-3)
    np.testing.assert_allclose(other.covariance, one.covariance * np.outer(MIRROR_SIGN, MIRROR_SIGN), atol=1e-2)
    ends = np.where(MIRROR_SIGN[None, :, None] < 0, -one.intervals[..., ::-1], one.intervals)
    np.testing.assert_allclose(other.intervals, ends, atol=0.26)  # twice what `credible_intervals` states
    assert one.histogram is not None
    assert other.histogram is not None
    # Cells of 1°: an angle on the border between two goes to the upper one on both sides.
    assert np.abs(other.histogram[::-1, ::-1] - one.histogram).sum() < 0.1


def test_mirrored_clicks_give_mirrored_answers(pair: Pair) -> None:
    here, there, _ = pair
    (chin_x, chin_y), (eye_x, eye_y) = (here.mean[[8, 36]] + [(0.03, 0.02), (0, 0)]).tolist()
    clicks = SoftClick(8, chin_x, chin_y, 0.01), HardClick(36, eye_x, eye_y, 0.2)
    mirrored = SoftClick(8, 1 - chin_x, chin_y, 0.01), HardClick(45, 1 - eye_x, eye_y, 0.2)
    one, other = condition(here, Evidence(clicks)), condition(there, Evidence(mirrored))
    assert other.outcome is one.outcome
    assert other.surprise == pytest.approx(one.surprise, rel=1e-3)
    np.testing.assert_allclose(other.posterior.mean, mirror_shapes(one.posterior.mean), atol=2e-4)
    assert np.abs(one.posterior.mean - here.mean).max() > 0.01


def test_an_answer_that_prefers_a_side_would_be_noticed(toy_exemplars: Exemplars) -> None:
    model, _ = toy(toy_exemplars)
    lopsided = replace(model.calibration, kernel_scale=1.0, landmark_scale=tuple(np.linspace(0.5, 1.5, 68)))
    model = PosteriorModel(toy_exemplars, lopsided)
    scores = np.random.default_rng(3).normal(0, 1, toy_exemplars.count).astype(np.float32)
    here, there = model.posterior(scores), model.posterior(scores[toy_exemplars.mirror_of])
    assert np.abs(there.covariance - flipped(here.covariance)).max() > 1e-4
