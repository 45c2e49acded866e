"""Synthetic poses: rotations, boxes, turns out of the plane, and the recipe that a bundle keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.exemplars.building import build, make_recipe
from exalign_engine.exemplars.synthetic import (
    CUT,
    MAX_YAW,
    PITCH_SHARE,
    Variation,
    bounded_turn,
    depth_of,
    draw_transforms,
    rebox,
    rotate,
    synthesise,
    turn_out_of_plane,
)
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import project, rotation, solve_pose
from exalign_engine.geometry.landmarks import mirror_shapes

if TYPE_CHECKING:
    from toy_faces import MakeShapes

F64 = NDArray[np.float64]

STILL = Variation(roll_deg=0, shift=0, log_scale=0)


@pytest.fixture(scope="module")
def solid_face(bulging_face: F64) -> F64:
    return bulging_face - bulging_face.mean(axis=0)


def test_reboxing_by_nothing_gives_each_shape_its_own_box_frame(make_shapes: MakeShapes) -> None:
    pixels = make_shapes(6, 0) * np.arange(20.0, 80.0, 10.0)[:, None, None] + (30.0, -5.0)
    zeros = np.zeros(6)
    own = np.stack([BoxFrame.from_box(tight_box(p)).from_image(p) for p in pixels])
    np.testing.assert_allclose(rebox(pixels, zeros, zeros, zeros + 1), own, atol=1e-12)


def test_a_shape_in_a_moved_box_is_what_the_moved_frame_says(make_shapes: MakeShapes) -> None:
    shapes = make_shapes(3, 0)
    dx, dy, scale = np.array([0.1, 0.0, -0.2]), np.array([0.0, 0.3, 0.1]), np.array([1.0, 1.3, 0.8])
    frames = [BoxFrame.from_box(tight_box(p)).moved(*move) for p, *move in zip(shapes, dx, dy, scale, strict=True)]
    expected = np.stack([f.from_image(p) for f, p in zip(frames, shapes, strict=True)])
    np.testing.assert_allclose(rebox(shapes, dx, dy, scale), expected, atol=1e-12)


def test_rotation_turns_clockwise_on_screen_about_the_box_centre() -> None:
    shape = np.zeros((1, 68, 2))
    shape[0, 0], shape[0, 1], shape[0, 2:] = (0, 0.5), (1, 0.5), (0.5, 0.5)
    turned = rotate(shape, np.array([90.0]))[0]
    np.testing.assert_allclose(turned[:3], [(0.5, 0), (0.5, 1), (0.5, 0.5)], atol=1e-12)  # the right end goes down


def test_rotating_back_about_the_centre_of_a_symmetric_box_changes_nothing() -> None:
    shape = np.random.default_rng(0).uniform(-1, 1, (1, 34, 2))
    shape = np.concatenate([shape, -shape], axis=1)  # point symmetric: the box centre stays the centre
    np.testing.assert_allclose(rotate(rotate(shape, np.array([33.0])), np.array([-33.0])), shape, atol=1e-12)


@given(
    yaw=st.floats(-35, 35),
    pitch=st.floats(-15, 15),
    roll=st.floats(-30, 30),
    turn=st.tuples(st.floats(-30, 30), st.floats(-10, 10)),
)
def test_a_turned_projection_is_the_projection_of_the_turned_face(
    solid_face: F64, yaw: float, pitch: float, roll: float, turn: tuple[float, float]
) -> None:
    pose = np.array([yaw, pitch, roll])
    seen = project(solid_face, pose[None]) * 0.3 + 0.5
    np.testing.assert_allclose(solve_pose(seen, solid_face)[0], pose, atol=0.02)
    by = np.array([[*turn, 0.0]])
    expected = 0.3 * (solid_face @ rotation(pose).T @ rotation(by[0]).T)[:, :2] + 0.5
    moved = turn_out_of_plane(seen, depth_of(seen, solid_face), by)[0]
    np.testing.assert_allclose(moved, expected, atol=2e-4)


def test_turning_by_nothing_changes_nothing(solid_face: F64, make_shapes: MakeShapes) -> None:
    shapes = make_shapes(3, 0)
    still = turn_out_of_plane(shapes, depth_of(shapes, solid_face), np.zeros((3, 3)))
    np.testing.assert_allclose(still, shapes, atol=1e-12)


@given(yaw=st.floats(-80, 80), turn=st.floats(-80, 80).filter(lambda t: t != 0))
def test_no_face_is_turned_beyond_the_bound_nor_back_to_it(yaw: float, turn: float) -> None:
    got = bounded_turn(np.array([yaw]), np.array([[turn, 3.0, 9.0, 0.0, 0.0, 0.0]]))[0]
    assert got[1:].tolist() == [3.0, 0.0]
    if abs(yaw) >= MAX_YAW:
        assert got[0] == 0
    else:
        assert abs(yaw + got[0]) <= MAX_YAW + 1e-9
        assert got[0] == pytest.approx(turn, abs=1e-9) or abs(yaw + turn) > MAX_YAW


def test_draws_follow_their_spreads_and_bounds() -> None:
    every = Variation(roll_deg=10, wide_roll=0, turned=1, turn_deg=12, shift=0.04, log_scale=0.06)
    drawn = draw_transforms(20_000, every, np.random.default_rng(0))
    spread = np.array([12, 12 * PITCH_SHARE, 10, 0.04, 0.04, 0.06])
    np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.03)
    assert (np.abs(drawn) <= CUT * spread + 1e-6).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 0.03


def test_shares_of_turned_and_widely_rolled_poses_are_those_asked_for() -> None:
    some = Variation(roll_deg=1, wide_roll=0.2, wide_roll_deg=60, turned=0.3)
    drawn = draw_transforms(20_000, some, np.random.default_rng(0))
    assert (drawn[:, 0] != 0).mean() == pytest.approx(0.3, abs=0.01)
    wide = np.abs(drawn[:, 2]) > CUT
    assert wide.mean() == pytest.approx(0.2 * 57 / 60, abs=0.01)
    assert np.abs(drawn[:, 2]).max() <= 60
    assert not draw_transforms(100, Variation(turned=0), np.random.default_rng(0))[:, :2].any()


def test_the_first_pose_of_every_face_is_the_face_itself(make_shapes: MakeShapes) -> None:
    recipe = make_recipe(make_shapes(5, 0), 3, Variation(), np.random.default_rng(0))
    np.testing.assert_allclose(synthesise(recipe)[:5], recipe.faces, atol=1e-12)


def test_poses_without_variation_are_the_shapes_themselves(make_shapes: MakeShapes) -> None:
    recipe = make_recipe(make_shapes(4, 0), 3, STILL, np.random.default_rng(0))
    np.testing.assert_allclose(synthesise(recipe), np.tile(recipe.faces, (3, 1, 1)), atol=1e-12)


def test_exemplars_are_what_their_recipe_says_and_its_mirror(make_shapes: MakeShapes) -> None:
    e = build(make_shapes(6, 0), list("abcdef"), 0.075, variants=4, variation=Variation(wide_roll=0.5, turned=1.0))
    assert e.recipe is not None
    poses = synthesise(e.recipe)
    np.testing.assert_array_equal(e.shapes, np.concatenate([poses, mirror_shapes(poses)]).astype(np.float32))
    yaw = solve_pose(e.shapes[:24], e.recipe.mean_face)[:, 0].reshape(4, 6)
    assert np.abs(yaw[1:] - yaw[0]).max() > 5


def test_k_means_centres_have_no_recipe(make_shapes: MakeShapes) -> None:
    assert build(make_shapes(6, 0), list("abcdef"), 0.075, variants=2, k=8).recipe is None
