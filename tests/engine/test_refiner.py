"""The refiner: moves of boxes, Eq. B2 against a slow twin, what is mirrored, and every wrong input."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.refiner.refiner import (
    GEOMETRY,
    MAX_LOG_SCALE,
    MAX_SHIFT,
    NOISE,
    BoxMove,
    BoxObservation,
    Refiner,
    Round,
    next_frames,
    seen_shape,
)

F64 = NDArray[np.float64]

D, FEATURES = 6, (2, 3, 3)
SOURCES = ("mtcnn", NOISE)

shares = st.floats(-0.5, 0.5)
moves = st.builds(BoxMove, shares, shares, shares)
boxes = st.builds(BoxFrame, st.floats(-900, 900), st.floats(-900, 900), st.floats(4, 2000))


def make_refiner(seed: int = 0, *, rounds: int = 2, network: float = 0.002) -> Refiner:
    rng = np.random.default_rng(seed)

    def one() -> Round:
        geometry = rng.normal(0, 0.1, (len(SOURCES), 3, 4)) * GEOMETRY
        weight = rng.normal(0, 1, (3, D + math.prod(FEATURES))) * network
        return Round(geometry.astype(np.float32), weight.astype(np.float32))

    return Refiner(SOURCES, tuple(one() for _ in range(rounds)))


def make_outputs(seed: int = 0) -> FaceOutputs:
    rng = np.random.default_rng([seed, 1])
    embedding = rng.normal(size=D).astype(np.float32)
    return FaceOutputs(np.zeros(4, np.float32), rng.normal(size=FEATURES).astype(np.float32), embedding, None)


def make_answer(seed: int = 0) -> F64:
    return np.random.default_rng([seed, 2]).uniform(0.05, 1.02, (68, 2))


def slow_move(refiner: Refiner, source: str, outputs: FaceOutputs, answer: F64, n: int) -> list[float]:
    """Eq. B1 and B2, number by number."""
    each, s = refiner.rounds[n], refiner.sources.index(source)
    xs, ys = [float(p[0]) for p in answer], [float(p[1]) for p in answer]
    side = max(max(xs) - min(xs), max(ys) - min(ys))
    b = [(max(xs) + min(xs)) / 2 - 0.5, (max(ys) + min(ys)) / 2 - 0.5, math.log(side), 1.0]
    seen = [float(v) for v in outputs.embedding] + [float(v) for v in outputs.features.reshape(-1)]
    return [
        sum(float(each.geometry[s, o, i]) * b[i] for i in range(4))
        + sum(float(each.weight[o, i]) * seen[i] for i in range(len(seen)))
        for o in range(3)
    ]


@given(boxes, moves)
def test_a_move_is_what_lies_between_the_box_and_where_it_goes(start: BoxFrame, move: BoxMove) -> None:
    np.testing.assert_allclose(BoxMove.between(start, move.apply(start)), move, atol=1e-9 * (1 + abs(start.cx)))


@given(boxes, moves)
def test_a_move_and_its_inverse_end_where_they_began(start: BoxFrame, move: BoxMove) -> None:
    back = move.inverse.apply(move.apply(start))
    np.testing.assert_allclose(dataclasses.astuple(back), dataclasses.astuple(start), rtol=1e-9, atol=1e-9)


@given(boxes, moves)
def test_the_size_of_a_move_is_how_far_an_edge_goes(start: BoxFrame, move: BoxMove) -> None:
    farthest = np.abs(move.apply(start).box - start.box).max() / start.side
    assert farthest == pytest.approx(move.size, abs=1e-9 * (1 + abs(start.cx) + abs(start.cy)))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_a_refinement_is_eq_b2(source: str, n: int, seed: int) -> None:
    refiner, outputs, answer = make_refiner(seed), make_outputs(seed), make_answer(seed)
    found = refiner.refine(source, outputs, answer, n)
    np.testing.assert_allclose(found, slow_move(refiner, source, outputs, answer, n), atol=1e-7)


def test_the_last_round_serves_all_later_ones() -> None:
    refiner, outputs, answer = make_refiner(), make_outputs(), make_answer()
    assert refiner.refine(NOISE, outputs, answer, 7) == refiner.refine(NOISE, outputs, answer, 1)
    assert refiner.refine(NOISE, outputs, answer, 0) != refiner.refine(NOISE, outputs, answer, 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_mirrored_answer_gets_the_mirrored_move_by_geometry(seed: int) -> None:
    refiner, outputs, answer = make_refiner(seed, network=0.0), make_outputs(), make_answer(seed)
    move = refiner.refine("mtcnn", outputs, answer)
    mirrored = refiner.refine("mtcnn", outputs, np.asarray(mirror_shapes(answer), dtype=np.float64))
    np.testing.assert_allclose(mirrored, (-move.dx, move.dy, move.log_scale), atol=1e-12)


def test_no_move_is_larger_than_those_it_was_fitted_on() -> None:
    move = make_refiner(network=100.0).refine(NOISE, make_outputs(), make_answer())
    assert (abs(move.dx), abs(move.dy), abs(move.log_scale)) == (MAX_SHIFT, MAX_SHIFT, MAX_LOG_SCALE)


def test_arrays_come_back_with_weights_in_half_precision() -> None:
    refiner = make_refiner()
    arrays = refiner.to_arrays()
    held = Refiner.of_arrays(arrays)
    assert held.sources == refiner.sources
    assert arrays["weight"].dtype == np.float16
    for mine, theirs in zip(held.rounds, refiner.rounds, strict=True):
        np.testing.assert_array_equal(mine.geometry, theirs.geometry)
        np.testing.assert_array_equal(mine.weight, theirs.weight.astype(np.float16))


@pytest.mark.parametrize(
    ("source", "n", "says"),
    [("retina", 0, "source is 'retina', must be one of mtcnn, noise"), (NOISE, -1, "round is -1, must be at least 0")],
)
def test_a_wrong_source_or_round_is_named(source: str, n: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_refiner().refine(source, make_outputs(), make_answer(), n)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (np.zeros((5, 2)), r"answer has shape \(5, 2\), must have \(68, 2\)"),
        (np.full((68, 2), np.nan), "is not finite"),
        (np.full((68, 2), 0.5), "has no extent"),
    ],
)
def test_a_wrong_answer_is_named(answer: F64, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_refiner().refine(NOISE, make_outputs(), answer)


def test_outputs_of_another_network_are_named() -> None:
    outputs = dataclasses.replace(make_outputs(), embedding=np.zeros(9, np.float32))
    with pytest.raises(ValueError, match="an embedding of 9 and 18 features do not make 24 inputs"):
        make_refiner().refine(NOISE, outputs, make_answer())


def test_features_that_are_not_finite_are_named() -> None:
    outputs = dataclasses.replace(make_outputs(), features=np.full(FEATURES, np.inf, np.float32))
    with pytest.raises(ValueError, match="embedding or features are not finite"):
        make_refiner().refine(NOISE, outputs, make_answer())


@pytest.mark.parametrize(
    ("sources", "rounds", "says"),
    [
        ((), make_refiner().rounds, "must be at least one"),
        (("a", "a"), make_refiner().rounds, "each once"),
        (SOURCES, (), "there is no round"),
        (("a", "b", "c"), make_refiner().rounds, r"geometry of round 0 has shape \(2, 3, 4\), must have \(3, 3, 4\)"),
        (
            SOURCES,
            (
                make_refiner().rounds[0],
                dataclasses.replace(make_refiner().rounds[1], weight=np.zeros((3, 5), np.float32)),
            ),
            r"weight of round 1 has shape \(3, 5\), must have \(3, 24\)",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(sources: tuple[str, ...], rounds: tuple[Round, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Refiner(sources, rounds)


def test_the_network_looks_next_where_the_refiner_says() -> None:
    refiner, frame = make_refiner(), BoxFrame(40.0, 50.0, 30.0)
    look = BoxObservation("mtcnn", frame, make_outputs(), make_answer())
    expected = refiner.refine("mtcnn", look.outputs, look.answer, 1).apply(frame)
    assert next_frames(refiner, [look], 1) == [expected]


def test_boxes_of_other_sources_and_settled_ones_stay() -> None:
    refiner, frame = make_refiner(), BoxFrame(40.0, 50.0, 30.0)
    looks = [BoxObservation(source, frame, make_outputs(), make_answer()) for source in ("face_box", "mtcnn", NOISE)]
    size = refiner.refine("mtcnn", looks[1].outputs, looks[1].answer).size
    assert next_frames(refiner, looks)[0] is None
    assert next_frames(refiner, looks[1:2], min_move=size) == [None]
    assert next_frames(refiner, looks[1:2], min_move=size - 1e-9) != [None]
    assert next_frames(refiner, []) == []


def test_boxes_of_other_sources_move_as_noise_where_a_caller_asks_for_it() -> None:
    refiner, frame = make_refiner(), BoxFrame(40.0, 50.0, 30.0)
    look = BoxObservation("face_box", frame, make_outputs(), make_answer())
    move = refiner.refine(NOISE, look.outputs, look.answer)
    assert next_frames(refiner, [look], min_move_given=move.size - 1e-9) == [move.apply(frame)]
    assert next_frames(refiner, [look], min_move_given=move.size) == [None]


class Pusher:
    """Displaces every landmark by the same."""

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        return np.full(start.shape, 0.2)


def test_the_answer_that_is_read_takes_the_whole_displacement(toy_exemplars: Exemplars) -> None:
    model = PosteriorModel(toy_exemplars, Calibration(), Pusher())
    scores = np.random.default_rng(0).normal(size=60).astype(np.float32)
    image = ImageFeatures(np.zeros(1, np.float32), np.zeros((1, 2, 2), np.float32))
    still = model.posterior(scores).mean
    np.testing.assert_allclose(seen_shape(model.posterior(scores, image)), still + 0.2, atol=1e-6)
    np.testing.assert_allclose(seen_shape(model.posterior(scores)), still, atol=1e-6)
