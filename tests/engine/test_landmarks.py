"""The 68-point layout: groups, names and the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exalign_engine.data import box_frame_shapes, open_faces
from exalign_engine.geometry.landmarks import GROUPS, MIRROR, N_LANDMARKS, NAMES, NOSE_TIP, mirror_shapes

if TYPE_CHECKING:
    from toy_faces import MakeShapes


def test_the_groups_share_out_all_landmarks() -> None:
    assert sorted(n for r in GROUPS.values() for n in r) == list(range(N_LANDMARKS))


def test_names_are_unique_and_the_nose_tip_is_30() -> None:
    assert len(set(NAMES)) == N_LANDMARKS
    assert NAMES[NOSE_TIP] == "nose_tip"
    assert NOSE_TIP == 30


def test_the_mirror_is_an_involution_within_groups() -> None:
    assert MIRROR[MIRROR].tolist() == list(range(N_LANDMARKS))
    assert all({int(MIRROR[n]) for n in group} == set(group) for group in GROUPS.values())


def test_the_mirror_exchanges_right_and_left() -> None:
    for n, name in enumerate(NAMES):
        if name.startswith("right_"):
            part = name.split("_")[1]
            assert NAMES[MIRROR[n]].startswith(f"left_{part}_")


@pytest.mark.parametrize(
    "row",
    [
        range(17),
        range(17, 27),
        range(31, 36),
        [36, 37, 38, 39, 42, 43, 44, 45],
        [36, 41, 40, 39, 42, 47, 46, 45],
        range(48, 55),
        [48, 59, 58, 57, 56, 55, 54],
        range(60, 65),
        [60, 67, 66, 65, 64],
    ],
    ids=["jaw", "brows", "nose", "upper lids", "lower lids", "lip 1", "lip 2", "lip 3", "lip 4"],
)
def test_a_row_of_landmarks_from_right_to_left_mirrors_to_its_reverse(row: Sequence[int]) -> None:
    assert MIRROR[list(row)].tolist() == list(reversed(row))


def test_the_middle_of_the_face_mirrors_to_itself() -> None:
    assert np.flatnonzero(np.arange(N_LANDMARKS) == MIRROR).tolist() == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]


@pytest.mark.parametrize("width", [1.0, 639.0])
def test_mirroring_twice_changes_nothing(make_shapes: MakeShapes, width: float) -> None:
    shapes = make_shapes(4, 0) * width
    before = shapes.copy()
    np.testing.assert_allclose(mirror_shapes(mirror_shapes(shapes, width), width), shapes, atol=1e-12 * width)
    np.testing.assert_array_equal(shapes, before)
    assert mirror_shapes(shapes.astype(np.float32)).dtype == np.float32


def test_the_mean_of_faces_is_its_own_mirror_and_right_is_on_the_left(faces_folder: Path) -> None:
    mean = box_frame_shapes(open_faces(faces_folder, "val").landmarks).mean(axis=0)
    assert np.abs(mirror_shapes(mean) - mean).max() < 0.1
    x = {name: mean[n, 0] for n, name in enumerate(NAMES)}
    assert all(v < 0.5 for name, v in x.items() if name.startswith("right_"))
    assert all(v > 0.5 for name, v in x.items() if name.startswith("left_"))
