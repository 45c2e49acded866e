"""Presence: a logistic regression, in two steps.

    presence = logistic(slope · m + w · e + offset)            m = log Σ exp s, e the embedding, mean of both looks

m alone tells a face from none where the face looks much as those of training do; of a head that is turned far, no
exemplar claims much. So the direction (slope, w) is fitted on ``train``, with turned heads among the faces. How sure it
may be is fitted on ``val``: two numbers, for the network remembers ``train``. docs/decisions/turned-heads.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.metrics.presence import PresenceCrops

#: Weak ridges on weights of unit variance: of the direction, and of how sure it is, which keeps separable data finite.
RIDGE, SURENESS_RIDGE = 1e-4, 1e-4

#: Newton steps.
ITERATIONS = 100


@dataclass(frozen=True)
class PresenceFit:
    """What makes presence of mass and embedding.

    Attributes:
        slope: of the mass.
        offset: of all.
        weights: (D,) of the embedding; empty where it is not read.
    """

    slope: float
    offset: float
    weights: tuple[float, ...] = ()


def fit_presence(faces: F64, others: F64) -> PresenceFit:
    """By the mass alone: (B,) of crops with a face, (C,) of crops without one; both kinds weigh the same."""
    weights, offset = _logistic(faces[:, None], others[:, None], [1.0] * len(faces), SURENESS_RIDGE)
    return PresenceFit(float(weights[0]), offset)


def fit_presence_of_turned(
    train: Sequence[PresenceCrops],
    train_others: PresenceCrops,
    val: Sequence[PresenceCrops],
    val_others: PresenceCrops,
    looks: int,
) -> PresenceFit:
    """By mass and embedding.

    Args:
        train: kinds of crops with a face, each kind weighing as much as the others.
        train_others: crops without one, weighing as much as all faces.
        val: as ``train``; and
        val_others: as ``train_others``, of faces that the network does not know.
        looks: how often the network looked.
    """
    weights, offset = _logistic(*_stacked(train, train_others, looks), RIDGE)
    faces, others, kinds = _stacked(val, val_others, looks)
    sure, shift = _logistic(
        (faces @ weights + offset)[:, None], (others @ weights + offset)[:, None], kinds, SURENESS_RIDGE
    )
    slope, *rest = (float(sure[0]) * weights).tolist()
    return PresenceFit(slope, float(sure[0]) * offset + shift, tuple(rest))


def _stacked(faces: Sequence[PresenceCrops], others: PresenceCrops, looks: int) -> tuple[F64, F64, list[float]]:
    """(B, 1 + D) of faces, (C, 1 + D) of others, and how much each face weighs beside the rest of its kind."""
    kinds = [1.0 / len(kind) for kind in faces for _ in range(len(kind))]
    return np.concatenate([_features(kind, looks) for kind in faces]), _features(others, looks), kinds


def _features(crops: PresenceCrops, looks: int) -> F64:
    """(B, 1 + D): mass, and the mean of the looks' embeddings."""
    seen = crops.embedding.astype(np.float64).reshape(len(crops), looks, -1)
    return np.column_stack([crops.mass, seen.mean(axis=1)])


def _logistic(faces: F64, others: F64, weigh: Sequence[float], ridge: float) -> tuple[F64, float]:
    """Logistic regression of "shows a face": (F,) weights, and the offset.

    Args:
        faces: (B, F).
        others: (C, F).
        weigh: of each face beside the others; all faces together weigh as much as all others.
        ridge: on the weights, in units of the features' spread.
    """
    x = np.concatenate([faces, others])
    y = np.r_[np.ones(len(faces)), np.zeros(len(others))]
    kinds = np.asarray(weigh, dtype=np.float64)
    w = np.r_[0.5 * kinds / kinds.sum(), np.full(len(others), 0.5 / len(others))]
    centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack([(x - centre) / spread, np.ones(len(x))])
    beta, penalty = np.zeros(z.shape[1]), np.r_[np.full(z.shape[1] - 1, ridge), 0.0]
    for _ in range(ITERATIONS):
        p = 1 / (1 + np.exp(-np.clip(z @ beta, -30, 30)))
        gradient = z.T @ (w * (p - y)) + penalty * beta
        hessian = (z * (w * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ z + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    weights = beta[:-1] / spread
    return weights, float(beta[-1] - weights @ centre)
