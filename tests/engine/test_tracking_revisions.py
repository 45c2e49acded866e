"""Revisions of frames within the lag: by smoothing, and by late evidence."""

from __future__ import annotations

import pytest

from exalign_engine.errors import InvalidInputError
from exalign_engine.tracking import (
    FrameTooOldError,
    RevisionCause,
)
from toy_faces import MakeShapes
from tracking_toy import HERE, LEFT, MIDDLE, RIGHT, Toy, click, fingerprint


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    return Toy(make_shapes(120, 1))


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


def test_a_revision_uses_the_frames_after_it(toy: Toy) -> None:
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
    timely, late_session = (toy.session(smoothing_lag=3, path_frames=8, temporal_mean=False) for _ in range(2))
    for i in range(7):
        evidence = [(1, click(36, 280, 130))] if i == 6 - late else []
        toy.play(timely, i, toy.scores(i), boxes=[(0, MIDDLE)], evidence=evidence)
        toy.play(late_session, i, toy.scores(i), boxes=[(0, MIDDLE)])
    revisions = late_session.revise(6 - late, [(0, click(36, 280, 130))])
    assert [r.frame_index for r in revisions] == [3, 4, 5, 6]
    assert {(r.through_frame, r.cause) for r in revisions} == {(6, RevisionCause.EVIDENCE)}
    assert revisions[3 - late].tracks[0].has_evidence
    for i in range(7, 12):
        a = toy.play(timely, i, toy.scores(i), boxes=HERE)
        b = toy.play(late_session, i, toy.scores(i), boxes=HERE)
        assert fingerprint(a.tracks) == fingerprint(b.tracks)
        assert [fingerprint(r.tracks) for r in a.revisions] == [fingerprint(r.tracks) for r in b.revisions]
    assert timely.encode() == late_session.encode()


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
