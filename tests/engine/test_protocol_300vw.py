"""The protocol of 300VW: which frames count, what each row of Table 2 answers, and the 66-point format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from exalign_engine.data.annotated_videos import open_clips
from exalign_engine.detect import BoxAffine, RawDetection
from exalign_engine.evaluation.protocol_300vw import LOW_PASS, METHODS, FrameError, Protocol, table_2
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmark_formats import FORMATS, format_error
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.accuracy import nrmse
from exalign_engine.runtime import create_runtime

if TYPE_CHECKING:
    from toy_faces import MakePrepared, MakeShapes

F64 = NDArray[np.float64]

#: Clips and their frames; 001 is for training, the others are of category 1 and 3.
CLIPS = {"001": 2, "114": 5, "410": 4}


class MissingDetector:
    """Finds the faces that it was told of, frame after frame."""

    name = "fake"

    def __init__(self, boxes: list[F64 | None]) -> None:
        self.boxes = list(boxes)

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        box = self.boxes.pop(0) if self.boxes else None
        return [] if box is None else [RawDetection(box, 0.9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_shapes: MakeShapes) -> Path:
    root = tmp_path_factory.mktemp("300vw")
    rng = np.random.default_rng(3)
    for seed, (name, frames) in enumerate(CLIPS.items()):
        (root / name / "annot").mkdir(parents=True)
        video = cv2.VideoWriter(str(root / name / "vid.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (96, 96))
        shape = make_shapes(1, seed)[0] * 50 + 20
        for n in range(1, frames + 1):
            video.write(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
            rows = "\n".join(f"{x} {y}" for x, y in shape + n + 1)
            (root / name / "annot" / f"{n:06d}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
        video.release()
    return root


@pytest.fixture(scope="module")
def bundle(toy_bundle: Path) -> Bundle:
    loaded = Bundle.load(toy_bundle)
    loaded.detectors["fake"] = BoxAffine(0.0, 0.0, 1.0)
    return loaded


def protocol(bundle: Bundle, detector: MissingDetector | None = None, **options: object) -> Protocol:
    detectors = {} if detector is None else {"fake": detector}
    aligner = Aligner(bundle, create_runtime("onnxruntime", bundle.network), detectors)
    chain = Chain(bundle.exemplars.shapes, bundle.manifest.tau)
    return Protocol(aligner, chain, detector="fake", **options)  # type: ignore[arg-type]


def of(found: list[FrameError], method: str, clip: str = "114") -> list[float]:
    return [f.error for f in found if (f.method, f.clip) == (method, clip)]


def test_every_frame_of_the_test_clips_is_answered_by_every_method(bundle: Bundle, folder: Path) -> None:
    done: list[int] = []
    found = protocol(bundle).run(open_clips(folder), done.append)
    assert done == [5, 9]
    assert {f.clip for f in found} == {"114", "410"}
    for method in METHODS:
        assert [f.number for f in found if (f.method, f.clip) == (method, "410")] == [1, 2, 3, 4]
        assert np.isfinite(of(found, method)).all()


def test_a_bundle_without_a_residual_has_no_regressor_and_smooths_the_mixture(bundle: Bundle, folder: Path) -> None:
    found = protocol(replace(bundle, residual=None), limit=1).run(open_clips(folder))
    assert not of(found, "regressor")
    assert of(found, "low_pass") == of(found, "mixture")


def test_single_frames_are_those_of_the_aligner_and_the_low_pass_is_their_mean(bundle: Bundle, folder: Path) -> None:
    job = protocol(bundle)
    clip = next(c for c in open_clips(folder) if c.name == "114")
    found = job.run([clip])
    means, mixtures, exemplars, truths = [], [], [], []
    for truth, image in clip.frames():
        (face,) = job.aligner.answer(image, [job.aligner.place(tight_box(truth))])
        means.append(face.landmarks)
        place, posterior = face.located.frame, face.posterior
        mixtures.append(place.to_image(posterior.mixture_mean))
        exemplars.append(place.to_image(bundle.exemplars.shapes[posterior.map_index]))
        truths.append(truth)
    for method, answers in (("regressor", means), ("mixture", mixtures), ("classification", exemplars)):
        assert of(found, method) == pytest.approx([nrmse(a, t) for a, t in zip(answers, truths, strict=True)])
    smooth = [nrmse(np.mean(means[max(i - LOW_PASS + 1, 0) : i + 1], axis=0), t) for i, t in enumerate(truths)]
    assert of(found, "low_pass") == pytest.approx(smooth)


def test_a_frame_that_the_detector_misses_is_a_failure_of_single_frames_but_the_filter_goes_on(
    bundle: Bundle, folder: Path
) -> None:
    clip = next(c for c in open_clips(folder) if c.name == "114")
    boxes: list[F64 | None] = [tight_box(clip.landmarks(n)) for n in clip.numbers]
    boxes[2] = None
    boxes[3] = boxes[3] + 200  # something else than the face
    found = protocol(bundle, MissingDetector(boxes), boxes="detector").run([clip])
    for method in ("classification", "mixture", "regressor", "low_pass"):
        assert np.isinf(of(found, method)).tolist() == [False, False, True, True, False]
    assert np.isfinite(of(found, "filter")).all()
    assert np.isfinite(of(found, "smoother")).all()
    # The low-pass does not reach over the gap.
    assert of(found, "low_pass")[4] == pytest.approx(of(found, "regressor")[4])


def test_a_limit_takes_the_first_frames_of_each_clip(bundle: Bundle, folder: Path) -> None:
    all_, few = protocol(bundle).run(open_clips(folder)), protocol(bundle, limit=2).run(open_clips(folder))
    assert of(few, "mixture") == of(all_, "mixture")[:2]


def test_the_table_has_a_row_a_method_and_category_beside_the_papers() -> None:
    found = [FrameError(c, "x", 1, "classification", e) for c, e in ((1, 0.04), (1, np.inf), (3, 0.02))]
    rows = table_2(found)
    assert [(r["category"], r["n"]) for r in rows] == [(1, 2), (3, 1), ("all", 3)]
    assert rows[0]["auc"] == pytest.approx(0.25)
    assert (rows[0]["failure_rate"], rows[0]["missed"]) == (50.0, 50.0)
    assert (rows[0]["paper_auc"], rows[0]["paper_failure_rate"]) == (0.678, 2.398)
    assert rows[2]["paper_auc"] is None


def test_66_points_are_without_the_inner_corners_of_the_mouth(make_shapes: MakeShapes) -> None:
    truth = make_shapes(1, 4)[0]
    answer = truth.copy()
    answer[[60, 64]] += 1.0
    assert len(FORMATS[66]) == 66
    assert format_error(answer, truth, 66) == 0.0
    assert format_error(answer, truth) == pytest.approx(2 * np.sqrt(2) / 68 / diagonal(tight_box(truth)))
    assert format_error(truth + 0.1, truth, 66) == pytest.approx(format_error(truth + 0.1, truth, 68))
    assert format_error(answer, truth) == nrmse(answer, truth)


def test_the_command_prints_table_2(folder: Path, toy_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--protocol", "300vw", str(folder), "--bundle", str(toy_bundle), "--runtime", "onnxruntime"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "300VW, boxes truth, 68 points, 2 clips, 9 frames" in lines[0]
    assert lines[2].split()[:3] == ["classification", "1", "5"]
    assert lines[2].split()[-2:] == ["0.678", "2.398"]
    assert main([*command, "--json", "--points", "66", "--limit", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["points"], printed["clips"]) == (66, 2)
    assert [r["n"] for r in printed["rows"][:3]] == [2, 2, 4]


def test_66_points_are_an_option_of_the_accuracy_figures(
    tmp_path: Path, toy_bundle: Path, make_prepared: MakePrepared, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path, ["test"] * 3)
    figures = []
    for points in ("68", "66"):
        command = ["evaluate", "--data", str(tmp_path), "--bundle", str(toy_bundle), "--runtime", "onnxruntime"]
        assert main([*command, "--json", "--points", points]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0]["nrmse_mean"] != figures[1]["nrmse_mean"]
    assert figures[1]["points"] == 66


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--data: one of --data and --protocol"),
        (("--protocol", "300vw", "x", "--data", "y"), "--data: one of --data and --protocol"),
        (("--protocol", "aflw", "x"), "--protocol: 'aflw' is unknown; known: 300vw"),
        (("--protocol", "300vw", "x", "--suite", "stress"), "--suite: does not go with --protocol"),
        (("--protocol", "300vw", "x", "--frames"), "--frames: does not go with --protocol"),
        (("--data", "y", "--suite", "stress", "--points", "66"), "--points: is 66"),
        (("--protocol", "300vw", "/nowhere"), "no clip"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options]) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_folder_with_training_clips_alone_is_refused(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "001").symlink_to(folder / "001")
    assert main(["evaluate", "--protocol", "300vw", str(tmp_path)]) == 1
    assert "no clip of a test category" in capsys.readouterr().err
