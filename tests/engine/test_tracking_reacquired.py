"""Whether a face that turns up is one that was lost: by its shape, with a stated probability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exalign_engine.tracking import FrameAnswer, TrackingSession, TrackState
from exalign_engine.tracking.reacquired import own_shape, reacquired
from exalign_engine.tracking.track import NO_DISPLACEMENT, Track
from toy_faces import MakeShapes
from tracking_toy import LEFT, MIDDLE, RIGHT, Toy, detection


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(80, 1))


def seen_track(toy: Toy, k: int) -> Track:
    session = toy.session()
    toy.play(session, 0, toy.scores(k, spread=0.005), boxes=[(0, MIDDLE)])
    return session.state.tracks[0]


def without_a_face(toy: Toy, session: TrackingSession, start: int) -> tuple[int, FrameAnswer]:
    for i in range(start, start + 80):
        answer = toy.play(session, i, toy.scores(presence=0.001))
        if answer.lost:
            return i + 1, answer
    raise AssertionError("the track was never lost")


def test_a_shape_is_the_same_wherever_and_however_large_the_face_is() -> None:
    points = np.random.default_rng(1).uniform(0, 1, (68, 2))
    np.testing.assert_array_equal(own_shape(points), own_shape(points * 64 + 128.0))


def test_the_nearer_the_shape_the_likelier_it_is_the_same_face() -> None:
    rng = np.random.default_rng(2)
    points, noise = rng.uniform(0, 1, (68, 2)) * 100, rng.normal(0, 1, (68, 2))
    track = replace_shape(own_shape(points))
    found = [reacquired(points + 100 * scale * noise, [track]) for scale in (0.0, 0.02, 0.05, 0.1, 0.3)]
    stated = [f.probability for f in found if f is not None]
    assert stated == sorted(stated, reverse=True)
    assert stated[0] > 0.9
    assert stated[-1] < 0.2


def replace_shape(shape: np.ndarray) -> Track:
    """A track of which only this matters."""
    return replace(_BLANK, shape=shape)


_BLANK = Track(1, *[None] * 12, 0, NO_DISPLACEMENT, b"")  # type: ignore[arg-type]


def test_of_several_the_likeliest_is_named_and_they_share_the_probability() -> None:
    points = np.random.default_rng(3).uniform(0, 100, (68, 2))
    here, there = replace_shape(own_shape(points)), replace_shape(own_shape(points[::-1]))
    alone = reacquired(points, [here])
    among = reacquired(points, [replace(there, track_id=2), here, replace(here, track_id=3)])
    assert alone is not None
    assert among is not None
    assert among.track_id == 1
    assert among.probability < alone.probability


def test_a_face_that_was_never_surely_seen_is_not_named() -> None:
    assert reacquired(np.random.default_rng(4).uniform(0, 100, (68, 2)), [_BLANK]) is None


def test_a_lost_face_that_is_found_says_so_once(toy: Toy) -> None:
    session = toy.session()
    for i in range(3):
        toy.play(session, i, toy.scores(5), boxes=[(0, LEFT)] if i == 0 else [])
    index, _ = without_a_face(toy, session, 3)
    (track,) = toy.play(session, index, toy.scores(5), detections=[detection(RIGHT)]).tracks
    assert track.reacquired is not None
    assert track.reacquired.track_id == track.track_id == 1
    assert track.reacquired.probability > 0.8
    (after,) = toy.play(session, index + 1, toy.scores(5)).tracks
    assert after.reacquired is None


def test_a_new_track_names_the_lost_one_whose_face_it_may_be(toy: Toy) -> None:
    session = toy.session(max_faces=3)
    for i in range(3):
        toy.play(session, i, toy.scores(5), boxes=[(0, LEFT)] if i == 0 else [])
    toy.play(session, 3, toy.scores(40), boxes=[(0, MIDDLE)])
    index = 4
    while True:
        answer = toy.play(session, index, {0: toy.scores(presence=0.001), 1: toy.scores(40)})
        index += 1
        if answer.lost:
            break
    rows = {0: toy.scores(presence=0.001), 1: toy.scores(40), 2: toy.scores(5)}
    answer = toy.play(session, index, rows, detections=[detection(MIDDLE), detection(RIGHT)])
    assert [t.track_id for t in answer.tracks] == [1, 2, 3]
    assert [t.state for t in answer.tracks] == [TrackState.LOST, TrackState.VISIBLE, TrackState.VISIBLE]
    found = answer.tracks[2].reacquired
    assert found is not None
    assert found.track_id == 1
    assert answer.tracks[1].reacquired is None


def test_shapes_are_part_of_the_state(toy: Toy) -> None:
    track = seen_track(toy, 7)
    assert track.shape.any()
    session = toy.session()
    toy.play(session, 0, toy.scores(7), boxes=[(0, MIDDLE)])
    again = toy.again(session)
    np.testing.assert_array_equal(again.state.tracks[0].shape, session.state.tracks[0].shape)
