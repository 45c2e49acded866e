"""From a detector's points to the face box."""

from __future__ import annotations

import json

import numpy as np
import pytest

from exalign_engine.detect import BoxAffine, FaceBoxMap, PointMap, RawDetection, fit_affines
from exalign_engine.detect.affine import square
from exalign_engine.geometry.frames import iou, tight_box

MEAN = np.array([[-30.0, -20.0], [30.0, -20.0], [0.0, 10.0], [0.0, 35.0], [-55.0, -10.0], [55.0, -10.0]])
OUTLINE = np.array([[-60.0, -40.0], [60.0, -40.0], [45.0, 50.0], [0.0, 62.0], [-45.0, 50.0], [0.0, -48.0]])


def faces(n, seed, noise=1.0, roll=0.0):
    """Detector boxes, points and landmarks of n faces that differ in place, size, shape and roll (degrees)."""
    rng = np.random.default_rng(seed)
    boxes, points, landmarks = [], [], []
    for _ in range(n):
        scale, at, turn = rng.uniform(0.3, 3), rng.uniform(0, 500, 2), np.radians(roll + rng.normal(0, 5))
        rotation = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        # A longer chin, which the points tell of by the mouth, and the box by nothing.
        chin = rng.normal(0, 6)
        shape = OUTLINE + np.outer(OUTLINE[:, 1] > 40, (0, chin))
        seen = MEAN + np.outer([0, 0, 0, 1, 0, 0], (0, chin / 2))
        points.append((seen + rng.normal(0, noise, seen.shape)) @ rotation + at)
        landmarks.append(shape @ rotation + at)
        half = 55 * scale * np.exp(rng.normal(0, 0.07))
        centre = at + rng.normal(0, 3 * scale, 2)
        boxes.append([*(centre - half), *(centre + half)])
    return np.array(boxes), np.array(points), np.array(landmarks)


def errors(mapped, landmarks):
    """Standard deviation of the logarithm of the side, and mean overlap with the true square."""
    truth = np.array([square(tight_box(y)) for y in landmarks])
    side = np.log((mapped[:, 2] - mapped[:, 0]) / (truth[:, 2] - truth[:, 0]))
    return side.std(), np.mean([iou(a, b) for a, b in zip(mapped, truth, strict=True)])


@pytest.fixture(scope="module")
def fitted():
    boxes, points, landmarks = faces(300, 1)
    return PointMap.fit(boxes, points, landmarks)


@pytest.mark.parametrize("roll", [0, 40, 90, -135])
def test_points_tell_the_face_box_better_than_a_box_however_the_face_is_turned(fitted, roll):
    boxes, points, landmarks = faces(200, 2, roll=roll)
    by_box = BoxAffine.fit(boxes, [tight_box(y) for y in landmarks]).apply(boxes)
    (spread, overlap), (spread_by_box, overlap_by_box) = (
        errors(fitted.apply(boxes, points), landmarks),
        errors(by_box, landmarks),
    )
    assert spread < 0.7 * spread_by_box
    assert overlap > max(overlap_by_box, 0.88)


def test_a_map_goes_with_the_pictures_scale_and_place(fitted):
    boxes, points, _ = faces(20, 3)
    moved = fitted.apply(boxes * 2.5 + 70, points * 2.5 + 70)
    np.testing.assert_allclose(moved, fitted.apply(boxes, points) * 2.5 + 70, atol=1e-9)


def slow_face_box(of, box, points):
    """P1 to P3, one face, no complex numbers."""
    c = points.mean(axis=0)
    p, m = points - c, of.mean
    dot = sum(px * mx + py * my for (px, py), (mx, my) in zip(p, m, strict=True))
    cross = sum(py * mx - px * my for (px, py), (mx, my) in zip(p, m, strict=True))
    size = sum(mx * mx + my * my for mx, my in m)
    scale, turn = np.hypot(dot, cross) / size, np.arctan2(cross, dot)
    back = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    rest = np.array([back @ v / scale for v in p]) - m
    way = back @ ((box[:2] + box[2:]) / 2 - c) / scale
    extent = np.log(np.sqrt((box[2] - box[0]) * (box[3] - box[1])) / scale)
    turns = [f(k * turn) for k in (2, 4) for f in (np.cos, np.sin)]
    dx, dy, ln_side = of.weight @ np.array([1, *rest[:, 0], *rest[:, 1], extent, *way, *turns])
    centre = c + back.T @ np.array([dx, dy]) * scale
    half = np.exp(ln_side) * scale / 2
    return np.array([*(centre - half), *(centre + half)])


def test_a_map_is_its_equations(fitted):
    boxes, points, _ = faces(50, 4, roll=70)
    twin = [slow_face_box(fitted, box, p) for box, p in zip(boxes, points, strict=True)]
    np.testing.assert_allclose(fitted.apply(boxes, points), twin, rtol=1e-9, atol=1e-9)


def test_a_map_survives_json(fitted):
    whole = FaceBoxMap(0.01, 0.08, 0.94, fitted)
    read = FaceBoxMap.of_entry(json.loads(json.dumps(whole.entry() | {"residuals": {}})))
    boxes, points, _ = faces(5, 5)
    np.testing.assert_allclose(read.points.apply(boxes, points), fitted.apply(boxes, points), atol=1e-4)
    assert read.to_dict() == whole.to_dict()
    without = FaceBoxMap(0.01, 0.08, 0.94)
    assert FaceBoxMap.of_entry(without.entry()) == without


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p.pop("mean"), "keys mean and weight"),
        (lambda p: p.update(more=1), "keys mean and weight"),
        (lambda p: p.update(mean=[[0, 1]]), "mean has the shape"),
        (lambda p: p.update(mean=[[0, 1], [2]]), "no table of numbers"),
        (lambda p: p.update(mean=[[0, 0]] * 6), "all points of mean are one"),
        (lambda p: p["weight"].pop(), "weight has the shape"),
        (lambda p: p["weight"][0].__setitem__(3, float("nan")), "not finite"),
        (lambda p: p["weight"][0].__setitem__(3, "x"), "no table of numbers"),
    ],
)
def test_a_wrong_map_is_refused_by_name(fitted, change, says):
    entry = FaceBoxMap(0.0, 0.0, 1.0, fitted).entry()
    change(entry["points"])
    with pytest.raises(ValueError, match=f"points: .*{says}"):
        FaceBoxMap.of_entry(entry)


@pytest.mark.parametrize("entry", [{}, 3, None, {"affine": 3}, {"affine": {"dx": 0, "dy": 0, "scale": 0}}])
def test_a_wrong_affine_in_an_entry_is_named(entry):
    with pytest.raises(ValueError, match="affine is missing or wrong"):
        FaceBoxMap.of_entry(entry)


@pytest.mark.parametrize(
    "points",
    [None, np.zeros((6, 2)), np.full((6, 2), 1e300), MEAN * 40, MEAN + 900, MEAN[:3]],
    ids=["none", "one point", "far off", "too wide", "elsewhere", "too few"],
)
def test_points_that_cannot_be_trusted_leave_it_to_the_box(fitted, points):
    whole, box = FaceBoxMap(0.01, 0.08, 0.94, fitted), np.array([-60.0, -60.0, 60.0, 60.0])
    np.testing.assert_array_equal(whole.face_box(RawDetection(box, 0.9, points)), whole.apply(box))
    assert (whole.face_box(RawDetection(box, 0.9, MEAN)) != whole.apply(box)).any()


class Pointing:
    """A detector that answers what the test wrote for each image, which is its top-left pixel's number."""

    name, min_score = "pointing", 0.5

    def __init__(self, boxes, points):
        self.answers = [RawDetection(b, 0.9, p) for b, p in zip(boxes, points, strict=True)]

    def detect(self, image):
        return [self.answers[int(image[0, 0, 0])]]


def test_a_detector_with_points_is_fitted_to_them():
    boxes, points, landmarks = faces(100, 6)
    images = [np.full((4, 4, 3), i, np.uint8) for i in range(100)]
    pairs = list(zip(images, landmarks, strict=True))
    with_points = fit_affines(pairs, [Pointing(boxes, points)])["pointing"]
    without = fit_affines(pairs, [Pointing(boxes, [None] * 100)])["pointing"]
    assert without.affine.points is None
    assert with_points.affine.to_dict() == without.affine.to_dict()
    assert with_points.residuals.log_scale_std < 0.7 * without.residuals.log_scale_std
    assert set(with_points.to_dict()) == {"affine", "points", "residuals"}
