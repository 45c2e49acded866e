"""What refinement is worth (Fig. 6): accuracy by kind and severity of box error before and after, and its failures.

Pictures of faces are not drawn: a table names the faces that refinement made worse, by id and row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_engine.detect import BoxAffine, Detector
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.metrics.accuracy import summarise
from exalign_engine.refiner.fitting import BoxedFace, CropScorer, boxed_faces
from exalign_engine.refiner.refiner import NOISE, Refiner, next_frames
from exalign_engine.refiner.regression import IMPORTANCE
from exalign_engine.sampling.corruptions import BOX, seeded

#: Boxes of the conditions: the true ones, and those of the stress suite's ``box``.
TRUTH, SHIFTED = "truth", "box"


@dataclass(frozen=True)
class RefinementOutcome:
    """One face about one box after so many rounds of refinement.

    Attributes:
        face: its id.
        row: of its source.
        condition: `TRUTH`, `SHIFTED` or a detector.
        severity: of the shift, 1 to 3; 0 elsewhere.
        round: 0 before refinement.
        error: NRMSE of the landmarks; infinite where the detector missed the face.
        box_error: distance to the true box as `IMPORTANCE` weighs it, box sides; infinite for a miss.
    """

    face: str
    row: int
    condition: str
    severity: int
    round: int
    error: float
    box_error: float


def measure(
    scorer: CropScorer,
    refiner: Refiner,
    rows: Sequence[int],
    detectors: Mapping[str, tuple[Detector, BoxAffine]],
    *,
    rounds: int | None = None,
    min_move: float = 0.0,
) -> list[RefinementOutcome]:
    """Refine every face from every kind of box.

    Args:
        scorer: of the faces of a split.
        refiner: boxes that a caller gave, or that were moved on purpose, are refined as `NOISE`.
        rows: which faces.
        detectors: by name, each with the affine from its boxes to face boxes.
        rounds: how often a box is moved; None: as often as the refiner was fitted for.
        min_move: a box that would move by no more stays.

    Returns:
        Of each condition, round by round, one outcome a face.
    """
    outcomes: list[RefinementOutcome] = []
    for (condition, severity), boxes in _conditions(scorer, rows, detectors).items():
        missed = sorted(set(rows) - {box.row for box in boxes})
        seen = scorer.observe(boxes, f"{condition} {severity}") if boxes else None
        for n in range((len(refiner.rounds) if rounds is None else rounds) + 1):
            if n and seen:
                frames = next_frames(refiner, seen.observations, n - 1, min_move)
                boxes = [replace(b, frame=f or b.frame) for b, f in zip(boxes, frames, strict=True)]
                seen = scorer.observe(boxes, f"{condition} {severity}, round {n}")
            at = condition, severity, n
            outcomes += [RefinementOutcome(scorer.faces.ids[row], row, *at, np.inf, np.inf) for row in missed]
            if seen:
                off = np.sqrt(seen.moves**2 @ IMPORTANCE)
                for box, error, far in zip(boxes, seen.errors, off, strict=True):
                    outcomes.append(RefinementOutcome(scorer.faces.ids[box.row], box.row, *at, error, float(far)))
    return outcomes


def _conditions(
    scorer: CropScorer, rows: Sequence[int], detectors: Mapping[str, tuple[Detector, BoxAffine]]
) -> dict[tuple[str, int], list[BoxedFace]]:
    true = {row: BoxFrame.from_box(tight_box(scorer.faces.landmarks[row])) for row in rows}
    conditions = {(TRUTH, 0): [BoxedFace(row, False, NOISE, frame, False) for row, frame in true.items()]}
    for i, limit in enumerate(BOX):
        moved = {r: seeded(scorer.faces.ids[r], "box").uniform(-limit, limit, 3) for r in rows}
        conditions[SHIFTED, i + 1] = [
            BoxedFace(r, False, NOISE, true[r].moved(dx, dy, 1 + change), False)
            for r, (dx, dy, change) in moved.items()
        ]
    found = boxed_faces(scorer.faces, rows, detectors, training=False)
    for name in detectors:
        conditions[name, 0] = [box for box in found if box.source == name]
    return conditions


def table(outcomes: Sequence[RefinementOutcome]) -> list[dict[str, Any]]:
    """Figures by condition, severity and round.

    Returns:
        Rows with n, auc, failure_rate, nrmse_mean, box_error (root mean square over the faces that were found), loss
        (of AUC against true boxes that nothing has moved) and left (that loss ÷ the loss without refinement; None where
        there is none).
    """
    by_key: dict[tuple[str, int, int], list[RefinementOutcome]] = {}
    for outcome in outcomes:
        by_key.setdefault((outcome.condition, outcome.severity, outcome.round), []).append(outcome)
    figures = {key: summarise([o.error for o in found]) for key, found in by_key.items()}
    best = figures[TRUTH, 0, 0]["auc"] or 0.0
    rows = []
    for (condition, severity, n), found in by_key.items():
        loss = best - (figures[condition, severity, n]["auc"] or 0.0)
        first = best - (figures[condition, severity, 0]["auc"] or 0.0)
        boxes = [o.box_error**2 for o in found if np.isfinite(o.box_error)]
        row: dict[str, Any] = {"condition": condition, "severity": severity, "round": n}
        row |= {name: figures[condition, severity, n][name] for name in ("n", "auc", "failure_rate", "nrmse_mean")}
        row |= {"box_error": round(float(np.sqrt(np.mean(boxes))), 6) if boxes else None, "loss": round(loss, 6)}
        rows.append(row | {"left": round(loss / first, 4) if first > 0 else None})
    return rows
