"""What a session answers: the filter, its evidence, the lag, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import Evidence, PoseRange
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import conditioned
from exalign_engine.hmm.chain import Belief, ChainSettings, Emission
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking import (
    Frame,
    FrameTooOldError,
    RevisionCause,
    SessionOptions,
    SuggestionQuery,
    TemporalModel,
    TrackAnswer,
    TrackingSession,
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
from tracking_toy import LEFT, MIDDLE, RIGHT, SIZE, Toy, click, detection, fingerprint, row

HERE = [(1, MIDDLE)]


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


def weights(answer: TrackAnswer) -> np.ndarray:
    return answer.given.face.posterior.probabilities


def test_options_name_every_wrong_field() -> None:
    with pytest.raises(InvalidInputError) as caught:
        SessionOptions(TemporalModel.LOW_PASS, smoothing_lag=31, max_faces=0, detect_every=-1, path_frames=10**6)
    fields = [v.field for v in caught.value.violations]
    assert fields == ["smoothing_lag", "max_faces", "path_frames", "detect_every", "smoothing_lag"]


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
def test_the_less_is_known_the_more_a_picture_counts(s: float, memory: float, less: float) -> None:
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
    (told,) = toy.play(session, 1, boxes=HERE, occluded=True, evidence=[(1, click(30, 310, 150, 1.0))]).tracks
    twin = toy.again(session)
    (belief,) = (t.belief for t in twin.state.tracks)
    assert belief is not None
    np.testing.assert_allclose(belief.probabilities(60), weights(told), atol=2e-3)


def test_impossible_evidence_is_answered_and_the_session_goes_on(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    never = Evidence(poses=(PoseRange(yaw=(170.0, 180.0)),))
    (track,) = toy.play(session, 1, boxes=HERE, evidence=[(0, never)]).tracks
    assert track.given.outcome.value == "impossible"
    assert track.given.surprise is None
    assert np.isfinite(toy.play(session, 2, boxes=HERE).tracks[0].given.face.landmarks).all()


def test_each_frame_is_revised_once_as_it_leaves_the_lag_and_the_rest_at_the_end(toy: Toy) -> None:
    session = toy.session(smoothing_lag=3)
    indices = [0, 1, 2, 5, 6, 20, 21]
    revised = []
    for i in indices:
        for r in toy.play(session, i, toy.scores(i), boxes=[(0, MIDDLE)]).revisions:
            assert (r.through_frame, r.cause) == (i, RevisionCause.SMOOTHING)
            revised.append(r.frame_index)
    assert revised == indices[:4]
    closing = session.close()
    assert [r.frame_index for r in closing.revisions] == indices[4:6]
    assert {r.through_frame for r in closing.revisions} == {21}


def test_a_short_video_is_revised_at_its_end(toy: Toy) -> None:
    session = toy.session(smoothing_lag=5)
    for i in range(3):
        toy.play(session, i, boxes=[(0, MIDDLE)])
    assert [r.frame_index for r in session.close().revisions] == [0, 1]
    assert toy.session(smoothing_lag=5).close().revisions == ()


def test_a_revision_knows_the_frames_after_it(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2)
    toy.play(session, 0, toy.scores(7, 0.999, 0.03), boxes=[(0, MIDDLE)])
    (before,) = toy.play(session, 1, boxes=HERE, occluded=True).tracks
    toy.play(session, 2, toy.scores(7, 0.999, 0.01), boxes=HERE)
    (revision,) = toy.play(session, 3, toy.scores(7, 0.999, 0.01), boxes=HERE).revisions
    assert revision.frame_index == 1
    assert revision.tracks[0].given.face.entropy < before.given.face.entropy - 0.1


@pytest.mark.parametrize("late", [0, 1, 2, 3])
def test_late_evidence_gives_the_state_that_timely_evidence_gives(toy: Toy, late: int) -> None:
    # Means would remember what was said of frames that had left the lag when the evidence came.
    timely, told_late = (toy.session(smoothing_lag=3, path_frames=8, temporal_mean=False) for _ in range(2))
    for i in range(7):
        evidence = [(1, click(36, 280, 130))] if i == 6 - late else []
        toy.play(timely, i, toy.scores(i), boxes=[(0, MIDDLE)], evidence=evidence)
        toy.play(told_late, i, toy.scores(i), boxes=[(0, MIDDLE)])
    revisions = told_late.revise(6 - late, [(0, click(36, 280, 130))])
    assert [r.frame_index for r in revisions] == [3, 4, 5, 6]
    assert {(r.through_frame, r.cause) for r in revisions} == {(6, RevisionCause.EVIDENCE)}
    assert revisions[3 - late].tracks[0].has_evidence
    for i in range(7, 12):
        a = toy.play(timely, i, toy.scores(i), boxes=HERE)
        b = toy.play(told_late, i, toy.scores(i), boxes=HERE)
        assert fingerprint(a.tracks) == fingerprint(b.tracks)
        assert [fingerprint(r.tracks) for r in a.revisions] == [fingerprint(r.tracks) for r in b.revisions]
    assert timely.encode() == told_late.encode()


def test_late_evidence_adds_to_what_a_frame_has(toy: Toy) -> None:
    together, apart = toy.session(smoothing_lag=3), toy.session(smoothing_lag=3)
    first, second = click(36, 280, 130), click(45, 320, 130)
    for session in (together, apart):
        toy.play(session, 0, boxes=[(0, MIDDLE)])
    toy.play(together, 1, boxes=HERE, evidence=[(1, first.union(second))])
    toy.play(apart, 1, boxes=HERE, evidence=[(1, first)])
    apart.revise(1, [(1, second)])
    a, b = toy.play(together, 2, boxes=HERE), toy.play(apart, 2, boxes=HERE)
    assert fingerprint(a.tracks) == fingerprint(b.tracks)
    with pytest.raises(InvalidInputError, match=r"evidence\.clicks: is 36, which is clicked already"):
        apart.revise(1, [(1, click(36, 300, 130))])


def test_late_evidence_concerns_only_its_track(toy: Toy) -> None:
    session = toy.session(smoothing_lag=3, max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    toy.play(session, 1)
    revisions = session.revise(0, [(0, click(30, 500, 150))])
    assert [[t.track_id for t in r.tracks] for r in revisions] == [[2], [2]]
    assert session.revise(0, []) == ()


def test_evidence_that_comes_too_late_or_too_early_is_refused(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2)
    for i in (10, 11, 13, 14):
        toy.play(session, i, boxes=[(0, MIDDLE)])
    piece = [(1, click(30, 300, 150))]
    with pytest.raises(FrameTooOldError, match="is 10, must be at least 11") as caught:
        session.revise(10, piece)
    assert caught.value.oldest == 11
    with pytest.raises(InvalidInputError, match="never sent"):
        session.revise(12, piece)
    with pytest.raises(InvalidInputError, match="not been sent"):
        session.revise(15, piece)
    with pytest.raises(InvalidInputError, match=r"evidence\[0\]\.track_id: is 4"):
        session.revise(13, [(4, piece[0][1])])
    plain = toy.session()
    toy.play(plain, 0, boxes=[(0, MIDDLE)])
    with pytest.raises(FrameTooOldError, match="no smoothing lag"):
        plain.revise(0, piece)


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


def test_the_suggestion_is_the_frame_that_knows_least(toy: Toy) -> None:
    best, second = unsure_once(toy, TemporalModel.PER_FRAME).close(SuggestionQuery(count=2)).suggestions
    assert (best.frame_index, best.track_id) == (3, 1)
    assert best.suggestion.error_reduction > second.suggestion.error_reduction


def test_there_is_one_suggestion_a_frame(toy: Toy) -> None:
    found = unsure_once(toy, TemporalModel.FILTER).close(SuggestionQuery(count=100)).suggestions
    assert sorted(s.frame_index for s in found) == list(range(6))


def test_a_click_that_changes_more_frames_buys_more(toy: Toy) -> None:
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
