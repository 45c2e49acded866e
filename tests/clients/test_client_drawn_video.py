"""A drawn video behind a cut, and at frames without a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_client import Client, PoseOptions, TrackResult, TrackState
from exalign_client.pictures.drawn_video import DrawnVideo
from exalign_client.pictures.video_files import VideoPicture
from exalign_client.pictures.video_writer import VideoWriter
from fake_server import IMAGE_SIZE, FakeService

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = IMAGE_SIZE
#: Rows of the caption, of 480.
CAPTION = 40


class Written:
    """In place of a file."""

    def __init__(self) -> None:
        self.frames: list[tuple[Pixels, Fraction]] = []

    def write(self, pixels: Pixels, time: Fraction) -> None:
        self.frames.append((pixels, time))


@pytest.fixture
def answer(service: FakeService) -> TrackResult:
    with Client(service.address) as client:
        (event,) = client.track([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], pose=PoseOptions(yaw_bins=36, roll_bins=36))
    assert isinstance(event, TrackResult)
    return event


def shot(seed: int, occluded: float = 0.0) -> Pixels:
    """Smooth colours of one shot; a grey occluder covers a share of it."""
    coarse = np.random.default_rng(seed).integers(40, 216, (4, 6, 3))
    pixels = np.kron(coarse, np.ones((HEIGHT // 4, WIDTH // 6, 1))).astype(np.uint8)
    pixels[:, : round(WIDTH * occluded)] = 128
    return pixels


def draw(
    answer: TrackResult, frames: Sequence[tuple[Pixels | None, TrackState, float]], *, session: Sequence[int] = ()
) -> list[Pixels]:
    """The drawn frames; each is a picture with the state and the presence of its only track."""
    written = Written()
    video = DrawnVideo(cast(VideoWriter, written))
    for n, (pixels, state, presence) in enumerate(frames):
        video.keep(VideoPicture(n, Fraction(n, 25), pixels, None if pixels is not None else "cannot be decoded"))
        (track,) = answer.tracks
        track = replace(track, state=state, face=replace(track.face, presence=presence))
        number = session[n] if session else 1
        video.draw(replace(answer, frame_index=n, tracks=(track,), session=number))
    assert [time for _, time in written.frames] == [Fraction(n, 25) for n in range(len(frames))]
    return [pixels for pixels, _ in written.frames]


def inked(drawn: Pixels, grey: Pixels) -> float:
    """The share of a plain grey picture that was drawn on, the caption aside."""
    change = np.abs(drawn.astype(int) - int(grey[0, 0, 0])).max(axis=2)[CAPTION:]
    return float((change > 2).mean())


VISIBLE, HIDDEN, LOST = TrackState.VISIBLE, TrackState.HIDDEN, TrackState.LOST


def blank(grey: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), grey, np.uint8)


def test_a_face_of_the_shot_before_is_not_drawn_over_the_next(answer: TrackResult) -> None:
    before, after = blank(60), blank(200)
    states: list[tuple[Any, TrackState, float]] = [
        (before, VISIBLE, 1.0),
        (after, VISIBLE, 0.02),  # by its hysteresis a track is still called visible in the first frame
        (after, HIDDEN, 0.0),
        (after, HIDDEN, 0.0),
        (after, VISIBLE, 0.98),
    ]
    drawn = draw(answer, states)
    assert inked(drawn[0], before) > 0.02
    assert [inked(pixels, after) for pixels in drawn[1:4]] == [0, 0, 0]
    assert inked(drawn[4], after) > 0.02


def test_a_face_that_is_hidden_within_a_shot_is_drawn(answer: TrackResult) -> None:
    plain, covered = shot(1), shot(1, 0.35)
    drawn = draw(answer, [(plain, VISIBLE, 1.0), (covered, HIDDEN, 0.0), (covered, HIDDEN, 0.0)])
    without = draw(answer, [(plain, VISIBLE, 1.0), (covered, LOST, 0.0), (covered, LOST, 0.0)])
    assert all((a[CAPTION:] != b[CAPTION:]).any() for a, b in zip(drawn[1:], without[1:], strict=True))


def test_a_lost_face_is_named_and_not_drawn(answer: TrackResult) -> None:
    (drawn,) = draw(answer, [(blank(90), LOST, 0.0)])
    assert inked(drawn, blank(90)) == 0
    assert np.ptp(drawn[:CAPTION]) > 100


def test_a_second_cut_and_a_new_session_start_afresh(answer: TrackResult) -> None:
    states: list[tuple[Any, TrackState, float]] = [
        (blank(60), VISIBLE, 1.0),
        (blank(200), HIDDEN, 0.0),
        (blank(60), HIDDEN, 0.0),
        (blank(60), VISIBLE, 0.4),  # another face, of a new session
    ]
    drawn = draw(answer, states, session=[1, 1, 1, 2])
    assert [inked(d, p) > 0 for d, (p, _, _) in zip(drawn, states, strict=True)] == [True, False, False, True]


def test_a_frame_without_a_picture_is_drawn_on_the_one_before(answer: TrackResult) -> None:
    pixels = blank(120)
    drawn = draw(answer, [(None, HIDDEN, 0.0), (pixels, VISIBLE, 1.0), (None, HIDDEN, 0.0), (pixels, VISIBLE, 1.0)])
    assert len({d.shape for d in drawn}) == 1
    assert drawn[0][-1, -1].max() == 0, "nothing was seen yet"
    np.testing.assert_array_equal(drawn[2][-1, -1], drawn[1][-1, -1])


def test_a_frame_of_another_size_is_fitted_in(answer: TrackResult) -> None:
    tall = np.full((WIDTH, HEIGHT // 2, 3), 120, np.uint8)
    drawn = draw(answer, [(blank(120), LOST, 0.0), (tall, LOST, 0.0)])
    assert drawn[1].shape == drawn[0].shape
    assert drawn[1][240, 5].max() == 0
    assert drawn[1][240, 360].max() > 100
