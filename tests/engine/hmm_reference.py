"""Dense float64 twins of the HMM: K × K matrices, no truncation, no pruning; written to be obviously right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exalign_engine.hmm.chain import ChainSettings, Emission

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def adjacency(shapes: NDArray[np.floating], tau: float) -> Bool:
    """(K, K): which shapes are within ``tau`` of which; (K, N, 2) exact in float32."""
    rows = shapes.astype(np.float32).reshape(len(shapes), -1).astype(np.float64)
    limit = shapes.shape[1] * tau**2
    return np.stack([((rows - row) ** 2).sum(axis=1) <= limit for row in rows])


def evidence(emission: Emission, count: int, sharpness: float) -> F64:
    """(K,) e^γ, largest 1."""
    if emission.log is None:
        return np.ones(count)
    log = emission.log.astype(np.float64) * sharpness
    return np.exp(log - log.max())


def transition(near: Bool, settings: ChainSettings, stay: float) -> F64:
    """(K, K) weight of i → j."""
    number = near.sum(axis=1)
    moving = near / np.sqrt(np.outer(number, number))
    return stay * np.eye(len(near)) + (1 - stay) * moving + settings.restart / len(near)


def forward(near: Bool, settings: ChainSettings, emissions: Sequence[Emission]) -> list[F64]:
    """α_t of every frame, each sums to 1."""
    found = []
    alpha = np.ones(len(near))
    for t, emission in enumerate(emissions):
        prior = alpha @ transition(near, settings, emission.stay) if t else alpha
        alpha = evidence(emission, len(near), settings.sharpness) * prior
        alpha = alpha / alpha.sum()
        found.append(alpha)
    return found


def smoothed(near: Bool, settings: ChainSettings, emissions: Sequence[Emission]) -> list[F64]:
    """α_t β_t of every frame, each sums to 1."""
    found = []
    beta = np.ones(len(near))
    for alpha, emission in zip(reversed(forward(near, settings, emissions)), reversed(emissions), strict=True):
        found.append(alpha * beta / (alpha * beta).sum())
        move = transition(near, settings, emission.stay)
        beta = move @ (evidence(emission, len(near), settings.sharpness) * beta)
        beta = beta / beta.max()
    return found[::-1]


def log_evidence(emission: Emission, count: int, sharpness: float) -> F64:
    """(K,) γ log e as given."""
    return np.zeros(count) if emission.log is None else emission.log.astype(np.float64) * sharpness


def best_score(near: Bool, settings: ChainSettings, emissions: Sequence[Emission]) -> float:
    """Score of the best path."""
    step = np.where(near, 0.0, -settings.teleport)
    delta = log_evidence(emissions[0], len(near), settings.sharpness)
    for emission in emissions[1:]:
        delta = log_evidence(emission, len(near), settings.sharpness) + (delta[:, None] + step).max(axis=0)
    return float(delta.max())


def score_of(near: Bool, settings: ChainSettings, emissions: Sequence[Emission], classes: Sequence[int]) -> float:
    """Score of one path."""
    score = 0.0
    for t, (k, emission) in enumerate(zip(classes, emissions, strict=True)):
        if t and not near[classes[t - 1], k]:
            score -= settings.teleport
        score += float(log_evidence(emission, len(near), settings.sharpness)[k])
    return score
