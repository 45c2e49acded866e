"""Where a face is of which a part is hidden: Eq. P1 against its twin, and through sessions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn_faces import drawn_shapes
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.hmm.chain import ChainSettings
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.tracking import TrackingSession, TrackState
from exalign_engine.tracking.partly_hidden import (
    PARTLY_HIDDEN,
    box_in_view,
    full_view,
    hidden_bytes,
    hidden_count,
)
from properties import examples
from toy_faces import MakeShapes
from tracking_toy import MIDDLE, Toy, click, detection, fingerprint

F64 = NDArray[np.float64]

#: Sides of the face in pixels; half of its landmarks by their place.
SIDE = 100.0
FACE = drawn_shapes(1, 3)[0] * SIDE
LEFT_HALF = FACE[:, 0] < np.median(FACE[:, 0])


def twin(points: F64, hidden: F64, full: bytes, looked_at: F64) -> F64:
    """Eq. P1 as one least-squares problem of all its terms."""
    q = np.frombuffer(full, "<f2").reshape(-1, 2).astype(np.float64)
    frame, root = BoxFrame.from_box(looked_at), np.sqrt(PARTLY_HIDDEN.prior)
    rows: list[list[float]] = []
    wanted: list[float] = []
    for n, (point, shape) in enumerate(zip(points, q, strict=True)):
        weight = np.sqrt(max(0.0, 1 - hidden[n] / PARTLY_HIDDEN.in_view))
        for axis in (0, 1):
            rows.append([weight * (axis == 0), weight * (axis == 1), weight * shape[axis]])
            wanted.append(weight * point[axis])
    rows += (np.eye(3) * root).tolist()
    wanted += (np.array([frame.cx, frame.cy, frame.side]) * root).tolist()
    x, y, side = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return np.concatenate([[x, y] + side * q.min(axis=0), [x, y] + side * q.max(axis=0)])


@examples(40)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_box_is_that_of_least_squares(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    hidden = np.where(rng.random(68) < share, rng.random(68), 0.0)
    kept = np.frombuffer(hidden_bytes(hidden), np.uint8) / 255
    points, looked_at = FACE + rng.normal(0, 5, (68, 2)), tight_box(FACE) + rng.normal(0, 5, 4)
    full = full_view(FACE + rng.normal(0, 3, (68, 2)))
    found = box_in_view(points, hidden_bytes(hidden), full, looked_at)
    np.testing.assert_allclose(found, twin(points, kept, full, looked_at), rtol=1e-9)


def test_landmarks_that_are_hidden_move_no_box() -> None:
    pushed = FACE.copy()
    pushed[LEFT_HALF, 0] += 0.3 * SIDE
    looked_at, hidden = tight_box(FACE), hidden_bytes(LEFT_HALF.astype(np.float64))
    np.testing.assert_allclose(box_in_view(pushed, hidden, full_view(FACE), looked_at), looked_at, atol=0.1)
    assert tight_box(pushed)[0] > looked_at[0] + 10


def test_a_face_that_moves_and_grows_while_half_of_it_is_hidden_is_followed() -> None:
    now = (FACE - 50) * 1.1 + 50 + np.array([6.0, -4.0])
    found = box_in_view(now, hidden_bytes(LEFT_HALF.astype(np.float64)), full_view(FACE), tight_box(FACE))
    # A little of the way is left, for it was looked for elsewhere.
    assert np.abs(found - tight_box(now)).max() < 0.5 * np.abs(tight_box(FACE) - tight_box(now)).max()


def test_a_face_of_which_nothing_is_in_view_is_where_it_was_looked_for() -> None:
    looked_at = tight_box(FACE) + 7
    found = box_in_view(FACE, hidden_bytes(np.ones(68)), full_view(FACE), looked_at)
    np.testing.assert_allclose(found, looked_at, atol=0.1)


def test_how_many_are_hidden_is_kept_to_a_255th() -> None:
    assert hidden_bytes(None) == b""
    assert hidden_count(b"") == 0
    assert hidden_count(hidden_bytes(np.full(68, 0.25))) == pytest.approx(17, abs=68 / 510)


@dataclass
class FixedOcclusion:
    """An occlusion head that says what a test wants it to say, and a displacer that pushes those landmarks aside."""

    now: F64 = field(default_factory=lambda: np.zeros(68))
    push: F64 = field(default_factory=lambda: np.zeros(68))

    def probabilities(self, _image: ImageFeatures, _shape: F64) -> F64:
        return self.now

    def displacement(self, _image: ImageFeatures, _start: F64) -> F64:
        return np.stack([0.3 * self.push, np.zeros(68)], axis=1)


@pytest.fixture
def occlusion() -> FixedOcclusion:
    return FixedOcclusion()


@pytest.fixture
def toy(make_shapes: MakeShapes, occlusion: FixedOcclusion) -> Toy:
    toy = Toy(make_shapes(60, 1), ChainSettings(members=25), occlusion)
    toy.aligner.model.occlusion = occlusion  # type: ignore[assignment]
    return toy


def began(toy: Toy, occlusion: FixedOcclusion, **options: object) -> TrackingSession:
    """A session whose face was in full view in four frames."""
    occlusion.now = occlusion.push = np.zeros(68)
    session = toy.session(**options)
    for i in range(4):
        toy.play(session, i, toy.scores(3), boxes=[(0, MIDDLE)] if i == 0 else [])
    return session


def box_of(session: TrackingSession) -> F64:
    return session.state.tracks[0].motion.box


def left_of(toy: Toy) -> F64:
    """(68,) 1 for the landmarks in the left half of its face."""
    x = toy.aligner.bundle.exemplars.shapes[3, :, 0]
    return (x < np.median(x)).astype(np.float64)


def test_single_frames_know_no_shape_of_before(toy: Toy, occlusion: FixedOcclusion) -> None:
    boxes = []
    for hidden in (0.0, 1.0):
        session = began(toy, occlusion, temporal_model="per_frame")
        occlusion.now = np.full(68, hidden)
        toy.play(session, 4, toy.scores(40))
        boxes.append(box_of(session))
    np.testing.assert_array_equal(*boxes)


def test_a_face_that_turns_up_half_hidden_has_the_box_that_is_seen(toy: Toy, occlusion: FixedOcclusion) -> None:
    session = began(toy, occlusion)
    for i in range(4, 8):
        toy.play(session, i, toy.scores(3, 0.001))
    occlusion.now = np.where(np.arange(68) < 8, 1.0, 0.0)
    answer = toy.play(session, 8, toy.scores(40), detections=[detection(MIDDLE)]).tracks[0]
    np.testing.assert_allclose(session.state.tracks[0].motion.seen[:2], middle(tight_box(answer.given.face.landmarks)))  # type: ignore[index]
    assert session.state.tracks[0].motion.full == b""


def middle(box: F64) -> F64:
    return (box[:2] + box[2:]) / 2


def test_what_looks_like_a_part_of_a_hidden_face_is_not_believed_without_a_detector(
    toy: Toy, occlusion: FixedOcclusion
) -> None:
    session = began(toy, occlusion)
    for i in range(4, 8):
        toy.play(session, i, toy.scores(3, 0.001))
    occlusion.now = np.ones(68)
    for i in range(8, 11):
        toy.play(session, i, toy.scores(40))
    assert session.state.tracks[0].motion.unseen_frames == 7
    occlusion.now = np.zeros(68)
    toy.play(session, 11, toy.scores(40))
    assert session.state.tracks[0].motion.unseen_frames == 0


def test_a_detection_that_shows_no_face_moves_no_box_while_the_track_still_counts_as_visible(
    toy: Toy, occlusion: FixedOcclusion
) -> None:
    session = began(toy, occlusion)
    before = box_of(session)
    toy.play(session, 4, toy.scores(3, 0.2))
    # The detector is asked, and finds something that lies on the face, and is none.
    small = [MIDDLE[0] + 10, MIDDLE[1] + 10, MIDDLE[2] - 20, MIDDLE[3] - 20]
    answer = toy.play(session, 5, toy.scores(3, 0.2), detections=[detection(small)])
    assert answer.detected
    assert answer.tracks[0].state is TrackState.VISIBLE
    np.testing.assert_allclose(box_of(session), before, atol=1)


@pytest.mark.parametrize("lag", [0, 3])
def test_a_session_of_a_covered_face_goes_on_bit_for_bit_where_it_was_decoded(
    toy: Toy, occlusion: FixedOcclusion, lag: int
) -> None:
    rng = np.random.default_rng(5)
    whole, cut = began(toy, occlusion, smoothing_lag=lag), began(toy, occlusion, smoothing_lag=lag)
    for i, k in enumerate((40, 17, 29, 3), 4):
        occlusion.now = rng.random(68) * (i < 7)
        one = toy.play(whole, i, toy.scores(k))
        cut = toy.again(cut)
        other = toy.play(cut, i, toy.scores(k))
        assert fingerprint(one.tracks) == fingerprint(other.tracks)
        assert whole.encode() == cut.encode()


def test_a_frame_that_is_filtered_again_knows_what_was_hidden_in_it(toy: Toy, occlusion: FixedOcclusion) -> None:
    session = began(toy, occlusion, smoothing_lag=4)
    before = box_of(session)
    occlusion.push = occlusion.now = left_of(toy)
    for i in range(4, 8):
        toy.play(session, i, toy.scores(3))
    hidden = [r.observation.hidden for r in session.state.tracks[0].records]
    session.revise(3, [(1, click(30, 300, 150, 1e4))])  # it says next to nothing
    assert [r.observation.hidden for r in session.state.tracks[0].records] == hidden
    assert np.abs(box_of(session) - before).max() < 2
