"""What pictures displace in a session: its answers, and nothing of the chain."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.face.aligner import Face
from exalign_engine.face.views import conditioned
from exalign_engine.tracking import TrackAnswer, TrackState
from exalign_engine.tracking.displacement import blend_displacement
from exalign_engine.tracking.emission_strength import information_ratio
from exalign_engine.tracking.track import NO_DISPLACEMENT
from toy_faces import MakeShapes
from tracking_toy import HERE, MIDDLE, Toy, ToyDisplacer, at, click, row, weights


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1), displacer=ToyDisplacer())


@pytest.fixture(scope="module")
def plain(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


def moved(answer: TrackAnswer) -> np.ndarray:
    """r_t of Eq. D1."""
    return answer.given.face.posterior.displacement


def test_an_answer_is_displaced_from_the_mean_of_the_belief_as_far_as_the_picture_tells(toy: Toy) -> None:
    session = toy.session()
    carried = np.zeros((68, 2))
    for i, scores in enumerate([toy.scores(3), toy.scores(9, 0.9), toy.scores(40, 0.7, 0.1)]):
        (track,) = toy.play(session, i, scores, boxes=[(0, MIDDLE)]).tracks
        seen = toy.aligner.posterior(row(scores))
        face = track.given.face
        posterior, mean = face.posterior, face.posterior.mixture_mean
        assert seen.image is not None
        found, e = ToyDisplacer().displacement(seen.image, mean), information_ratio(seen, 0.7) ** 16
        carried = e * found + (1 - e) * carried
        assert moved(track) == pytest.approx(carried, abs=1e-4)
        assert face.located.frame.from_image(face.landmarks) == pytest.approx(mean + posterior.mean_displacement)


def test_a_hidden_face_keeps_what_it_was_seen_to_have_of_its_own(toy: Toy) -> None:
    session = toy.session()
    for i in range(3):
        (before,) = toy.play(session, i, toy.scores(5), boxes=[(0, MIDDLE)]).tracks
    (blind,) = toy.play(session, 3, boxes=HERE, occluded=True).tracks
    (empty,) = toy.play(session, 4, toy.scores(77, 0.001), boxes=HERE).tracks
    for track in (blind, empty):
        assert track.state is not TrackState.LOST
        assert (moved(track) == moved(before)).all()


def test_a_picture_that_tells_nothing_displaces_nothing(toy: Toy) -> None:
    flat = toy.aligner.posterior(row(toy.scores(0, 0.99, 100.0)))
    assert information_ratio(flat) < 0.01
    assert blend_displacement(flat, flat, NO_DISPLACEMENT) == pytest.approx(0.0, abs=1e-3)


def test_the_chain_knows_nothing_of_displacements(toy: Toy, plain: Toy) -> None:
    a, b = toy.session(smoothing_lag=2), plain.session(smoothing_lag=2)
    for i in range(6):
        seen = 0.01 if i == 3 else 0.95
        one = toy.play(a, i, toy.scores(3 * i, seen), boxes=[(0, MIDDLE)])
        other = plain.play(b, i, plain.scores(3 * i, seen), boxes=[(0, MIDDLE)])
        assert (weights(one.tracks[0]) == weights(other.tracks[0])).all()
        for r, s in zip(one.revisions, other.revisions, strict=True):
            assert (weights(r.tracks[0]) == weights(s.tracks[0])).all()


def test_the_next_box_is_that_of_the_displaced_answer(toy: Toy) -> None:
    session = toy.session()
    # Of the first answer: later ones may leave the box of a face at rest where it is.
    (before,) = toy.play(session, 0, toy.scores(3), boxes=[(0, MIDDLE)]).tracks
    (after,) = toy.play(session, 1, toy.scores(3)).tracks
    points = before.given.face.landmarks
    wide = points.max(axis=0) - points.min(axis=0)
    box = after.given.face.located.box
    assert (box[2:] - box[:2]) == pytest.approx(wide, rel=1e-6)


def test_a_click_is_measured_against_displaced_exemplars(toy: Toy) -> None:
    session = toy.session()
    toy.play(session, 0, toy.scores(3), boxes=[(0, MIDDLE)])
    twin = toy.again(session)
    (without,) = toy.play(twin, 1, toy.scores(9), boxes=HERE).tracks
    evidence = click(36, 280, 130)
    (track,) = toy.play(session, 1, toy.scores(9), boxes=HERE, evidence=[(1, evidence)]).tracks
    base = Face(at(MIDDLE), without.given.face.posterior)
    expected = conditioned(base, evidence, toy.aligner.bundle.poses)
    assert moved(track) == pytest.approx(moved(without))
    assert track.given.face.landmarks == pytest.approx(expected.face.landmarks, abs=0.05)
    assert track.given.surprise == pytest.approx(expected.surprise, abs=0.05)


def test_a_revision_keeps_the_displacement_of_its_frame(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2, temporal_mean=False)
    replies = {}
    for i in range(5):
        answer = toy.play(session, i, toy.scores(20 * i), boxes=[(0, MIDDLE)])
        replies[i] = moved(answer.tracks[0])
        for revision in answer.revisions:
            assert (moved(revision.tracks[0]) == replies[revision.frame_index]).all()
    late = session.revise(3, [(1, click(36, 280, 130))])
    for revision in late:
        assert (moved(revision.tracks[0]) == replies[revision.frame_index]).all()


def test_the_path_is_displaced_frame_by_frame(toy: Toy) -> None:
    session = toy.session(path_frames=4)
    replies = []
    for i in range(6):
        replies.append(toy.play(session, i, toy.scores(20 * i), boxes=[(0, MIDDLE)]).tracks[0])
    (path,) = session.close().paths
    assert path.frame_indices == (2, 3, 4, 5)
    shapes = toy.aligner.bundle.exemplars.shapes
    for points, k, answer in zip(path.points, path.class_ids, replies[2:], strict=True):
        expected = at(MIDDLE).frame.to_image(shapes[k] + answer.given.face.posterior.mean_displacement)
        assert points == pytest.approx(expected, abs=0.05)
