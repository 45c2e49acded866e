"""Which box belongs to which track."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.geometry.frames import iou
from exalign_engine.tracking.box_matching import match, near
from tracking_toy import LEFT


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
    assert near(np.array(LEFT), moved(LEFT, 100), 0) == pytest.approx(1.0)
    assert near(np.array(LEFT), moved(LEFT, 200), 0) is None
    assert near(np.array(LEFT), np.array([80.0, 130.0, 120.0, 170.0]), 0) is None


def test_the_longer_a_face_is_unseen_the_farther_it_may_be() -> None:
    far = moved(LEFT, 200)
    assert [near(np.array(LEFT), far, frames) is None for frames in (0, 4, 6, 90)] == [True, True, False, False]
    assert near(np.array(LEFT), moved(LEFT, 320), 90) is None


def test_an_overlap_of_just_the_least_is_a_pair() -> None:
    track, box = np.array([0.0, 0.0, 3.0, 1.0]), np.array([1.0, 0.0, 4.0, 1.0])
    assert iou(track, box) == 0.5
    assert match([track], [box], 0.5) == {0: 0}
    assert match([track], [box], 0.5 + 1e-9) == {}
