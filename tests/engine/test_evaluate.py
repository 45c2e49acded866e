"""Evaluation: which box counts, what a missed face costs, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from exalign_engine.data import open_faces
from exalign_engine.data.prepared import annotated_photos
from exalign_engine.detect import BoxAffine, RawDetection
from exalign_engine.errors import InvalidInputError
from exalign_engine.evaluation.photos import FaceError, evaluate_crops, evaluate_photos, report
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import tight_box
from exalign_engine.metrics.accuracy import nrmse
from exalign_engine.runtime import create_runtime

if TYPE_CHECKING:
    from toy_faces import MakePrepared

F64 = NDArray[np.float64]


class FakeDetector:
    """Answers with the boxes that it was given, image after image."""

    name = "fake"

    def __init__(self, *images: list[F64]) -> None:
        self.images = list(images)

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        boxes = self.images.pop(0)
        return [RawDetection(box, 1.0 - 0.1 * i) for i, box in enumerate(boxes)]


@pytest.fixture
def bundle(toy_bundle: Path) -> Bundle:
    loaded = Bundle.load(toy_bundle)
    loaded.detectors["fake"] = BoxAffine(0.0, 0.0, 1.0)
    return loaded


def aligner(bundle: Bundle, *images: list[F64]) -> Aligner:
    return Aligner(bundle, create_runtime("onnxruntime", bundle.network), {"fake": FakeDetector(*images)})


def square(points: F64) -> F64:
    """The true face box made square: what a perfect detector would say."""
    x0, y0, x1, y1 = tight_box(points)
    h = max(x1 - x0, y1 - y0) / 2
    return np.array([(x0 + x1) / 2 - h, (y0 + y1) / 2 - h, (x0 + x1) / 2 + h, (y0 + y1) / 2 + h])


def test_true_boxes_give_the_error_of_the_aligner_itself(
    bundle: Bundle, tmp_path: Path, make_prepared: MakePrepared
) -> None:
    make_prepared(tmp_path, ["test"] * 3)
    faces, model = open_faces(tmp_path, "test"), aligner(bundle)
    seen: list[int] = []
    outcomes = evaluate_crops(model, faces, "truth", "fake", seen.append)
    assert seen == [1, 2, 3]
    assert [(o.id, o.origin) for o in outcomes] == [("face_0", "a"), ("face_1", "b"), ("face_2", "a")]
    for i, outcome in enumerate(outcomes):
        truth = faces.landmarks[i]
        (face,) = model.align(faces.image(i), [tuple(tight_box(truth))])
        assert outcome.error == nrmse(face.landmarks, truth)
        distance = np.linalg.norm(face.landmarks[17:] - truth[17:], axis=1)
        assert outcome.inner_error == pytest.approx(distance.mean() / np.hypot(*np.ptp(truth, axis=0)))
        assert 0 < outcome.error < 1


def test_the_detection_that_overlaps_most_counts_and_a_missed_face_is_infinite(
    bundle: Bundle, tmp_path: Path, make_prepared: MakePrepared
) -> None:
    make_prepared(tmp_path, ["test"] * 4)
    faces = open_faces(tmp_path, "test")
    true = [square(p) for p in faces.landmarks]
    side = true[0][2] - true[0][0]
    far = np.array([0.0, 0.0, 8.0, 8.0])
    model = aligner(bundle, [true[0] + 0.2 * side, far, true[0]], [], [far], [true[3] + 0.6 * side])
    outcomes = evaluate_crops(model, faces, "detector", "fake")
    errors = [o.error for o in outcomes]
    best = evaluate_crops(aligner(bundle), faces, "truth", "fake")[0].error
    assert errors[0] == pytest.approx(best)
    assert errors[1:] == [o.inner_error for o in outcomes[1:]] == [np.inf, np.inf, np.inf]


def write_photo(folder: Path, landmarks: F64) -> None:
    """One photo with two faces of split ``test``."""
    (folder / "frames").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (120, 240, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "frames" / "a.png"), picture)
    faces = [{"id": f"f{i}", "landmarks": p.tolist()} for i, p in enumerate(landmarks)]
    listing = [{"file": "a.png", "source": "there", "split": "test", "faces": faces}]
    (folder / "frames" / "frames.json").write_text(json.dumps(listing))


def test_every_face_of_a_photo_finds_its_own_detection(
    bundle: Bundle, tmp_path: Path, make_prepared: MakePrepared
) -> None:
    landmarks = make_prepared(tmp_path / "made", ["test"] * 2) + np.array([[[0.0, 0.0]], [[110.0, 10.0]]])
    write_photo(tmp_path, landmarks)
    photos = annotated_photos(tmp_path, "test")
    stranger = np.array([200.0, 80.0, 230.0, 110.0])
    found = [stranger, square(landmarks[1]), square(landmarks[0])]
    by_detector = evaluate_photos(aligner(bundle, found), photos, "detector", "fake")
    by_truth = evaluate_photos(aligner(bundle), photos, "truth", "fake")
    assert [(o.id, o.origin) for o in by_detector] == [("f0", "there"), ("f1", "there")]
    assert [o.error for o in by_detector] == pytest.approx([o.error for o in by_truth])
    only_second = evaluate_photos(aligner(bundle, found[:2]), photos, "detector", "fake")
    assert [o.error for o in only_second] == pytest.approx([np.inf, by_truth[1].error])


def test_a_detector_that_is_not_there_is_refused(bundle: Bundle, tmp_path: Path, make_prepared: MakePrepared) -> None:
    make_prepared(tmp_path, ["test"])
    with pytest.raises(InvalidInputError, match="detector: 'other' is not available here; available: fake"):
        evaluate_crops(aligner(bundle), open_faces(tmp_path, "test"), "detector", "other")


def test_the_report_groups_by_collection_and_counts_the_missed() -> None:
    figures = report(
        [
            FaceError("1", "b", 0.04, 0.02),
            FaceError("2", "a", 0.02, 0.04),
            FaceError("3", "b", np.inf, np.inf),
            FaceError("4", "c", np.inf, np.inf),
        ]
    )
    assert figures["n"] == 4
    assert figures["nrmse_mean"] == 0.03
    assert figures["auc"] == pytest.approx((0.5 + 0.75) / 4)
    assert figures["auc_inner51"] == pytest.approx((0.75 + 0.5) / 4)
    assert figures["failure_rate"] == figures["missed"] == 50.0
    assert list(figures["groups"]) == ["a", "b", "c"]
    assert {name: g["n"] for name, g in figures["groups"].items()} == {"a": 1, "b": 2, "c": 1}
    assert figures["groups"]["c"] == {
        "n": 1,
        "nrmse_mean": None,
        "auc": 0.0,
        "failure_rate": 100.0,
        "missed": 100.0,
    }


def test_the_report_gives_the_subsets_among_the_groups() -> None:
    outcomes = [FaceError(str(i), "a", e, e) for i, e in enumerate((0.0, 0.04, np.inf))]
    groups = report(outcomes, {"hard": np.array([1, 2]), "large_yaw": np.array([0])})["groups"]
    assert list(groups) == ["a", "hard", "large_yaw"]
    assert (groups["hard"]["n"], groups["hard"]["auc"], groups["hard"]["failure_rate"]) == (2, 0.25, 50.0)
    assert (groups["large_yaw"]["n"], groups["large_yaw"]["auc"]) == (1, 1.0)


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def data(tmp_path: Path, make_prepared: MakePrepared) -> Path:
    """Six faces of noise, and a photo of two."""
    landmarks = make_prepared(tmp_path / "data", ["test"] * 6)
    write_photo(tmp_path / "data", landmarks[:2])
    return tmp_path / "data"


def test_the_command_prints_one_json_object_without_nan(
    toy_bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["evaluate", "--bundle", str(toy_bundle), "--data", str(data), "--json", "--runtime", "onnxruntime"])
    out = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert code == 0
    assert out["n"] == 6
    assert out["bundle_id"] == Bundle.load(toy_bundle).id
    assert {name: g["n"] for name, g in out["groups"].items()} == {"a": 3, "b": 3, "large_yaw": 1, "hard": 1}
    assert 0 <= out["auc_inner51"] <= 1
    assert out["presence"]["faces"] == out["presence"]["negatives"] == 12


@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_the_command_reports_faces_that_were_all_missed(
    toy_bundle_copy: Path, data: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    # No detector finds a face in noise.
    command = ["evaluate", "--bundle", str(toy_bundle_copy), "--data", str(data), "--boxes", "detector", "--frames"]
    assert main([*command, "--runtime", "onnxruntime", *form]) == 0
    out = capsys.readouterr().out
    if form:
        figures = json.loads(out, parse_constant=refuse)
        assert figures["missed"] == figures["groups"]["there"]["failure_rate"] == 100.0
        assert figures["nrmse_mean"] is None
        assert figures["auc_inner51"] == 0.0
        assert {name: g["n"] for name, g in figures["groups"].items()} == {"there": 2, "large_yaw": 1, "hard": 1}
    else:
        assert "None" in out
        assert "100.0" in out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--data": "nowhere"}, "no such folder"),
        ({"--split": "tset"}, "no row of split 'tset'"),
        ({"--bundle": "nowhere"}, "no such directory"),
    ],
)
def test_the_command_fails_in_one_line(
    toy_bundle: Path, data: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], says: str
) -> None:
    options = {"--data": str(data), "--bundle": str(toy_bundle), "--runtime": "onnxruntime"} | change
    assert main(["evaluate", *(x for pair in options.items() for x in pair)]) == 1
    err = capsys.readouterr().err.strip()
    assert says in err
    assert len(err.splitlines()) == 1
