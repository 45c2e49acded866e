"""The chain of visible, hidden and lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.tracking.visibility import VISIBILITY, TrackState, Visibility

presences = st.floats(0, 1)


def after_frames(presence: float, frames: int, start: Visibility | None = None) -> Visibility:
    v = (start or Visibility.initial()).update(presence, None)
    for _ in range(frames - 1):
        v = v.predict(1).update(presence, None)
    return v


def test_transition_rows_sum_to_one() -> None:
    np.testing.assert_allclose(VISIBILITY.transitions.sum(axis=1), 1)
    assert (VISIBILITY.transitions >= 0).all()


@given(st.lists(st.tuples(st.one_of(st.none(), presences), st.sampled_from([None, True, False]), st.integers(1, 99))))
def test_probabilities_stay_probabilities(frames: list[tuple[float | None, bool | None, int]]) -> None:
    v = Visibility.initial()
    for presence, found, gap in frames:
        v = v.predict(gap).update(presence, found)
        assert math.isclose(sum(v.probabilities), 1)
        assert min(v.probabilities) >= 0


def test_a_filter_step_is_transition_times_likelihood() -> None:
    v = Visibility((0.5, 0.3, 0.2), TrackState.VISIBLE).predict(3).update(0.8, True)
    expected = np.array([0.5, 0.3, 0.2]) @ np.linalg.matrix_power(VISIBILITY.transitions, 3)
    expected *= (0.8 * 0.9, 0.2 * 0.1, 0.2 * 0.1)
    np.testing.assert_allclose(v.probabilities, expected / expected.sum(), rtol=1e-12)


def test_a_face_that_is_seen_is_visible() -> None:
    v = after_frames(0.99, 5)
    assert v.state is TrackState.VISIBLE
    assert v.visible > 0.99


def test_one_bad_frame_does_not_hide_a_face_and_two_do() -> None:
    v = after_frames(0.99, 5)
    once = v.predict(1).update(0.0, None)
    assert once.state is TrackState.VISIBLE
    assert once.predict(1).update(0.0, None).state is TrackState.HIDDEN


def test_a_hidden_face_comes_back_when_it_is_seen() -> None:
    v = after_frames(0.01, 10, after_frames(0.99, 5))
    assert v.state is TrackState.HIDDEN
    assert v.predict(1).update(0.99, None).state is TrackState.VISIBLE


@pytest.mark.parametrize("presence", [0.0, 0.01])
def test_a_face_hidden_for_about_a_second_is_lost(presence: float) -> None:
    v, frames = after_frames(0.99, 5), 0
    while v.state is not TrackState.LOST:
        v, frames = v.predict(1).update(presence, None), frames + 1
    assert 25 <= frames <= 50


def test_hysteresis_keeps_the_state_between_its_thresholds() -> None:
    p = (0.5, 0.45, 0.05)
    # A likelihood of one half changes nothing but the transition.
    assert Visibility(p, TrackState.VISIBLE).update(0.5, None).state is TrackState.VISIBLE
    assert Visibility(p, TrackState.HIDDEN).update(0.5, None).state is TrackState.HIDDEN


def test_a_track_becomes_lost_when_that_is_more_probable_than_six_tenths() -> None:
    for lost, state in ((0.59, TrackState.HIDDEN), (0.61, TrackState.LOST)):
        v = Visibility((0.0, 1 - lost, lost), TrackState.HIDDEN).update(None, None)
        assert v.lost == pytest.approx(lost)
        assert v.state is state


def test_a_blind_frame_is_never_visible() -> None:
    v = after_frames(0.99, 5).predict(1).update(None, None)
    assert v.visible == 0
    assert v.state is TrackState.HIDDEN


def test_a_detector_that_finds_nothing_lowers_visible() -> None:
    v = after_frames(0.9, 3).predict(1)
    assert v.update(0.9, False).visible < v.update(0.9, None).visible < v.update(0.9, True).visible


def test_lost_frames_are_counted_by_index_and_lapse() -> None:
    v = Visibility((0.0, 0.0, 1.0), TrackState.LOST)
    v = v.predict(50).update(0.0, None)
    assert (v.lost_frames, v.expired()) == (50, False)
    assert v.predict(41).update(0.0, None).expired()
    assert v.relocated().update(0.99, True).lost_frames == 0
