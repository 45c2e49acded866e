"""The difficult tenths of a split: who is in them, and by what."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.data import box_frame_shapes, open_faces
from exalign_engine.errors import DataError
from exalign_engine.exemplars.synthetic import rotate
from exalign_engine.geometry.head_pose import YAW, solve_pose
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.metrics.subsets import difficult_subsets, yaw_of

if TYPE_CHECKING:
    from toy_faces import MakePrepared, MakeShapes

F64 = NDArray[np.float64]


def write_yaw(folder: Path, values: list[str]) -> None:
    """Give index.csv the column yaw_proxy; a row without a value ends before it."""
    path = folder / "index.csv"
    head, *rows = list(csv.reader(path.read_text().splitlines()))
    with path.open("w", newline="") as f:
        table = csv.writer(f)
        table.writerow([*head, "yaw_proxy"])
        table.writerows([*row, value] for row, value in zip(rows, values, strict=True))


@pytest.mark.parametrize(("faces", "tenth"), [(1, 1), (10, 1), (11, 2), (70, 7)])
def test_a_subset_is_a_tenth_rounded_up(make_shapes: MakeShapes, faces: int, tenth: int) -> None:
    subsets = difficult_subsets(make_shapes(faces, 1), np.arange(float(faces)))
    assert {name: len(index) for name, index in subsets.items()} == {"large_yaw": tenth, "hard": tenth}


def test_large_yaw_takes_those_turned_farthest_to_either_side(make_shapes: MakeShapes) -> None:
    yaw = np.linspace(-0.59, 0.6, 20)
    assert difficult_subsets(make_shapes(20, 1), yaw)["large_yaw"].tolist() == [0, 19]
    yaw[[3, 4]] = 0.9, -0.9
    assert difficult_subsets(make_shapes(20, 1), -yaw)["large_yaw"].tolist() == [3, 4]


def test_hard_takes_those_farthest_from_the_mean_shape_whatever_their_size_and_place(make_shapes: MakeShapes) -> None:
    shapes = make_shapes(30, 2)
    shapes[[5, 17, 22]] = rotate(shapes[[5, 17, 22]], np.array([70.0, -80.0, 90.0]))
    rng = np.random.default_rng(3)
    placed = shapes * rng.uniform(20, 300, (30, 1, 1)) + rng.uniform(0, 500, (30, 1, 2))
    assert difficult_subsets(placed, np.zeros(30))["hard"].tolist() == [5, 17, 22]


def test_the_yaw_is_that_of_the_index_where_it_has_one(tmp_path: Path, make_prepared: MakePrepared) -> None:
    make_prepared(tmp_path, ["val", "test", "test"])
    write_yaw(tmp_path, ["0.9", "-0.25", "0.5"])
    assert yaw_of(open_faces(tmp_path, "test"), np.zeros((68, 3))).tolist() == [-0.25, 0.5]


def test_the_yaw_is_that_of_the_true_shapes_elsewhere(
    tmp_path: Path, make_prepared: MakePrepared, bulging_face: F64
) -> None:
    landmarks = make_prepared(tmp_path, ["test"] * 4)
    yaw = yaw_of(open_faces(tmp_path, "test"), bulging_face)
    assert yaw == pytest.approx(solve_pose(landmarks, bulging_face)[:, YAW], abs=1e-4)
    assert np.ptp(yaw) > 1
    turned = solve_pose(mirror_shapes(box_frame_shapes(landmarks)), bulging_face)[:, YAW]
    assert yaw == pytest.approx(-turned, abs=1e-2)


@pytest.mark.parametrize("value", ["", "much", "nan", "inf"])
def test_a_yaw_that_is_no_number_is_an_error_with_its_line(
    tmp_path: Path, make_prepared: MakePrepared, value: str
) -> None:
    make_prepared(tmp_path, ["val", "test", "test"])
    write_yaw(tmp_path, ["", "0.1", value])
    with pytest.raises(DataError, match=rf"index.csv:4: yaw_proxy is '{value}', not a finite number"):
        yaw_of(open_faces(tmp_path, "test"), np.zeros((68, 3)))


def test_a_row_that_ends_before_its_yaw_is_an_error_with_its_line(tmp_path: Path, make_prepared: MakePrepared) -> None:
    make_prepared(tmp_path, ["test", "test"])
    write_yaw(tmp_path, ["0.1", "0.2"])
    path = tmp_path / "index.csv"
    path.write_text(path.read_text().rstrip().rsplit(",", 1)[0] + "\n")
    with pytest.raises(DataError, match=r"index.csv:3: yaw_proxy is None, not a finite number"):
        yaw_of(open_faces(tmp_path, "test"), np.zeros((68, 3)))
