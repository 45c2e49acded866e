"""A crop that is that of the frame before, bit for bit, is no second measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from exalign_engine.hmm.chain import ChainSettings
from exalign_engine.tracking import SuggestionQuery, TrackAnswer, TrackingSession, TrackState
from exalign_engine.tracking.same_crop import said_by
from toy_faces import MakeShapes
from tracking_toy import HERE, MIDDLE, Toy, ToyDisplacer, click, detection, fingerprint, row, weights

#: A click, and a face to click on.
PIECE = [(1, click(30, 300, 150))]


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(60, 1), ChainSettings(members=25), ToyDisplacer())


def shown(toy: Toy, session: TrackingSession, pictures: Sequence[int], **frame: Any) -> list[TrackAnswer]:
    """The answers to some pictures, one a frame; a face in each, in the same place."""
    answers = []
    for k in pictures:
        index = session.next_frame
        boxes = HERE if index else [(0, MIDDLE)]
        answers += toy.play(session, index, toy.scores(k, 0.8, 0.05), boxes=boxes, picture=k, **frame).tracks
    return answers


def test_the_same_picture_again_has_the_same_answer_to_the_last_bit(toy: Toy) -> None:
    first, *others = shown(toy, toy.session(), [3, 9, 9, 9, 9, 9, 9])[1:]
    for other in others:
        assert fingerprint([other]) == fingerprint([first])


@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("lag", [0, 3])
def test_a_picture_that_was_shown_several_times_leaves_the_track_as_if_it_had_been_shown_once(
    toy: Toy, times: int, lag: int
) -> None:
    """The chain's slow twin: all that is repeated is left out."""
    options = {"smoothing_lag": lag, "path_frames": 20}
    several, once = toy.session(**options), toy.session(**options)
    a = shown(toy, several, [3, *[9] * times, 4, 11])
    b = shown(toy, once, [3, 9, 4, 11])
    assert fingerprint(a[-2:]) == fingerprint(b[-2:])
    (path,), (other) = several.close().paths, once.close().paths[0]
    assert (path.score, path.gap) == (other.score, other.gap)
    assert path.class_ids == (other.class_ids[0], *[other.class_ids[1]] * times, *other.class_ids[2:])


def test_the_smoother_leaves_out_what_is_repeated(toy: Toy) -> None:
    options = {"smoothing_lag": 6, "temporal_mean": False}
    several, once = toy.session(**options), toy.session(**options)
    shown(toy, several, [3, 9, 9, 9, 4])
    shown(toy, once, [3, 9, 4])
    a, b = several.close().revisions, once.close().revisions
    assert [r.frame_index for r in a] == [0, 1, 2, 3]
    for found, wanted in zip(a, (b[0], b[1], b[1], b[1]), strict=True):
        assert fingerprint(found.tracks) == fingerprint(wanted.tracks)


def test_another_picture_with_the_same_scores_is_a_measurement(toy: Toy) -> None:
    session = toy.session()
    before, same, other = (
        toy.play(session, i, toy.scores(9, 0.8, 0.05), boxes=[(0, MIDDLE)], picture=picture).tracks[0]
        for i, picture in enumerate((1, 1, 2))
    )
    assert (weights(same) == weights(before)).all()
    assert other.given.face.entropy < same.given.face.entropy


def test_scores_that_differ_in_one_bit_are_a_measurement(toy: Toy) -> None:
    scores = toy.scores(9, 0.8, 0.05)
    near = scores.copy()
    near[5] = np.nextafter(near[5], np.float32(np.inf))
    assert said_by(row(scores)) == said_by(row(scores.copy())) != said_by(row(near))
    session = toy.session()
    first, second = (
        toy.play(session, i, s, boxes=[(0, MIDDLE)], picture=0).tracks[0] for i, s in enumerate((scores, near))
    )
    assert second.given.face.entropy < first.given.face.entropy


def test_an_obstacle_that_stays_does_not_tell_that_the_face_behind_it_does(toy: Toy) -> None:
    session = toy.session()
    shown(toy, session, [3])
    hidden = [toy.play(session, i, toy.scores(3, 0.02), picture=0).tracks[0] for i in range(1, 8)]
    assert hidden[3].state is TrackState.HIDDEN
    assert hidden[6].visible_probability != hidden[5].visible_probability
    assert (weights(hidden[6]) != weights(hidden[5])).any()


def test_a_frame_that_shows_nothing_ends_the_rest(toy: Toy) -> None:
    session = toy.session()
    (before,) = shown(toy, session, [9])
    toy.play(session, 1, occluded=True)
    (after,) = shown(toy, session, [9])
    assert (weights(after) != weights(before)).any()


def test_a_detector_that_does_not_find_the_face_is_heard(toy: Toy) -> None:
    session = toy.session(detect_every=3)
    found = [toy.play(session, i, toy.scores(9, 0.8), boxes=HERE if i else [(0, MIDDLE)], picture=0) for i in range(3)]
    missed = toy.play(session, 3, toy.scores(9, 0.8), picture=0)
    again = toy.play(session, 4, toy.scores(9, 0.8), picture=0)
    there = [detection(tuple(session.state.tracks[0].motion.box))]
    seen = toy.play(session, 6, toy.scores(9, 0.8), detections=there, picture=0)
    visible = [a.tracks[0].visible_probability for a in (*found, missed, again, seen)]
    assert missed.detected
    assert seen.detected
    assert visible[0] == visible[1] == visible[2] > visible[3] == visible[4] == visible[5]
    assert (weights(missed.tracks[0]) == weights(found[0].tracks[0])).all()


def test_what_evidence_said_about_a_picture_holds_while_that_picture_stays(toy: Toy) -> None:
    session = toy.session()
    (before,) = shown(toy, session, [9])
    (clicked,) = shown(toy, session, [9], evidence=PIECE)
    assert clicked.has_evidence
    after = shown(toy, session, [9, 9, 9])
    assert (weights(after[0]) != weights(before)).any()
    assert fingerprint(after[:1]) == fingerprint(after[1:2]) == fingerprint(after[2:])


def test_late_evidence_about_a_repeated_picture_is_as_if_it_had_come_in_time(toy: Toy) -> None:
    timely, late = toy.session(smoothing_lag=4, path_frames=8), toy.session(smoothing_lag=4, path_frames=8)
    shown(toy, timely, [3, 9, 9])
    shown(toy, timely, [9], evidence=PIECE)
    shown(toy, timely, [9])
    shown(toy, late, [3, 9, 9, 9, 9])
    late.revise(3, PIECE)
    for picture in (9, 9, 4, 11, 11):
        assert fingerprint(shown(toy, timely, [picture])) == fingerprint(shown(toy, late, [picture]))
    assert timely.encode() == late.encode()


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_session_that_is_resumed_in_the_middle_of_rest_goes_on_bit_for_bit(toy: Toy, cut: int) -> None:
    pictures = [3, 9, 9, 9, 9, 4]
    whole = toy.session(smoothing_lag=2, path_frames=6)
    expected = fingerprint(shown(toy, whole, pictures))
    session = toy.session(smoothing_lag=2, path_frames=6)
    found = shown(toy, session, pictures[:cut])
    session = toy.again(session)
    assert fingerprint([*found, *shown(toy, session, pictures[cut:])]) == expected
    assert session.encode() == whole.encode()
    query = SuggestionQuery(count=2)
    assert session.close(query).suggestions == whole.close(query).suggestions


def test_another_model_measures_what_it_sees_first(toy: Toy) -> None:
    session = toy.session()
    shown(toy, session, [9, 9])
    moved = session.moved_to(toy.aligner, toy.chain)
    (answer,) = shown(toy, moved, [9])
    (fresh,) = shown(toy, toy.session(), [9])
    assert (weights(answer) == weights(fresh)).all()
