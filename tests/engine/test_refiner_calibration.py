"""Fitting the refiner on faces that are blobs, seen by a network that tells where in its crop the blob is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.detect import BoxAffine, RawDetection
from exalign_engine.evaluation.refinement import RefinementOutcome, measure, table
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.network.outputs import FaceOutputs, Outputs
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.refiner.fitting import (
    GAUSSIAN,
    UNIFORM,
    BoxedFace,
    CropScorer,
    add_source,
    boxed_faces,
    calibrate_refiner,
    disturb,
    fit_refiner,
    noise_move,
)
from exalign_engine.refiner.refiner import GEOMETRY, NOISE, BoxMove, BoxObservation, Refiner, network_inputs
from exalign_engine.refiner.regression import TRIED, ScoredBoxes, choose_round

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

SIZE, MARGIN, WIDTH = 24, 1.3, 120
#: A detector whose boxes are 4 % too far right, 3 % too low, and 8 % too large.
OFF = BoxMove(0.04, 0.03, 0.08)


class BlobFaces:
    """Faces of one shape at different places; their pictures are black but for a soft blob over the face."""

    def __init__(self, shape: F64, n: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.frames = [BoxFrame(rng.uniform(52, 68), rng.uniform(52, 68), rng.uniform(36, 44)) for _ in range(n)]
        self.landmarks = np.stack([f.to_image(shape) for f in self.frames])
        self.frames = [BoxFrame.from_box(tight_box(p)) for p in self.landmarks]
        self.ids, self.origins = [f"blob_{i}" for i in range(n)], ["blob"] * n

    def __len__(self) -> int:
        return len(self.frames)

    def image(self, index: int) -> U8:
        f = self.frames[index]
        y, x = np.mgrid[:WIDTH, :WIDTH]
        grey = 255 * np.exp(-((x - f.cx) ** 2 + (y - f.cy) ** 2) / (2 * (0.2 * f.side) ** 2))
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


class BlobNetwork:
    """Embedding: (x, y, ln spread) of what is bright; the scores know nothing."""

    name, version, precision, device, reason = "blob", "0", "f32", "CPU", "a test"

    def __init__(self, k: int) -> None:
        self.k = k

    def infer(self, crops: U8) -> Outputs:
        at = (np.arange(SIZE) + 0.5) / SIZE - 0.5
        rows = []
        for crop in crops:
            mass = crop[..., 0].astype(np.float64) + 1e-9
            mass /= mass.sum()
            x, y = mass.sum(axis=0) @ at, mass.sum(axis=1) @ at
            spread = mass.sum(axis=0) @ (at - x) ** 2 + mass.sum(axis=1) @ (at - y) ** 2
            rows.append([x, y, 0.5 * np.log(spread)])
        n = len(crops)
        features = np.zeros((n, 2, 1, 1), np.float32)
        return Outputs(np.zeros((n, self.k), np.float32), np.array(rows, np.float32), features)

    def close(self) -> None:
        """Nothing to free."""


@dataclass(frozen=True)
class BlobDetector:
    """Finds the blob, `OFF` from the truth; not where it is dim."""

    faces: BlobFaces
    misses: frozenset[int] = frozenset()
    name: str = "blobs"
    min_score: float = 0.0

    def detect(self, image: U8) -> list[RawDetection]:
        for i, frame in enumerate(self.faces.frames):
            if np.array_equal(self.faces.image(i), image) and i not in self.misses:
                return [RawDetection(OFF.apply(frame).box, 1.0)]
        return []


IDENTITY = BoxAffine(0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def shape(toy_exemplars: Exemplars) -> F64:
    """The shape that scores of zero answer with."""
    return PosteriorModel(toy_exemplars, Calibration()).posterior(np.zeros(60, np.float32)).mean


def scorer(toy_exemplars: Exemplars, faces: BlobFaces) -> CropScorer:
    return CropScorer(PosteriorModel(toy_exemplars, Calibration()), BlobNetwork(60), faces, SIZE, MARGIN)


def boxes_of(faces: BlobFaces, *, training: bool) -> list[BoxedFace]:
    found = boxed_faces(faces, range(len(faces)), {"blobs": (BlobDetector(faces), IDENTITY)}, training=training)
    # Blobs say nothing once a part of them is hidden.
    return [replace(box, disturbed=False) for box in found]


@pytest.fixture(scope="module")
def fitted(toy_exemplars: Exemplars, shape: F64) -> tuple[Refiner, dict[str, object]]:
    train, val = BlobFaces(shape, 30, 1), BlobFaces(shape, 16, 2)
    return fit_refiner(
        scorer(toy_exemplars, train),
        boxes_of(train, training=True),
        scorer(toy_exemplars, val),
        boxes_of(val, training=False),
    )


def planted(n: int, seed: int, *, noise: float = 0.0) -> ScoredBoxes:
    """Looks whose moves follow Eq. B2 with known coefficients."""
    rng = np.random.default_rng(seed)
    law = np.random.default_rng(99)
    geometry, weight = law.normal(0, 0.5, (2, 3, 4)) * GEOMETRY, law.normal(0, 0.02, (3, 5 + 8))
    looks, moves = [], []
    for i in range(n):
        outputs = FaceOutputs(
            np.zeros(0, np.float32),
            rng.normal(1, 1, (2, 2, 2)).astype(np.float32),
            rng.normal(0, 3, 5).astype(np.float32),
            None,
        )
        answer = rng.uniform(0, 1, (68, 2)) * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1, 2)
        look = BoxObservation(("a", "b")[i % 2], BoxFrame(0.5, 0.5, 1.0), outputs, answer)
        box = BoxFrame.from_box(tight_box(answer))
        b = [box.cx - 0.5, box.cy - 0.5, np.log(box.side), 1.0]
        moves.append(geometry[i % 2] @ b + weight @ network_inputs(outputs) + noise * rng.normal(size=3))
        looks.append(look)
    return ScoredBoxes(looks, np.array(moves), [0.0] * n)


def test_a_law_without_noise_is_found() -> None:
    best, card = choose_round(planted(300, 1), planted(100, 2), ("a", "b"))
    refiner, seen = Refiner(("a", "b"), (best,)), planted(50, 3)
    for look, move in zip(seen.observations, seen.moves, strict=True):
        if np.abs(move).max() < 0.25:
            np.testing.assert_allclose(refiner.refine(look.source, look.outputs, look.answer), move, atol=2e-3)
    assert card["inputs"] == "box+embedding+features"
    assert set(card["tried"]) == {"+".join(inputs) for inputs in TRIED}
    assert card["val_error"] == min(card["tried"].values())


def test_what_says_nothing_is_left_out() -> None:
    """Without the network's inputs fewer coefficients follow the noise."""
    train, val = planted(60, 1, noise=0.3), planted(400, 2, noise=0.3)
    shuffled = [
        replace(seen, outputs=planted(1, 50 + i).observations[0].outputs) for i, seen in enumerate(train.observations)
    ]
    others = [
        replace(seen, outputs=planted(1, 900 + i).observations[0].outputs) for i, seen in enumerate(val.observations)
    ]
    best, card = choose_round(replace(train, observations=shuffled), replace(val, observations=others), ("a", "b"))
    assert card["inputs"] == "box"
    assert not best.weight.any()


def test_geometry_that_a_mirror_would_contradict_stays_zero() -> None:
    best, _ = choose_round(planted(200, 1, noise=0.1), planted(50, 2), ("a", "b"))
    assert not best.geometry[:, 0, 1:3].any()  # dx from c_y or the size
    assert not best.geometry[:, 1:, 0].any()  # dy or the scale from c_x


def test_boxes_are_brought_to_the_face(fitted: tuple[Refiner, dict[str, object]]) -> None:
    rows = fitted[1]["val"]
    assert isinstance(rows, list)
    error = {(row["source"], row["round"]): row["box_error"] for row in rows}
    auc = {(row["source"], row["round"]): row["auc"] for row in rows}
    for source in ("blobs", NOISE):
        assert error[source, 1] < 0.15 * error[source, 0]
        assert auc[source, 1] > auc[source, 0]


def test_one_source_more_leaves_the_others_as_they_were(
    toy_exemplars: Exemplars, shape: F64, fitted: tuple[Refiner, dict[str, object]]
) -> None:
    train, val = BlobFaces(shape, 30, 3), BlobFaces(shape, 16, 4)
    boxes = []
    for faces, training in ((train, True), (val, False)):
        of_blobs = [box for box in boxes_of(faces, training=training) if box.source == "blobs"]
        # Another detector: its boxes are moved once more.
        boxes.append([replace(box, source="more", frame=box.frame.moved(-0.1, 0.05, 1.1)) for box in of_blobs])
    grown, figures = add_source(fitted[0], scorer(toy_exemplars, train), boxes[0], scorer(toy_exemplars, val), boxes[1])
    assert grown.sources == ("blobs", NOISE, "more")
    for before, after in zip(fitted[0].rounds, grown.rounds, strict=True):
        np.testing.assert_array_equal(after.geometry[:2], before.geometry)
        np.testing.assert_array_equal(after.weight, before.weight)
        assert not after.geometry[2, 0, 1:3].any()
        assert not after.geometry[2, 1:, 0].any()
    assert [(row["source"], row["round"]) for row in figures] == [("more", n) for n in range(len(grown.rounds) + 1)]
    assert figures[1]["box_error"] < 0.2 * figures[0]["box_error"]
    again, _ = add_source(grown, scorer(toy_exemplars, train), boxes[0], scorer(toy_exemplars, val), boxes[1])
    assert again.sources == grown.sources
    np.testing.assert_array_equal(again.rounds[0].geometry, grown.rounds[0].geometry)


def test_calibration_looks_at_both_splits_by_itself(toy_exemplars: Exemplars, shape: F64) -> None:
    train, val = BlobFaces(shape, 8, 1), BlobFaces(shape, 8, 2)
    bars: list[tuple[int, str]] = []
    done: list[int] = []

    def bar(n: int, what: str) -> Progress:
        bars.append((n, what))
        return done.append

    model = PosteriorModel(toy_exemplars, Calibration())
    refiner, card = calibrate_refiner(model, BlobNetwork(60), train, val, {}, SIZE, MARGIN, limit=4, bar=bar)
    assert refiner.sources == (NOISE,)
    assert bars[:4] == [(4, "boxes"), (4, "boxes"), (8, "train, round 0"), (4, "val, round 0")]
    assert done[:10] == [1, 2, 3, 4, 1, 2, 3, 4, 8, 4]
    assert card["val"][0]["n"] == 4


def test_a_round_that_adds_nothing_goes(fitted: tuple[Refiner, dict[str, object]]) -> None:
    refiner, card = fitted
    cards = card["rounds"]
    assert isinstance(cards, list)
    assert len(refiner.rounds) == sum(row["kept"] for row in cards) >= 1
    assert all(row["kept"] == (i == 0 or row["gain"] >= 0.0005) for i, row in enumerate(cards))


def test_sources_of_only_one_split_are_refused(toy_exemplars: Exemplars, shape: F64) -> None:
    faces = BlobFaces(shape, 2, 1)
    look, boxes = scorer(toy_exemplars, faces), boxes_of(faces, training=True)
    with pytest.raises(ValueError, match=r"train has boxes of \['blobs', 'noise'\], val of \['noise'\]"):
        fit_refiner(look, boxes, look, [box for box in boxes if box.source == NOISE])
    with pytest.raises(ValueError, match=r"train has boxes of \[\]"):
        fit_refiner(look, [], look, [])


def test_boxes_are_drawn_alike_each_time_and_mirrored_with_their_picture(toy_exemplars: Exemplars, shape: F64) -> None:
    faces = BlobFaces(shape, 3, 1)
    look, boxes = scorer(toy_exemplars, faces), boxes_of(faces, training=True)
    assert boxes == boxes_of(faces, training=True)
    plain, mirrored = (next(b for b in boxes if b.source == "blobs" and b.mirrored == m) for m in (False, True))
    crops = [extract_crop(look.picture(b)[0], b.frame, MARGIN, SIZE).astype(int) for b in (plain, mirrored)]
    assert np.abs(crops[0][:, ::-1] - crops[1]).max() <= 1
    shapes = [b.frame.from_image(look.picture(b)[1]) for b in (plain, mirrored)]
    np.testing.assert_allclose(mirror_shapes(shapes[0]), shapes[1], atol=1e-9)


def test_noise_stays_within_what_is_stated() -> None:
    for seed in range(200):
        move = noise_move(np.random.default_rng(seed), uniform=True)
        assert max(abs(move.dx), abs(move.dy), abs(np.expm1(move.log_scale))) <= UNIFORM
        move = noise_move(np.random.default_rng(seed), uniform=False)
        assert (np.abs(move) <= 3 * np.array(GAUSSIAN)).all()


def test_disturbed_crops_keep_their_size_and_depend_on_the_seed_alone() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    for seed in range(24):
        out = disturb(crop, np.random.default_rng(seed))
        assert out.shape == crop.shape
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, disturb(crop, np.random.default_rng(seed)))


def outcomes(errors: Sequence[tuple[str, int, int, float, float]]) -> list[RefinementOutcome]:
    """(condition, severity, row, error before, error after)."""
    found = []
    for condition, severity, row, *pair in errors:
        for n, error in enumerate(pair):
            found.append(RefinementOutcome(f"face_{row}", row, condition, severity, n, error, 0.1))
    return found


def test_the_table_tells_what_is_left_of_the_loss() -> None:
    rows = table(outcomes([("truth", 0, 5, 0.008, 0.008), ("box", 1, 5, 0.032, 0.016)]))
    after = next(r for r in rows if (r["condition"], r["round"]) == ("box", 1))
    assert (after["auc"], after["loss"]) == (pytest.approx(0.8), pytest.approx(0.1))
    assert after["left"] == pytest.approx(0.1 / 0.3, abs=1e-4)
    assert rows[0]["left"] is None


def test_a_missed_face_is_an_infinite_error(
    toy_exemplars: Exemplars, shape: F64, fitted: tuple[Refiner, dict[str, object]]
) -> None:
    faces = BlobFaces(shape, 3, 4)
    detectors = {"blobs": (BlobDetector(faces, frozenset({1})), IDENTITY)}
    found = measure(scorer(toy_exemplars, faces), fitted[0], range(3), detectors)
    missed = [o for o in found if o.condition == "blobs" and o.row == 1]
    assert missed
    assert all(np.isinf(o.error) for o in missed)


def test_every_condition_is_measured_round_by_round(
    toy_exemplars: Exemplars, shape: F64, fitted: tuple[Refiner, dict[str, object]]
) -> None:
    faces = BlobFaces(shape, 4, 5)
    detectors = {"blobs": (BlobDetector(faces), IDENTITY)}
    rows = table(measure(scorer(toy_exemplars, faces), fitted[0], range(4), detectors, rounds=2))
    conditions = [("truth", 0), ("box", 1), ("box", 2), ("box", 3), ("blobs", 0)]
    keys = [(r["condition"], r["severity"], r["round"]) for r in rows]
    assert keys == [(*condition, n) for condition in conditions for n in range(3)]
    off = dict(zip(keys, (r["box_error"] for r in rows), strict=True))
    assert off["box", 3, 1] < 0.2 * off["box", 3, 0]
