"""Photographs turned on a dense head: what moves where, what is hidden, and how answers are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.turned.draped import DrapedFace
from benchmarks.turned.head import LANDMARKS, Head, levelled, read_head
from benchmarks.turned.measure import TurnedFace, rows_of, wanted
from numpy.typing import NDArray

from drawn_faces import mean_face
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import PITCH, YAW, project, solve_pose
from exalign_engine.geometry.landmarks import MIRROR

F64 = NDArray[np.float64]

NOSE, FAR_EYE, NEAR_EYE = 30, 45, 36


def surface(x: F64, y: F64) -> F64:
    """Depth of an egg with a nose, distances of the eyes."""
    nose = 0.5 * np.exp(-((x / 0.18) ** 2) - ((y - 0.1) / 0.35) ** 2)
    return np.asarray(nose - 0.5 * x**2 - 0.2 * y**2)


@pytest.fixture(scope="module")
def head() -> Head:
    """The egg, with the landmarks of a drawn face on it."""
    flat = mean_face()
    flat = (flat + flat[list(MIRROR)] * (-1, 1) + (1, 0)) / 2
    flat = (flat - flat.mean(axis=0)) / (flat[42:48] - flat[36:42]).mean(axis=0)[0]
    n = 61
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(-1.5, 1.5, n), np.linspace(-1.6, 1.9, n)))
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    triangles = np.concatenate(
        [np.stack([first, first + 1, first + n], 1), np.stack([first + 1, first + n + 1, first + n], 1)]
    )
    grid = np.column_stack([x, y, surface(x, y)])
    marks = np.column_stack([flat, surface(flat[:, 0], flat[:, 1])])
    return Head(np.concatenate([grid, marks]), triangles, np.arange(68) + n * n)


@pytest.fixture(scope="module")
def draped(head: Head) -> DrapedFace:
    """A picture whose red and green say where a pixel was."""
    points = 28 * project(head.face, np.array([3.0, 2.0, -4.0])) + 80
    y, x = np.mgrid[:160, :160]
    return DrapedFace(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8), points, head)


def test_a_face_that_is_not_turned_stays_as_it_is(draped: DrapedFace) -> None:
    np.testing.assert_allclose(draped.pose, (3, 2, -4), atol=1e-3)
    np.testing.assert_allclose(draped.turned(draped.pose), draped.points, atol=1e-9)
    seen = draped.draw(draped.pose, BoxFrame(79.5, 79.5, 160.0), 160)
    np.testing.assert_allclose(seen.picture[2:-2, 2:-2, 0], np.tile(np.arange(2, 158), (156, 1)), atol=1)
    assert not seen.hidden.any()


@pytest.mark.parametrize("pose", [(40.0, 0.0, 0.0), (-65.0, 5.0, 0.0), (0.0, 30.0, 0.0), (10.0, -35.0, 8.0)])
def test_the_landmarks_of_a_turned_face_have_that_pose(draped: DrapedFace, head: Head, pose: tuple[float, ...]) -> None:
    turned = draped.turned(np.array(pose))
    np.testing.assert_allclose(solve_pose(turned[None], head.face)[0], pose, atol=0.5)


def test_pixels_move_with_the_landmarks(draped: DrapedFace) -> None:
    pose = np.array([35.0, 10.0, 0.0])
    frame = BoxFrame.from_box(tight_box(draped.turned(pose))).moved(0, 0, 1.4)
    seen = draped.draw(pose, frame, 200)
    visible = np.flatnonzero(~seen.hidden[17:]) + 17
    assert len(visible) > 40
    x, y = np.round(seen.points[visible]).astype(int).T
    off = np.linalg.norm(seen.picture[y, x, :2] - draped.points[visible], axis=1)
    # On a ridge the next pixel may be of the other side.
    assert np.quantile(off, 0.9) < 2.0


def test_a_head_hides_its_far_side(draped: DrapedFace) -> None:
    pose = np.array([70.0, 0.0, 0.0])
    frame = BoxFrame.from_box(tight_box(draped.turned(pose))).moved(0, 0, 1.4)
    hidden = draped.draw(pose, frame, 200).hidden
    assert hidden[FAR_EYE]
    assert not hidden[NEAR_EYE]
    assert not hidden[NOSE]


def test_zero_pitch_is_how_people_hold_their_heads(head: Head) -> None:
    shapes = np.stack([project(head.face, np.array([0.0, pitch, 0.0])) for pitch in (4.0, 6.0, 11.0)])
    found = solve_pose(shapes, levelled(head, shapes).face)[:, PITCH]
    np.testing.assert_allclose(found, (-2, 0, 5), atol=1e-3)


def test_another_file_than_the_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head.whl").write_bytes(b"another")
    with pytest.raises(ValueError, match="must be bad70bdc"):
        read_head(tmp_path / "head.whl")


def test_every_landmark_has_a_vertex_of_its_own() -> None:
    assert len(set(LANDMARKS)) == 68


def test_a_face_is_turned_into_every_bin_and_always_alike() -> None:
    poses = wanted("face")
    np.testing.assert_array_equal([p for _, p in wanted("face")], [p for _, p in poses])
    assert sorted(int(abs(p[YAW]) // 15) for axis, p in poses if axis == YAW) == [0, 1, 2, 3, 4, 5]
    assert min(p[PITCH] for axis, p in poses if axis == PITCH) < -35


def test_a_bias_is_told_along_the_turn() -> None:
    def answer(true: float, mean: float) -> TurnedFace:
        pose, said = np.array([true, 0.0, 0.0]), np.array([mean, 0.0, 0.0])
        held = np.array([[False] * 3, [True] * 3])
        return TurnedFace(YAW, pose, said, held, np.ones((2, 3)), 0.4, 0.02, 0.01, said, pose, said)

    (row,) = rows_of([answer(40.0, 34.0), answer(-40.0, -36.0)])
    assert (row["angle"], row["from"], row["faces"]) == ("yaw", 30.0, 2)
    assert (row["bias"], row["error"], row["held_90"], row["present"]) == (-5.0, 5.0, 1.0, 0.0)
    assert (row["inner"], row["bias_of_true_landmarks"]) == (2.0, 0.0)
