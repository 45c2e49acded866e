"""A simulated annotator: clicks and seconds until a face is right, in three ways of working.

    python -m benchmarks.annotating --data FACES --limit 24 --json docs/benchmarks/annotating.json

- ``suggested``: the page. The landmark whose click is expected to help most is clicked, and the whole face follows.
- ``worst``: the page, for who looks for the landmark that is farthest off; nobody finds it every time.
- ``drag``: a regressor's points, of which the one that is farthest off is dragged, again and again; the others stay.
- ``all``: all 68 points are clicked, with nothing to begin from.

A click lands on the truth with noise of 1 % of the diagonal (`exalign_engine.face.click_policies`). A face is right
when its mean error is below 2 % of the diagonal of the true box. Seconds are those of the keystroke-level model (Card,
Moran and Newell 1980), not of people: pointing 1.1, a button pressed or released 0.1, thinking of what comes next 1.35.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.stress.noc import clicks_needed
from exalign_engine.evaluation.stress.suite import disturbed
from exalign_engine.face.click_policies import Case, click_answers
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime.select import create_runtime

#: Share of the true box's diagonal.
RIGHT = 0.02

#: Clicks after which a face on the page is given up.
MOST = 20

CONDITIONS = (("clean", 0), ("occluder", 3), ("mixed", 2), ("mixed", 3))

#: Of the keystroke-level model, seconds.
POINT, BUTTON, THINK = 1.1, 0.1, 1.35
SECONDS = {
    "click": THINK + POINT + 2 * BUTTON,
    "drag": THINK + 2 * POINT + 2 * BUTTON,
}


def worst_first(case: Case) -> Iterator[F64]:
    """Answers after 1, 2, … clicks on the landmark that is farthest off; the whole face follows."""
    clicked: list[int] = []
    points: F64 = case.posterior.mean.astype(np.float64)
    for _ in range(MOST):
        away = np.linalg.norm(points - case.truth, axis=1)
        away[clicked] = -1.0
        clicked.append(int(away.argmax()))
        points = case.answer(clicked).mean.astype(np.float64)
        yield points


def dragged(case: Case, points: F64) -> Iterator[F64]:
    """A regressor's points after 1, 2, … drags of the one that is farthest off."""
    moved: list[int] = []
    for _ in range(N_LANDMARKS):
        away = np.linalg.norm(points - case.truth, axis=1)
        away[moved] = -1.0
        moved.append(int(away.argmax()))
        points = points.copy()
        points[moved[-1]] = case.clicks[moved[-1]]
        yield points


def needed(case: Case, regression: F64) -> dict[str, int | None]:
    """Clicks or drags until the face is right, by way of working; None: it never is."""
    unit = diagonal(tight_box(case.truth))

    def until(start: F64, answers: Iterator[F64]) -> int | None:
        def errors() -> Iterator[float]:
            yield case.error(start) / unit
            for points in answers:
                yield case.error(points) / unit

        return clicks_needed(errors(), (RIGHT,))[0]

    mean = case.posterior.mean.astype(np.float64)
    return {
        "suggested": until(mean, click_answers("suggested", case, MOST)),
        "worst": until(mean, worst_first(case)),
        "drag": until(regression, dragged(case, regression)),
        "all": N_LANDMARKS if case.error(case.clicks) / unit < RIGHT else None,
    }


def row(condition: tuple[str, int], way: str, counts: list[int | None]) -> dict[str, Any]:
    """One line of the table; a face that is never right counts as if it were after the last click."""
    most = MOST if way in ("suggested", "worst") else N_LANDMARKS
    clicks = np.array([most if one is None else one for one in counts], np.float64)
    seconds = clicks * SECONDS["drag" if way == "drag" else "click"]
    return {
        "condition": " ".join(map(str, condition)) if condition[1] else condition[0],
        "way": way,
        "faces": len(counts),
        "clicks_mean": round(float(clicks.mean()), 2),
        "clicks_median": float(np.median(clicks)),
        "seconds_mean": round(float(seconds.mean()), 1),
        "never_right_percent": round(100.0 * sum(one is None for one in counts) / len(counts), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="annotated faces")
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=24, help="so many faces, evenly spaced (%(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    bundle = Bundle.load(default_bundle_path())
    runtime = create_runtime("auto", bundle.network, threads=1)
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    faces = open_faces(arguments.data, arguments.split)
    counts: dict[tuple[tuple[str, int], str], list[int | None]] = {}
    for jobs, out in disturbed(bundle, runtime, faces, arguments.limit, CONDITIONS):
        shapes = bundle.baseline.predict(out.features, out.embedding)
        for job, outputs, shape in zip(jobs, out.rows(), shapes, strict=True):
            for way, found in needed(job.case(model, outputs), shape.astype(np.float64)).items():
                counts.setdefault(((job.corruption, job.severity), way), []).append(found)
        print(f"{len(next(iter(counts.values())))} faces", flush=True)
    rows = [row(condition, way, found) for (condition, way), found in counts.items()]
    for one in rows:
        print(*one.values(), sep="\t")
    if arguments.json:
        result = {"right_below": RIGHT, "bundle": bundle.id, "seconds_of": SECONDS, "rows": rows}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
