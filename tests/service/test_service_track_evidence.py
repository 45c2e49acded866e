"""Whose face evidence is about, and what a click without a σ is taken for there."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.evidence.evidence import PoseRange, Rectangle, RegionConstraint
from exalign_service.requests.evidence import RequestedClick, RequestedEvidence
from exalign_service.track.frame_step import resolve
from exalign_service.track.requests import RequestedTrackEvidence

LARGE, SMALL = np.array([0.0, 0.0, 400.0, 400.0]), np.array([400.0, 155.0, 450.0, 205.0])


def piece(
    track_id: int, x: float = 390.0, y: float = 180.0, **more: tuple[RegionConstraint, ...]
) -> RequestedTrackEvidence:
    click = RequestedClick(30, x, y, None, None)
    return RequestedTrackEvidence(track_id, RequestedEvidence((click,), **more), "evidence[0]")


def sigma(requested: RequestedTrackEvidence, boxes: dict[int, np.ndarray]) -> float:
    ((track_id, evidence),) = resolve([requested], boxes)
    assert track_id == requested.track_id
    return evidence.soft_clicks[0].sigma


@pytest.mark.parametrize("boxes", [{1: LARGE, 2: SMALL}, {1: SMALL, 2: LARGE}, {-1: SMALL, -2: LARGE}])
def test_a_click_in_a_large_face_beside_a_small_one_has_the_large_ones_sigma(boxes: dict[int, np.ndarray]) -> None:
    assert sigma(piece(0), boxes) == pytest.approx(5.66, abs=0.005)
    assert sigma(piece(0, 425, 180), boxes) == pytest.approx(0.71, abs=0.005)


def test_a_click_with_a_track_has_that_ones_sigma_wherever_it_is() -> None:
    boxes = {1: LARGE, 2: SMALL}
    assert sigma(piece(2), boxes) == pytest.approx(0.71, abs=0.005)
    assert sigma(piece(1, 425, 180), boxes) == pytest.approx(5.66, abs=0.005)


def test_regions_say_as_well_which_face_is_meant() -> None:
    far = RegionConstraint(8, Rectangle(430.0, 160.0, 470.0, 200.0))
    assert sigma(piece(0, 405, 180, regions=(far,)), {1: LARGE, 2: SMALL}) == pytest.approx(0.71, abs=0.005)


def test_evidence_without_a_place_needs_no_face_of_its_own() -> None:
    turned = RequestedEvidence(poses=(PoseRange(yaw=(0.0, 10.0)),))
    ((_, evidence),) = resolve([RequestedTrackEvidence(0, turned, "evidence[0]")], {1: LARGE, 2: SMALL})
    assert evidence.poses == turned.poses
