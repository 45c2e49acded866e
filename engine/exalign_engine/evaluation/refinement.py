"""What refinement is worth (Fig. 6): accuracy by kind and severity of box error before and after, and its failures.

Pictures of faces are not drawn: a table names the faces that refinement made worse, by id and row.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.detect import BoxAffine, Detector
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.metrics.accuracy import FAILURE, summarise
from exalign_engine.refiner.fitting import BoxedFace, Looker, boxed_faces
from exalign_engine.refiner.refiner import NOISE, Refiner, next_frames
from exalign_engine.refiner.regression import IMPORTANCE
from exalign_engine.sampling.corruptions import BOX, seeded

#: Boxes of the conditions: the true ones, and those of the stress suite's ``box``.
TRUTH, SHIFTED = "truth", "box"

#: Faces that are listed for each condition.
WORST = 10


@dataclass(frozen=True)
class Outcome:
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
    looker: Looker,
    refiner: Refiner,
    rows: Sequence[int],
    detectors: Mapping[str, tuple[Detector, BoxAffine]],
    *,
    rounds: int | None = None,
    settled: float = 0.0,
) -> list[Outcome]:
    """Refine every face from every kind of box.

    Args:
        looker: looks at the faces of a split.
        refiner: boxes that a caller gave, or that were moved on purpose, are refined as `NOISE`.
        rows: which faces.
        detectors: by name, each with the affine from its boxes to face boxes.
        rounds: how often a box is moved; None: as often as the refiner was fitted for.
        settled: a box that would move by no more stays.

    Returns:
        Of each condition, round by round, one outcome a face.
    """
    outcomes: list[Outcome] = []
    for (condition, severity), boxes in _conditions(looker, rows, detectors).items():
        missed = sorted(set(rows) - {box.row for box in boxes})
        seen = looker.look(boxes, f"{condition} {severity}") if boxes else None
        for n in range((len(refiner.rounds) if rounds is None else rounds) + 1):
            if n and seen:
                frames = next_frames(refiner, seen.looks, n - 1, settled)
                boxes = [replace(b, frame=f or b.frame) for b, f in zip(boxes, frames, strict=True)]
                seen = looker.look(boxes, f"{condition} {severity}, round {n}")
            at = condition, severity, n
            outcomes += [Outcome(looker.faces.ids[row], row, *at, np.inf, np.inf) for row in missed]
            if seen:
                off = np.sqrt(seen.moves**2 @ IMPORTANCE)
                for box, error, far in zip(boxes, seen.errors, off, strict=True):
                    outcomes.append(Outcome(looker.faces.ids[box.row], box.row, *at, error, float(far)))
    return outcomes


def _conditions(
    looker: Looker, rows: Sequence[int], detectors: Mapping[str, tuple[Detector, BoxAffine]]
) -> dict[tuple[str, int], list[BoxedFace]]:
    true = {row: BoxFrame.from_box(tight_box(looker.faces.landmarks[row])) for row in rows}
    conditions = {(TRUTH, 0): [BoxedFace(row, False, NOISE, frame, False) for row, frame in true.items()]}
    for i, limit in enumerate(BOX):
        moved = {r: seeded(looker.faces.ids[r], "box").uniform(-limit, limit, 3) for r in rows}
        conditions[SHIFTED, i + 1] = [
            BoxedFace(r, False, NOISE, true[r].moved(dx, dy, 1 + change), False)
            for r, (dx, dy, change) in moved.items()
        ]
    found = boxed_faces(looker.faces, rows, detectors, training=False)
    for name in detectors:
        conditions[name, 0] = [box for box in found if box.source == name]
    return conditions


def table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Figures by condition, severity and round.

    Returns:
        Rows with n, auc, failure_rate, nrmse_mean, box_error (root mean square over the faces that were found), loss
        (of AUC against true boxes that nothing has moved) and left (that loss ÷ the loss without refinement; None where
        there is none).
    """
    by_key: dict[tuple[str, int, int], list[Outcome]] = {}
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


def worst(outcomes: Sequence[Outcome], count: int = WORST) -> list[dict[str, Any]]:
    """The faces of each condition that lost most by refinement, worst first.

    Returns:
        Rows with face, row, condition, severity, before, after (NRMSE), lost (share of AUC) and box_before, box_after.
        Faces that lost nothing are left out.
    """
    last = max((o.round for o in outcomes), default=0)
    keyed = {(o.condition, o.severity, o.row, o.round): o for o in outcomes}
    rows: list[dict[str, Any]] = []
    for condition, severity in dict.fromkeys((o.condition, o.severity) for o in outcomes):
        here = []
        for (c, s, row, n), before in keyed.items():
            if (c, s, n) == (condition, severity, 0):
                after = keyed[c, s, row, last]
                lost = max(0.0, 1 - before.error / FAILURE) - max(0.0, 1 - after.error / FAILURE)
                entry = {k: v for k, v in asdict(before).items() if k in ("face", "row", "condition", "severity")}
                entry |= {"before": round(before.error, 6), "after": round(after.error, 6), "lost": round(lost, 6)}
                entry |= {"box_before": round(before.box_error, 6), "box_after": round(after.box_error, 6)}
                here.append(entry)
        rows += sorted((e for e in here if e["lost"] > 0), key=lambda e: -e["lost"])[:count]
    return rows


def write_refinement(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write refinement.csv, refinement_worst.csv and refinement.png.

    Args:
        outcomes: of `measure`.
        folder: made if it is not there.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = table(outcomes)
    paths = [folder / name for name in ("refinement.csv", "refinement_worst.csv", "refinement.png")]
    _write_csv(paths[0], rows)
    _write_csv(paths[1], worst(outcomes))
    _draw(rows, paths[2])
    return paths


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["face"])
        writer.writeheader()
        writer.writerows(rows)


def _draw(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """AUC by severity, and for each detector, one line or bar a round."""
    import matplotlib as mpl

    mpl.use("Agg")  # files only
    import matplotlib.pyplot as plt

    rounds = sorted({row["round"] for row in rows})
    detectors = list(dict.fromkeys(row["condition"] for row in rows if row["condition"] not in (TRUTH, SHIFTED)))
    auc = {(row["condition"], row["severity"], row["round"]): row["auc"] for row in rows}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.7), sharey=True, layout="constrained")
    for n in rounds:
        name = "not refined" if n == 0 else "refined once" if n == 1 else f"refined {n} times"
        points = [auc[TRUTH, 0, n], *(auc[SHIFTED, s + 1, n] for s in range(len(BOX)))]
        left.plot([0, *(100 * b for b in BOX)], points, marker="o", label=name)
        places = np.arange(len(detectors)) + (n - (len(rounds) - 1) / 2) * 0.25
        right.bar(places, [auc[d, 0, n] for d in detectors], 0.23, label=name)
    for axis in (left, right):
        axis.axhline(auc[TRUTH, 0, 0], color="0.4", lw=1, ls="--")
        axis.grid(alpha=0.25)
    low = min(auc.values())
    left.set(xlabel="shift and size of the box off by up to, %", ylabel="AUC", title="Boxes moved at random")
    left.set_ylim(low - 0.01, max(auc.values()) + 0.005)
    left.legend(frameon=False)
    right.set(xticks=range(len(detectors)), title="Detected boxes (dashed: true boxes)")
    right.set_xticklabels(detectors)
    figure.savefig(out, dpi=150)
    plt.close(figure)
