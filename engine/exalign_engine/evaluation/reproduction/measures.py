"""What a trained run is measured by: the errors of Fig. 3, on training and on validation faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.evaluation.reproduction.runs import BATCH, Run
from exalign_engine.exemplars.exemplars import Exemplars, squared_distances
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.train.batches import Batch

if TYPE_CHECKING:
    from exalign_engine.train.fixed_samples import Learned


#: Temperatures that the mixture mean is tried with; each run takes its own best on the validation faces.
TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)

#: Seed of the random classifier.
RANDOM_SEED = 5
#: Its answers to a face.
RANDOM_ANSWERS = 8


@dataclass(frozen=True)
class Errors:
    """A network's errors on N faces.

    Attributes:
        top1: (N,) NRMSE of the exemplar with the highest score.
        means: (T, N) NRMSE of the mixture mean by `TEMPERATURES`.
        random: (N,) mean NRMSE of exemplars drawn at random.
        wrong_class: (N,) bool, the answer is not the nearest exemplar.
        no_member: (N,) bool, the answer is not in the face's membership set.
    """

    top1: F64
    means: F64
    random: F64
    wrong_class: NDArray[np.bool_]
    no_member: NDArray[np.bool_]


def shape_errors(answers: NDArray[np.floating], truth: NDArray[np.floating]) -> F64:
    """NRMSE of each face: (N, 68, 2), (N, 68, 2) in one frame → (N,)."""
    diagonals = np.array([diagonal(tight_box(t)) for t in truth])
    return np.asarray(np.linalg.norm(answers - truth, axis=-1).mean(axis=-1) / diagonals, dtype=np.float64)


def measure(learned: Learned, run: Run, exemplars: Exemplars, faces: Batch) -> Errors:
    """Judge a network on undisturbed faces."""
    flat = exemplars.shapes.reshape(exemplars.count, -1)
    rng = np.random.default_rng(RANDOM_SEED)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, len(faces.crops), BATCH):
        truth = faces.shapes[start : start + BATCH]
        scores = learned.scores(faces.crops[start : start + BATCH])
        answer = scores.argmax(axis=1)
        distance = squared_distances(truth, exemplars.shapes)
        wrong = answer != distance.argmin(axis=1)
        # Its nearest class has every face for a member (`exalign_engine.train.fixed_samples.own_classes`).
        outside = wrong & (np.take_along_axis(distance, answer[:, None], axis=1)[:, 0] > run.tau**2)
        drawn = exemplars.shapes[rng.integers(0, exemplars.count, (RANDOM_ANSWERS, len(truth)))]
        means = [(_softmax(scores / np.float32(t)) @ flat).reshape(truth.shape) for t in TEMPERATURES]
        parts.append(
            (
                shape_errors(exemplars.shapes[answer], truth),
                np.stack([shape_errors(mean, truth) for mean in means]),
                np.mean([shape_errors(shapes, truth) for shapes in drawn], axis=0),
                wrong,
                outside,
            )
        )
    top1, mean, chance, wrong_class, no_member = (
        np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)
    )
    return Errors(top1, mean, chance, wrong_class, no_member)


def _softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float32)


def run_rows(
    run: Run, epochs: int, classes: int, train: Errors, val: Errors, subsets: Mapping[str, NDArray[np.intp]]
) -> list[dict[str, Any]]:
    """The rows of a run's CSV: training faces, validation faces, and the difficult ones among these."""
    best = int(val.means.mean(axis=1).argmin())
    head = {
        "loss": run.loss,
        "k": classes,
        "seed": run.seed,
        "sharing": run.sharing,
        "synthetic": run.synthetic,
        "tau": run.tau,
        "epochs": epochs,
        "temperature": TEMPERATURES[best],
    }
    parts = [("train", "all", train, np.arange(len(train.top1))), ("val", "all", val, np.arange(len(val.top1)))]
    parts += [("val", name, val, index) for name, index in subsets.items()]
    rows = []
    for split, subset, errors, chosen in parts:
        top1 = errors.top1[chosen]
        rows.append(
            head
            | {
                "split": split,
                "subset": subset,
                "n": len(top1),
                "top1_nrmse": round(float(top1.mean()), 6),
                "mean_nrmse": round(float(errors.means[best][chosen].mean()), 6),
                "random_nrmse": round(float(errors.random[chosen].mean()), 6),
                "class_error": round(100 * float(errors.wrong_class[chosen].mean()), 3),
                "member_error": round(100 * float(errors.no_member[chosen].mean()), 3),
                "failure_rate": round(100 * float((errors.means[best][chosen] > 0.08).mean()), 3),
            }
        )
    return rows
