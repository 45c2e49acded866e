"""What tells a cut: 64 bytes of a picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.tracking import Frame, TrackState
from exalign_engine.tracking.cuts import CUTS, is_cut, thumbnail_of
from toy_faces import MakeShapes
from tracking_toy import LEFT, MIDDLE, RIGHT, SIZE, Toy, at, detection, track_ids, weights

U8 = NDArray[np.uint8]

#: Thumbnails of two shots.
HERE, THERE = bytes(range(0, 128, 2)), bytes(range(128, 256, 2))


def picture(seed: int, height: int = 90, width: int = 120) -> U8:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 9, width // 12, 1), np.uint8))


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(80, 1))


def test_a_thumbnail_holds_the_mean_grey_of_each_cell() -> None:
    image = np.zeros((80, 160, 3), np.uint8)
    image[:10, 20:40] = (40, 100, 20)
    expected = np.zeros((CUTS.cells, CUTS.cells), np.uint8)
    expected[0, 1] = (40 + 200 + 20) // 4
    assert thumbnail_of(image) == expected.tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (480, 640)])
def test_a_thumbnail_of_any_picture_has_64_bytes(shape: tuple[int, int]) -> None:
    assert thumbnail_of(np.full((*shape, 3), 77, np.uint8)) == bytes([77] * 64)


def test_another_picture_is_a_cut_and_noise_a_shift_and_an_occluder_are_none() -> None:
    image, other = picture(1), picture(2)
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    moved, covered = np.roll(image, 2, axis=1), image.copy()
    covered[:, : image.shape[1] // 3] = 200
    small = thumbnail_of(image)
    assert is_cut(small, thumbnail_of(other))
    assert not any(is_cut(small, thumbnail_of(p)) for p in (image, noisy, moved, covered))


def test_without_a_thumbnail_there_is_no_cut() -> None:
    assert not is_cut(b"", HERE)
    assert not is_cut(HERE, b"")


def test_behind_a_cut_the_face_is_looked_for_anew_and_nothing_of_before_counts(toy: Toy) -> None:
    session, fresh = toy.session(), toy.session()
    for i in range(4):
        toy.play(session, i, toy.scores(3), boxes=[(0, LEFT)] if i == 0 else [], thumbnail=HERE)
    answer = toy.play(session, 4, toy.scores(50), detections=[detection(RIGHT)], thumbnail=THERE)
    first = toy.play(fresh, 0, toy.scores(50), detections=[detection(RIGHT)])
    assert answer.detected
    assert [t.track_id for t in answer.tracks] == [1]
    assert answer.tracks[0].given.box.tolist() == list(RIGHT)
    assert (weights(answer.tracks[0]) == weights(first.tracks[0])).all()
    assert not toy.play(session, 5, toy.scores(50), thumbnail=THERE).detected


def test_a_given_box_behind_a_cut_is_taken_as_it_is(toy: Toy) -> None:
    near = [v + 4.0 for v in MIDDLE]
    session = toy.session()
    for i in range(3):
        toy.play(session, i, boxes=[(0, MIDDLE)], thumbnail=HERE)
    pending = session.begin(Frame(3, SIZE, ((1, at(near)),), thumbnail=THERE))
    (place,) = session.places(pending, [])
    assert place.box.tolist() == near
    assert not pending.detect


def test_behind_a_cut_faces_elsewhere_take_the_places_of_several_tracks(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, MIDDLE)], thumbnail=HERE)
    nothing = {0: toy.scores(presence=0.01)}
    answer = toy.play(session, 1, nothing, detections=[detection(RIGHT)], thumbnail=THERE)
    assert [t.track_id for t in answer.tracks if t.state is TrackState.VISIBLE and t.visible_probability > 0.9][-1] == 3


def test_a_face_in_the_same_place_behind_a_cut_keeps_its_track(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)], thumbnail=HERE)
    found = [detection([v + 5 for v in box]) for box in (RIGHT, LEFT)]
    toy.play(session, 1, detections=found, thumbnail=THERE)
    assert track_ids(session) == [1, 2]


def test_a_track_that_is_lost_is_searched_in_the_very_next_frame(toy: Toy) -> None:
    session, nothing = toy.session(), toy.scores(presence=0.001)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    for i in range(1, 80):
        if toy.play(session, i, nothing).lost:
            break
    assert session.begin(Frame(i + 1, SIZE)).detect
