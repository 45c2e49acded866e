"""What the model is measured by on a split, as rows of CSV files: accuracy, stress, video and refinement.

Each function runs a suite that `exalign-model evaluate` or `calibrate` also runs, and gives its rows bundle and split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.detect import BoxAffine, create_default_detector, create_detectors
from exalign_engine.evaluation.photos import evaluate_crops
from exalign_engine.evaluation.refinement import RefinementOutcome, measure, table
from exalign_engine.evaluation.reproduction.tables import Row
from exalign_engine.evaluation.stress.suite import run_suite, stress_report
from exalign_engine.evaluation.video.clips import ClipMaker
from exalign_engine.evaluation.video.suite import run_video_suite, video_report
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import tight_box
from exalign_engine.geometry.landmark_formats import FORMATS, format_error
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.accuracy import FAILURE, summarise
from exalign_engine.metrics.subsets import difficult_subsets, yaw_of
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.refiner.fitting import CropScorer
from exalign_engine.refiner.refiner import MIN_MOVE_DETECTED, MIN_MOVE_GIVEN

#: Methods of Table 2, the paper's "classification" twice: its own answer is the most probable exemplar.
TOP, MIXTURE, RESIDUAL = "classification", "mixture", "residual"

#: Points at which a cumulative error curve is drawn.
CURVE = np.linspace(0.0, FAILURE, 41)

#: Marks a detector's boxes as it draws them: squared, and not mapped to face boxes.
AS_DRAWN = " as drawn"

#: A face that loses more than this by refinement counts as made worse, NRMSE.
WORSE = 0.01


@dataclass(frozen=True)
class SuiteInputs:
    """What a suite runs on.

    Attributes:
        bundle: the model.
        runtime: executes its network.
        faces: annotated faces.
        split: their name.
        threads: of what follows the network.
        limit: at most so many faces or clips; 0 takes all.
        bar: opens a bar of so many steps of some work.
    """

    bundle: Bundle
    runtime: Runtime
    faces: FaceSource
    split: str
    threads: int = 1
    limit: int = 0
    bar: Callable[[int, str], Progress] = lambda total, what: lambda done: None

    @property
    def head(self) -> Row:
        """The columns that every row has."""
        return {"bundle": self.bundle.id[:12], "split": self.split}

    @property
    def rows(self) -> list[int]:
        """Faces that are looked at, evenly spaced."""
        n = len(self.faces)
        return list(range(n)) if not 0 < self.limit < n else [int(i) for i in np.linspace(0, n - 1, self.limit)]


def accuracy_rows(setting: SuiteInputs) -> tuple[list[Row], list[Row]]:
    """Table 2 and Fig. 7: figures by method, boxes, format and subset; and the curves of cumulative error.

    True boxes in three formats, and the detector's (with refinement) in 68 points.
    """
    bundle, faces, rows = setting.bundle, setting.faces, setting.rows
    errors: dict[tuple[str, str, int], F64] = {}
    for method in (MIXTURE, RESIDUAL) if bundle.residual is not None else (MIXTURE,):
        used = bundle if method == RESIDUAL else replace(bundle, residual=None)
        aligner = Aligner(used, setting.runtime, create_default_detector(bundle.detectors))
        progress = setting.bar(len(rows), f"accuracy, {method}")
        answers: list[tuple[F64, F64, F64]] = []
        for done, i in enumerate(rows, 1):
            truth = faces.landmarks[i]
            (face,) = aligner.answer(faces.image(i), [aligner.place(tight_box(truth))])
            answers.append((face.landmarks, face.map_landmarks, truth))
            progress(done)
        for points in FORMATS:
            errors[method, "truth", points] = np.array([format_error(mean, t, points) for mean, _, t in answers])
            if method == MIXTURE:
                errors[TOP, "truth", points] = np.array([format_error(top, t, points) for _, top, t in answers])
        if len(rows) == len(faces):
            progress = setting.bar(len(rows), f"accuracy, {method}, detector")
            found = evaluate_crops(aligner, faces, "detector", None, progress)
            errors[method, "detector", 68] = np.array([o.error for o in found])
    subsets = _subsets(setting)
    figures, curves = [], []
    for (method, boxes, points), every in errors.items():
        for name, index in subsets.items():
            key = setting.head | {"method": method, "boxes": boxes, "points": points, "subset": name}
            figures.append(key | summarise(every[index].tolist()))
            if boxes == "truth" and points != 51 and name in ("all", "hard", "large_yaw"):
                shares = [100 * float((every[index] <= limit).mean()) for limit in CURVE]
                curves += [
                    {k: v for k, v in key.items() if k != "boxes"} | {"error": round(float(e), 4), "share": round(s, 3)}
                    for e, s in zip(CURVE, shares, strict=True)
                ]
    return figures, curves


def _subsets(setting: SuiteInputs) -> Mapping[str, NDArray[np.intp]]:
    """Positions among the rows by name: all, each collection, and the difficult ones."""
    faces, rows = setting.faces, setting.rows
    origins = np.array([faces.origins[i] for i in rows])
    yaw = yaw_of(faces, setting.bundle.poses.mean_face)[rows]
    found = {"all": np.arange(len(rows))}
    found |= {str(name): np.flatnonzero(origins == name) for name in np.unique(origins)}
    return found | difficult_subsets(np.asarray(faces.landmarks)[rows], yaw)


def stress_rows(setting: SuiteInputs) -> list[Row]:
    """Table 3: rows of the stress suite."""
    errors = run_suite(
        setting.bundle,
        setting.runtime,
        setting.faces,
        limit=setting.limit,
        threads=setting.threads,
        progress=setting.bar(len(setting.rows), "stress"),
    )
    return [setting.head | row for row in stress_report(errors)["rows"]]


def video_rows(setting: SuiteInputs) -> list[Row]:
    """Fig. 10 and smoothing: rows of the video suite, with the AUC, and with all judged frames as one more phase."""
    chain = Chain(setting.bundle.exemplars.shapes, setting.bundle.manifest.tau)
    maker = ClipMaker(setting.faces, setting.bundle.poses.mean_face)
    count = min(setting.limit, len(maker)) if setting.limit else len(maker)
    found = run_video_suite(
        Aligner(setting.bundle, setting.runtime, create_default_detector(setting.bundle.detectors)),
        chain,
        maker,
        count=count,
        threads=setting.threads,
        progress=setting.bar(count, "clips"),
    )
    rows: list[Row] = []
    for row in video_report(found, [])["rows"]:
        part = [o.error for o in found[row["boxes"]] if (o.method, o.phase) == (row["method"], row["phase"])]
        rows.append(setting.head | {"clips": count} | row | {"auc": summarise(part)["auc"]})
    for boxes, method in dict.fromkeys((row["boxes"], row["method"]) for row in rows):
        figures = summarise([o.error for o in found[boxes] if o.method == method])
        row = setting.head | {"clips": count, "boxes": boxes, "method": method, "phase": "all"}
        row |= {name: figures[name] for name in ("n", "nrmse_mean", "failure_rate")}
        rows.append(row | {"yaw_interval_deg": None, "yaw_coverage": None, "auc": figures["auc"]})
    return rows


def refinement_rows(setting: SuiteInputs) -> list[Row]:
    """Fig. 6: accuracy by box error before and after refinement, and the share of faces that it made worse.

    Boxes move by the aligner's thresholds: detected ones by `MIN_MOVE_DETECTED`, given ones by `MIN_MOVE_GIVEN`.
    A detector's boxes are looked at `AS_DRAWN` as well: to correct their mean bias is refinement too (paper §3.4).
    A bundle without a refiner has no rows.
    """
    bundle, m = setting.bundle, setting.bundle.manifest
    if bundle.refiner is None:
        return []
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    scorer = CropScorer(model, setting.runtime, setting.faces, m.input_size, m.margin, setting.bar)
    ready = create_detectors()
    detectors = {name: (ready[name], affine) for name, affine in bundle.detectors.items() if name in ready}
    drawn = {name + AS_DRAWN: (detector, BoxAffine(0.0, 0.0, 1.0)) for name, (detector, _) in detectors.items()}
    found = measure(scorer, bundle.refiner, setting.rows, {}, min_move=MIN_MOVE_GIVEN)
    detected = measure(scorer, bundle.refiner, setting.rows, detectors | drawn, min_move=MIN_MOVE_DETECTED)
    # Boxes as drawn are of a source that no refiner knows: none of them moves.
    found += [o for o in detected if o.condition in detectors or (o.condition in drawn and o.round == 0)]
    worse = _made_worse(found)
    return [setting.head | row | {"worse": worse[_key(row)]} for row in table(found)]


def _key(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["condition"], row["severity"], row["round"]


def _made_worse(found: Sequence[RefinementOutcome]) -> dict[tuple[str, int, int], float]:
    """Percent of the faces of a condition and round whose error is more than `WORSE` above that before refinement."""
    before = {(o.condition, o.severity, o.row): o.error for o in found if o.round == 0}
    lost: dict[tuple[str, int, int], list[bool]] = {}
    for o in found:
        first = before[o.condition, o.severity, o.row]
        lost.setdefault((o.condition, o.severity, o.round), []).append(
            bool(np.isfinite(first) and o.error - first > WORSE)
        )
    return {key: round(100 * float(np.mean(flags)), 3) for key, flags in lost.items()}
