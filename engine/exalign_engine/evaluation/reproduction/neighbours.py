"""Table 1: the linear classifier, nearest neighbours by weights and by features, and plain regression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.evaluation.reproduction.measures import shape_errors
from exalign_engine.evaluation.reproduction.runs import Run
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.train.batches import Batch

if TYPE_CHECKING:
    from exalign_engine.train.fixed_samples import Learned


#: Strength of the ridge regression, features being near variance 1.
RIDGE = 1.0

RESAMPLES = 2000


def neighbour_rows(learned: Learned, run: Run, exemplars: Exemplars, train: Batch, val: Batch) -> list[dict[str, Any]]:
    """Rows of Table 1 for a run whose classes are the training faces and poses of them.

    The classes compared are the training faces as they are and their mirror images, since only of these there are
    pictures; the classifier and its weights are also judged over all K.

    Args:
        learned: the network.
        run: what it was trained as.
        exemplars: the first of every half are the training faces in order (`Recipe`).
        train: all training faces, undisturbed, in the same order.
        val: validation faces, undisturbed.
    """
    m, half = len(train.crops), exemplars.count // 2
    real = np.concatenate([np.arange(m), half + np.arange(m)])
    seen = learned.embeddings(np.concatenate([train.crops, train.crops[:, :, ::-1]]))
    shapes = np.concatenate([train.shapes, mirror_shapes(train.shapes)]).astype(np.float32)
    queries = learned.embeddings(val.crops)
    answers: dict[tuple[str, str], NDArray[Any]] = {}
    for name, classes in (("real", real), ("all", np.arange(exemplars.count))):
        w, of = learned.weights[classes], exemplars.shapes[classes]
        answers["linear classifier", name] = of[_best(queries, w, learned.bias[classes])]
        answers["nearest weights w", name] = of[_best(_unit(queries), _unit(w), np.zeros(len(w), np.float32))]
    answers["nearest features s", "real"] = shapes[_best(_unit(queries), _unit(seen), np.zeros(len(seen), np.float32))]
    answers["linear regression on s", "real"] = regression(seen, shapes, queries)
    errors = {key: shape_errors(answer, val.shapes) for key, answer in answers.items()}
    return list(_rows(errors, run.seed))


def regression(features: F32, shapes: F32, queries: F32) -> F32:
    """Ridge regression of shapes (N, 68, 2) from features (N, D), answered for (Q, D): (Q, 68, 2)."""
    mean, target = features.mean(axis=0), shapes.reshape(len(shapes), -1)
    x = (features - mean).astype(np.float64)
    w = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (target - target.mean(axis=0)))
    return np.asarray(((queries - mean) @ w + target.mean(axis=0)).reshape(-1, *shapes.shape[1:]), dtype=np.float32)


def _best(queries: F32, keys: F32, bias: F32) -> NDArray[np.intp]:
    """(Q,) index of the highest product, in blocks that bound the memory."""
    blocks = range(0, len(queries), 128)
    return np.concatenate([(queries[b : b + 128] @ keys.T + bias).argmax(axis=1) for b in blocks])


def _unit(rows: F32) -> F32:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _rows(errors: dict[tuple[str, str], F64], seed: int) -> Iterator[dict[str, Any]]:
    """Mean and 95 % bootstrap interval over faces, of the error and of its difference from the linear classifier's."""
    rng = np.random.default_rng(0)
    n = len(next(iter(errors.values())))
    drawn = rng.integers(0, n, (RESAMPLES, n))
    for (method, classes), e in errors.items():
        apart = e - errors["linear classifier", classes]
        row: dict[str, Any] = {"method": method, "classes": classes, "seed": seed, "n": n}
        for name, values in (("nrmse", e), ("minus_linear", apart)):
            lower, upper = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
            row |= {name: round(float(values.mean()), 6)}
            row |= {f"{name}_lower": round(float(lower), 6), f"{name}_upper": round(float(upper), 6)}
        yield row
