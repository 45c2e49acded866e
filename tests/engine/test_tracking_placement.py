"""Where a session looks: given boxes, detections, predictions; tracks that open, are found again, and end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.tracking import TRACK_BOX, Frame, TemporalModel, TrackingSession, TrackState
from exalign_engine.tracking.visibility import VISIBILITY
from toy_faces import MakeShapes
from tracking_toy import LEFT, MIDDLE, RIGHT, SIZE, Toy, at, click, detection, track_ids


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(80, 1))


def looked_at(session: TrackingSession, frame: Frame, *detections: LocatedFace) -> list[LocatedFace]:
    return session.places(session.begin(frame), detections)


def lose(toy: Toy, session: TrackingSession, start: int, frames: int = 60, rows: int = 1) -> int:
    """Show no face until the first tracks are lost; the next index."""
    nothing = {i: toy.scores(presence=0.001) for i in range(rows)}
    for index in range(start, start + frames):
        answer = toy.play(session, index, nothing)
        if answer.lost:
            return index + 1
    raise AssertionError("the track was never lost")


def test_the_detector_runs_at_the_start_and_then_every_nth_frame_by_index(toy: Toy) -> None:
    session = toy.session(detect_every=10)
    ran = [toy.play(session, i, detections=[detection(MIDDLE)]).detected for i in (3, 4, 9, 10, 11, 25, 30)]
    assert ran == [True, False, False, True, False, False, True]


def test_the_detector_looks_until_there_is_a_face(toy: Toy) -> None:
    session = toy.session()
    assert [toy.play(session, i).detected for i in range(3)] == [True, True, True]
    assert toy.play(session, 3, detections=[detection(MIDDLE)]).opened == 1
    assert not toy.play(session, 4).detected


def test_the_detector_is_not_asked_about_what_the_caller_says_or_nobody_can_see(toy: Toy) -> None:
    session = toy.session()
    assert not session.begin(Frame(0, SIZE, ((0, at(MIDDLE)),))).detect
    assert not session.begin(Frame(0, SIZE, occluded=True)).detect
    assert not session.begin(Frame(0, None)).detect


def test_the_detector_looks_for_a_lost_face(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    index = lose(toy, session, 1)
    assert toy.play(session, index, toy.scores(presence=0.001)).detected


def test_a_lost_face_is_searched_in_every_third_frame(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    index = lose(toy, session, 1)
    ran = [toy.play(session, i, toy.scores(presence=0.001)).detected for i in range(index, index + 9)]
    assert sum(ran) == 3
    assert ran[:3] == ran[3:6] == ran[6:]


def test_a_given_box_wins_over_detection_and_prediction(toy: Toy) -> None:
    session = toy.session(detect_every=1, max_faces=2)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    (place,) = looked_at(session, Frame(1, SIZE, ((1, at((300, 100, 400, 200))),)), detection(MIDDLE))
    assert place.box.tolist() == [300, 100, 400, 200]


def test_given_boxes_are_filtered_where_frames_are_joined_by_the_chain(toy: Toy) -> None:
    near = (252.0, 100.0, 352.0, 200.0)
    session = toy.session()
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    (place,) = looked_at(session, Frame(1, SIZE, ((1, at(near)),)))
    assert MIDDLE[0] < place.box[0] < near[0]
    assert place.source_box.tolist() == list(near)
    answer = toy.play(session, 1, boxes=[(1, near)]).tracks[0]
    assert (answer.given.face.located.box == place.box).all()
    # A frame without a box: the next one begins anew.
    toy.play(session, 2)
    (place,) = looked_at(session, Frame(3, SIZE, ((1, at(near)),)))
    assert place.box.tolist() == list(near)


@pytest.mark.parametrize("model", [TemporalModel.PER_FRAME, TemporalModel.LOW_PASS])
def test_given_boxes_are_taken_as_they_are_where_frames_are_not_joined(toy: Toy, model: TemporalModel) -> None:
    session = toy.session(temporal_model=model)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    (place,) = looked_at(session, Frame(1, SIZE, ((1, at((252, 100, 352, 200))),)))
    assert place.box.tolist() == [252, 100, 352, 200]


def test_without_news_a_track_looks_where_its_face_was(toy: Toy) -> None:
    session = toy.session()
    answer = toy.play(session, 0, boxes=[(0, MIDDLE)]).tracks[0]
    (place,) = looked_at(session, Frame(1, SIZE))
    assert place.source == TRACK_BOX
    points = answer.given.face.landmarks
    np.testing.assert_allclose(place.box, [*points.min(axis=0), *points.max(axis=0)], atol=1e-9)


def test_a_box_without_a_track_goes_to_the_one_it_overlaps_most(toy: Toy) -> None:
    session = toy.session(max_faces=3)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    near_right = (455, 105, 555, 205)
    places = looked_at(session, Frame(1, SIZE, ((0, at(near_right)),)))
    assert [p.source_box.tolist() == list(near_right) for p in places] == [False, True]


def test_a_box_where_no_track_is_opens_one(toy: Toy) -> None:
    session = toy.session(max_faces=3)
    toy.play(session, 0, boxes=[(0, LEFT)])
    answer = toy.play(session, 1, boxes=[(0, RIGHT)])
    assert (answer.opened, [t.track_id for t in answer.tracks]) == (1, [1, 2])


def test_the_only_track_that_may_be_goes_wherever_it_is_told(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, LEFT)])
    answer = toy.play(session, 1, boxes=[(0, RIGHT)])
    assert [t.track_id for t in answer.tracks] == [1]


def test_a_given_box_takes_the_place_of_the_track_least_likely_to_be_visible(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, {1: toy.scores(presence=0.2)}, boxes=[(0, LEFT), (0, RIGHT)])
    answer = toy.play(session, 1, boxes=[(0, MIDDLE)])
    assert [t.track_id for t in answer.tracks] == [1, 3]


def test_detections_open_tracks_up_to_the_limit_best_first(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    answer = toy.play(session, 0, detections=[detection(RIGHT), detection(LEFT), detection(MIDDLE)])
    assert [t.track_id for t in answer.tracks] == [1, 2]
    assert answer.tracks[0].given.box.tolist() == list(RIGHT)


def test_a_detection_that_shows_no_face_opens_nothing_and_a_given_box_does(toy: Toy) -> None:
    session = toy.session()
    nothing = toy.scores(presence=0.05)
    assert toy.play(session, 0, nothing, detections=[detection(MIDDLE)]).tracks == ()
    assert toy.play(session, 1, nothing, boxes=[(0, MIDDLE)]).opened == 1
    assert track_ids(session) == [1]


def test_detections_of_one_face_open_one_track(toy: Toy) -> None:
    session = toy.session(max_faces=3)
    assert toy.play(session, 0, detections=[detection(MIDDLE), detection((255, 105, 355, 205))]).opened == 1


def test_a_detection_recentres_a_track_that_has_drifted_and_leaves_one_that_has_not(toy: Toy) -> None:
    session = toy.session(detect_every=1)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    (predicted,) = looked_at(session, Frame(1, SIZE))
    (kept,) = looked_at(session, Frame(1, SIZE), detection((255, 102, 355, 202)))
    assert kept.box.tolist() == predicted.box.tolist()
    drifted = (300, 120, 400, 220)
    (moved,) = looked_at(session, Frame(1, SIZE), detection(drifted))
    assert moved.box.tolist() == list(drifted)


def test_a_lost_face_is_found_again_near_by_under_its_old_id(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    index = lose(toy, session, 1)
    answer = toy.play(session, index, detections=[detection((100, 150, 200, 250))])
    assert [(t.track_id, t.state) for t in answer.tracks] == [(1, TrackState.VISIBLE), (2, TrackState.VISIBLE)]


def test_another_face_does_not_take_the_id_of_one_that_was_lost_elsewhere(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    index = lose(toy, session, 1)
    answer = toy.play(session, index, {0: toy.scores(presence=0.001)}, detections=[detection((250, 250, 350, 350))])
    assert [t.track_id for t in answer.tracks] == [2, 3]


def test_the_only_track_is_found_again_anywhere(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, LEFT)])
    index = lose(toy, session, 1)
    (track,) = toy.play(session, index, detections=[detection(RIGHT)]).tracks
    assert (track.track_id, track.state) == (1, TrackState.VISIBLE)
    assert track.given.box.tolist() == list(RIGHT)


def test_a_lost_track_is_dropped_and_its_id_is_never_used_again(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, LEFT)])
    index, nothing = lose(toy, session, 1), toy.scores(presence=0.001)
    for i in range(index, index + VISIBILITY.keep_lost):
        assert track_ids(session) == [1]
        toy.play(session, i, nothing)
    toy.play(session, index + VISIBILITY.keep_lost, nothing)
    assert track_ids(session) == []
    answer = toy.play(session, 1000, detections=[detection(LEFT)])
    assert [t.track_id for t in answer.tracks] == [2]


def test_a_hidden_face_keeps_its_box_and_comes_back(toy: Toy) -> None:
    session = toy.session()
    for i in range(3):
        toy.play(session, i, boxes=[(0, MIDDLE)])
    before = looked_at(session, Frame(3, SIZE))[0].box
    for i in range(3, 10):
        hidden = toy.play(session, i, toy.scores(presence=0.01)).tracks[0]
    assert hidden.state is TrackState.HIDDEN
    np.testing.assert_allclose(hidden.given.box, before, atol=5)
    assert toy.play(session, 10, detections=[detection(hidden.given.box)]).tracks[0].state is TrackState.VISIBLE


def test_two_tracks_on_one_face_become_one(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    answer = toy.play(session, 1, boxes=[(2, LEFT)])
    assert [(t.track_id, t.state) for t in answer.tracks] == [(1, TrackState.LOST), (2, TrackState.VISIBLE)]
    assert answer.lost == 1
    assert track_ids(session) == [2]


def test_a_blind_frame_asks_for_no_crops(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    assert looked_at(session, Frame(1, SIZE, occluded=True)) == []
    (track,) = toy.play(session, 1, occluded=True).tracks
    assert (track.state, track.visible_probability, track.given.face.presence) == (TrackState.HIDDEN, 0, 0)


def test_every_wrong_field_of_a_frame_is_named(toy: Toy) -> None:
    session = toy.session(max_faces=3)
    toy.play(session, 0, boxes=[(0, LEFT)])
    boxes = ((7, at(LEFT)), (1, at(LEFT)), (1, at(RIGHT)), (0, at(MIDDLE)))
    with pytest.raises(InvalidInputError) as caught:
        session.begin(Frame(1, (400, 601), boxes, ((9, click(0, 1, 1)),)))
    fields = [v.field for v in caught.value.violations]
    assert fields == ["image", "boxes", "boxes[2].track_id", "boxes[0].track_id", "evidence[0].track_id"]


def test_evidence_about_a_new_face_opens_it_though_it_looks_like_none(toy: Toy) -> None:
    session = toy.session()
    nothing = toy.scores(presence=0.05)
    answer = toy.play(session, 0, nothing, detections=[detection(MIDDLE)], evidence=[(0, click(30, 300, 150))])
    assert answer.tracks[0].has_evidence


def hide(toy: Toy, session: TrackingSession, presences: Sequence[float]) -> None:
    """A face in the middle, seen for three frames, then with these presences; the detector finds nothing."""
    for i in range(3):
        toy.play(session, i, toy.scores(presence=0.99), boxes=[(0, MIDDLE)])
    for i, presence in enumerate(presences, 3):
        toy.play(session, i, toy.scores(presence=presence))


def test_an_unseen_face_is_searched_at_once_and_then_now_and_again(toy: Toy) -> None:
    session = toy.session()
    hide(toy, session, [0.01])
    searched = []
    for i in range(4, 12):
        searched.append(session.begin(Frame(i, SIZE)).detect)
        toy.play(session, i, toy.scores(presence=0.01))
    assert searched == [True, False, False, True, False, False, True, False]


def test_a_face_that_vanished_at_once_is_found_anywhere_one_that_was_covered_only_near_by(toy: Toy) -> None:
    cut, covered = toy.session(), toy.session()
    hide(toy, cut, [0.01])
    hide(toy, covered, [0.7, 0.6, 0.01])
    assert looked_at(cut, Frame(4, SIZE), detection(RIGHT))[-1].box == pytest.approx(RIGHT)
    assert len(looked_at(covered, Frame(6, SIZE), detection(RIGHT))) == 1
    beside = [v + 60 for v in MIDDLE]
    assert looked_at(covered, Frame(6, SIZE), detection(beside))[-1].box == pytest.approx(beside)


def test_what_is_found_beside_a_hidden_face_is_answered_only_where_a_face_is_seen(toy: Toy) -> None:
    def answered(presence: float) -> list[float]:
        session, beside = toy.session(), [v + 110 for v in MIDDLE]
        hide(toy, session, [0.7, 0.6, 0.01])
        rows = {0: toy.scores(presence=0.01), 1: toy.scores(presence=presence)}
        (track,) = toy.play(session, 6, rows, detections=[detection(beside)]).tracks
        return [float(v) for v in track.given.face.located.box]

    assert answered(0.05) == pytest.approx(MIDDLE, abs=10)
    assert answered(0.98) == pytest.approx([v + 110 for v in MIDDLE])


def test_a_detection_beside_a_face_that_was_hardly_seen_is_looked_at_and_does_not_move_it_at_once(toy: Toy) -> None:
    session = toy.session(detect_every=1)
    for i, presence in enumerate((0.99, 0.99, 0.6)):
        toy.play(session, i, toy.scores(presence=presence), boxes=[(0, MIDDLE)] if i == 0 else [])
    drifted = (300, 120, 400, 220)
    own, other = looked_at(session, Frame(3, SIZE), detection(drifted))
    assert own.box == pytest.approx(MIDDLE, abs=10)
    assert other.box.tolist() == list(drifted)


def test_a_face_may_be_the_farther_the_longer_it_is_hidden_until_it_is_lost(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    far = detection((250, 150, 350, 250))  # 2.06 sides from the left one

    def is_looked_at(index: int) -> bool:
        return any(place.detected for place in looked_at(session, Frame(index, SIZE), far))

    nothing, reached = {0: toy.scores(presence=0.001)}, []
    for index in range(1, 14):
        reached.append(is_looked_at(index))
        toy.play(session, index, nothing)
    # The detector does not run in every frame; where it does, the hidden face is in reach from some time on.
    assert not any(reached[:4])
    assert any(reached[8:])


def test_a_detection_in_which_no_face_is_seen_does_not_move_a_hidden_track(toy: Toy) -> None:
    session = toy.session()
    hide(toy, session, [0.7, 0.6, 0.01])
    beside = [v + 60 for v in MIDDLE]
    toy.play(session, 6, toy.scores(presence=0.01), detections=[detection(beside)])
    assert looked_at(session, Frame(7, SIZE))[0].box == pytest.approx(MIDDLE, abs=10)


@pytest.mark.parametrize(
    ("here", "there", "moves"),
    [(0.1, 0.98, True), (0.3, 0.6, True), (0.6, 0.8, False), (0.8, 0.995, True), (0.8, 0.95, False)],
)
def test_of_two_places_of_a_face_that_was_not_seen_the_surer_one_counts(
    toy: Toy, here: float, there: float, *, moves: bool
) -> None:
    session = toy.session()
    for i, presence in enumerate((0.99, 0.99, 0.3)):
        toy.play(session, i, toy.scores(presence=presence), boxes=[(0, MIDDLE)] if i == 0 else [])
    found = [detection([v + 30 for v in MIDDLE])]
    assert len(looked_at(session, Frame(3, SIZE), *found)) == 2
    rows = {0: toy.scores(presence=here), 1: toy.scores(presence=there)}
    (track,) = toy.play(session, 3, rows, detections=found).tracks
    assert track.given.face.located.detected is moves
    assert track.given.face.presence == pytest.approx(there if moves else here, abs=0.01)


def test_a_face_that_started_quickly_goes_on_as_fast_as_it_was_found(toy: Toy) -> None:
    session = toy.session()
    for i, presence in enumerate((0.99, 0.99, 0.2)):
        toy.play(session, i, toy.scores(presence=presence), boxes=[(0, MIDDLE)] if i == 0 else [])
    beside = [v + 44 * (i % 2 == 0) for i, v in enumerate(MIDDLE)]
    rows = {0: toy.scores(presence=0.1), 1: toy.scores(presence=0.99)}
    toy.play(session, 3, rows, detections=[detection(beside)])
    (next_one,) = looked_at(session, Frame(4, SIZE))
    assert next_one.frame.cx == pytest.approx(300 + 44 + 44 / 2, abs=4)
