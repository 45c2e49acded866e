"""Revisions are means over the frames around them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.tracking import RevisionAnswer
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, TrackPoint, triangular_mean
from toy_faces import MakeShapes
from tracking_toy import MIDDLE, Toy, ToyDisplacer, click

F64 = NDArray[np.float64]
RNG = np.random.default_rng(8)
FACE = RNG.uniform(0, 100, (68, 2))


def line(points: F64, first: int = 0) -> list[TrackPoint]:
    return [TrackPoint(first + t, y, False) for t, y in enumerate(points)]


def trembling(frames: int = 7) -> list[TrackPoint]:
    return line(FACE + RNG.normal(0, 1, (frames, 68, 2)))


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(60, 1), displacer=ToyDisplacer())


def test_a_mean_weighs_five_frames_like_a_triangle() -> None:
    moments = trembling()
    y = [m.points for m in moments]
    assert triangular_mean(moments, 3) == pytest.approx((y[1] + 2 * y[2] + 3 * y[3] + 2 * y[4] + y[5]) / 9)


def test_a_steady_motion_is_not_held_back() -> None:
    speed = RNG.normal(0, 1, (68, 2))
    moments = line(np.array([FACE + t * speed for t in range(6)]))
    for at, moment in enumerate(moments):
        assert triangular_mean(moments, at) == pytest.approx(moment.points)


def test_at_the_ends_the_window_is_as_short_ahead_as_back() -> None:
    moments = trembling(5)
    y = [m.points for m in moments]
    assert (triangular_mean(moments, 0) == y[0]).all()
    assert triangular_mean(moments, 1) == pytest.approx((y[0] + 2 * y[1] + y[2]) / 4)
    assert triangular_mean(moments, 3) == pytest.approx((y[2] + 2 * y[3] + y[4]) / 4)
    assert (triangular_mean(moments, 4) == y[4]).all()


@pytest.mark.parametrize("step", [0.9, 1.1])
def test_a_window_ends_where_the_track_jumps(step: float) -> None:
    moments = trembling(3) + line(
        FACE + step * TEMPORAL_MEAN.jump * diagonal(tight_box(FACE)) * np.array([1.0, 0.0]) + np.zeros((3, 68, 2)), 3
    )
    alone = triangular_mean(moments[3:], 0)
    assert (triangular_mean(moments, 3) == alone).all() == (step > 1)


def test_a_window_ends_where_the_track_was_lost_or_frames_were_left_out() -> None:
    moments = trembling(5)
    one = (moments[1].points + 2 * moments[2].points + moments[3].points) / 4
    lost = [*moments[:4], TrackPoint(4, moments[4].points, True)]
    assert triangular_mean(lost, 2) == pytest.approx(one)
    assert (triangular_mean(lost, 4) == moments[4].points).all()
    left_out = [*moments[:4], TrackPoint(5, moments[4].points, False)]
    assert triangular_mean(left_out, 2) == pytest.approx(one)


def revisions(toy: Toy, steady: bool, boxes: F64, lag: int = 3) -> list[RevisionAnswer]:
    session, found = toy.session(smoothing_lag=lag, temporal_mean=steady), []
    for i, box in enumerate(boxes):
        found += toy.play(session, i, toy.scores(5), boxes=[(0, box)]).revisions
    return [*found, *session.close().revisions]


def second_difference(replies: list[RevisionAnswer]) -> float:
    points = np.array([r.tracks[0].given.face.landmarks for r in replies])
    return float(np.linalg.norm(np.diff(points, 2, axis=0), axis=2).mean())


def test_revisions_of_a_trembling_box_tremble_less(toy: Toy) -> None:
    boxes = np.array(MIDDLE) + np.random.default_rng(2).normal(0, 1, (12, 4))
    plain, steady = revisions(toy, False, boxes), revisions(toy, True, boxes)
    assert [r.frame_index for r in plain] == [r.frame_index for r in steady]
    assert second_difference(steady) < 0.5 * second_difference(plain)


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_a_revision_is_the_mean_of_the_frames_around_it_whatever_the_lag(toy: Toy, lag: int) -> None:
    boxes = np.array(MIDDLE) + np.random.default_rng(3).normal(0, 1, (9, 4))
    # The scores are those of one exemplar again and again: what is smoothed no longer changes after a few frames.
    y = np.array([r.tracks[0].given.face.landmarks for r in revisions(toy, False, boxes, lag)])
    replies = [r.tracks[0].given.face.landmarks for r in revisions(toy, True, boxes, lag)]
    middle = (y[2] + 2 * y[3] + y[4]) / 4 if lag == 1 else (y[2] + 2 * y[3] + 3 * y[4] + 2 * y[5] + y[6]) / 9
    assert replies[3 if lag == 1 else 4] == pytest.approx(middle, abs=0.2)


def test_every_view_of_a_revision_describes_the_averaged_face(toy: Toy) -> None:
    boxes = np.array(MIDDLE) + np.random.default_rng(4).normal(0, 1, (6, 4))
    for revision in revisions(toy, True, boxes):
        face = revision.tracks[0].given.face
        assert face.located.frame.to_image(face.posterior.mean) == pytest.approx(face.landmarks)


def test_a_clicked_landmark_stays_where_it_was_clicked(toy: Toy) -> None:
    session = toy.session(smoothing_lag=2)
    for i in range(5):
        evidence = [(1, click(30, 300, 150))] if i == 2 else []
        replies = toy.play(
            session, i, toy.scores(5), boxes=[(0, np.array(MIDDLE) + i % 2)], evidence=evidence
        ).revisions
    (revision,) = replies
    assert revision.frame_index == 2
    assert revision.tracks[0].given.face.landmarks[30] == pytest.approx((300, 150))


def test_late_evidence_reaches_the_means_of_the_frames_around_it(toy: Toy) -> None:
    replies = []
    for steady in (False, True):
        session = toy.session(smoothing_lag=4, temporal_mean=steady)
        for i in range(6):
            toy.play(session, i, toy.scores(5), boxes=[(0, np.array(MIDDLE) + i % 2)])
        late = session.revise(3, [(1, click(30, 310, 160))])
        replies.append({r.frame_index: r.tracks[0].given.face.landmarks for r in late})
    y, means = replies
    others = [n for n in range(68) if n != 30]
    expected = (y[1] + 2 * y[2] + 3 * y[3] + 2 * y[4] + y[5]) / 9
    # A click moves the box as well, which scales what exemplars are displaced by: equal but for second-order terms.
    assert means[3][others] == pytest.approx(expected[others], abs=0.02)
    assert means[3][30] == pytest.approx((310, 160))
    assert means[4] == pytest.approx((y[3] + 2 * y[4] + y[5]) / 4)
    assert means[5] == pytest.approx(y[5])
