"""Posteriors of made-up exemplars, evidence drawn about them, and the float64 twin of its likelihood."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.evidence.conditioning import (
    SIDES_PER_DEGREE,
    Conditioned,
    ConditioningOutcome,
    EvidenceModel,
)
from exalign_engine.evidence.evidence import (
    BoxMotion,
    Click,
    Disc,
    Evidence,
    HardClick,
    PoseRange,
    Rectangle,
    RegionConstraint,
    SoftClick,
)
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import Posterior, PosteriorModel

F64 = NDArray[np.float64]

N = 68


def synthetic(seed: int, k: int, kernel: float = 0.012) -> PosteriorModel:
    """K random shapes in [0, 1]², kernels of about the given σ."""
    rng = np.random.default_rng(seed)
    shapes = rng.uniform(0.1, 0.9, (1, N, 2)) + rng.normal(0, rng.uniform(0.001, 0.08), (k, N, 2))
    exemplars = Exemplars(
        shapes.astype(np.float32),
        np.exp(rng.normal(2 * math.log(kernel), 0.3, k)).astype(np.float32),
        np.arange(k, dtype=np.int32),
        np.full(k, -1, np.int32),
        (),
    )
    scale = np.exp(rng.normal(0, 0.3, N))
    return PosteriorModel(exemplars, Calibration(landmark_scale=tuple(scale / scale.mean())))


def face(seed: int, k: int, peak: float = 2.0, kernel: float = 0.012) -> Posterior:
    """A posterior over `synthetic` exemplars; the higher the peak, the fewer share it."""
    scores = np.random.default_rng([seed, 1]).normal(0, peak, k).astype(np.float32)
    return synthetic(seed, k, kernel).posterior(scores)


def poses_of(seed: int, k: int) -> NDArray[np.float32]:
    return np.random.default_rng([seed, 2]).normal(0, 20, (k, 3)).astype(np.float32)


def draw_evidence(seed: int, posterior: Posterior, motion: BoxMotion) -> Evidence:
    """A few constraints of every kind near one exemplar, so that they can be met."""
    rng = np.random.default_rng([seed, 3])
    k = int(rng.choice(len(posterior.probabilities), p=posterior.probabilities / posterior.probabilities.sum()))
    shape = posterior.model.exemplars.shapes[k].astype(np.float64)
    clicks: list[Click] = []
    for n in rng.permutation(N)[: rng.integers(1, 4)]:
        x, y = shape[n] + rng.normal(0, 0.02, 2)
        if rng.random() < 0.4:
            clicks.append(HardClick(int(n), float(x), float(y), float(rng.uniform(0.02, 0.1))))
        else:
            clicks.append(SoftClick(int(n), float(x), float(y), float(rng.uniform(0.002, 0.05))))
    n = int(rng.integers(N))
    x, y = shape[n]
    box = Rectangle(x - 0.1, y - 0.1, x + 0.1, y + 0.15)
    regions = (RegionConstraint(n, box), RegionConstraint((n + 9) % N, Disc(0.0, 0.0, 0.1), inside=False))
    return Evidence(tuple(clicks), regions, (PoseRange(yaw=(-60, 60), roll=(-50, 70)),), motion)


def likelihood_twin(
    posterior: Posterior, evidence: Evidence, poses: NDArray[np.floating], taken: EvidenceModel
) -> tuple[F64, F64, F64]:
    """ln L_k (−inf where ruled out), b_k and summed excess, by one dense least-squares problem an exemplar."""
    m = posterior.model
    mu, variance = m.exemplars.shapes.astype(np.float64), m.class_variance.astype(np.float64)
    count = len(mu)
    misfit = taken.misfit_variance(posterior.expected_error)
    free = evidence.box_motion is BoxMotion.FREE
    root = posterior.expected_error * np.array([taken.shift, taken.shift, taken.log_scale]) if free else np.zeros(3)
    log, b, excess, allowed = np.zeros(count), np.zeros((count, 3)), np.zeros(count), np.ones(count, bool)

    def design(k: int, n: int) -> F64:
        return np.hstack([np.eye(2), (mu[k, n] - 0.5)[:, None]])

    for k in range(count):
        rows, targets = [np.eye(3)], [np.zeros(3)]
        soft = []
        for c in evidence.soft_clicks:
            s = math.sqrt(c.sigma**2 + misfit[c.landmark] + variance[k] * m.landmark_scale[c.landmark])
            rows.append(design(k, c.landmark) * root / s)
            targets.append((np.array([c.x, c.y]) - mu[k, c.landmark]) / s)
            soft.append((c, s))
        z = np.linalg.lstsq(np.vstack(rows), np.concatenate(targets), rcond=None)[0]
        for h in evidence.hard_clicks:
            at = mu[k, h.landmark] + design(k, h.landmark) @ (root * z)
            away = at - (h.x, h.y)
            if np.linalg.norm(away) > h.radius:
                rows.append(design(k, h.landmark) * root / (h.radius / 4))
                goal = np.array([h.x, h.y]) + away / np.linalg.norm(away) * h.radius / 2
                targets.append((goal - mu[k, h.landmark]) / (h.radius / 4))
        z = np.linalg.lstsq(np.vstack(rows), np.concatenate(targets), rcond=None)[0]
        b[k] = root * z
        moved = mu[k] + b[k, :2] + b[k, 2] * (mu[k] - 0.5)
        log[k] = -0.5 * z @ z - sum(((moved[c.landmark] - (c.x, c.y)) ** 2).sum() / (2 * s * s) for c, s in soft)
        for h in evidence.hard_clicks:
            over = np.linalg.norm(moved[h.landmark] - (h.x, h.y)) - h.radius
            allowed[k] &= over <= 0
            excess[k] += max(over, 0)
        for r in evidence.regions:
            d = r.region.signed_distance(moved[r.landmark, :1], moved[r.landmark, 1:])[0]
            allowed[k] &= (d <= 0) == r.inside
            excess[k] += max(d if r.inside else -d, 0)
        for pose in evidence.poses:
            for angle, interval in zip(poses[k].astype(float), (pose.yaw, pose.pitch, pose.roll), strict=True):
                if interval:
                    out = max(interval[0] - angle, angle - interval[1], 0)
                    allowed[k] &= out == 0
                    excess[k] += out * SIDES_PER_DEGREE
    return np.where(allowed, log, -np.inf), b, excess


def check_sound(result: Conditioned) -> None:
    p = result.posterior.probabilities
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    for values in (result.posterior.mean, result.posterior.covariance, result.posterior.confidence):
        assert np.isfinite(values).all()
    assert result.posterior.covariance[:, [0, 2]].min() >= 0
    assert (result.surprise is None) == (result.outcome is ConditioningOutcome.IMPOSSIBLE)
    assert result.surprise is None or (math.isfinite(result.surprise) and result.surprise >= 0)
