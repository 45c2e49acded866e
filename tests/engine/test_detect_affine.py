"""The affine from a detector's box to the face box, its fit, and suppression of overlapping boxes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exalign_engine.detect import BoxAffine, FaceBoxMap, RawDetection, ResidualStats, fit_affines
from exalign_engine.detect.suppression import suppress
from exalign_engine.errors import InvalidInputError

LIKE_MTCNN = BoxAffine(0.034, 0.146, 0.932)

boxes = st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(5, 500)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0.3, 3))
def test_an_affine_gives_the_square_that_it_promises(box, dx, dy, scale):
    w, h = box[2] - box[0], box[3] - box[1]
    x0, y0, x1, y1 = BoxAffine(dx, dy, scale).apply(box)
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert x1 - x0 == pytest.approx(scale * (w * h) ** 0.5)
    assert (x0 + x1) / 2 == pytest.approx((box[0] + box[2]) / 2 + dx * w, abs=1e-6)
    assert (y0 + y1) / 2 == pytest.approx((box[1] + box[3]) / 2 + dy * h, abs=1e-6)


def noisy_pairs(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 300, (n, 2)), rng.uniform(40, 120, (n, 2))
    raw = np.hstack([corner, corner + size])
    face = LIKE_MTCNN.apply(raw)
    side = face[:, 2:3] - face[:, :1]
    shift = rng.normal(0, noise, (n, 2)) * side
    return raw, face + np.hstack([shift, shift])


def test_fit_recovers_an_affine_though_a_third_of_the_pairs_is_wrong():
    raw, face = noisy_pairs(300, 0.0)
    face[::3] += 500
    fitted = BoxAffine.fit(raw, face)
    assert (fitted.dx, fitted.dy, fitted.scale) == pytest.approx((0.034, 0.146, 0.932))


def test_residuals_measure_the_noise_in_face_box_sides():
    raw, face = noisy_pairs(4000, 0.04)
    stats = ResidualStats.of(LIKE_MTCNN.apply(raw), face, missed=3)
    assert (stats.n, stats.missed) == (4000, 3)
    assert stats.dx_std == pytest.approx(0.04, rel=0.05)
    assert stats.dy_std == pytest.approx(0.04, rel=0.05)
    assert stats.dx_mean == pytest.approx(0, abs=0.003)
    assert stats.log_scale_std == pytest.approx(0, abs=1e-9)


def test_an_affine_survives_json():
    assert BoxAffine.from_dict(json.loads(json.dumps(LIKE_MTCNN.to_dict()))) == LIKE_MTCNN


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dx": 0.0, "dy": 0.0}, "scale"),
        ({"dx": 0.0, "dy": 0.0, "scale": 1.0, "side": "max"}, "side"),
        ({"dx": "0", "dy": 0.0, "scale": 1.0}, "dx"),
        ({"dx": 0.0, "dy": True, "scale": 1.0}, "dy"),
        ({"dx": 0.0, "dy": float("nan"), "scale": 1.0}, "dy"),
        ({"dx": 0.0, "dy": 0.0, "scale": 0.0}, "scale"),
    ],
)
def test_a_wrong_affine_is_refused_by_name(values, says):
    with pytest.raises(ValueError, match=says):
        BoxAffine.from_dict(values)


@pytest.mark.parametrize(("raw", "face"), [([], []), ([(0, 0, 1, 1)], []), ([(0, 0, 0, 1)], [(0, 0, 1, 1)])])
def test_fit_refuses_what_is_no_pair_of_boxes(raw, face):
    with pytest.raises(ValueError, match="box"):
        BoxAffine.fit(raw, face)


class Scripted:
    """A detector that answers what the test wrote for each image, which is its top-left pixel's number."""

    name, min_score = "scripted", 0.5

    def __init__(self, answers):
        self.answers = answers

    def detect(self, image):
        return [RawDetection(np.asarray(b, float), 0.9) for b in self.answers[int(image[0, 0, 0])]]


def numbered(n):
    return [np.full((4, 4, 3), i, np.uint8) for i in range(n)]


def test_fit_affines_takes_the_nearest_detection_and_counts_misses():
    raw, face = noisy_pairs(40, 0.0)
    answers = [[box + 1000, box] for box in raw]
    answers[7] = []
    answers[8] = [raw[8] + 1000]
    fitted = fit_affines(zip(numbered(40), face.reshape(-1, 2, 2), strict=True), [Scripted(answers)], limit=30)[
        "scripted"
    ]
    assert fitted.affine.scale == pytest.approx(0.932)
    assert (fitted.residuals.n, fitted.residuals.missed) == (28, 2)
    stored = json.loads(json.dumps(fitted.to_dict()))
    assert ResidualStats(**stored["residuals"]) == fitted.residuals
    assert FaceBoxMap.of_entry(stored) == fitted.affine


def test_fit_affines_refuses_too_few_faces():
    raw, face = noisy_pairs(9, 0.0)
    pairs = zip(numbered(9), face.reshape(-1, 2, 2), strict=True)
    with pytest.raises(InvalidInputError, match="scripted found 9 of 9 faces, fitting needs at least 10"):
        fit_affines(pairs, [Scripted([[b] for b in raw])])


def slow_suppress(b, s, threshold, smaller):
    kept = []
    for i in sorted(range(len(b)), key=lambda i: (-s[i], i)):
        for j in kept:
            w = max(0.0, min(b[i][2], b[j][2]) - max(b[i][0], b[j][0]))
            h = max(0.0, min(b[i][3], b[j][3]) - max(b[i][1], b[j][1]))
            a, c = ((x[2] - x[0]) * (x[3] - x[1]) for x in (b[i], b[j]))
            if w * h / (min(a, c) if smaller else a + c - w * h) > threshold:
                break
        else:
            kept.append(i)
    return kept


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 25), st.just(4)), elements=st.integers(1, 40)),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_suppression_equals_its_slow_twin(corner_and_size, random, smaller):
    b = np.hstack([corner_and_size[:, :2], corner_and_size[:, :2] + corner_and_size[:, 2:]])
    s = np.array([random.randint(1, 8) / 8 for _ in b], np.float32)
    got = suppress(b, s, 0.47, relative_to="smaller" if smaller else "union")
    assert got.tolist() == slow_suppress(b, s, 0.47, smaller)
    assert set(suppress(b, s, 1.0, most=3)) <= set(np.argsort(-s, kind="stable")[:3])


@pytest.mark.parametrize("smaller", [False, True])
def test_an_overlap_of_exactly_the_threshold_is_allowed(smaller):
    # Intersection 50; union 200 (overlap 1/4), smaller box 100 (overlap 1/2): both are exact in floats.
    b = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 5.0, 10.0, 20.0]])
    s, relative_to, overlap = np.array([0.9, 0.8]), "smaller" if smaller else "union", 0.5 if smaller else 0.25
    assert suppress(b, s, overlap, relative_to=relative_to).tolist() == [0, 1]
    assert suppress(b, s, 0.99 * overlap, relative_to=relative_to).tolist() == [0]
