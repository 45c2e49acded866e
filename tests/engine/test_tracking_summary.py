"""The end of a session: most probable paths, and what to click."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.tracking import (
    SuggestionQuery,
    TemporalModel,
    TrackingSession,
)
from toy_faces import MakeShapes
from tracking_toy import MIDDLE, Toy, click


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


@pytest.mark.parametrize("lag", [0, 3])
def test_the_path_names_the_last_frames_and_their_shapes(toy: Toy, lag: int) -> None:
    session = toy.session(smoothing_lag=lag, path_frames=5)
    for i in range(0, 16, 2):
        toy.play(session, i, toy.scores(4, 0.999, 0.005), boxes=[(0, MIDDLE)])
    (path,) = session.close().paths
    assert path.track_id == 1
    assert path.frame_indices == (6, 8, 10, 12, 14)
    assert path.class_ids == (4,) * 5
    shape = toy.aligner.bundle.exemplars.shapes[4].astype(np.float64)
    np.testing.assert_allclose(path.points[2], shape * 100 + (250, 100), atol=1e-3)
    assert toy.session().close().paths == ()


def unsure_once(toy: Toy, model: TemporalModel) -> TrackingSession:
    """Six frames of one shape; the fourth leaves much open."""
    session = toy.session(path_frames=6, temporal_model=model)
    for i in range(6):
        toy.play(session, i, toy.scores(4, 0.999, 0.2 if i == 3 else 0.004), boxes=[(0, MIDDLE)])
    return session


def test_the_suggestion_is_the_most_uncertain_frame(toy: Toy) -> None:
    best, second = unsure_once(toy, TemporalModel.PER_FRAME).close(SuggestionQuery(count=2)).suggestions
    assert (best.frame_index, best.track_id) == (3, 1)
    assert best.suggestion.error_reduction > second.suggestion.error_reduction


def test_there_is_one_suggestion_a_frame(toy: Toy) -> None:
    found = unsure_once(toy, TemporalModel.FILTER).close(SuggestionQuery(count=100)).suggestions
    assert sorted(s.frame_index for s in found) == list(range(6))


def test_a_click_that_changes_more_frames_gains_more(toy: Toy) -> None:
    still, turning = toy.session(path_frames=6), toy.session(path_frames=6)
    for i in range(6):
        toy.play(still, i, toy.scores(4, 0.999, 0.01), boxes=[(0, MIDDLE)])
        # The last frame is the same; those before it showed another shape, too far from it to be changed.
        toy.play(turning, i, toy.scores(4 if i == 5 else 30, 0.999, 0.01 if i == 5 else 1e-3), boxes=[(0, MIDDLE)])
    wish = SuggestionQuery(landmarks=(30,), count=6)
    gain = [
        next(s.suggestion.error_reduction for s in session.close(wish).suggestions if s.frame_index == 5)
        for session in (still, turning)
    ]
    assert gain[0] > 2 * gain[1]


def test_a_landmark_that_was_clicked_is_not_suggested_again(toy: Toy) -> None:
    session = toy.session(temporal_model=TemporalModel.PER_FRAME)
    toy.play(session, 0, boxes=[(0, MIDDLE)], evidence=[(0, click(30, 300, 150))])
    assert session.close(SuggestionQuery(landmarks=(30,))).suggestions == ()
    (other,) = session.close(SuggestionQuery(landmarks=(30, 8))).suggestions
    assert other.suggestion.landmark == 8
    with pytest.raises(InvalidInputError, match="landmarks"):
        session.close(SuggestionQuery(landmarks=(68,)))
