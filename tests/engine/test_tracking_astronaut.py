"""The default bundle follows a real face through a picture that moves, darkens and jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import diagonal
from exalign_engine.hmm.chain import Chain
from exalign_engine.tracking import Frame, FrameAnswer, SessionOptions, TemporalModel, TrackingSession, TrackState

data = pytest.importorskip("skimage.data", reason="scikit-image carries the picture (extra 'demo')")
U8 = NDArray[np.uint8]

#: The astronaut's head fills a tenth of her picture's width; the window shows the part around it.
SIDE = 400


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    return Aligner.default()


@pytest.fixture(scope="module")
def chain(aligner: Aligner) -> Chain:
    return Chain(aligner.bundle.exemplars.shapes, aligner.bundle.manifest.tau)


@pytest.fixture(scope="module")
def window() -> Callable[[int, int], U8]:
    """The picture seen through a window whose corner is at (x, y)."""
    whole = np.pad(data.astronaut(), ((100, 100), (100, 100), (0, 0)), mode="edge")
    return lambda x, y: np.ascontiguousarray(whole[100 + y : 100 + y + SIDE, 100 + x : 100 + x + SIDE])


def play(aligner: Aligner, session: TrackingSession, index: int, image: U8, **frame: Any) -> FrameAnswer:
    """One frame through detector, crops, network and session."""
    pending = session.begin(Frame(index, (image.shape[0], image.shape[1]), **frame))
    found = aligner.locate(image) if pending.detect else []
    places = session.places(pending, found)
    crops = [aligner.crop(image, place) for place in places]
    return session.finish(pending, aligner.runtime.infer(np.stack(crops)).rows() if crops else [])


@pytest.mark.parametrize("lag", [0, 3])
def test_a_face_is_followed_hidden_and_seen_again(
    aligner: Aligner, chain: Chain, window: Callable[[int, int], U8], lag: int
) -> None:
    session = TrackingSession(aligner, chain, SessionOptions(smoothing_lag=lag))
    (reference,) = aligner.align(window(0, 0), max_faces=1)
    for i in range(20):
        corner = (3 * i, 2 * i)
        hidden = 12 <= i < 15
        image = np.full((SIDE, SIDE, 3), 90, np.uint8) if hidden else window(*corner)
        answer = play(aligner, session, i, image)
        (track,) = answer.tracks
        # At the start, and to search the face once it is not seen.
        assert answer.detected == (i in (0, 13))
        assert track.track_id == 1
        error = np.linalg.norm(track.given.face.landmarks + corner - reference.landmarks, axis=1).mean()
        if not hidden:
            assert track.state is TrackState.VISIBLE, i
            assert error / diagonal(reference.located.box) < 0.05, i
        elif i > 12:
            assert track.state is TrackState.HIDDEN
        state = session.encode()
        session = TrackingSession.decode(state, aligner, chain)
        assert session.encode() == state


def test_a_face_that_jumps_is_lost_and_found_again(
    aligner: Aligner, chain: Chain, window: Callable[[int, int], U8]
) -> None:
    # Without the chain: who is lost and found is the same, and forty frames without a face are fast.
    session = TrackingSession(aligner, chain, SessionOptions(TemporalModel.PER_FRAME))
    for i in range(4):
        play(aligner, session, i, window(0, 0))
    states, cut = [], window(-100, 90)
    for i in range(4, 60):
        answer = play(aligner, session, i, cut)
        states.append(answer.tracks[0].state)
        if TrackState.LOST in states and states[-1] is TrackState.VISIBLE:
            break
    assert states[-1] is TrackState.VISIBLE
    assert answer.tracks[0].track_id == 1
    (there,) = aligner.align(cut, max_faces=1)
    apart = np.linalg.norm(answer.tracks[0].given.face.landmarks - there.landmarks, axis=1).mean()
    assert apart / diagonal(there.located.box) < 0.05


def test_an_occluded_frame_is_answered_without_a_picture(
    aligner: Aligner, chain: Chain, window: Callable[[int, int], U8]
) -> None:
    session = TrackingSession(aligner, chain, SessionOptions())
    for i in range(5):
        seen = play(aligner, session, i, window(0, 0)).tracks[0]
    pending = session.begin(Frame(5, None))
    assert session.places(pending, []) == []
    (replies,) = session.finish(pending, np.zeros((0, chain.count), np.float32)).tracks
    assert replies.state is TrackState.HIDDEN
    assert replies.given.face.entropy > seen.given.face.entropy


def test_what_passes_before_a_face_does_not_push_its_box(
    aligner: Aligner, chain: Chain, window: Callable[[int, int], U8]
) -> None:
    farthest = {}
    for model in (TemporalModel.FILTER, TemporalModel.PER_FRAME):
        session = TrackingSession(aligner, chain, SessionOptions(model, detect_every=0))
        for i in range(4):
            play(aligner, session, i, window(0, 0))
        whole = session.state.tracks[0].motion
        offsets = []
        for i in range(4, 18):
            image, edge = window(0, 0), int(whole.cx - 0.6 * whole.side + 8 * (i - 4))
            image[:, max(0, edge - 160) : edge] = 100
            state = play(aligner, session, i, image).tracks[0].state
            offsets.append(abs(session.state.tracks[0].motion.cx - whole.cx) / whole.side)
        assert state is TrackState.HIDDEN
        farthest[model] = max(offsets)
    # Single frames know nothing of the shape when it was in full view.
    assert farthest[TemporalModel.FILTER] < min(0.1, 0.8 * farthest[TemporalModel.PER_FRAME])


def test_a_picture_shown_again_is_answered_the_same_from_the_third_frame_on_until_it_moves(
    aligner: Aligner, chain: Chain, window: Callable[[int, int], U8]
) -> None:
    session = TrackingSession(aligner, chain, SessionOptions())
    points = []
    for i in range(6):
        points.append(play(aligner, session, i, window(0, 0)).tracks[0].given.face.landmarks)
        if i == 3:
            session = TrackingSession.decode(session.encode(), aligner, chain)
    for later in points[3:]:
        np.testing.assert_array_equal(later, points[2])
    # One level of one grey value is another picture, though nobody sees it.
    near = window(0, 0)
    near[::7, ::7] ^= 1
    seen = play(aligner, session, 6, near).tracks[0].given.face.landmarks
    assert (seen != points[2]).any()
    np.testing.assert_allclose(seen, points[2], atol=1)
    for i in range(1, 5):
        moved = play(aligner, session, 6 + i, window(2 * i, i)).tracks[0].given.face.landmarks
        off = np.linalg.norm(moved - points[2] + np.array([2 * i, i]), axis=1).mean()
        assert off < 1, i
