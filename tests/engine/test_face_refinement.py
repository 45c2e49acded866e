"""The one loop from a first box to the last: when a face is looked at again, and that its company does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.face.aligner import FACE_BOX, Face, FaceRefinement, LocatedFace
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.refiner.refiner import MIN_MOVE_DETECTED, MIN_MOVE_GIVEN, MIN_MOVE_POINTS, NOISE, Refiner, Round
from exalign_engine.tracking import TRACK_BOX

K, D, F = 6, 4, 2


@pytest.fixture(scope="module")
def model() -> PosteriorModel:
    rng = np.random.default_rng(7)
    shapes = np.clip(rng.uniform(0.0, 1.0, (1, 68, 2)) + rng.normal(0, 0.01, (K, 68, 2)), 0, 1)
    exemplars = Exemplars(
        shapes.astype(np.float32),
        np.full(K, 1e-4, np.float32),
        np.arange(K, dtype=np.int32),
        np.full(K, -1, np.int32),
        (),
    )
    return PosteriorModel(exemplars, Calibration())


def refiner(*moves: tuple[float, float]) -> Refiner:
    """Each round shifts MTCNN's boxes and all others to the right by these shares of their sides."""
    rounds = []
    for mtcnn, noise in moves:
        geometry = np.zeros((2, 3, 4), np.float32)
        geometry[:, 0, 3] = mtcnn, noise
        rounds.append(Round(geometry, np.zeros((3, D + F), np.float32)))
    return Refiner(("mtcnn", NOISE), tuple(rounds))


def outputs(seed: int = 0) -> FaceOutputs:
    scores = np.random.default_rng(seed).normal(size=K).astype(np.float32)
    return FaceOutputs(scores, np.zeros((F, 1, 1), np.float32), np.zeros(D, np.float32), None)


def located(source: str) -> LocatedFace:
    box: NDArray[np.float64] = np.array([10.0, 20.0, 50.0, 60.0])
    return LocatedFace(box, box, source, source == "mtcnn", None)


def looks(refinement: FaceRefinement, most: int = 9) -> tuple[int, Face]:
    """How often the network has to look, and the face."""
    for count in range(1, most + 1):
        face = refinement.update(outputs(count))
        if face is not None:
            return count, face
    raise AssertionError(f"still not settled after {most} looks")


def test_a_bundle_without_a_refiner_looks_once(model: PosteriorModel) -> None:
    count, face = looks(FaceRefinement(model, None, located("mtcnn")))
    assert count == 1
    assert face.located.box.tolist() == [10, 20, 50, 60]


@pytest.mark.parametrize(("move", "count"), [(MIN_MOVE_POINTS - 0.01, 1), (MIN_MOVE_POINTS + 0.01, 2)])
def test_a_box_that_points_told_moves_where_it_is_farther_off(model: PosteriorModel, move: float, count: int) -> None:
    place = replace(located("mtcnn"), by_points=True)
    assert looks(FaceRefinement(model, refiner((move, 0.0)), place))[0] == count


@pytest.mark.parametrize(
    ("source", "moves", "count", "left"),
    [
        ("mtcnn", [(MIN_MOVE_DETECTED + 0.01, 0.0)], 2, 10 + 40 * (MIN_MOVE_DETECTED + 0.01)),
        ("mtcnn", [(MIN_MOVE_DETECTED - 0.01, 0.3)], 1, 10),
        (FACE_BOX, [(0.3, MIN_MOVE_GIVEN + 0.01)], 2, 10 + 40 * (MIN_MOVE_GIVEN + 0.01)),
        (FACE_BOX, [(0.3, MIN_MOVE_GIVEN - 0.01)], 1, 10),
        ("yunet", [(0.3, 0.3)], 1, 10),
        (TRACK_BOX, [(0.3, 0.3)], 1, 10),
        ("mtcnn", [(0.1, 0.0), (0.2, 0.0)], 3, 10 + 40 * 0.3),
        ("mtcnn", [(0.1, 0.0), (0.0, 0.0)], 2, 10 + 40 * 0.1),
        # A box that has settled stays, whatever a later round would do.
        ("mtcnn", [(0.0, 0.0), (0.2, 0.0)], 1, 10),
    ],
)
def test_a_box_moves_until_it_has_settled_or_the_rounds_are_over(
    model: PosteriorModel, source: str, moves: list[tuple[float, float]], count: int, left: float
) -> None:
    refinement = FaceRefinement(model, refiner(*moves), located(source))
    seen, face = looks(refinement)
    assert seen == count
    assert face.located is refinement.place
    assert face.located.box[0] == pytest.approx(left, rel=1e-6)
    assert face.located.source_box.tolist() == [10, 20, 50, 60]
    # The posterior is that of the last look.
    assert np.array_equal(face.posterior.probabilities, model.posterior(outputs(count).scores).probabilities)


def test_place_is_where_the_network_has_to_look_next(model: PosteriorModel) -> None:
    refinement = FaceRefinement(model, refiner((0.1, 0.0)), located("mtcnn"))
    assert refinement.place.box[0] == 10
    assert refinement.update(outputs()) is None
    assert refinement.place.box[0] == pytest.approx(14, rel=1e-6)
    assert refinement.update(outputs()) is not None
