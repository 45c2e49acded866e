"""Learning Eq. O1 to O3 of `exalign_engine.posterior.occlusion`: logistic loss, AdamW (Loshchilov & Hutter 2019).

The head is small and what it reads is kept: NumPy does it in a minute, without PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.occlusion import OcclusionHead
from exalign_engine.progress import Progress

#: Units of the summary and of each landmark.
SUMMARY, HIDDEN = 32, 24

#: Epochs, looks a step, the largest step, the decay of matrices, and steps until the largest.
EPOCHS, BATCH, STEP_SIZE, DECAY, WARM = 12, 256, 2e-3, 1e-2, 200

#: Of AdamW.
BETAS, EPSILON = (0.9, 0.999), 1e-8

#: Seed of the first weights and of the order.
SEED = 5

#: Looks that the features' means and spreads are taken from.
NORMED = 4000

#: What the head is, by name; matrices are those that decay.
MATRICES = ("summary_weight", "weight", "summary_into", "out", "summary_out")

Parameters = dict[str, F32]


@dataclass(frozen=True)
class Looks:
    """What the head reads of looks, and what it is to say.

    Attributes:
        places: (B, 68, O·C), of half or single precision.
        summary: (B, 68·C + D + 136), likewise.
        hidden: (B, 68) bool, frames of the looks.
    """

    places: NDArray[np.floating]
    summary: NDArray[np.floating]
    hidden: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hidden)


@dataclass(frozen=True)
class _Norm:
    """Means and spreads of places and summary."""

    places: tuple[F32, F32]
    summary: tuple[F32, F32]

    @classmethod
    def of(cls, looks: Looks) -> _Norm:
        some = np.unique(np.linspace(0, len(looks) - 1, min(NORMED, len(looks))).astype(int))
        places, summary = looks.places[some].astype(np.float32), looks.summary[some].astype(np.float32)
        flat = places.reshape(-1, places.shape[-1])
        # By more than rounding: a channel that never changes must not be magnified.
        return cls((flat.mean(axis=0), flat.std(axis=0) + 1e-3), (summary.mean(axis=0), summary.std(axis=0) + 1e-3))

    def read(self, looks: Looks, rows: NDArray[np.intp]) -> tuple[F32, F32]:
        return tuple(  # type: ignore[return-value]
            (values[rows].astype(np.float32) - mean) / spread
            for values, (mean, spread) in ((looks.places, self.places), (looks.summary, self.summary))
        )


def learn(looks: Looks, margin: float, progress: Progress | None = None, batch: int = BATCH) -> OcclusionHead:
    """Learn a head; α is 1 and β is 0.

    Args:
        looks: at least one.
        margin: crop side ÷ box side.
        progress: told after each epoch how many are done.
        batch: looks a step.
    """
    rng, norm = np.random.default_rng(SEED), _Norm.of(looks)
    parameters = _first(looks.places.shape[2], looks.summary.shape[1], rng)
    first = {k: np.zeros_like(v) for k, v in parameters.items()}
    second = {k: np.zeros_like(v) for k, v in parameters.items()}
    batch = min(batch, len(looks))
    steps, done = EPOCHS * (len(looks) // batch), 0
    warm = min(WARM, max(steps // 5, 1))
    for epoch in range(EPOCHS):
        order = rng.permutation(len(looks))
        for start in range(0, len(looks) - batch + 1, batch):
            rows = order[start : start + batch]
            _, slope = loss_and_slope(parameters, *norm.read(looks, rows), looks.hidden[rows])
            rate = STEP_SIZE * min(1.0, (done + 1) / warm) * 0.5 * (1 + np.cos(np.pi * done / steps))
            done += 1
            for k, g in slope.items():
                first[k] += (1 - BETAS[0]) * (g - first[k])
                second[k] += (1 - BETAS[1]) * (g * g - second[k])
                move = (first[k] / (1 - BETAS[0] ** done)) / (np.sqrt(second[k] / (1 - BETAS[1] ** done)) + EPSILON)
                if k in MATRICES:
                    move = move + DECAY * parameters[k]
                parameters[k] -= np.float32(rate) * move
        if progress:
            progress(epoch + 1)
    return _head(parameters, norm, margin)


def _first(places: int, summary: int, rng: np.random.Generator) -> Parameters:
    """Weights at the start: uniform within ± 1 ÷ √inputs."""

    def drawn(rows: int, columns: int) -> F32:
        return np.asarray(rng.uniform(-1, 1, (rows, columns)) / np.sqrt(columns), dtype=np.float32)

    return {
        "summary_weight": drawn(SUMMARY, summary),
        "summary_bias": np.zeros(SUMMARY, np.float32),
        "weight": drawn(HIDDEN, places),
        "bias": np.zeros((N_LANDMARKS, HIDDEN), np.float32),
        "summary_into": drawn(HIDDEN, SUMMARY),
        "out": drawn(N_LANDMARKS, HIDDEN),
        "offset": np.zeros(N_LANDMARKS, np.float32),
        "summary_out": drawn(N_LANDMARKS, SUMMARY),
    }


def loss_and_slope(p: Parameters, x: F32, u: F32, hidden: NDArray[np.bool_]) -> tuple[float, Parameters]:
    """Mean logistic loss, and its derivative by each parameter.

    Args:
        p: the head's arrays by name.
        x: (B, 68, O·C) places.
        u: (B, 68·C + D + 136) summary.
        hidden: (B, 68).
    """
    j0 = u @ p["summary_weight"].T + p["summary_bias"]
    j = np.maximum(j0, 0)
    flat = x.reshape(-1, x.shape[-1])
    h0 = (flat @ p["weight"].T).reshape(len(x), N_LANDMARKS, -1) + p["bias"] + (j @ p["summary_into"].T)[:, None]
    h = np.maximum(h0, 0)
    z = np.einsum("bnh,nh->bn", h, p["out"]) + p["offset"] + j @ p["summary_out"].T
    loss = float(np.mean(np.logaddexp(0, z) - z * hidden))
    dz = ((1 / (1 + np.exp(-np.clip(z, -30, 30)))) - hidden).astype(np.float32) / np.float32(z.size)
    dh = dz[..., None] * p["out"] * (h0 > 0)
    of_crop = dh.sum(axis=1)
    dj = (of_crop @ p["summary_into"] + dz @ p["summary_out"]) * (j0 > 0)
    slope = {
        "summary_weight": dj.T @ u,
        "summary_bias": dj.sum(axis=0),
        "weight": dh.reshape(len(flat), -1).T @ flat,
        "bias": dh.sum(axis=0),
        "summary_into": of_crop.T @ j,
        "out": np.einsum("bnh,bn->nh", h, dz),
        "offset": dz.sum(axis=0),
        "summary_out": dz.T @ j,
    }
    return loss, slope


def _head(p: Parameters, norm: _Norm, margin: float) -> OcclusionHead:
    """The head that reads features as they are."""
    (x_mean, x_spread), (u_mean, u_spread) = norm.places, norm.summary
    weight, summary_weight = p["weight"] / x_spread, p["summary_weight"] / u_spread
    changed = {
        "weight": weight,
        "bias": p["bias"] - weight @ x_mean,
        "summary_weight": summary_weight,
        "summary_bias": p["summary_bias"] - summary_weight @ u_mean,
        "sureness": np.array([1.0, 0.0], np.float32),
    }
    return OcclusionHead.of_arrays(p | changed, margin)


def sureness(scores: F64, hidden: NDArray[np.bool_], weight: F64 | None = None) -> tuple[float, float]:
    """α and β of Eq. O3 by Newton's method.

    Args:
        scores: (B, 68) z̄.
        hidden: (B, 68).
        weight: (B,) of each crop; None: all the same.
    """
    z, y = scores.ravel(), hidden.ravel().astype(np.float64)
    w = np.repeat(np.ones(len(scores)) if weight is None else weight, scores.shape[1])
    w = w / w.sum()
    design, found = np.column_stack([z, np.ones_like(z)]), np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (w * (p - y)) + (1e-6 * found[0], 0.0)
        curve = (design * (w * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ design + np.diag([1e-6, 1e-9])
        step = np.clip(np.linalg.solve(curve, slope), -1, 1)
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])
