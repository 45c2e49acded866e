"""The posterior given evidence (paper §4.3, Eq. 10), with a box that may move.

    p_k' = p_k L_k / Σ_j p_j L_j        surprise = −ln Σ_k p_k L_k        0 ≤ L_k ≤ 1                       (10)

L_k is the product, over the constraints, of

- hard click on n at e, radius r:     1[‖y_kn − e‖ ≤ r]                                                     (10a)
- soft click on n at e, noise σ:      exp(−‖y_kn − e‖² / 2κ(σ² + σ²_kn))                                    (10b)
- landmark n inside (outside) R:      1[y_kn ∈ R]  (1[y_kn ∉ R])                                            (10c)
- pose range:                         1[every angle of exemplar k within its interval]                      (10d)

A soft click alone is measured against the kernel's spread; the others ask where the exemplar's own landmark is.
κ ≥ 1 tempers soft clicks (L^(1/κ)): at κ = 1 few exemplars answer, and the mean of few is a rougher point.

**Where landmark n of exemplar k is.** Exemplars cannot translate, and a box may be wrong. So the box has a latent
displacement b = (dx, dy, ln s) with prior N(0, Σ_b), Σ_b = diag(σ_t², σ_t², σ_s²), and

    y_kn = µ_kn + A_kn b,    A_kn = [I₂ | µ_kn − ½]                                                         (10e)

For each exemplar, the clicks are then linear measurements of b with Gaussian noise R_i = κ(σ² + σ²_kn), and

    b_k  = argmin_b  bᵀ Σ_b⁻¹ b + Σ_i ‖e_i − µ_ki − A_ki b‖² / R_i                                          (10f)
    L_k ∝ exp(−½ b_kᵀ Σ_b⁻¹ b_k)                                                                            (10g)

(10b) and (10g) together are the clicks' Gaussian evidence N(e; µ_k, R + A Σ_b Aᵀ) relative to its peak: like (10b),
they leave out the normaliser, so that L_k stays in [0, 1]. With a box that does not move, Σ_b → 0, b_k = 0 and (10g)
is 1. A hard click that is already met, given the soft ones, pulls at nothing. One that is not pulls its landmark
to the nearest point of the disc with half its radius, with R = (r/4)²; after that (10a) decides. Regions and poses
never move the box.

**Impossible evidence.** Σ p_k L_k = 0 happens through (10a, c, d) only. The answer is then p_k' ∝ p_k L_k^soft over the
exemplars whose summed excess (how far a landmark is outside its disc or on the wrong side of its region, and how
far the head would have to turn) is within `NEAREST_SLACK` of the least; where all of these have p_k = 0, they
share alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exalign_engine.evidence import BoxMotion, Evidence, PoseRange
from exalign_engine.posterior import Measurement, Posterior

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Impossible evidence: exemplars whose excess is so near the least count as nearest, box sides.
NEAREST_SLACK = 0.01

#: Box sides that a turn by one degree counts for as an excess: the way of a point half a box side off the axis.
SIDES_PER_DEGREE = math.radians(0.5)


@dataclass(frozen=True)
class EvidenceModel:
    """What evidence is taken for, beside what it says itself; chosen on ``val``.

    Attributes:
        shift: σ_t of Eq. 10e, standard deviation of the box centre in x and y, box sides, ≥ 0. It speaks of what
            the exemplars do not cover: those made of synthetic poses (`exemplars.Variation`) hold shifted and scaled
            faces already. Too wide, and a click moves the box where it should choose another shape.
        log_scale: σ_s, standard deviation of ln(box side), ≥ 0.
        inflation: κ of Eq. 10b, ≥ 1.
    """

    shift: float = 0.02
    log_scale: float = 0.03
    inflation: float = 1.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("shift", self.shift, 0),
            ("log_scale", self.log_scale, 0),
            ("inflation", self.inflation, 1),
        ):
            if not (math.isfinite(value) and value >= least):
                raise ValueError(f"{name} is {value}, must be a finite number of at least {least}")


class Outcome(Enum):
    """What became of evidence."""

    CONDITIONED = "conditioned"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Conditioned:
    """A posterior given evidence.

    Attributes:
        posterior: given all of ``evidence``; the very object that was given where nothing changed.
        evidence: what it rests on.
        outcome: whether any exemplar agrees.
        surprise: −ln Σ p_k L_k ≥ 0, nats; None where the evidence is impossible.
        box_shift: (3,) posterior mean of (dx, dy, ln s), box sides; zeros where the box did not move.
    """

    posterior: Posterior
    evidence: Evidence
    outcome: Outcome
    surprise: float | None
    box_shift: F64


def condition(
    posterior: Posterior, evidence: Evidence, *, poses: F32 | None = None, model: EvidenceModel | None = None
) -> Conditioned:
    """The posterior given a set of evidence (Eq. 10).

    To add evidence later, condition the first posterior on the union (`Evidence.union`): a box that has moved
    and landmarks that were measured do not factor into steps. What the addition alone surprises by is the
    difference of the two surprises.

    Args:
        posterior: what the network said; not one that was conditioned on clicks.
        evidence: box frame.
        poses: (K, 3) float32, yaw, pitch and roll of every exemplar, degrees; needed for pose ranges.
        model: default `EvidenceModel()`; its box applies where the evidence's box is free.

    Raises:
        ValueError: pose ranges without poses, poses of another K, or a posterior that holds clicks already.
    """
    if posterior.box_shift is not None or posterior.measured:
        raise ValueError("the posterior holds clicks already; condition the network's own on the union of the evidence")
    k = len(posterior.probabilities)
    if evidence.poses and (poses is None or poses.shape != (k, 3)):
        raise ValueError(f"pose ranges need poses of shape ({k}, 3), not {None if poses is None else poses.shape}")
    log_likelihood, shift, excess, allowed = _clicks(posterior, evidence, model or EvidenceModel())
    if evidence.regions:
        _regions(posterior, evidence, shift, excess, allowed)
    for pose in evidence.poses:
        assert poses is not None  # noqa: S101 - checked above; for the type checker
        _pose_range(pose, poses, excess, allowed)

    p = posterior.probabilities
    agrees = allowed & (p > 0)
    if bool(agrees.any()):
        outcome = Outcome.CONDITIONED
        probabilities, log_mass = _reweigh(p, log_likelihood, agrees)
        surprise = max(-log_mass, 0.0)
    else:
        outcome, surprise = Outcome.IMPOSSIBLE, None
        nearest = excess <= excess.min() + NEAREST_SLACK
        weights = p if bool((nearest & (p > 0)).any()) else np.ones_like(p)
        probabilities, _ = _reweigh(weights, log_likelihood, nearest & (weights > 0))

    moved = bool(shift.any())
    if probabilities is p and not moved and not evidence.soft_clicks:
        return Conditioned(posterior, evidence, outcome, surprise, np.zeros(3))
    conditioned = Posterior(
        posterior.model,
        probabilities,
        posterior.presence,
        box_shift=shift if moved else None,
        measured={c.landmark: Measurement(c.x, c.y, c.sigma**2) for c in evidence.soft_clicks},
    )
    mean_shift = probabilities.astype(np.float64) @ shift if moved else np.zeros(3)
    return Conditioned(conditioned, evidence, outcome, surprise, mean_shift)


def _reweigh(p: F32, log_likelihood: F64, allowed: NDArray[np.bool_]) -> tuple[F32, float]:
    """p_k L_k, normalised, and ln Σ p_k L_k; ``p`` itself where every L_k is 1.

    The largest L_k goes first: the sum is then at least its p_k, so that no likelihood is too small.
    """
    if bool((allowed | (p == 0)).all()) and not log_likelihood.any():
        return p, 0.0
    left = np.flatnonzero(allowed)
    logs = log_likelihood[left]
    top = float(logs.max())
    weights = p[left] * np.exp(logs - top)
    total = float(weights.sum())
    result = np.zeros_like(p)
    result[left] = weights / total
    return result, top + math.log(total)


def _clicks(posterior: Posterior, evidence: Evidence, taken: EvidenceModel) -> tuple[F64, F32, F64, NDArray[np.bool_]]:
    """ln L_k of the clicks (K,), b_k (K, 3), summed excess (K,), and whether all hard clicks are met (K,)."""
    model, k = posterior.model, len(posterior.probabilities)
    if not evidence.clicks:
        return np.zeros(k), np.zeros((k, 3), np.float32), np.zeros(k), np.ones(k, bool)
    soft, hard, free = evidence.soft_clicks, evidence.hard_clicks, evidence.box_motion is BoxMotion.FREE
    return _click_kernel(  # type: ignore[no-any-return]
        model.by_landmark,
        model.class_variance,
        np.array([c.landmark for c in soft], dtype=np.int64),
        np.array([(c.x, c.y, c.sigma**2, model.landmark_scale[c.landmark]) for c in soft]).reshape(-1, 4),
        np.array([c.landmark for c in hard], dtype=np.int64),
        np.array([(c.x, c.y, c.radius) for c in hard]).reshape(-1, 3),
        taken.shift if free else 0.0,
        taken.log_scale if free else 0.0,
        taken.inflation,
    )


def _regions(posterior: Posterior, evidence: Evidence, shift: F32, excess: F64, allowed: NDArray[np.bool_]) -> None:
    """Add Eq. 10c to ``excess`` and ``allowed``, in place."""
    for constraint in evidence.regions:
        point = posterior.model.by_landmark[constraint.landmark].astype(np.float64)
        if shift.any():
            point += shift[:, :2].T + shift[:, 2] * (point - 0.5)
        distance = constraint.region.signed_distance(point[0], point[1])
        allowed &= (distance <= 0) == constraint.inside
        excess += np.maximum(distance if constraint.inside else -distance, 0)


def _pose_range(pose: PoseRange, poses: F32, excess: F64, allowed: NDArray[np.bool_]) -> None:
    """Add Eq. 10d to ``excess`` and ``allowed``, in place."""
    for axis, interval in enumerate((pose.yaw, pose.pitch, pose.roll)):
        if interval is not None:
            angle = poses[:, axis].astype(np.float64)
            outside = np.maximum(np.maximum(interval[0] - angle, angle - interval[1]), 0)
            allowed &= outside == 0
            excess += outside * SIDES_PER_DEGREE


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _click_kernel(
    points: F32,
    class_variance: F32,
    soft_landmark: NDArray[np.int64],
    soft: F64,
    hard_landmark: NDArray[np.int64],
    hard: F64,
    sigma_t: float,
    sigma_s: float,
    inflation: float,
) -> tuple[F64, F32, F64, NDArray[np.bool_]]:
    """Eq. 10a, b, f and g for every exemplar; float64 throughout, b_k rounded to float32.

    With b = diag(σ_t, σ_t, σ_s) z the normal equations are those of a prior N(0, I) and stay regular for σ = 0:

        | w  0  c_x | | z_x |   | g_x |
        | 0  w  c_y | | z_y | = | g_y |     w = 1 + σ_t² Σ 1/R,  c = σ_t σ_s Σ v/R,  q = 1 + σ_s² Σ v²/R,  v = µ − ½
        | c_x c_y q | | z_s |   | g_s |

    Args:
        points: (N, 2, K) float32.
        class_variance: (K,) float32, c · v_k.
        soft_landmark: (S,).
        soft: (S, 4) x, y, σ², a_n.
        hard_landmark: (H,).
        hard: (H, 3) x, y, r.
        sigma_t: σ_t.
        sigma_s: σ_s.
        inflation: κ.

    Returns:
        ln L_k of soft clicks and box (K,), b_k (K, 3), summed excess of the hard clicks (K,), all hard ones met (K,).
    """
    count = points.shape[2]
    n_soft, n_hard = soft.shape[0], hard.shape[0]
    log_likelihood, shift = np.zeros(count), np.zeros((count, 3), np.float32)
    excess, met = np.zeros(count), np.ones(count, np.bool_)
    free = sigma_t > 0.0 or sigma_s > 0.0
    for k in range(count):
        w, cx, cy, q, gx, gy, gs = 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
        bx, by, bs = 0.0, 0.0, 0.0
        for solve in range(2):
            pulls = 0
            if solve == 0:
                for i in range(n_soft):
                    x, y = float(points[soft_landmark[i], 0, k]), float(points[soft_landmark[i], 1, k])
                    r = 1.0 / (inflation * (soft[i, 2] + class_variance[k] * soft[i, 3]))
                    dx, dy, vx, vy = soft[i, 0] - x, soft[i, 1] - y, x - 0.5, y - 0.5
                    w += sigma_t * sigma_t * r
                    cx += sigma_t * sigma_s * r * vx
                    cy += sigma_t * sigma_s * r * vy
                    q += sigma_s * sigma_s * r * (vx * vx + vy * vy)
                    gx += sigma_t * r * dx
                    gy += sigma_t * r * dy
                    gs += sigma_s * r * (vx * dx + vy * dy)
                    pulls += 1
            else:
                for i in range(n_hard):
                    x, y = float(points[hard_landmark[i], 0, k]), float(points[hard_landmark[i], 1, k])
                    vx, vy = x - 0.5, y - 0.5
                    # From the landmark as the soft clicks leave it, to the click's centre.
                    fx, fy = hard[i, 0] - (x + bx + bs * vx), hard[i, 1] - (y + by + bs * vy)
                    distance = math.sqrt(fx * fx + fy * fy)
                    if distance > hard[i, 2]:
                        r = 16.0 / (hard[i, 2] * hard[i, 2])
                        rest = 0.5 * hard[i, 2] / distance
                        dx, dy = hard[i, 0] - rest * fx - x, hard[i, 1] - rest * fy - y
                        w += sigma_t * sigma_t * r
                        cx += sigma_t * sigma_s * r * vx
                        cy += sigma_t * sigma_s * r * vy
                        q += sigma_s * sigma_s * r * (vx * vx + vy * vy)
                        gx += sigma_t * r * dx
                        gy += sigma_t * r * dy
                        gs += sigma_s * r * (vx * dx + vy * dy)
                        pulls += 1
            if free and pulls > 0:
                zs = (gs - (cx * gx + cy * gy) / w) / (q - (cx * cx + cy * cy) / w)
                zx, zy = (gx - cx * zs) / w, (gy - cy * zs) / w
                bx, by, bs = sigma_t * zx, sigma_t * zy, sigma_s * zs
                log_likelihood[k] = -0.5 * (zx * zx + zy * zy + zs * zs)
        # Rounded as it is kept, so that the shapes that are answered are the shapes that were judged.
        shift[k, 0], shift[k, 1], shift[k, 2] = bx, by, bs
        bx, by, bs = float(shift[k, 0]), float(shift[k, 1]), float(shift[k, 2])
        for i in range(n_soft):
            x, y = float(points[soft_landmark[i], 0, k]), float(points[soft_landmark[i], 1, k])
            dx, dy = soft[i, 0] - (x + bx + bs * (x - 0.5)), soft[i, 1] - (y + by + bs * (y - 0.5))
            log_likelihood[k] -= 0.5 * (dx * dx + dy * dy) / (inflation * (soft[i, 2] + class_variance[k] * soft[i, 3]))
        for i in range(n_hard):
            x, y = float(points[hard_landmark[i], 0, k]), float(points[hard_landmark[i], 1, k])
            dx, dy = hard[i, 0] - (x + bx + bs * (x - 0.5)), hard[i, 1] - (y + by + bs * (y - 0.5))
            over = math.sqrt(dx * dx + dy * dy) - hard[i, 2]
            if over > 0.0:
                excess[k] += over
                met[k] = False
    return log_likelihood, shift, excess, met
