"""One detector more in a bundle, all else left as it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import write_prepared
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.bundle.refiner_file import write_refiner
from exalign_engine.calibration.detector import DetectorFit, calibrate_detector, detector_line, write_detector
from exalign_engine.detect import FaceBoxMap, RawDetection
from exalign_engine.errors import InvalidInputError
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import tight_box
from exalign_engine.network.outputs import Outputs
from exalign_engine.refiner.refiner import NOISE, Refiner, Round
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.faces import LoadedFaces


@dataclass
class Knowing:
    """Finds each face by what the test knows of it: its box a tenth too high, and three of its landmarks."""

    faces: tuple[LoadedFaces, ...]
    misses: bool = False
    name: str = "knowing"
    min_score: float = 0.5

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        for split in self.faces:
            for i in range(len(split.source)):
                if not self.misses and np.array_equal(split.source.image(i), image):
                    box = tight_box(split.source.landmarks[i])
                    box = box - (0, 0.1 * (box[3] - box[1]), 0, 0.1 * (box[3] - box[1]))
                    return [RawDetection(box, 0.9, np.asarray(split.source.landmarks[i][[36, 45, 57]], np.float64))]
        return []


@pytest.fixture
def splits(tmp_path: Path) -> tuple[LoadedFaces, LoadedFaces]:
    write_prepared(tmp_path / "faces", 14, 6, 0, 5)
    train, val = (LoadedFaces.open(tmp_path / "faces", split) for split in ("train", "val"))
    return train, val


def test_a_bundle_learns_one_detector_and_keeps_the_rest(
    toy_bundle_copy: Path, splits: tuple[LoadedFaces, LoadedFaces]
) -> None:
    before = Bundle.load(toy_bundle_copy)
    network = create_runtime("onnxruntime", before.network)
    fit = calibrate_detector(before, network, *splits, Knowing(splits))
    assert fit.entry["residuals"]["missed"] == 0
    assert fit.refiner is None
    write_detector(before, fit)
    after = Bundle.load(toy_bundle_copy)
    known = after.detectors["knowing"]
    assert isinstance(known, FaceBoxMap)
    assert known.points is not None
    changed = {name for name, digest in after.manifest.files.items() if digest != before.manifest.files[name]}
    assert changed == {"detectors.json", "calibration.json"}
    assert after.calibration.card["detectors"]["knowing"] == fit.entry
    assert after.manifest.created == before.manifest.created
    image, truth = splits[1].source.image(0), splits[1].source.landmarks[0]
    aligner = Aligner(after, network, {"knowing": Knowing(splits)})
    (place,) = aligner.locate(image)
    assert place.by_points
    np.testing.assert_allclose(place.frame.box.mean(), tight_box(truth).mean(), atol=6)
    assert not aligner.place(place.source_box, "knowing").by_points


def test_a_refiner_learns_the_detector_too(toy_bundle_copy: Path, splits: tuple[LoadedFaces, LoadedFaces]) -> None:
    bundle = Bundle.load(toy_bundle_copy)
    network = create_runtime("onnxruntime", bundle.network)
    outputs: Outputs = network.infer(np.zeros((1, bundle.manifest.input_size, bundle.manifest.input_size, 3), np.uint8))
    inputs = outputs.features[0].size + outputs.embedding.shape[1]
    other = Round(np.full((1, 3, 4), 0.01, np.float32), np.zeros((3, inputs), np.float32))
    write_refiner(toy_bundle_copy / "refiner.npz", Refiner((NOISE,), (other,)))
    seal(toy_bundle_copy, bundle.manifest)
    bundle = Bundle.load(toy_bundle_copy)
    fit = calibrate_detector(bundle, network, *splits, Knowing(splits))
    write_detector(bundle, fit)
    refiner = Bundle.load(toy_bundle_copy).refiner
    assert refiner is not None
    assert refiner.sources == (NOISE, "knowing")
    np.testing.assert_array_equal(refiner.rounds[0].geometry[0], other.geometry[0])
    assert [row["round"] for row in fit.figures] == [0, 1]
    card = json.loads((toy_bundle_copy / "calibration.json").read_text())["card"]
    assert [row["source"] for row in card["refiner"]["val"]] == ["knowing", "knowing"]


def test_too_few_faces_are_refused(toy_bundle_copy: Path, splits: tuple[LoadedFaces, LoadedFaces]) -> None:
    bundle = Bundle.load(toy_bundle_copy)
    network = create_runtime("onnxruntime", bundle.network)
    with pytest.raises(InvalidInputError, match="knowing found 0 of 14 faces"):
        calibrate_detector(bundle, network, *splits, Knowing(splits, misses=True))


def test_the_line_for_people_says_what_was_missed() -> None:
    residuals = {"n": 9, "missed": 1, "dx_std": 0.03, "dy_std": 0.04, "log_scale_std": 0.05}
    line = detector_line(DetectorFit("x", {"residuals": residuals}, None, [{"round": 1, "auc": 0.78}]))
    assert line.startswith("x: 1 of 10 faces missed")
    assert "round 1: val AUC 0.7800" in line
