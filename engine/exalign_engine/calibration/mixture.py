"""Fitting what turns scores into calibrated answers: temperature, kernels, coverage and the baseline.

Temperature and kernels minimise the marginal negative log likelihood of the true landmarks on ``val``, with the
exemplars displaced as they will be in use. Then the kernels' common factor is narrowed until regions hold what they
state. The baseline is a ridge regression from the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_engine.arrays import F32, F64
from exalign_engine.bundle.bundle import Baseline
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.metrics.coverage import MASSES, landmark_levels
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.kernels import marginal_log_likelihood
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import Displacer, ImageFeatures

#: Candidate temperatures and values of c·a_n.
TEMPERATURES = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.4)
TOP_SCALE, SCALE_STEPS = 8.0, 18
SCALES = TOP_SCALE * 2.0 ** (-np.arange(SCALE_STEPS) / 2)

#: The temperature is chosen on every third face, the kernels on all.
TEMPERATURE_STRIDE = 3

#: Factors of c at which coverage is measured; between them it is read off a line in ln(factor).
FACTORS = (0.35, 0.5, 0.7, 1.0, 1.4)

#: Candidate ridge penalties.
RIDGE = (1e1, 1e2, 1e3, 1e4, 1e5)


@dataclass(frozen=True)
class KernelFit:
    """Temperature and kernels.

    Attributes:
        temperature: T.
        kernel_scale: c.
        landmark_scale: (68,) a_n, mean 1.
        nll: mean negative log likelihood of a landmark, nats, densities per box side².
        curve: nll by temperature, each with its own best kernels.
    """

    temperature: float
    kernel_scale: float
    landmark_scale: F64
    nll: float
    curve: dict[float, float]


def fit_kernels(
    scores: F32,
    truth: F64,
    exemplars: Exemplars,
    displacer: Displacer | None = None,
    images: Sequence[ImageFeatures | None] | None = None,
) -> KernelFit:
    """Choose T, c and a_n by marginal negative log likelihood.

    For each T, every landmark's best c·a_n is read off a grid with a parabola through the best three points. A landmark
    and its mirror image share theirs: a mirrored face must get the mirrored answer. Each T has its own displacements,
    which start from its own means.

    Args:
        scores: (B, K) float32.
        truth: (B, 68, 2), box frames.
        exemplars: the classes.
        displacer: that the model will have.
        images: of the B crops; needed by a displacer.
    """
    seen: Sequence[ImageFeatures | None] = [None] * len(scores) if images is None else images

    def fit(t: float, step: int) -> tuple[F64, F64]:
        model = PosteriorModel(exemplars, Calibration(temperature=t, kernel_scale=1.0), displacer)
        total, faces = np.zeros((SCALE_STEPS, N_LANDMARKS)), range(0, len(scores), step)
        for i in faces:
            posterior = model.posterior(scores[i], seen[i])
            c, y = posterior.components, np.ascontiguousarray(truth[i].T, dtype=np.float64)
            total += marginal_log_likelihood(c.weights, c.index, c.shapes, c.class_variance, y, TOP_SCALE, SCALE_STEPS)
        return _parabola(-(total + total[:, MIRROR]) / (2 * len(faces)))

    curve = {t: round(float(fit(t, TEMPERATURE_STRIDE)[1].mean()), 5) for t in TEMPERATURES}
    best = min(curve, key=lambda t: curve[t])
    scale, nll = fit(best, 1)
    c = float(scale.mean())
    return KernelFit(best, c, scale / c, float(nll.mean()), curve)


@dataclass(frozen=True)
class CoverageFit:
    """What `fit_coverage` found.

    Attributes:
        factor: of c.
        nll: mean negative log likelihood of a landmark at each of the factors (`FACTORS`), nats.
        coverage: (factors, len(MASSES)) share of landmarks that each region holds.
    """

    factor: float
    nll: F64
    coverage: F64


def fit_coverage(
    calibration: Calibration,
    scores: F32,
    truth: F64,
    exemplars: Exemplars,
    displacer: Displacer | None = None,
    images: Sequence[ImageFeatures | None] | None = None,
    factors: Sequence[float] = FACTORS,
) -> CoverageFit:
    """Choose the factor of c with which the regions of mass 50 … 95 % hold that share of the true landmarks.

    T and a_n stay, and the kernels are narrowed together (docs/decisions/kernel-width.md).

    Args:
        calibration: T, c and a_n of `fit_kernels`.
        scores: (B, K) float32.
        truth: (B, 68, 2), box frames.
        exemplars: the classes.
        displacer: that the model will have.
        images: of the B crops; needed by a displacer.
        factors: at which coverage is measured, ascending.
    """
    seen: Sequence[ImageFeatures | None] = [None] * len(scores) if images is None else images
    nll, coverage = np.empty(len(factors)), np.empty((len(factors), len(MASSES)))
    for i, factor in enumerate(factors):
        narrowed = replace(calibration, kernel_scale=factor * calibration.kernel_scale)
        model = PosteriorModel(exemplars, narrowed, displacer)
        rows = [landmark_levels(model.posterior(s, i), t) for s, i, t in zip(scores, seen, truth, strict=True)]
        level = np.stack([row[0] for row in rows])
        nll[i] = np.mean([row[1] for row in rows])
        coverage[i] = [(level <= mass / 100).mean() for mass in MASSES]
    known = np.log(factors)
    tried = np.linspace(known[0], known[-1], 401)
    missed = sum((np.interp(tried, known, coverage[:, i]) - mass / 100) ** 2 for i, mass in enumerate(MASSES))
    return CoverageFit(float(np.exp(tried[np.argmin(missed)])), nll, coverage)


def _parabola(nll: F64) -> tuple[F64, F64]:
    """Least nll over `SCALES` for each column of (S, N): (scale, nll), refined in ln scale."""
    best = np.clip(nll.argmin(axis=0), 1, len(SCALES) - 2)
    columns = np.arange(nll.shape[1])
    left, mid, right = nll[best - 1, columns], nll[best, columns], nll[best + 1, columns]
    curvature = left - 2 * mid + right
    step = np.where(curvature > 0, 0.5 * (left - right) / np.where(curvature > 0, curvature, 1), 0.0)
    step = np.clip(step, -1, 1)
    ratio = np.log(SCALES[1] / SCALES[0])
    return SCALES[best] * np.exp(step * ratio), mid - 0.25 * (left - right) * step


def fit_baseline(features: F32, shapes: F32, val_features: F32, val_shapes: F32) -> tuple[Baseline, dict[str, Any]]:
    """Ridge regression of shapes on features; the penalty is chosen on ``val``.

    Args:
        features: (B, F) of training crops.
        shapes: (B, 68, 2) their shapes, box frames.
        val_features: (C, F).
        val_shapes: (C, 68, 2).

    Returns:
        The baseline, and its penalty and root mean square error on val (box sides).
    """
    mean, target_mean = features.mean(axis=0), shapes.reshape(len(shapes), -1).mean(axis=0)
    x = (features - mean).astype(np.float64)
    y = (shapes.reshape(len(shapes), -1) - target_mean).astype(np.float64)
    gram, cross = x.T @ x, x.T @ y
    tried: list[tuple[float, float, Baseline]] = []
    for penalty in RIDGE:
        weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), cross)
        baseline = Baseline(weight.astype(np.float32), (target_mean - mean @ weight).astype(np.float32))
        answer = (val_features @ baseline.weight + baseline.offset).reshape(val_shapes.shape)
        rmse = float(np.sqrt(((answer - val_shapes) ** 2).sum(axis=-1).mean()))
        tried.append((rmse, penalty, baseline))
    rmse, penalty, baseline = min(tried, key=lambda t: t[0])
    return baseline, {"ridge": penalty, "val_rmse": round(rmse, 6)}


def flat_features(features: F32, embedding: F32) -> F32:
    """(B, C, h, w) and (B, D) → (B, C·h·w + D): what the baseline regresses from."""
    return np.concatenate([features.reshape(len(features), -1), embedding], axis=1)
