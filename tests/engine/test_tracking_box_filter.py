"""Boxes that a caller gives in frame after frame: a Kalman filter, compared with the textbook's matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.tracking.box_filter import BOX_FILTER, BoxFilter, filter_box
from properties import examples

F64 = NDArray[np.float64]

START = np.array([100.0, 120.0, 180.0, 220.0])


def box_at(cx: float, cy: float, side: float, aspect: float = 0.8) -> F64:
    half = np.array([aspect * side, side]) / 2
    return np.concatenate([np.array([cx, cy]) - half, np.array([cx, cy]) + half])


def numbers(f: BoxFilter) -> F64:
    """Everything that a filter holds."""
    frame, c, s = f.frame, f.centre, f.size
    values = [frame.cx, frame.cy, frame.side, f.vx, f.vy, f.growth]
    return np.array([*values, c.place, c.shared, c.speed, s.place, s.shared, s.speed])


class Textbook:
    """One of the three numbers: x ← F x, P ← F P Fᵀ + Q; K = P Hᵀ / S; P ← (1 − K H) P (1 − K H)ᵀ + K r² Kᵀ."""

    def __init__(self, noise: float) -> None:
        self.x, self.p, self.r = np.zeros(2), np.diag([noise**2, BOX_FILTER.initial_speed**2]), noise**2

    def step(self, z: float, gap: int) -> float:
        """By how much z is filtered to have moved, measured from where it was."""
        f, push = np.array([[1.0, gap], [0.0, 1.0]]), np.array([gap**2 / 2, gap])
        x = f @ np.array([0.0, self.x[1]])
        p = f @ self.p @ f.T + BOX_FILTER.acceleration**2 * np.outer(push, push)
        k = p[:, 0] / (p[0, 0] + self.r)
        self.x = x + k * (z - x[0])
        left = np.eye(2) - np.outer(k, [1.0, 0.0])
        self.p = left @ p @ left.T + self.r * np.outer(k, k)
        return float(self.x[0])


# At most about two standard deviations off, so that no box begins anew.
moves = st.lists(
    st.tuples(st.floats(-0.015, 0.015), st.floats(-0.015, 0.015), st.floats(-0.02, 0.02), st.integers(1, 3)),
    max_size=12,
)


@examples(100)
@given(moves)
def test_it_is_the_textbooks_filter(steps: list[tuple[float, float, float, int]]) -> None:
    found = BoxFilter.initial(START)
    frame = found.frame
    x, y, s = Textbook(BOX_FILTER.centre_noise), Textbook(BOX_FILTER.centre_noise), Textbook(BOX_FILTER.side_noise)
    for dx, dy, ds, gap in steps:
        box = BoxFrame(
            frame.cx + frame.side * (gap * x.x[1] + dx),
            frame.cy + frame.side * (gap * y.x[1] + dy),
            frame.side * math.exp(gap * s.x[1] + ds),
        )
        found = found.step(box.box, gap)
        frame = frame.moved(
            x.step((box.cx - frame.cx) / frame.side, gap),
            y.step((box.cy - frame.cy) / frame.side, gap),
            math.exp(s.step(math.log(box.side / frame.side), gap)),
        )
        centre, size = x.p, s.p
        expected = [frame.cx, frame.cy, frame.side, x.x[1], y.x[1], s.x[1]]
        variances = [centre[0, 0], centre[0, 1], centre[1, 1], size[0, 0], size[0, 1], size[1, 1]]
        assert numbers(found) == pytest.approx(np.array(expected + variances), rel=1e-9, abs=1e-12)


@examples(50)
@given(st.floats(-300, 300), st.floats(-300, 300), st.floats(0.2, 5.0), st.integers(0, 2**32 - 1))
def test_where_and_how_large_the_picture_is_does_not_matter(dx: float, dy: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = [box_at(300 + 3 * t + rng.normal(0, 2), 200 + rng.normal(0, 2), 100 + rng.normal(0, 2)) for t in range(8)]
    plain = moved = None
    for box in boxes:
        plain = filter_box(plain, box, 1)
        moved = filter_box(moved, box * scale + np.array([dx, dy, dx, dy]), 1)
        place = plain.box_like(box) * scale + np.array([dx, dy, dx, dy])
        assert moved.box_like(box) == pytest.approx(place, abs=1e-6)


def test_a_first_box_is_taken_as_it_is() -> None:
    assert filter_box(None, START, 1).box_like(START).tolist() == START.tolist()


def test_steady_motion_is_followed_without_lag() -> None:
    known = None
    for t in range(60):
        box = box_at(100 + 2.5 * t, 300 - 1.0 * t, 100 * 1.004**t)
        known = filter_box(known, box, 1)
    assert known is not None
    assert known.box_like(box) == pytest.approx(box, abs=0.05)


def test_trembling_is_calmed() -> None:
    rng, known, off, raw = np.random.default_rng(0), None, [], []
    for t in range(400):
        true = np.array([300 + 60 * math.sin(t / 15), 200 + 30 * math.cos(t / 20), 100.0])
        box = BoxFrame(*(true + 100 * rng.uniform(-0.03, 0.03, 3))).box
        known = filter_box(known, box, 1)
        f = known.frame
        off.append(np.array([f.cx, f.cy, f.side]) - true)
        raw.append(np.array([*(box[:2] + box[2:]) / 2, box[2] - box[0]]) - true)
    assert np.square(off).mean() < 0.75 * np.square(raw).mean()


@pytest.mark.parametrize("box", [box_at(160, 170, 100), box_at(140, 120, 100), box_at(140, 170, 125)])
def test_a_jump_begins_anew(box: F64) -> None:
    known = BoxFilter.initial(START)
    for _ in range(5):
        known = known.step(START, 1)
    assert (numbers(known.step(box, 1)) == numbers(BoxFilter.initial(box))).all()
    # After a while the same move is none.
    later = known.step(box, BOX_FILTER.max_gap)
    assert later.frame.cx == pytest.approx((box[0] + box[2]) / 2, abs=1.0)
    assert (numbers(later) != numbers(BoxFilter.initial(box))).any()


@pytest.mark.parametrize("gap", [BOX_FILTER.max_gap + 1, 2**62])
def test_after_many_frames_a_box_begins_anew(gap: int) -> None:
    known = BoxFilter.initial(START).step(box_at(141, 171, 101), 1)
    assert (numbers(known.step(START, gap)) == numbers(BoxFilter.initial(START))).all()


def test_the_aspect_is_that_of_the_given_box() -> None:
    known = BoxFilter.initial(START).step(box_at(141, 171, 102, aspect=0.6), 1)
    x0, y0, x1, y1 = known.box_like(box_at(141, 171, 102, aspect=0.6))
    assert (x1 - x0) / (y1 - y0) == pytest.approx(0.6)
    assert y1 - y0 == pytest.approx(known.frame.side)
