"""Head pose: the 3-D mean face, the solver's conventions and accuracy, and the posterior of the pose.

Measured with the mean face of 4,217 real faces, yaw ±60°, pitch ±30°, roll ±45°, rms error of yaw, pitch, roll: 0.3°,
0.4°, 0.3° with landmark noise of 0.02 interocular distances; 1.6°, 1.5°, 0.9° when real faces' own residuals (identity
and expression) come on top.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError
from exalign_engine.exemplars.building import build
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import exemplar_pose
from exalign_engine.exemplars.synthetic import rebox, rotate
from exalign_engine.geometry.head_pose import MIRROR_SIGN, fit_mean_face, project, rotation, solve_pose
from exalign_engine.geometry.landmarks import MIRROR, NOSE_TIP, mirror_shapes
from exalign_engine.posterior.pose import (
    MIN_BIN_WIDTH,
    PoseGrid,
    credible_intervals,
    joint_histogram,
    pose_moments,
    view_pose,
)

if TYPE_CHECKING:
    from toy_faces import MakeShapes

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TAU = 0.075


@pytest.fixture(scope="module")
def face(make_shapes: MakeShapes) -> F64:
    """(68, 3) a symmetric face with the depth of an ellipsoid and a nose, its eyes' centres 1 apart."""
    flat = make_shapes(400, 8).mean(axis=0)
    flat = (flat + mirror_shapes(flat)) / 2 - (0.5, 0.5)
    depth = 0.6 - 1.6 * flat[:, 0] ** 2 - 0.5 * flat[:, 1] ** 2
    depth[27:31] += np.linspace(0.05, 0.3, 4)
    depth[31:36] += 0.12
    solid = np.column_stack([flat, depth])
    solid -= solid.mean(axis=0)
    return np.asarray(solid / np.linalg.norm(solid[36:42].mean(axis=0) - solid[42:48].mean(axis=0)))


def draw_poses(n: int, seed: int, limits: tuple[float, float, float] = (60, 30, 45)) -> F64:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 3)) * limits


def boxed(shapes: F64) -> F64:
    zero = np.zeros(len(shapes))
    return rebox(shapes, zero, zero, zero + 1)


def weights(n: int, seed: int) -> F32:
    return np.random.default_rng(seed).dirichlet(np.full(n, 0.3)).astype(np.float32)


def test_signs_are_those_of_the_design(face: F64) -> None:
    nose = [project(face, np.array(pose))[NOSE_TIP] for pose in ([0, 0, 0], [20, 0, 0], [0, 20, 0])]
    assert nose[1][0] > nose[0][0] + 0.1, "yaw > 0 moves the nose to the image's right"
    assert nose[2][1] < nose[0][1] - 0.1, "pitch > 0 moves the nose up, y is down"
    turned = project(face, np.array([0.0, 0.0, 30.0]))
    clockwise = rotate(project(face, np.zeros((1, 3))), np.array([30.0]))[0]
    np.testing.assert_allclose(turned - turned.mean(axis=0), clockwise - clockwise.mean(axis=0), atol=1e-12)


def test_rotation_is_roll_after_yaw_after_pitch() -> None:
    pose = np.array([20.0, -30.0, 40.0])
    steps = rotation(np.diag(pose))
    np.testing.assert_allclose(rotation(pose), steps[2] @ steps[0] @ steps[1], atol=1e-15)


def test_known_poses_are_recovered_exactly_without_noise(face: F64) -> None:
    poses = draw_poses(500, 1)
    shapes = 37.0 * project(face, poses) + (100.0, -20.0)
    np.testing.assert_allclose(solve_pose(shapes, face), poses, atol=1e-4)


def test_error_stays_small_with_landmark_noise_and_identities(face: F64) -> None:
    rng, n = np.random.default_rng(2), 1000
    poses = draw_poses(n, 2)
    identity = face * np.exp(rng.normal(0, 0.06, (n, 1, 3))) + rng.normal(0, 0.03, (n, 68, 3))
    shapes = identity @ np.swapaxes(rotation(poses)[:, :2], 1, 2) + rng.normal(0, 0.02, (n, 68, 2))
    error = np.sqrt(((solve_pose(shapes, face) - poses) ** 2).mean(axis=0))
    assert (error < (3.0, 3.0, 2.0)).all(), error


def test_pose_is_that_of_a_dense_search(face: F64) -> None:
    """The solver's minimum is at least as good as any pose tried around it, with the best scale for each."""
    rng = np.random.default_rng(3)
    shape = project(face, np.array([25.0, -10.0, 15.0])) + rng.normal(0, 0.1, (68, 2))
    found = solve_pose(shape[None], face)[0].astype(np.float64)
    tried = found + np.concatenate([np.zeros((1, 3)), rng.normal(0, 2, (2000, 3)), rng.normal(0, 0.1, (2000, 3))])
    seen = project(face - face.mean(axis=0), tried)
    centred = shape - shape.mean(axis=0)
    scale = (seen * centred).sum(axis=(1, 2)) / (seen**2).sum(axis=(1, 2))
    cost = ((centred - scale[:, None, None] * seen) ** 2).sum(axis=(1, 2))
    assert cost[0] <= cost.min() + 1e-9


def test_roll_follows_a_rotation_in_the_plane(face: F64, make_shapes: MakeShapes) -> None:
    shapes, theta = make_shapes(200, 4), np.random.default_rng(4).uniform(-45, 45, 200)
    moved = solve_pose(rotate(shapes, theta), face) - solve_pose(shapes, face)
    np.testing.assert_allclose(moved, theta[:, None] * (0, 0, 1), atol=2e-5)


def test_mirrored_shapes_have_mirrored_poses(face: F64, make_shapes: MakeShapes) -> None:
    shapes = make_shapes(200, 5)
    np.testing.assert_allclose(
        solve_pose(np.asarray(mirror_shapes(shapes)), face), solve_pose(shapes, face) * MIRROR_SIGN, atol=1e-5
    )


def test_mean_face_is_recovered_from_its_views(face: F64) -> None:
    rng = np.random.default_rng(6)
    poses = rng.normal(0, (15, 7, 5), (600, 3))
    identity = face + rng.normal(0, 0.03, (600, 68, 3))
    shapes = boxed(identity @ np.swapaxes(rotation(poses)[:, :2], 1, 2))
    found = fit_mean_face(shapes)
    np.testing.assert_allclose(found, found[MIRROR] * (-1, 1, 1), atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    assert found[NOSE_TIP, 2] > found[[0, 8, 16], 2].max()
    assert abs(np.median(solve_pose(shapes, found)[:, 1])) < 0.5, "zero pitch is the median pitch"
    # The true face in the fitted gauge: its own median pitch is zero too, up to the sample's.
    truth = face @ rotation(np.array([0.0, np.median(poses[:, 1]), 0.0])).T
    assert np.sqrt(((found - truth) ** 2).sum(axis=1).mean()) < 0.05


def test_exemplar_poses_are_closed_under_mirroring(face: F64, make_shapes: MakeShapes) -> None:
    faces = make_shapes(120, 7)
    exemplars = build(faces, [str(i) for i in range(120)], TAU, k=41, seed=1)
    pose, variance = exemplar_pose(exemplars, face, faces, TAU)
    np.testing.assert_array_equal(pose[exemplars.mirror_of], pose * MIRROR_SIGN.astype(np.float32))
    np.testing.assert_array_equal(variance[exemplars.mirror_of], variance)
    assert (variance > 0).all()
    np.testing.assert_allclose(pose, solve_pose(exemplars.shapes, face), atol=1e-3)
    p = weights(41, 7)
    here, there = view_pose(p, pose, variance), view_pose(p[exemplars.mirror_of], pose, variance)
    np.testing.assert_allclose(there.mean, here.mean * MIRROR_SIGN, atol=1e-4)
    np.testing.assert_allclose(there.covariance, here.covariance * np.outer(MIRROR_SIGN, MIRROR_SIGN), atol=1e-3)


def test_variance_is_the_spread_of_the_members_poses(face: F64, toy_exemplars: Exemplars) -> None:
    faces = np.concatenate([toy_exemplars.shapes[:15].astype(np.float64)] * 20)
    faces = faces + np.random.default_rng(8).normal(0, 0.01, faces.shape)
    pose, variance = exemplar_pose(toy_exemplars, face, faces, 0.03)
    pool = np.concatenate([faces, mirror_shapes(faces)])
    near = np.sqrt(((pool - toy_exemplars.shapes[0]) ** 2).sum(axis=2).mean(axis=1)) <= 0.03
    own = ((solve_pose(pool[near], face) - pose[0]) ** 2).mean(axis=0)
    assert near.sum() >= 15
    # 10 pseudo-members pull towards the mean of all classes.
    low, high = np.minimum(own, variance.mean(axis=0)), np.maximum(own, variance.mean(axis=0))
    assert (variance[0] > 0.5 * low).all()
    assert (variance[0] < 1.5 * high).all()


def test_moments_are_those_of_the_mixture() -> None:
    p, pose = weights(300, 9), draw_poses(300, 9).astype(np.float32)
    variance = np.random.default_rng(9).uniform(1, 9, (300, 3)).astype(np.float32)
    mean, covariance = pose_moments(p, pose, variance)
    w = p.astype(np.float64) / p.sum(dtype=np.float64)
    np.testing.assert_allclose(mean, w @ pose, atol=1e-6)
    expected = np.cov(pose.T.astype(np.float64), aweights=w, ddof=0) + np.diag(w @ variance)
    np.testing.assert_allclose(covariance, expected, atol=1e-6)


def test_rolls_on_both_sides_of_180_average_to_180() -> None:
    pose = np.array([[0, 0, 179], [0, 0, -177]], dtype=np.float32)
    p = np.array([0.5, 0.5], dtype=np.float32)
    mean, covariance = pose_moments(p, pose)
    np.testing.assert_allclose(mean, [0, 0, -179], atol=1e-6)
    np.testing.assert_allclose(covariance[2, 2], 4, atol=1e-6)
    low, high = credible_intervals(p, pose, [0.5], np.full((2, 3), 4, dtype=np.float32))[0, 2]
    assert -184 < low < -179 < high < -174


def test_intervals_are_the_mixtures_quantiles() -> None:
    rng = np.random.default_rng(10)
    p, pose = weights(200, 10), draw_poses(200, 10).astype(np.float32)
    variance = rng.uniform(4, 60, (200, 3)).astype(np.float32)
    masses = (0.5, 0.9)
    draws = rng.choice(200, 400_000, p=p.astype(np.float64) / p.sum(dtype=np.float64))
    samples = pose[draws] + rng.standard_normal((len(draws), 3)) * np.sqrt(variance[draws])
    expected = np.quantile(samples, [[(1 - m) / 2, (1 + m) / 2] for m in masses], axis=0)
    np.testing.assert_allclose(credible_intervals(p, pose, masses, variance), np.moveaxis(expected, 2, 1), atol=0.6)


def test_intervals_hold_their_mass_on_projections_with_known_pose(face: F64) -> None:
    """Faces with known pose; the posterior is over exemplars, given a measurement with 4° of noise."""
    rng, k, trials, noise = np.random.default_rng(11), 1500, 800, 4.0
    spread = np.array([20.0, 10.0, 15.0])
    known = rng.normal(0, spread, (k, 3))
    shapes = project(face, known) + rng.normal(0, 0.02, (k, 68, 2))
    pose = solve_pose(shapes, face)
    truth = rng.normal(0, spread, (trials, 3))
    measured = truth + rng.normal(0, noise, (trials, 3))
    # Kernels as wide as exemplars lie apart here: exemplars and kernels together are the prior.
    variance = np.full((k, 3), 4.0, dtype=np.float32)
    masses = (0.5, 0.9)
    held = np.zeros((len(masses), 3))
    for m, t in zip(measured, truth, strict=True):
        # Each Gaussian times the measurement's: weight, place and width of exact Bayes.
        s = -((pose - m) ** 2 / (2 * (noise**2 + 4.0))).sum(axis=1)
        p = np.exp(s - s.max())
        gain = 4.0 / (4.0 + noise**2)
        moved = (pose + gain * (m - pose)).astype(np.float32)
        ends = credible_intervals((p / p.sum()).astype(np.float32), moved, masses, variance * np.float32(1 - gain))
        held += (ends[..., 0] <= t) & (t <= ends[..., 1])
    np.testing.assert_allclose(held / trials, np.repeat([[0.5], [0.9]], 3, axis=1), atol=0.06)


@pytest.mark.parametrize("wide", [False, True])
def test_histogram_holds_all_mass_and_agrees_with_samples(wide: bool) -> None:
    rng = np.random.default_rng(12)
    p, pose = weights(300, 12), np.floor(draw_poses(300, 12)).astype(np.float32) + np.float32(0.5)
    variance = rng.uniform(2, 40, (300, 3)).astype(np.float32) if wide else None
    grid = PoseGrid(yaw_bins=6, roll_bins=4, yaw_range=(-60, 30), roll_range=(-40, 40))
    histogram, outside = joint_histogram(p, pose, grid, variance)
    draws = rng.choice(300, 400_000, p=p.astype(np.float64) / p.sum(dtype=np.float64))
    samples = pose[draws].astype(np.float64)
    if variance is not None:
        samples = samples + rng.standard_normal(samples.shape) * np.sqrt(variance[draws])
    ranges = (grid.roll_range, grid.yaw_range)
    expected, _, _ = np.histogram2d(samples[:, 2], samples[:, 0], bins=(4, 6), range=ranges)
    assert histogram.shape == (4, 6)
    assert histogram.sum() + outside == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(histogram, expected / len(draws), atol=4e-3)


def test_two_modes_stay_two_modes() -> None:
    pose = np.array([[-40, 0, 5], [40, 0, 5]], dtype=np.float32)
    p = np.array([0.5, 0.5], dtype=np.float32)
    histogram, _ = joint_histogram(p, pose, PoseGrid(), np.full((2, 3), 9, dtype=np.float32))
    yaw = histogram.sum(axis=0)
    assert yaw[:18].sum() == pytest.approx(0.5, abs=1e-6)
    assert yaw[17:19].sum() < 1e-6 < yaw[9:11].sum()


def test_one_exemplar_without_width_is_a_point() -> None:
    view = view_pose(np.ones(1, dtype=np.float32), np.array([[10, -5, 20]], dtype=np.float32), grid=PoseGrid())
    np.testing.assert_allclose(view.mean, [10, -5, 20], atol=1e-9)
    np.testing.assert_allclose(view.covariance, 0, atol=1e-9)
    assert np.abs(view.intervals - np.array([10, -5, 20])[:, None]).max() <= 0.13
    assert view.histogram is not None
    assert view.histogram.max() == pytest.approx(1)


@pytest.mark.parametrize("width", [5e-324, 1e-300, 1e-9, 0.0899])
def test_a_range_too_narrow_for_its_bins_is_refused(width: float) -> None:
    with pytest.raises(InvalidInputError) as e:
        PoseGrid(yaw_bins=90, roll_bins=90, yaw_range=(0, width), roll_range=(10, 10 + 90 * MIN_BIN_WIDTH * 1.001))
    (wrong,) = e.value.violations
    assert wrong.field == "yaw_range"
    assert wrong.description == f"is {width:g} degrees wide, must be at least 0.09 for 90 bins"


def test_a_histogram_of_the_narrowest_range_holds_what_lies_there() -> None:
    """The mass of each Gaussian in the range, by its own distribution function; nothing is done beyond the range."""
    p, pose = weights(300, 13), draw_poses(300, 13).astype(np.float32)
    variance = np.full((300, 3), 4, dtype=np.float32)
    grid = PoseGrid(yaw_bins=180, roll_bins=1, yaw_range=(5, 5 + 181 * MIN_BIN_WIDTH), roll_range=(-180, 180))
    histogram, outside = joint_histogram(p, pose, grid, variance)
    w = p.astype(np.float64) / p.sum(dtype=np.float64)
    edges = np.linspace(*grid.yaw_range, 181)
    below = np.array([[0.5 * math.erfc((x - e) / (2 * math.sqrt(2))) for e in edges] for x in pose[:, 0].tolist()])
    np.testing.assert_allclose(histogram[0], w @ np.diff(below, axis=1), atol=1e-9)
    assert histogram.sum() + outside == pytest.approx(1)


def test_a_histogram_is_the_same_however_many_exemplars_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    p, pose = weights(300, 14), draw_poses(300, 14).astype(np.float32)
    whole, _ = joint_histogram(p, pose, PoseGrid(), np.full((300, 3), 9, np.float32))
    monkeypatch.setattr("exalign_engine.posterior.pose.HISTOGRAM_ROWS", 7)
    parts, _ = joint_histogram(p, pose, PoseGrid(), np.full((300, 3), 9, np.float32))
    np.testing.assert_allclose(parts, whole, atol=1e-15)


def test_every_wrong_field_of_a_grid_is_named() -> None:
    with pytest.raises(InvalidInputError) as e:
        PoseGrid(yaw_bins=181, roll_bins=0, yaw_range=(10, 10), roll_range=(-181, 0))
    assert [v.field for v in e.value.violations] == ["yaw_bins", "roll_bins", "yaw_range", "roll_range"]
    with pytest.raises(InvalidInputError, match="yaw_range"):
        PoseGrid(yaw_range=(float("nan"), 90))


@pytest.mark.parametrize(
    ("masses", "named"),
    [((0.0, 0.5, 1.0), ["interval_masses[0]", "interval_masses[2]"]), ((0.5,) * 9, ["interval_masses"])],
)
def test_every_wrong_mass_is_named(masses: tuple[float, ...], named: list[str]) -> None:
    with pytest.raises(InvalidInputError) as e:
        credible_intervals(np.ones(1, dtype=np.float32), np.zeros((1, 3), dtype=np.float32), masses)
    assert [v.field for v in e.value.violations] == named


def test_bad_shapes_are_refused(face: F64) -> None:
    with pytest.raises(ValueError, match="must be"):
        solve_pose(np.zeros((2, 67, 2)), face)
    with pytest.raises(ValueError, match="single point"):
        solve_pose(np.zeros((1, 68, 2)), face)
    with pytest.raises(ValueError, match=r"shapes\[0\] is not finite"):
        solve_pose(np.full((1, 68, 2), np.nan), face)
    with pytest.raises(ValueError, match="at least 3"):
        fit_mean_face(project(face, np.zeros((2, 3))))


def test_real_faces_agree_with_independent_angles(data_folder: Path) -> None:
    """Yaw and roll of the training split against the index's own measures of them."""
    with (data_folder / "index.csv").open(newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["split"] == "train"]
    landmarks = np.load(data_folder / "landmarks.npy")[[int(r["row"]) for r in rows]].astype(np.float64)
    mean_face = fit_mean_face(boxed(landmarks[::4]))
    pose = solve_pose(landmarks, mean_face)
    assert np.corrcoef(pose[:, 0], [float(r["yaw_proxy"]) for r in rows])[0, 1] > 0.98
    assert np.corrcoef(pose[:, 2], [float(r["roll_deg"]) for r in rows])[0, 1] > 0.93
    assert 1.2 < np.ptp(mean_face[:, 2]) < 2.5, "nose to ears in interocular distances"
