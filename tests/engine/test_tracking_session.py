"""What a session refuses, and what leaves it as it was."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.tracking import (
    Frame,
    FrameTooOldError,
    SessionOptions,
    TemporalModel,
    TrackingSession,
)
from toy_faces import MakeShapes
from tracking_toy import MIDDLE, SIZE, Toy, click, detection, row


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


def test_options_name_every_wrong_field() -> None:
    with pytest.raises(InvalidInputError) as caught:
        SessionOptions(TemporalModel.LOW_PASS, smoothing_lag=31, max_faces=0, detect_every=-1, path_frames=10**6)
    fields = [v.field for v in caught.value.violations]
    assert fields == ["smoothing_lag", "max_faces", "path_frames", "detect_every", "smoothing_lag"]


def test_a_frame_from_the_past_is_refused(toy: Toy) -> None:
    session = toy.session()
    assert session.next_frame == 0
    toy.play(session, 5)
    assert session.next_frame == 6
    with pytest.raises(FrameTooOldError, match="frame_index: is 5, must be at least 6"):
        session.begin(Frame(5, SIZE))


def test_all_pictures_have_one_size(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, size=None)
    toy.play(session, 1)
    toy.play(session, 2, size=None)
    with pytest.raises(InvalidInputError, match="image: is 400 × 400 pixels, all frames of the session have 600 × 400"):
        session.begin(Frame(3, (400, 400)))


def test_whatever_fails_leaves_the_state_as_it_was(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2, max_faces=2)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    before = session.encode()
    pending = session.begin(Frame(1, SIZE))
    with pytest.raises(ValueError, match="places"):
        session.finish(pending, [row(toy.scores())])
    session.places(pending, [])
    bad = {"2 rows": [row(toy.scores())] * 2, "finite": [row(toy.scores() * np.float32(np.nan))]}
    bad["shape"] = [row(toy.scores()[1:])]
    for message, rows in bad.items():
        with pytest.raises(ValueError, match=message):
            session.finish(pending, rows)
    with pytest.raises(InvalidInputError, match="clicked already"):
        toy.play(session, 1, evidence=[(1, click(30, 300, 150)), (0, click(30, 310, 150))])
    with pytest.raises(InvalidInputError):
        session.revise(0, [(1, click(30, 300, 150)), (1, click(30, 310, 150))])
    assert session.encode() == before
    toy.play(session, 1)
    with pytest.raises(ValueError, match="moved since"):
        session.finish(pending, np.zeros((1, toy.chain.count), np.float32))


def test_begin_and_places_change_nothing(toy: Toy) -> None:
    session = toy.session()
    before = session.encode()
    for _ in range(2):
        session.places(session.begin(Frame(4, SIZE)), [detection(MIDDLE)])
    assert session.encode() == before


def test_a_chain_of_another_bundle_is_refused(toy: Toy, make_shapes: MakeShapes) -> None:
    other = Toy(make_shapes(7, 3))
    with pytest.raises(ValueError, match="the chain has 7 exemplars, the bundle 120"):
        TrackingSession(toy.aligner, other.chain, SessionOptions())
