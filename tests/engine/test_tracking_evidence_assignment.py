"""Which track evidence is about."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import BoxMotion, Disc, Evidence, Polygon, PoseRange, Rectangle, RegionConstraint
from exalign_engine.face.views import click_sigma
from exalign_engine.tracking.evidence_assignment import assign, nearest_face
from tracking_toy import LEFT, MIDDLE, RIGHT, at, click

BOXES = {1: np.array(LEFT), 2: np.array(MIDDLE), 5: np.array(RIGHT)}


@pytest.mark.parametrize(
    "piece",
    [
        click(30, 480, 150),
        Evidence(regions=(RegionConstraint(30, Rectangle(440, 90, 500, 160)),)),
        Evidence(regions=(RegionConstraint(30, Disc(420, 150, 5)),)),
        Evidence(regions=(RegionConstraint(30, Polygon(((600, 1), (610, 1), (605, 9)))),)),
    ],
)
def test_evidence_without_a_track_is_about_the_nearest(piece: Evidence) -> None:
    assert list(assign([(0, piece)], BOXES)) == [5]


def test_evidence_with_a_track_is_about_that_one() -> None:
    assert list(assign([(2, click(30, 480, 150))], BOXES)) == [2]


def test_a_pose_is_about_the_only_track_or_an_error() -> None:
    pose = Evidence(poses=(PoseRange(yaw=(0, 10)),))
    assert list(assign([(0, pose)], {3: np.array(LEFT)})) == [3]
    with pytest.raises(InvalidInputError, match=r"evidence\[0\]\.track_id: is 0, but 3 faces"):
        assign([(0, pose)], BOXES)


def test_evidence_without_any_face_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="no face is tracked"):
        assign([(0, click(30, 1, 1))], {})


def test_pieces_about_one_track_are_merged_and_may_not_contradict_each_other() -> None:
    both = assign([(1, click(30, 60, 150)), (0, click(8, 61, 150))], BOXES)
    assert [c.landmark for c in both[1].clicks] == [30, 8]
    with pytest.raises(InvalidInputError, match=r"evidence\[1\]\.clicks"):
        assign([(1, click(30, 60, 150)), (1, click(30, 70, 150))], BOXES)


def test_a_click_in_a_large_face_beside_a_small_one_is_about_the_large_one() -> None:
    large, small = np.array([0.0, 0.0, 400.0, 400.0]), np.array([400.0, 155.0, 450.0, 205.0])
    boxes = {1: small, 2: large}
    # Its centre is farther away than the small one's.
    assert np.hypot(390 - 425, 180 - 180) < np.hypot(390 - 200, 180 - 200)
    assert nearest_face([(390.0, 180.0)], (), boxes) == 2
    assert list(assign([(0, click(30, 390, 180))], boxes)) == [2]
    assert click_sigma(at(boxes[2].tolist())) == pytest.approx(5.66, abs=0.005)


def test_of_boxes_that_contain_a_place_the_one_with_the_nearest_centre_is_meant() -> None:
    boxes = {1: np.array([0.0, 0.0, 400.0, 400.0]), 2: np.array([10.0, 10.0, 60.0, 60.0])}
    assert nearest_face([(40.0, 40.0)], (), boxes) == 2
    assert nearest_face([(150.0, 150.0)], (), boxes) == 1
    assert nearest_face([(40.0, 40.0)], (), {7: boxes[1], 3: boxes[1]}) == 3


def test_a_place_is_the_mean_of_clicks_and_of_regions_that_hold_a_landmark() -> None:
    inside = RegionConstraint(30, Disc(600.0, 150.0, 5.0))
    outside = RegionConstraint(30, Disc(600.0, 150.0, 5.0), inside=False)
    assert nearest_face([(100.0, 150.0)], (inside,), BOXES) == 2
    assert nearest_face([(100.0, 150.0)], (outside,), BOXES) == 1
    assert nearest_face([], (outside,), BOXES) is None


def test_an_empty_piece_adds_nothing() -> None:
    fixed = Evidence(click(30, 60, 150).clicks, box_motion=BoxMotion.FIXED)
    assert assign([(1, fixed), (1, Evidence())], BOXES) == {1: fixed}
