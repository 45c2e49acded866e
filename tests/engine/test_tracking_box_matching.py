"""Which box is whose, and which track evidence is about."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import Disc, Evidence, Polygon, PoseRange, Rectangle, RegionConstraint
from exalign_engine.tracking.box_matching import match, near
from exalign_engine.tracking.evidence_assignment import assign
from tracking_toy import LEFT, MIDDLE, RIGHT, click

BOXES = {1: np.array(LEFT), 2: np.array(MIDDLE), 5: np.array(RIGHT)}


def moved(box: tuple[float, ...], dx: float) -> np.ndarray:
    return np.array(box) + np.array([dx, 0, dx, 0])


def test_the_greatest_overlap_pairs_first() -> None:
    tracks = [np.array(LEFT), moved(LEFT, 30)]
    assert match(tracks, [moved(LEFT, 25), moved(LEFT, -5)], 0.2) == {0: 1, 1: 0}


def test_each_track_and_each_box_pairs_once() -> None:
    assert match([np.array(LEFT)], [moved(LEFT, 2), moved(LEFT, 1)], 0.2) == {1: 0}
    assert match([moved(LEFT, 2), moved(LEFT, 1)], [np.array(LEFT)], 0.2) == {0: 1}


def test_equal_overlaps_go_to_the_first() -> None:
    assert match([np.array(LEFT), np.array(LEFT)], [np.array(LEFT)], 0.2) == {0: 0}


def test_little_overlap_is_no_pair() -> None:
    assert match([np.array(LEFT)], [moved(LEFT, 80)], 0.2) == {}


def test_near_wants_place_and_size() -> None:
    assert near(np.array(LEFT), moved(LEFT, 100)) == pytest.approx(1.0)
    assert near(np.array(LEFT), moved(LEFT, 200)) is None
    assert near(np.array(LEFT), np.array([80.0, 130.0, 120.0, 170.0])) is None


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


def test_pieces_about_one_track_are_joined_and_may_not_contradict_each_other() -> None:
    both = assign([(1, click(30, 60, 150)), (0, click(8, 61, 150))], BOXES)
    assert [c.landmark for c in both[1].clicks] == [30, 8]
    with pytest.raises(InvalidInputError, match=r"evidence\[1\]\.clicks"):
        assign([(1, click(30, 60, 150)), (1, click(30, 70, 150))], BOXES)
