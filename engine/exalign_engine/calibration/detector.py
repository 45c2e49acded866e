"""Making a bundle understand detectors: their maps to the face box; and one detector more, all else left as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.bundle.refiner_file import REFINER, write_refiner
from exalign_engine.data.face_source import FaceSource
from exalign_engine.detect import Detector, FaceBoxMap, fit_affines
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import progress_bar
from exalign_engine.refiner.fitting import REFINER_FACES, CropScorer, add_source, boxed_faces, refiner_rows
from exalign_engine.refiner.refiner import Refiner
from exalign_engine.sampling.faces import LoadedFaces

#: Training faces that a detector's map is fitted on.
DETECTOR_FACES = 600


@dataclass(frozen=True)
class DetectorFit:
    """What a bundle is to know of one detector.

    Attributes:
        name: of the detector.
        entry: what detectors.json holds.
        refiner: that knows its boxes; None where the bundle has none.
        figures: of refined boxes on ``val``, by round.
    """

    name: str
    entry: dict[str, Any]
    refiner: Refiner | None
    figures: list[dict[str, Any]]


def fit_detectors(train: FaceSource, detectors: Sequence[Detector], limit: int) -> dict[str, Any]:
    """Fit each detector's map on evenly spaced training faces: what detectors.json holds."""
    count = min(limit or DETECTOR_FACES, DETECTOR_FACES)
    rows = np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).astype(int))
    pairs = ((train.image(int(i)), train.landmarks[i]) for i in rows)
    return {name: fit.to_dict() for name, fit in fit_affines(pairs, detectors).items()}


def calibrate_detector(
    bundle: Bundle, network: Runtime, train: LoadedFaces, val: LoadedFaces, detector: Detector
) -> DetectorFit:
    """Fit the map and the refinement of one detector, about a bundle that is calibrated.

    Args:
        bundle: see above.
        network: executes the bundle's network.
        train: faces that are fitted on.
        val: faces that figures are taken from.
        detector: whose boxes are to be understood.

    Raises:
        InvalidInputError: it finds too few of the faces.
    """
    name, m = detector.name, bundle.manifest
    entry = fit_detectors(train.source, [detector], train.limit)[name]
    if bundle.refiner is None:
        return DetectorFit(name, entry, None, [])
    how = {name: (detector, FaceBoxMap.of_entry(entry))}
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    scorers, boxes = [], []
    for faces, most in ((train, REFINER_FACES), (val, len(val.source))):
        rows = refiner_rows(faces.source, most, faces.limit)
        found = boxed_faces(faces.source, rows, how, training=faces is train, bar=progress_bar)
        boxes.append([box for box in found if box.source == name])
        scorers.append(CropScorer(model, network, faces.source, m.input_size, m.margin, progress_bar))
    refiner, figures = add_source(bundle.refiner, scorers[0], boxes[0], scorers[1], boxes[1])
    return DetectorFit(name, entry, refiner, figures)


def write_detector(bundle: Bundle, fit: DetectorFit) -> None:
    """Put one detector into the bundle's files and seal it, whole or not at all."""
    card = dict(bundle.calibration.card)
    card["detectors"] = dict(card.get("detectors", {})) | {fit.name: fit.entry}
    if fit.figures:
        before = dict(card.get("refiner", {}))
        others = [row for row in before.get("val", []) if row["source"] != fit.name]
        card["refiner"] = before | {"val": [*others, *fit.figures]}
    with rewritten(bundle.path) as copy:
        path = copy / "detectors.json"
        entries = json.loads(path.read_text(encoding="utf-8")) | {fit.name: fit.entry}
        path.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if fit.refiner is not None:
            write_refiner(copy / REFINER, fit.refiner)
        replace(bundle.calibration, card=card).write(copy / "calibration.json")
        seal(copy, bundle.manifest)


def detector_line(fit: DetectorFit) -> str:
    """One line for people."""
    off = fit.entry["residuals"]
    text = f"{fit.name}: {off['missed']} of {off['n'] + off['missed']} faces missed, "
    text += (
        f"boxes off by {off['dx_std']:.3f}, {off['dy_std']:.3f} and {off['log_scale_std']:.3f} (sd of dx, dy, ln side)"
    )
    return text + "".join(f"; round {row['round']}: val AUC {row['auc']:.4f}" for row in fit.figures)
