"""Running the stress suite: every face, corruption, severity and policy; and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.face.click_policies import (
    CLICKING,
    RANDOM_ORDERS,
    Case,
    click_answers,
    simulated_clicks,
    translated,
)
from exalign_engine.geometry.frames import diagonal, extract_crop, tight_box
from exalign_engine.metrics.accuracy import FAILURE, summarise
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import FaceOutputs, Outputs, Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.sampling.corruptions import CORRUPTIONS, SEVERITIES, StressedFace, stress

#: (corruption, severity, policy, clicks).
Key = tuple[str, int, str, int]

CONDITIONS = (("clean", 0), *((c, s) for c in CORRUPTIONS for s in SEVERITIES))

#: Faces whose crops are scored together.
CHUNK = 8

#: Resamples of the paired bootstrap.
RESAMPLES = 2000


def clicked(corruption: str, severity: int) -> bool:
    """Whether clicks are simulated for a condition: clean, the largest occluder and everything mixed."""
    return corruption in ("clean", "mixed") or (corruption, severity) == ("occluder", 3)


def run_suite(
    bundle: Bundle,
    runtime: Runtime,
    faces: FaceSource,
    *,
    limit: int = 0,
    threads: int = 2,
    progress: Progress | None = None,
) -> dict[Key, list[float]]:
    """NRMSE of every face under every condition and policy.

    Args:
        bundle: the model.
        runtime: executes its network.
        faces: annotated faces.
        limit: at most so many, evenly spaced; 0 takes all.
        threads: of what follows the network.
        progress: told how many faces are done.

    Returns:
        One list a row of the report, in the order of the report; faces in the order of the source, each with one error,
        or `RANDOM_ORDERS` where the policy is ``random``.
    """
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    errors: dict[Key, list[float]] = {}
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for jobs, out in disturbed(bundle, runtime, faces, limit, CONDITIONS):
            shapes = bundle.baseline.predict(out.features, out.embedding)
            for found in pool.map(lambda a: list(_errors(model, *a)), zip(jobs, out.rows(), shapes, strict=True)):
                for key, error in found:
                    errors.setdefault(key, []).append(error)
            done += len(jobs) // len(CONDITIONS)
            if progress:
                progress(done)
    return errors


@dataclass(frozen=True)
class Disturbed:
    """One face under one condition.

    Attributes:
        face_id: of the face.
        corruption: of the stress suite, or ``clean``.
        severity: 1 to 3; 0 where it is clean.
        face: the picture, the box given and the truth.
    """

    face_id: str
    corruption: str
    severity: int
    face: StressedFace

    def case(self, model: PosteriorModel, row: FaceOutputs) -> Case:
        """What policies see of it, given what the network says."""
        face = self.face
        truth = face.given.from_image(face.truth)
        clicks = simulated_clicks(truth, face.click_sigma, self.face_id)
        return Case(model.posterior(row.scores, row.image), truth, clicks, face.click_sigma, self.face_id)


def disturbed(
    bundle: Bundle, runtime: Runtime, faces: FaceSource, limit: int, conditions: Sequence[tuple[str, int]]
) -> Iterator[tuple[list[Disturbed], Outputs]]:
    """Faces of a source under conditions, a few at a time, with the network's outputs.

    Args:
        bundle: the model.
        runtime: executes its network.
        faces: annotated faces.
        limit: at most so many, evenly spaced; 0 takes all.
        conditions: corruption and severity.

    Yields:
        Each of the faces under each of the conditions, conditions innermost; and one row of outputs for each.
    """
    n, m = len(faces), bundle.manifest
    rows = list(range(n)) if not 0 < limit < n else [int(i) for i in np.linspace(0, n - 1, limit)]
    for start in range(0, len(rows), CHUNK):
        jobs = [
            Disturbed(faces.ids[i], *at, stress(faces.image(i), faces.landmarks[i], faces.ids[i], *at))
            for i in rows[start : start + CHUNK]
            for at in conditions
        ]
        crops = (extract_crop(j.face.picture, j.face.given, m.margin, m.input_size) for j in jobs)
        yield jobs, score(runtime, crops)


def _errors(
    model: PosteriorModel, job: Disturbed, row: FaceOutputs, regression: NDArray[np.float32]
) -> Iterator[tuple[Key, float]]:
    """NRMSE of one disturbed face by every policy that applies to it."""
    case, at = job.case(model, row), (job.corruption, job.severity)
    truth, posterior = case.truth, case.posterior
    unit = diagonal(tight_box(truth))
    yield (*at, "none", 0), case.error(posterior.mean) / unit
    yield (*at, "regression", 0), case.error(regression.astype(np.float64)) / unit
    if clicked(*at):
        yield (*at, "translate", 1), case.error(translated(case)) / unit
        for policy in CLICKING:
            for order in range(RANDOM_ORDERS if policy == "random" else 1):
                for i, points in enumerate(click_answers(policy, case, order=order)):
                    yield (*at, policy, i + 1), case.error(points) / unit


def stress_report(errors: dict[Key, list[float]]) -> dict[str, Any]:
    """Rows of figures, and the comparisons by paired bootstrap; ``n`` counts faces."""
    rows = []
    for (corruption, severity, policy, clicks), e in errors.items():
        figures = summarise(e) | {"n": len(e) // (RANDOM_ORDERS if policy == "random" else 1)}
        rows.append(
            {"corruption": corruption, "severity": severity, "policy": policy, "clicks": clicks}
            | {name: figures[name] for name in ("n", "failure_rate", "auc", "nrmse_mean")}
        )
    return {"suite": "stress", "rows": rows, "comparisons": comparisons(errors)}


def comparisons(errors: dict[Key, list[float]]) -> list[dict[str, Any]]:
    """The suggestion against random, nose and oracle, on the same faces.

    Returns:
        For each condition with clicks: the mean difference of the face's share of AUC (``auc``: suggested − other,
        above 0 the suggestion is better) and of failures in points of %, each with its 95 % bootstrap interval.
    """
    found = []
    for (corruption, severity, policy, clicks), e in errors.items():
        if policy != "suggested":
            continue
        ours = np.array(e)
        for other in ("random", "nose", "oracle"):
            # A face's errors, several where the policy is drawn at random, are one row.
            theirs = np.array(errors[corruption, severity, other, clicks]).reshape(len(ours), -1)
            gain = np.maximum(0, 1 - ours / FAILURE) - np.maximum(0, 1 - theirs / FAILURE).mean(axis=1)
            fails = 100.0 * ((ours > FAILURE) - (theirs > FAILURE).mean(axis=1))
            found.append(
                {"corruption": corruption, "severity": severity, "clicks": clicks, "other": other}
                | {"auc": _interval(gain), "failure_rate": _interval(fails)}
            )
    return found


def _interval(values: F64) -> dict[str, float]:
    """Mean of paired differences and its 95 % bootstrap interval over faces."""
    rng = np.random.default_rng(0)
    means = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)])
    lower, upper = np.quantile(means, [0.025, 0.975])
    return {"mean": round(float(values.mean()), 6), "lower": round(float(lower), 6), "upper": round(float(upper), 6)}
