"""NoC@τ: how many clicks a face needs until it is right, as interactive segmentation and keypoint papers count.

The number of clicks until the mean error is below τ of the true box's diagonal; 0 where it is from the beginning, and
`MOST_CLICKS` where it is not even after as many. The share that never gets there stands beside the mean.

Policies of `exalign_engine.face.click_policies` answer with the posterior given the clicks. Two controls answer without
it, and are given the best that they can have: each click goes to the landmark that is farthest from the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.evaluation.stress.suite import Disturbed, disturbed
from exalign_engine.face.click_policies import CLICKING, Case, click_answers
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.network.outputs import FaceOutputs, Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress

#: Shares of the box's diagonal.
THRESHOLDS = (0.02, 0.03)

MOST_CLICKS = 10

#: Answers that no posterior is asked for: the clicked landmarks alone move; or the whole shape, by the mean of what
#: clicks say.
POINT, SHIFT = "point", "shift"

CONDITIONS = (("clean", 0), ("occluder", 3), ("mixed", 1), ("mixed", 2), ("mixed", 3))

#: Orders in which ``random`` clicks each face.
RANDOM_ORDERS = 2

#: (corruption, severity, policy).
Key = tuple[str, int, str]


def control_answers(control: str, case: Case, clicks: int = MOST_CLICKS) -> Iterator[F64]:
    """Answers of `POINT` or `SHIFT` after 1, 2, … clicks: (68, 2) each, frame of the given box."""
    points: F64 = case.posterior.mean.astype(np.float64)
    clicked: list[int] = []
    for _ in range(clicks):
        far = np.linalg.norm(points - case.truth, axis=1)
        far[clicked] = -1.0
        clicked.append(int(far.argmax()))
        points = points.copy()
        if control == POINT:
            points[clicked[-1]] = case.clicks[clicked[-1]]
        else:
            mean = case.posterior.mean
            points = mean + (case.clicks[clicked] - mean[clicked]).mean(axis=0)
        yield points


def clicks_needed(errors: Iterator[float], thresholds: Sequence[float] = THRESHOLDS) -> list[int | None]:
    """Clicks until the error is below each of the thresholds; None: never.

    Args:
        errors: after 0, 1, 2, … clicks; no more of them are asked for than are needed.
        thresholds: in the unit of the errors.
    """
    found: list[int | None] = [None] * len(thresholds)
    for clicks, error in enumerate(errors):
        found = [clicks if n is None and error < limit else n for n, limit in zip(found, thresholds, strict=True)]
        if None not in found:
            break
    return found


def run_noc(
    bundle: Bundle,
    runtime: Runtime,
    faces: FaceSource,
    *,
    limit: int = 0,
    threads: int = 2,
    progress: Progress | None = None,
) -> dict[Key, list[list[int | None]]]:
    """Count the clicks that every face needs under every condition and policy.

    Args:
        bundle: the model.
        runtime: executes its network.
        faces: annotated faces.
        limit: at most so many, evenly spaced; 0 takes all.
        threads: of what follows the network.
        progress: told how many faces are done.

    Returns:
        Of each face, or of each order of a face where the policy is ``random``, one number a threshold.
    """
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    needed: dict[Key, list[list[int | None]]] = {}
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for jobs, out in disturbed(bundle, runtime, faces, limit, CONDITIONS):
            for found in pool.map(lambda a: list(_counted(model, *a)), zip(jobs, out.rows(), strict=True)):
                for key, clicks in found:
                    needed.setdefault(key, []).append(clicks)
            done += len(jobs) // len(CONDITIONS)
            if progress:
                progress(done)
    return needed


def _counted(model: PosteriorModel, job: Disturbed, row: FaceOutputs) -> Iterator[tuple[Key, list[int | None]]]:
    case = job.case(model, row)
    unit = diagonal(tight_box(case.truth))

    def errors(answers: Iterator[F64]) -> Iterator[float]:
        yield case.error(case.posterior.mean) / unit
        for points in answers:
            yield case.error(points) / unit

    at = job.corruption, job.severity
    for policy in CLICKING:
        for order in range(RANDOM_ORDERS if policy == "random" else 1):
            yield (*at, policy), clicks_needed(errors(click_answers(policy, case, MOST_CLICKS, order)))
    for control in (POINT, SHIFT):
        yield (*at, control), clicks_needed(errors(control_answers(control, case)))


def noc_report(needed: dict[Key, list[list[int | None]]]) -> dict[str, Any]:
    """Of each condition, policy and threshold: the mean number of clicks, and the share that never gets there, %."""
    rows = []
    for (corruption, severity, policy), counts in needed.items():
        for i, threshold in enumerate(THRESHOLDS):
            clicks = [c[i] for c in counts]
            mean = float(np.mean([MOST_CLICKS if n is None else n for n in clicks]))
            never = 100.0 * sum(n is None for n in clicks) / len(clicks)
            rows.append(
                {"corruption": corruption, "severity": severity, "policy": policy, "threshold": threshold}
                | {"n": len(clicks) // (RANDOM_ORDERS if policy == "random" else 1)}
                | {"noc": round(mean, 4), "never": round(never, 3)}
            )
    return {"suite": "clicks", "rows": rows}
