"""Two faces that meet: neither takes the other's track, and the hidden one is found again when it comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.face.aligner import LocatedFace
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.tracking import Frame, FrameAnswer, TrackingSession, TrackState
from toy_faces import MakeShapes
from tracking_toy import LEFT, RIGHT, SIZE, Toy, at, detection, track_ids

F64 = NDArray[np.float64]

#: Side of a face, and the farthest that the network finds one from the middle of its crop, in sides.
SIDE, REACH = 100.0, 0.7


class Pull:
    """Moves all exemplars to where a picture's embedding says."""

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        return np.broadcast_to(image.embedding.astype(np.float64), start.shape).copy()


@dataclass(frozen=True)
class World:
    """Two faces, by the centres of their boxes, (2, T, 2); ``front`` hides the other one."""

    toy: Toy
    paths: F64
    front: int = 0

    def visible(self, t: int) -> list[int]:
        a, b = self.paths[:, t]
        return [self.front] if float(np.abs(a - b).max()) < 0.6 * SIDE else [0, 1]

    def box(self, face: int, t: int) -> F64:
        x, y = self.paths[face, t]
        return np.array([x, y, x, y]) + SIDE / 2 * np.array([-1, -1, 1, 1])

    def row(self, place: LocatedFace, t: int) -> FaceOutputs:
        """What the network says: it finds the nearest face that can be seen."""
        frame, ways = place.frame, []
        for face in self.visible(t):
            ways.append((self.paths[face, t] - np.array([frame.cx, frame.cy])) / frame.side)
        way = min(ways, key=lambda w: float(np.hypot(*w)))
        there = float(np.hypot(*way)) < REACH
        pull = way.astype(np.float32) if there else np.zeros(2, np.float32)
        nothing = np.zeros((1, 1, 1), np.float32)
        scores = self.toy.scores(0, 0.99 if there else 0.01, 0.005)
        return FaceOutputs(scores, nothing, pull, ImageFeatures(pull, nothing))

    def play(self, session: TrackingSession, t: int) -> FrameAnswer:
        given = ((0, at(LEFT)), (0, at(RIGHT))) if t == 0 else ()
        pending = session.begin(Frame(t, SIZE, given))
        found = [detection(self.box(face, t)) for face in self.visible(t)] if pending.detect else []
        places = session.places(pending, found)
        return session.finish(pending, [self.row(place, t) for place in places])


def crossing(frames: int, dy: float = 0.0) -> F64:
    """(2, frames, 2): from `LEFT` to the right, and from `RIGHT` to the left, after three frames at rest."""
    x = np.interp(np.arange(frames), [3, frames - 4], [100.0, 500.0])
    return np.stack([np.stack([x, 150 + 0 * x], 1), np.stack([600 - x, 150 + dy + 0 * x], 1)])


def on(answer: FrameAnswer, place: Sequence[float]) -> list[int]:
    """The tracks that are visible at a place."""
    return [
        t.track_id
        for t in answer.tracks
        if t.state is TrackState.VISIBLE and np.abs(t.given.face.landmarks.mean(axis=0) - place).max() < 0.3 * SIDE
    ]


@pytest.fixture(scope="module")
def toy(make_shapes: MakeShapes) -> Toy:
    shapes = make_shapes(30, 1)
    return Toy(shapes - shapes.mean(axis=(0, 1)) + 0.5, displacer=Pull())


@pytest.mark.parametrize("frames", [24, 40, 60])
@pytest.mark.parametrize("front", [0, 1])
@pytest.mark.parametrize("dy", [0.0, 25.0])
def test_faces_that_cross_keep_their_tracks_and_are_found_again_within_three_frames(
    toy: Toy, frames: int, front: int, dy: float
) -> None:
    world, session = World(toy, crossing(frames, dy), front), toy.session(max_faces=2)
    missing = [0, 0]
    for t in range(frames):
        answer = world.play(session, t)
        session = toy.again(session)
        for face in (0, 1):
            seen = on(answer, world.paths[face, t])
            if len(world.visible(t)) == 2:
                assert 2 - face not in seen, (t, face)  # the other one's id
                missing[face] = 0 if face + 1 in seen else missing[face] + 1
                assert missing[face] <= 3, (t, face)
    assert track_ids(session) == [1, 2]


def test_a_face_behind_another_is_hidden_and_not_lost(toy: Toy) -> None:
    world, session = World(toy, crossing(40)), toy.session(max_faces=2)
    states = [{t.track_id: t.state for t in world.play(session, i).tracks} for i in range(40)]
    assert all(s[1] is TrackState.VISIBLE for s in states)
    assert TrackState.HIDDEN in [s[2] for s in states]
    assert TrackState.LOST not in [s[2] for s in states]


def test_two_faces_side_by_side_are_both_seen(toy: Toy) -> None:
    paths = np.stack([np.tile([[200.0, 150.0]], (30, 1)), np.tile([[262.0, 150.0]], (30, 1))])
    session = toy.session(max_faces=2)
    world = World(toy, paths)
    for t in range(30):
        given = tuple((0, at(world.box(face, 0))) for face in (0, 1)) if t == 0 else ()
        pending = session.begin(Frame(t, SIZE, given))
        places = session.places(pending, [])
        assert pending.plan is not None
        assert t == 0 or all(p.meets for p in pending.plan.placements)
        answer = session.finish(pending, [world.row(place, t) for place in places])
        assert [x.state for x in answer.tracks] == [TrackState.VISIBLE] * 2


def test_a_second_track_of_one_face_that_was_never_seen_by_itself_is_dropped(toy: Toy) -> None:
    session = toy.session(max_faces=2)
    toy.play(session, 0, boxes=[(0, LEFT), (0, RIGHT)])
    toy.play(session, 1, boxes=[(2, LEFT)])
    assert track_ids(session) == [2]
