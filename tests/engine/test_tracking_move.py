"""A session that goes on with another model: places stay, what is believed of the shapes begins anew."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.tracking import SuggestionQuery, TemporalModel
from exalign_engine.tracking.visibility import TrackState
from toy_faces import MakeShapes
from tracking_toy import LEFT, RIGHT, Toy, track_ids, weights


@pytest.fixture
def models(make_shapes: MakeShapes) -> tuple[Toy, Toy]:
    """Two models of different numbers of exemplars."""
    return Toy(make_shapes(40, 1)), Toy(make_shapes(25, 2))


def test_ids_boxes_and_visibility_go_on(models: tuple[Toy, Toy]) -> None:
    before, after = models
    session = before.session(max_faces=2)
    before.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    before.play(session, 1)
    moved = session.moved_to(after.aligner, after.chain)
    assert track_ids(moved) == track_ids(session) == [1, 2]
    for old, new in zip(session.state.tracks, moved.state.tracks, strict=True):
        assert (old.motion, old.visibility, old.boxes) == (new.motion, new.visibility, new.boxes)
    answer = after.play(moved, 2, after.scores(7))
    assert [track.track_id for track in answer.tracks] == [1, 2]
    assert answer.opened == 0
    assert (moved.next_frame, session.next_frame) == (3, 2)


@pytest.mark.parametrize("model", TemporalModel)
def test_the_first_answer_is_that_of_a_track_that_is_opened_there(
    models: tuple[Toy, Toy], model: TemporalModel
) -> None:
    """Nothing of what the exemplars of before were is in it."""
    before, after = models
    session = before.session(temporal_model=model)
    for index in range(4):
        before.play(session, index, before.scores(3), boxes=[(0, LEFT)] if index == 0 else [(1, LEFT)])
    moved = session.moved_to(after.aligner, after.chain)
    fresh = after.session(temporal_model=model)
    ((mine,), (its,)) = (
        after.play(moved, 4, after.scores(9), boxes=[(1, LEFT)]).tracks,
        after.play(fresh, 4, after.scores(9), boxes=[(0, LEFT)]).tracks,
    )
    np.testing.assert_allclose(weights(mine), weights(its), atol=1e-6)


def test_the_lag_and_the_path_begin_anew(models: tuple[Toy, Toy]) -> None:
    before, after = models
    session = before.session(smoothing_lag=2, path_frames=8)
    for index in range(4):
        before.play(session, index, boxes=[(0, LEFT)] if index == 0 else [(1, LEFT)])
    moved = session.moved_to(after.aligner, after.chain)
    revised = [after.play(moved, index, boxes=[(1, LEFT)]).revisions for index in range(4, 8)]
    assert [[r.frame_index for r in revisions] for revisions in revised] == [[], [], [4], [5]]
    closing = moved.close(SuggestionQuery())
    assert [path.frame_indices for path in closing.paths] == [(4, 5, 6, 7)]
    assert {s.frame_index for s in closing.suggestions} <= {4, 5, 6, 7}


def test_a_moved_session_is_encoded_as_the_other_models(models: tuple[Toy, Toy]) -> None:
    before, after = models
    session = before.session(smoothing_lag=2)
    before.play(session, 0, boxes=[(0, LEFT)])
    moved = session.moved_to(after.aligner, after.chain)
    again = after.again(moved)
    first, second = (after.play(one, 1, after.scores(5), boxes=[(1, LEFT)]) for one in (moved, again))
    assert [t.visible_probability for t in first.tracks] == [t.visible_probability for t in second.tracks]
    np.testing.assert_array_equal(weights(first.tracks[0]), weights(second.tracks[0]))


def test_a_face_that_is_lost_stays_lost(models: tuple[Toy, Toy]) -> None:
    before, after = models
    session = before.session()
    before.play(session, 0, boxes=[(0, LEFT)])
    for index in range(1, 60):
        before.play(session, index, before.scores(presence=0.01))
    assert session.state.tracks[0].visibility.state is TrackState.LOST
    moved = session.moved_to(after.aligner, after.chain)
    (track,) = after.play(moved, 60, after.scores(presence=0.01)).tracks
    assert track.state is TrackState.LOST
