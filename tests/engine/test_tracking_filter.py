"""What a session answers frame by frame: the chain's filter, and the other temporal models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.evidence.evidence import Evidence, PoseRange
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import conditioned
from exalign_engine.hmm.chain import Belief, ChainSettings, Emission
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking import (
    TemporalModel,
    TrackState,
)
from exalign_engine.tracking.emission_strength import (
    EMISSION,
    decay,
    emission_exponent,
    information_ratio,
    self_transition,
)
from exalign_engine.tracking.filter_step import FILTER, answer_probabilities, picture_emission, truncation_mass
from toy_faces import MakeShapes
from tracking_toy import HERE, MIDDLE, Toy, click, row, weights


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


def test_the_answer_is_the_chains_belief(toy: Toy) -> None:
    session = toy.session()
    rows = [toy.scores(3), toy.scores(9, 0.9), toy.scores(9, 0.8)]
    belief, memory = None, EMISSION.initial_memory
    for i, scores in enumerate(rows):
        (track,) = toy.play(session, i, scores, boxes=[(0, MIDDLE)]).tracks
        p = toy.aligner.posterior(row(scores))
        emission, memory = picture_emission(p, memory)
        belief = toy.chain.start(emission) if belief is None else toy.chain.step(belief, emission)
        np.testing.assert_array_equal(weights(track), answer_probabilities(belief, toy.chain.count))
        assert track.cut_mass == truncation_mass(belief, None)
        assert track.given.face.presence == pytest.approx(p.presence)


def test_what_is_spread_evenly_is_left_out_while_it_is_little() -> None:
    index, weights = np.array([1, 4], np.int32), np.array([0.5, 0.25], np.float32)
    little, much = Belief(index, weights, 0.75 * FILTER.max_omitted_rest, 0.0), Belief(index, weights, 0.25, 0.125)
    np.testing.assert_allclose(answer_probabilities(little, 5), [0, 2 / 3, 0, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(answer_probabilities(much, 5), [0.05, 0.55, 0.05, 0.05, 0.3], rtol=1e-6)
    assert (truncation_mass(little, None), truncation_mass(much, None)) == (little.rest, 0.125)


def test_a_frame_that_shows_nothing_leaves_the_chain_to_itself(toy: Toy) -> None:
    session = toy.session()
    belief, memory = None, EMISSION.initial_memory
    for i in range(6):
        blind = i >= 2
        (track,) = toy.play(session, i, toy.scores(5), boxes=[(0, MIDDLE)], occluded=blind).tracks
        p = toy.aligner.posterior(row(toy.scores(5)))
        blank = Emission(None, self_transition(0.0, memory)), decay(memory, 1)
        emission, memory = blank if blind else picture_emission(p, memory)
        belief = toy.chain.start(emission) if belief is None else toy.chain.step(belief, emission)
        np.testing.assert_array_equal(weights(track), answer_probabilities(belief, toy.chain.count))


def test_after_a_face_was_hidden_what_is_seen_of_it_counts_for_more(toy: Toy) -> None:
    session = toy.session()
    open_, half = toy.scores(3), toy.scores(9, 0.6)
    s = information_ratio(toy.aligner.posterior(row(half)))
    assert 0.1 < s < 0.9
    toy.play(session, 0, open_, boxes=[(0, MIDDLE)])
    for i in range(1, 5):
        toy.play(session, i, open_, boxes=[(0, MIDDLE)], occluded=True)
    (before,) = session.state.tracks
    assert information_ratio(toy.aligner.posterior(row(open_))) < EMISSION.decay
    assert before.memory == pytest.approx(EMISSION.decay**5)
    # Two frames are left out.
    toy.play(session, 7, half, boxes=[(0, MIDDLE)])
    (after,) = session.state.tracks
    p = toy.aligner.posterior(row(half))
    memory = decay(before.memory, 2)
    expected = Emission.of_probabilities(p.probabilities, emission_exponent(s, memory), self_transition(s, memory))
    assert before.belief is not None
    assert after.belief is not None
    assert after.belief.encode() == toy.chain.step(before.belief, expected).encode()
    assert after.memory == pytest.approx(max(s, EMISSION.decay**8))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_older_the_memory_the_more_a_picture_counts(s: float, memory: float, less: float) -> None:
    assert emission_exponent(s, 1.0) == (pytest.approx(s) if s >= EMISSION.min_ratio else 0)
    assert 0 <= emission_exponent(s, memory) <= emission_exponent(s, memory * less) <= 1
    assert 0 <= self_transition(s, memory * less) <= self_transition(s, memory) <= EMISSION.max_self_transition
    assert self_transition(1.0, memory) == 0
    assert decay(memory, 0) == memory


def test_a_hidden_face_is_answered_by_the_chain_whatever_its_crop_says(toy: Toy) -> None:
    one, other = toy.session(), toy.session()
    for i in range(8):
        seen = i < 4
        a = toy.play(one, i, toy.scores(5, 0.99 if seen else 0.01), boxes=[(0, MIDDLE)])
        b = toy.play(other, i, toy.scores(5 if seen else 77, 0.99 if seen else 0.01), boxes=[(0, MIDDLE)])
    # The first frame without a face still counts as visible, and is tempered to almost nothing.
    np.testing.assert_allclose(weights(a.tracks[0]), weights(b.tracks[0]), atol=0.02)


def test_the_belief_of_a_lost_face_rests(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = toy.session()
    before = toy.play(session, 0, toy.scores(5), boxes=[(0, MIDDLE)]).tracks[0]
    for i in range(1, 60):
        before, after = toy.play(session, i, toy.scores(77, 0.001)).tracks[0], before
    assert before.state is after.state is TrackState.LOST
    monkeypatch.delattr(type(toy.chain), "step")
    after = toy.play(session, 60, toy.scores(77, 0.001)).tracks[0]
    np.testing.assert_array_equal(weights(after), weights(before))


def test_per_frame_is_each_frame_by_itself(toy: Toy) -> None:
    session = toy.session(temporal_model=TemporalModel.PER_FRAME)
    for i, k in enumerate((3, 50, 9)):
        (track,) = toy.play(session, i, toy.scores(k, 0.7), boxes=[(0, MIDDLE)]).tracks
        np.testing.assert_array_equal(weights(track), toy.aligner.posterior(row(toy.scores(k, 0.7))).probabilities)
    (track,) = toy.play(session, 3, occluded=True).tracks
    np.testing.assert_allclose(weights(track), 1 / toy.chain.count, rtol=1e-6)


def test_low_pass_is_the_mean_of_three_frames(toy: Toy) -> None:
    low = toy.session(temporal_model=TemporalModel.LOW_PASS)
    plain = toy.session(temporal_model=TemporalModel.PER_FRAME)
    own = []
    for i, k in enumerate((3, 50, 9, 20)):
        (a,) = toy.play(low, i, toy.scores(k), boxes=[(0, MIDDLE)]).tracks
        (b,) = toy.play(plain, i, toy.scores(k), boxes=[(0, MIDDLE)]).tracks
        own.append(b.given.face.landmarks)
        np.testing.assert_allclose(a.given.face.landmarks, np.mean(own[-3:], axis=0))
        np.testing.assert_array_equal(weights(a), weights(b))


def test_evidence_conditions_the_temporal_posterior_as_it_does_a_single_image(toy: Toy) -> None:
    session, twin = toy.session(), toy.session()
    pose = PoseRange(yaw=(-25.0, 60.0))
    evidence = Evidence(click(30, 305, 150).clicks, poses=(pose,))
    toy.play(session, 0, toy.scores(3), boxes=[(0, MIDDLE)])
    toy.play(twin, 0, toy.scores(3), boxes=[(0, MIDDLE)])
    (track,) = toy.play(session, 1, toy.scores(9), boxes=HERE, evidence=[(1, evidence)]).tracks
    (plain,) = toy.play(twin, 1, toy.scores(9), boxes=HERE).tracks
    (belief,) = (t.belief for t in twin.state.tracks)
    assert belief is not None
    whole = Posterior(toy.aligner.model, belief.probabilities(toy.chain.count), plain.given.face.presence)
    expected = conditioned(Face(plain.given.face.located, whole), evidence, toy.aligner.bundle.poses)
    assert track.has_evidence
    assert track.given.surprise == expected.surprise
    np.testing.assert_array_equal(weights(track), expected.face.posterior.probabilities)
    np.testing.assert_array_equal(track.given.box, expected.box)
    np.testing.assert_array_equal(track.given.face.landmarks, expected.face.landmarks)
    np.testing.assert_allclose(track.given.face.landmarks[30], (305, 150), atol=1e-6)


@pytest.mark.parametrize("sharpness", [1.0, 0.5])
def test_the_chain_goes_on_from_what_evidence_left(make_shapes: MakeShapes, sharpness: float) -> None:
    # All exemplars are neighbours and nothing restarts: the next flat frame is the mean of all, unless it remembers.
    toy = Toy(make_shapes(60, 2), ChainSettings(sharpness=sharpness))
    session = toy.session()
    toy.play(session, 0, toy.scores(3, 0.5), boxes=[(0, MIDDLE)])
    (with_click,) = toy.play(session, 1, boxes=HERE, occluded=True, evidence=[(1, click(30, 310, 150, 1.0))]).tracks
    twin = toy.again(session)
    (belief,) = (t.belief for t in twin.state.tracks)
    assert belief is not None
    np.testing.assert_allclose(belief.probabilities(60), weights(with_click), atol=2e-3)


def test_impossible_evidence_is_answered_and_the_session_goes_on(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    never = Evidence(poses=(PoseRange(yaw=(170.0, 180.0)),))
    (track,) = toy.play(session, 1, boxes=HERE, evidence=[(0, never)]).tracks
    assert track.given.outcome.value == "impossible"
    assert track.given.surprise is None
    assert np.isfinite(toy.play(session, 2, boxes=HERE).tracks[0].given.face.landmarks).all()
