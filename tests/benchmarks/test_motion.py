"""The clips in which two faces cross: what is seen of whom, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import pytest
from benchmarks.motion.crossing import FRAMES, SIDE, WIDTH, CrossingMaker
from benchmarks.motion.flow import Scene
from numpy.typing import NDArray

from drawn_faces import drawn_faces
from exalign_engine.geometry.frames import BoxFrame, tight_box

U8 = NDArray[np.uint8]


class Faces:
    """Annotated faces."""

    def __init__(self, ids: Sequence[str], landmarks: NDArray[np.float64], pictures: Sequence[U8]) -> None:
        self.ids, self.landmarks, self._pictures = ids, landmarks, pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def image(self, index: int) -> U8:
        return self._pictures[index]


@pytest.fixture(scope="module")
def maker() -> CrossingMaker:
    pictures, landmarks = drawn_faces(4, 3)
    return CrossingMaker(cast(Any, Faces("abcd", landmarks, pictures)))


def test_two_faces_cross_and_one_leaves_and_comes_back(maker: CrossingMaker) -> None:
    scenes = list(maker.clip(0))
    assert (len(maker), len(scenes)) == (2, FRAMES)
    x = np.array([[tight_box(points)[::2].mean() for points in s.truth] for s in scenes])
    assert x[0, 0] < x[0, 1]
    assert x[45, 0] > x[45, 1]
    seen = np.array([s.seen for s in scenes])
    assert seen[:5].all()
    assert seen[-1].all()
    hidden = np.flatnonzero(~seen.all(axis=1) & (x[:, 0] < WIDTH - SIDE / 2))
    assert len(hidden)
    assert (np.abs(x[hidden, 0] - x[hidden, 1]) < 1.5 * SIDE).all()
    assert x[:, 0].max() > WIDTH + SIDE / 2


def test_a_clip_is_the_same_every_time(maker: CrossingMaker) -> None:
    first, again = (next(maker.clip(1)) for _ in range(2))
    assert (first.pixels == again.pixels).all()


def test_flow_carries_a_box_with_what_does_not_hide_past_what_passes_before_it() -> None:
    rng = np.random.default_rng(7)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (300, 300)).astype(np.uint8), (0, 0), 2)
    cover = cv2.GaussianBlur(rng.integers(0, 255, (110, 90)).astype(np.uint8), (0, 0), 2)
    scene = Scene(BoxFrame(110.0, 100.0, 80.0), np.array([2.0, 1.0]))
    before: U8 | None = None
    for t in range(14):
        picture = ground[40 - t : 240 - t, 40 - 2 * t : 240 - 2 * t].copy()  # all goes 2 right and 1 down a frame
        right = 10 * t  # of what comes from the left
        seen = min(right, 90)
        picture[50:160, right - seen : right] = cover[:, 90 - seen :]
        if before is not None:
            place = scene.step(before, picture)
        before = picture
    assert (place.cx, place.cy) == pytest.approx((110 + 26, 100 + 13), abs=1.5)
    assert place.side == pytest.approx(80, rel=0.03)
