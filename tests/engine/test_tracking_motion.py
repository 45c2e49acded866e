"""Where the next box is expected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.geometry.boxes import check_boxes
from exalign_engine.tracking.motion import MOTION, Motion

BOX = np.array([100.0, 100.0, 200.0, 220.0])
SIZE = (480, 640)


def shifted(dx: float, dy: float = 0.0) -> np.ndarray:
    return BOX + np.array([dx, dy, dx, dy])


def test_a_box_at_rest_stays() -> None:
    np.testing.assert_array_equal(Motion.at(BOX).predict(3, SIZE).box, BOX)


def test_a_steady_motion_is_predicted() -> None:
    motion = Motion.at(BOX)
    for t in range(1, 12):
        motion = motion.update(motion.predict(1, SIZE).box, shifted(5.0 * t, -3.0 * t), 1)
    np.testing.assert_allclose(motion.predict(1, SIZE).box, shifted(60, -36), atol=0.1)


def test_the_velocity_is_the_mean_of_the_last_one_and_the_newest_displacement() -> None:
    first = Motion.at(BOX).update(BOX, shifted(12, -8), 1)
    assert (first.vx, first.vy) == (6.0, -4.0)
    second = first.update(shifted(12, -8), shifted(22, -10), 1)
    assert (second.vx, second.vy) == (8.0, -3.0)


def test_velocity_is_a_frame_whatever_the_gap() -> None:
    one = Motion.at(BOX).update(BOX, shifted(12), 1)
    four = Motion.at(BOX).update(BOX, shifted(12), 4)
    assert four.vx == pytest.approx(one.vx / 4)
    assert four.predict(4, SIZE).cx == pytest.approx(one.predict(1, SIZE).cx)


def test_the_velocity_of_a_hidden_face_dies_away_and_its_box_keeps_its_size() -> None:
    motion = Motion.at(BOX).update(BOX, shifted(20), 1)
    start, speed = motion.cx, motion.vx
    for _ in range(60):
        motion = motion.update_unseen(motion.predict(1, SIZE).box, 1)
    assert motion.cx - start == pytest.approx(speed / (1 - MOTION.damping), rel=1e-3)
    assert (motion.width, motion.height) == pytest.approx((100, 120))


def test_a_jump_says_nothing_about_velocity() -> None:
    motion = Motion.at(BOX).update(shifted(300), shifted(301), 1)
    assert (motion.vx, motion.vy) == (0, 0)
    np.testing.assert_array_equal(motion.box, shifted(301))


def test_sides_change_by_a_limited_factor() -> None:
    motion = Motion.at(BOX).update(BOX, np.array([140.0, 140.0, 150.0, 500.0]), 1)
    assert motion.width == pytest.approx(100 / MOTION.max_growth)
    assert motion.height == pytest.approx(120 * MOTION.max_growth)


@given(
    st.tuples(*[st.floats(-5e3, 5e3)] * 2, *[st.floats(1, 1e5)] * 2, *[st.floats(-1e4, 1e4)] * 2), st.integers(1, 10**6)
)
def test_a_predicted_box_can_always_be_looked_at(values: tuple[float, ...], gap: int) -> None:
    box = Motion(*values).predict(gap, SIZE).box
    np.testing.assert_array_equal(check_boxes([box], SIZE), [box])


def test_a_face_that_turns_up_elsewhere_has_no_velocity() -> None:
    hidden = Motion.at(BOX).update_unseen(BOX, 1).update_unseen(BOX, 1)
    assert hidden.unseen_frames == 2
    found = hidden.update(shifted(30), shifted(32), 1)
    assert (found.vx, found.vy, found.unseen_frames) == (0, 0, 0)
    np.testing.assert_array_equal(found.predict(1, SIZE).box, shifted(32))


def crop_loop(motion: Motion, truth: np.ndarray, slope: float, frames: int) -> list[np.ndarray]:
    """Crops of a face that stands still: what is found follows the crop a little, and trembles with it."""
    crops, new = [], motion.seen is None
    for t in range(frames):
        cropped = motion.predict(1, SIZE).box
        crops.append(cropped)
        tremble = 0.3 * np.sin(1e3 * cropped)
        motion = motion.update(cropped, truth + slope * (cropped - truth) + tremble, 1)
        if new and t == 0:
            motion = motion.stopped()  # as of a track that is opened
    return crops


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("off", [0.0, 4.0, -9.0])
def test_a_face_that_stands_still_has_the_same_crop_to_the_last_bit_after_three_frames(
    slope: float, off: float
) -> None:
    crops = crop_loop(Motion.at(shifted(off, -off / 2)), BOX, slope, 20)
    for crop in crops[3:]:
        np.testing.assert_array_equal(crop, crops[2])
    np.testing.assert_allclose(crops[-1], BOX, atol=2 * MOTION.rest_offset * 120)


def test_what_is_found_may_go_farther_than_the_crop_of_a_face_at_rest() -> None:
    rest = Motion.at(BOX).update(BOX, shifted(2), 1).stopped()
    crop, found = shifted(4), shifted(5)  # 4 px on, then found 3 px on
    assert rest.update(crop, found, 1).vx == 0
    assert rest.update(crop, shifted(2 + (MOTION.rest_lead + 0.5) * 4), 1).vx > 0
    # Where the crop stayed, the same way is motion.
    assert rest.update(BOX, shifted(2 + 1.2 * MOTION.rest_speed * 120), 1).vx > 0


def test_a_crop_that_was_kept_once_is_kept_while_the_same_is_found_in_it() -> None:
    motion = Motion.at(BOX).update(BOX, shifted(1), 1).stopped()
    found = shifted(1 + 0.9 * MOTION.rest_wide * MOTION.rest_offset * 120)
    crops = []
    for _ in range(8):
        crops.append(motion.box)
        motion = motion.update(motion.box, found, 1)
    for crop in crops[2:]:
        np.testing.assert_array_equal(crop, crops[-1])


def test_a_face_that_stops_comes_to_rest_within_three_frames() -> None:
    motion = Motion.at(BOX)
    for t in range(1, 9):
        motion = motion.update(motion.predict(1, SIZE).box, shifted(6.0 * t), 1)
    assert motion.vx == pytest.approx(6, abs=0.1)
    crops = crop_loop(motion, shifted(48.0), 0.2, 12)
    for crop in crops[4:]:
        np.testing.assert_array_equal(crop, crops[3])


@pytest.mark.parametrize("speed", [0.1, 0.3, 0.7, 1.5, 4.0])
def test_a_small_motion_is_followed_without_falling_behind(speed: float) -> None:
    motion = Motion.at(BOX)
    for t in range(60):
        cropped = motion.predict(1, SIZE).box
        if t > 5:
            most = MOTION.rest_wide * MOTION.rest_offset * 120 + speed + 1e-9
            assert abs(float(cropped[0]) - BOX[0] - speed * t) <= most, t
        motion = motion.update(cropped, shifted(speed * t), 1)


def test_a_face_at_rest_that_grows_is_followed() -> None:
    motion = Motion.at(BOX)
    for t in range(1, 30):
        wider = BOX + 0.3 * t * np.array([-1, -1.2, 1, 1.2])
        motion = motion.update(motion.box, wider, 1)
        assert motion.width == pytest.approx(wider[2] - wider[0], rel=MOTION.rest_wide * MOTION.rest_growth + 1e-9)


def test_a_face_behind_another_goes_on_as_it_went_in() -> None:
    motion = Motion.at(BOX)
    for t in range(1, 12):
        motion = motion.update(motion.predict(1, SIZE).box, shifted(5.0 * t), 1)
    start, speed = motion.cx, motion.vx
    for _ in range(6):
        motion = motion.update_unseen(motion.predict(1, SIZE).box, 1, meeting=True)
    assert motion.cx - start == pytest.approx(6 * speed)
    out = motion.update(motion.predict(1, SIZE).box, motion.predict(1, SIZE).box + 2.0, 1, meeting=True)
    assert (out.vx, out.unseen_frames) == (speed, 0)


def test_a_meeting_changes_a_velocity_slowly() -> None:
    motion = Motion.at(BOX).update(BOX, shifted(12), 1)
    apart, meeting = (motion.update(shifted(18), shifted(30), 1, meeting=m) for m in (False, True))
    assert motion.vx < meeting.vx < apart.vx
