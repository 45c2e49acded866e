"""A session's state: what was encoded goes on as if it had never been."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import Evidence, PoseRange, SoftClick
from exalign_engine.hmm.chain import Chain, ChainSettings
from exalign_engine.tracking import (
    FrameAnswer,
    FrameTooOldError,
    RevisionAnswer,
    SessionOptions,
    StateError,
    StateReason,
    SuggestionQuery,
    TemporalModel,
    TrackingSession,
)
from properties import examples
from toy_faces import MakeShapes
from tracking_toy import LEFT, MIDDLE, RIGHT, Toy, ToyAligner, ToyDisplacer, click, detection, fingerprint, track_ids

BOXES = (LEFT, MIDDLE, RIGHT)


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(60, 1), ChainSettings(members=25), ToyDisplacer())


def everything_of(answer: FrameAnswer, late: tuple[RevisionAnswer, ...]) -> list[object]:
    revisions = (*answer.revisions, *late)
    return [
        fingerprint(answer.tracks),
        (answer.detected, answer.opened, answer.lost),
        [(r.frame_index, r.through_frame, r.cause, fingerprint(r.tracks)) for r in revisions],
    ]


class Script:
    """A video made of chance: faces, cuts, occlusion, gaps, repetitions, boxes, detections and evidence, also late."""

    def __init__(self, toy: Toy, seed: int, options: SessionOptions) -> None:
        self._toy, self._seed, self._options = toy, seed, options

    def play(self, session: TrackingSession, step: int) -> list[object]:
        toy, rng = self._toy, np.random.default_rng([self._seed, step])
        index = session.next_frame + int(rng.choice([0, 0, 0, 1, 7]))
        picture = step - step % (1 + self._seed % 3)  # some of these videos show a picture twice or three times
        shown = np.random.default_rng([self._seed, picture, 1])
        seen = 0.01 if (picture // 4) % 3 == 2 else float(shown.uniform(0.6, 0.999))
        rows = {i: toy.scores(int(shown.integers(60)), seen, float(shown.uniform(0.01, 0.1))) for i in range(4)}
        spots = [tuple(np.array(BOXES[i]) + rng.normal(0, 4, 4)) for i in rng.permutation(3)]
        boxes = [(0, box) for box in spots[: int(rng.choice([0, 0, 1, 2]))]][: self._options.max_faces]
        detections = [detection(box) for box in spots[: int(rng.integers(4))]]
        pieces = [self._piece(rng) for _ in track_ids(session)[: int(rng.choice([0, 0, 1, 2]))]]
        named = [(k, p) for k, p in zip(track_ids(session), pieces, strict=False)]
        blind = bool(rng.random() < 0.15)
        small = bytes([int(np.random.default_rng([self._seed, step // 5]).integers(256))] * 64)
        frame: dict[str, Any] = {"boxes": boxes, "detections": detections, "evidence": named, "occluded": blind}
        answer = toy.play(session, index, rows, **frame, thumbnail=small, picture=picture)
        late: tuple[RevisionAnswer, ...] = ()
        if track_ids(session) and rng.random() < 0.4:
            try:
                late = session.revise(index - int(rng.integers(4)), [(track_ids(session)[-1], self._piece(rng))])
            except (FrameTooOldError, InvalidInputError) as error:
                # Too old, in a gap, or about a track that was not there: part of what must be the same.
                return [*everything_of(answer, ()), str(error)]
        return everything_of(answer, late)

    def _piece(self, rng: np.random.Generator) -> Evidence:
        n, (x, y) = int(rng.integers(68)), rng.uniform((60, 90), (540, 210))
        return Evidence((SoftClick(n, x, y, float(rng.uniform(1, 20))),)).union(self._pose(rng))

    def _pose(self, rng: np.random.Generator) -> Evidence:
        return Evidence(poses=(PoseRange(yaw=(float(rng.uniform(-90, 0)), float(rng.uniform(0, 90)))),))


options = st.builds(
    lambda model, lag, faces, every, path, mean: SessionOptions(
        model, lag if model is TemporalModel.FILTER else 0, faces, every, path, mean
    ),
    st.sampled_from([TemporalModel.FILTER, TemporalModel.FILTER, *TemporalModel]),
    st.sampled_from([0, 1, 3]),
    st.integers(1, 3),
    st.sampled_from([0, 3]),
    st.sampled_from([0, 4]),
    st.booleans(),
)


@examples(30)
@given(st.integers(0, 2**32 - 1), options, st.sets(st.integers(0, 13)))
def test_a_session_cut_anywhere_goes_on_bit_for_bit(
    toy: Toy, seed: int, chosen: SessionOptions, cuts: set[int]
) -> None:
    script = Script(toy, seed, chosen)
    whole, cut = (TrackingSession(toy.aligner, toy.chain, chosen) for _ in range(2))
    for step in range(14):
        assert script.play(whole, step) == script.play(cut, step)
        state = cut.encode()
        assert state == whole.encode()
        if step in cuts:
            cut = TrackingSession.decode(state, toy.aligner, toy.chain, chosen)
            assert cut.encode() == state
            assert cut.options == chosen
    a, b = (s.close(SuggestionQuery(count=3)) for s in (whole, cut))
    assert everything_of(FrameAnswer(0, (), a.revisions, False, 0, 0), ()) == everything_of(
        FrameAnswer(0, (), b.revisions, False, 0, 0), ()
    )
    assert a.suggestions == b.suggestions
    assert [(p.class_ids, p.points.tobytes(), p.score) for p in a.paths] == [
        (p.class_ids, p.points.tobytes(), p.score) for p in b.paths
    ]


def played(toy: Toy, frames: int = 5, **options: Any) -> TrackingSession:
    session = toy.session(**options)
    for i in range(frames):
        toy.play(session, i, toy.scores(i), boxes=[(0, MIDDLE)], evidence=[(0, click(30, 300, 150))] if i == 3 else [])
    return session


@pytest.mark.parametrize("where", [0, 5, 9, 12, 60, 200, -1])
def test_a_damaged_state_is_refused(toy: Toy, where: int) -> None:
    data = bytearray(played(toy, smoothing_lag=2).encode())
    data[where] ^= 0x40
    with pytest.raises(StateError) as caught:
        TrackingSession.decode(bytes(data), toy.aligner, toy.chain)
    assert caught.value.reason is (StateReason.VERSION if where == 9 else StateReason.DAMAGED)


@pytest.mark.parametrize("length", [0, 7, 41, 42, 100, 3000])
def test_a_state_that_was_cut_short_is_refused(toy: Toy, length: int) -> None:
    data = played(toy).encode()
    with pytest.raises(StateError, match=r"damaged") as caught:
        TrackingSession.decode(data[: min(length, len(data) - 1)], toy.aligner, toy.chain)
    assert caught.value.reason is StateReason.DAMAGED


def test_a_state_of_another_version_is_refused(toy: Toy) -> None:
    data = bytearray(played(toy).encode())
    struct.pack_into("<H", data, 8, 77)
    with pytest.raises(StateError, match="version is 77") as caught:
        TrackingSession.decode(bytes(data), toy.aligner, toy.chain)
    assert caught.value.reason is StateReason.VERSION


def test_a_state_of_another_bundle_is_refused(toy: Toy, make_shapes: MakeShapes) -> None:
    other: Any = ToyAligner(make_shapes(60, 1), "other")
    with pytest.raises(StateError, match="bundle toy, this is other") as caught:
        TrackingSession.decode(played(toy).encode(), other, toy.chain)
    assert caught.value.reason is StateReason.OTHER_BUNDLE


def test_a_state_of_other_options_or_settings_is_refused(toy: Toy, make_shapes: MakeShapes) -> None:
    data = played(toy).encode()
    with pytest.raises(StateError) as caught:
        TrackingSession.decode(data, toy.aligner, toy.chain, SessionOptions(max_faces=2))
    assert caught.value.reason is StateReason.OTHER_OPTIONS
    other = Chain(make_shapes(60, 1).astype(np.float32), 0.075, ChainSettings(restart=0.5))
    with pytest.raises(StateError) as caught:
        TrackingSession.decode(data, toy.aligner, other)
    assert caught.value.reason is StateReason.OTHER_SETTINGS


def test_the_state_keeps_to_its_budget_at_the_size_of_a_real_bundle(make_shapes: MakeShapes) -> None:
    shapes = np.random.default_rng(3).normal(0, 1e-3, (34_000, 68, 2)) + make_shapes(1, 1)
    toy = Toy(shapes)
    lag, frames = 1, 3
    session = toy.session(smoothing_lag=lag)
    for i in range(frames):
        # A visible face about which the network knows nothing: every exemplar counts.
        toy.play(session, i, toy.scores(0, 0.9, 10.0), boxes=[(0, MIDDLE)], evidence=[(0, click(30, 300, 150, 50.0))])
    assert len(session.encode()) <= (1 + lag) * 64 * 1024 + 8 * 1024
    plain = toy.session()
    for i in range(2):
        toy.play(plain, i, toy.scores(0, 0.9, 10.0), boxes=[(0, MIDDLE)])
    assert len(plain.encode()) <= 64 * 1024


def test_an_empty_session_can_be_encoded(toy: Toy) -> None:
    session = toy.again(toy.session(max_faces=3))
    assert session.next_frame == 0
    assert session.options.max_faces == 3


def test_a_frame_that_is_refused_in_the_middle_of_a_video_does_not_touch_the_state(toy: Toy) -> None:
    session = played(toy, smoothing_lag=1)
    before = session.encode()
    with pytest.raises(InvalidInputError):
        toy.play(session, 9, boxes=[(4, MIDDLE)])
    assert session.encode() == before
