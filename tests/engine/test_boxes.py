"""Boxes given by a caller: what is accepted, and how each fault is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.boxes import MAX_BOX_SIDES, MAX_FACES, MIN_BOX_SIDE, check_boxes

SHAPE = (100, 200, 3)
GOOD = (10.0, 20.0, 60.0, 80.0)


def violations(boxes, **keywords):
    with pytest.raises(InvalidInputError) as caught:
        check_boxes(boxes, SHAPE, **keywords)
    return {v.field: v.description for v in caught.value.violations}


def test_good_boxes_come_back_as_float64():
    out = check_boxes([GOOD, (-30, -30, 5, 5)], SHAPE)
    assert out.dtype == np.float64
    assert out.tolist() == [list(GOOD), [-30.0, -30.0, 5.0, 5.0]]


def test_no_boxes_are_fine():
    assert check_boxes([], SHAPE).shape == (0, 4)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((np.nan, 0, 10, 10), "finite"),
        ((0, 0, np.inf, 10), "finite"),
        ((50, 0, 10, 10), "x0 < x1"),
        ((0, 50, 10, 10), "y0 < y1"),
        ((10, 10, 10, 30), "x0 < x1"),
        ((0, 0, MIN_BOX_SIDE - 0.5, 30), "at least 4 × 4"),
        ((-50, 10, -0.5, 30), "overlap the image of 200 × 100"),
        ((10, -50, 30, -0.5), "overlap"),
        ((199.5, 10, 230, 30), "overlap"),
        ((10, 99.5, 30, 130), "overlap"),
        ((-400, -400, -400 + MAX_BOX_SIDES * 200 + 1, 400), "at most 800 (4 image sides)"),
        ((1, 2, 3), "four numbers"),
        (("a", 2, 3, 4), "four numbers"),
        (None, "four numbers"),
    ],
)
def test_each_fault_is_named_with_its_limit(box, says):
    found = violations([GOOD, box])
    assert list(found) == ["faces[1].box"]
    assert says in found["faces[1].box"]


def test_a_box_over_the_last_half_pixel_still_overlaps():
    assert check_boxes([(199.4, 10, 230, 30)], SHAPE).tolist() == [[199.4, 10, 230, 30]]


def test_all_faults_are_reported_at_once():
    found = violations([(np.nan, 0, 1, 1), GOOD, (5, 5, 1, 9)], field="boxes")
    assert list(found) == ["boxes[0].box", "boxes[2].box"]


def test_too_many_boxes_are_counted_and_the_first_ones_still_checked():
    found = violations([(5, 5, 1, 9)] + [GOOD] * 199)
    assert found["faces"] == f"has 200 boxes, at most {MAX_FACES} are accepted"
    assert list(found) == ["faces", "faces[0].box"]


@given(st.lists(st.tuples(*[st.floats(width=32)] * 4), max_size=5))
def test_any_floats_are_accepted_as_given_or_refused(boxes):
    try:
        out = check_boxes(boxes, SHAPE)
    except InvalidInputError:
        return
    assert out.tolist() == [list(b) for b in boxes]
    assert all(b[2] - b[0] >= MIN_BOX_SIDE and b[3] - b[1] >= MIN_BOX_SIDE for b in out)
