"""The posterior given evidence (paper §4.3, Eq. 10), with a box that may move (docs/decisions/conditioning.md).

    p_k' = p_k L_k / Σ_j p_j L_j        surprise = −ln Σ_k p_k L_k        0 ≤ L_k ≤ 1                       (10)

L_k is the product, over the constraints, of

- hard click on n at e, radius r:     1[‖y_kn − e‖ ≤ r]                                                     (10a)
- soft click on n at e, noise σ:      exp(−‖y_kn − e‖² / 2(σ² + m_n² + σ²_kn))                              (10b)
- landmark n inside (outside) R:      1[y_kn ∈ R]  (1[y_kn ∉ R])                                            (10c)
- pose range:                         1[every angle of exemplar k within its interval]                      (10d)

m_n = m · l_n · min((ε₀/ε)², 2) is the misfit, the part of landmark n that the others do not share. ε is the error that
the network's posterior expects of itself (Eq. S1 of `exalign_engine.evidence.suggestion`).

The box has a latent displacement b = (dx, dy, ln s) with prior N(0, Σ_b), Σ_b = diag(σ_t², σ_t², σ_s²), where µ_kn is
the displaced exemplar's landmark (`exalign_engine.posterior.posterior`):

    y_kn = µ_kn + A_kn b,    A_kn = [I₂ | µ_kn − ½]                                                         (10e)

The clicks are linear measurements of b with Gaussian noise R_i = σ² + m_n² + σ²_kn:

    b_k  = argmin_b  bᵀ Σ_b⁻¹ b + Σ_i ‖e_i − µ_ki − A_ki b‖² / R_i                                          (10f)
    L_k ∝ exp(−½ b_kᵀ Σ_b⁻¹ b_k)                                                                            (10g)

**Impossible evidence.** Where Σ p_k L_k = 0, the answer is p_k' ∝ p_k L_k^soft over the exemplars whose summed excess
is within `NEAREST_SLACK` of the least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.evidence.evidence import BoxMotion, Evidence, PoseRange
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.checks import Check, checked, unchecked
from exalign_engine.posterior.posterior import Measurement, Posterior

#: Impossible evidence: exemplars whose excess is so near the least count as nearest, box sides.
NEAREST_SLACK = 0.01

#: ε₀, box sides: the default bundle's expected error on a face that nothing hides (docs/decisions/conditioning.md).
REFERENCE_ERROR = 0.035

#: Limit of (ε₀/ε)²: a posterior on few exemplars is overconfident.
MAX_MISFIT_SHARE = 2.0

#: l_n: the misfit of landmarks, in units of those of nose, eyes and mouth.
LOOSENESS: F64 = np.ones(N_LANDMARKS)
LOOSENESS[list(GROUPS["jaw"])] = 1.7
LOOSENESS[list(GROUPS["brows"])] = 1.5

#: Exemplars that the click kernel takes at a time: its scratch fits the first-level cache.
CLICK_BLOCK = 256

#: Box sides that a turn by one degree counts for as an excess: the way of a point half a box side off the axis.
SIDES_PER_DEGREE = math.radians(0.5)


@dataclass(frozen=True)
class EvidenceModel:
    """How evidence is weighed; chosen on ``val``.

    Attributes:
        shift: σ_t of Eq. 10e, standard deviation of the box centre in x and y, in units of ε, ≥ 0.
        log_scale: σ_s, standard deviation of ln(box side), in units of ε, ≥ 0.
        misfit: m, standard deviation of the misfit of a tight landmark where ε = ε₀, box sides, ≥ 0.

    Raises:
        ValueError: one of them is negative or not finite.
    """

    # docs/decisions/conditioning.md
    shift: float = 0.5
    log_scale: float = 0.75
    misfit: float = 0.03

    def __post_init__(self) -> None:
        for name in ("shift", "log_scale", "misfit"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, must be a finite number of at least 0")

    def misfit_variance(self, error: float) -> F64:
        """(68,) m_n², box sides², where the network's posterior expects the error ``error`` of itself."""
        share = min((REFERENCE_ERROR / max(error, 1e-9)) ** 2, MAX_MISFIT_SHARE)
        return np.asarray(np.square(self.misfit * LOOSENESS * share))


class ConditioningOutcome(Enum):
    """Whether any exemplar agrees with the evidence."""

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
    outcome: ConditioningOutcome
    surprise: float | None
    box_shift: F64


def condition(
    posterior: Posterior,
    evidence: Evidence,
    *,
    poses: F32 | None = None,
    model: EvidenceModel | None = None,
    check: Check = unchecked,
) -> Conditioned:
    """The posterior given a set of evidence (Eq. 10).

    To add evidence later, condition the first posterior on the union (`Evidence.union`): a box that has moved and
    landmarks that were measured do not factor into steps. The addition's own surprise is the difference of the two.

    Args:
        posterior: the network's; not one that was conditioned on clicks.
        evidence: box frame.
        poses: (K, 3) float32, yaw, pitch and roll of every exemplar as ``posterior`` displaces it
            (`exalign_engine.posterior.pose.displaced_poses`), degrees; needed for pose ranges.
        model: default `EvidenceModel()`; its box applies where the evidence's box is free.
        check: called before each constraint, all clicks as one.

    Raises:
        ValueError: pose ranges without poses, poses of another K, or a posterior that holds clicks already.
    """
    if posterior.box_shift is not None or posterior.measured:
        raise ValueError("the posterior holds clicks already; condition the network's own on the union of the evidence")
    k = len(posterior.probabilities)
    if evidence.poses and (poses is None or poses.shape != (k, 3)):
        raise ValueError(f"pose ranges need poses of shape ({k}, 3), not {None if poses is None else poses.shape}")
    check()
    log_likelihood, shift, excess, allowed = _clicks(posterior, evidence, model or EvidenceModel())
    if evidence.regions:
        _regions(posterior, evidence, shift, excess, allowed, check)
    for pose in checked(evidence.poses, check):
        assert poses is not None  # noqa: S101 - checked above; for the type checker
        _pose_range(pose, poses, excess, allowed)

    p = posterior.probabilities
    probabilities, outcome, surprise = _answer(p, log_likelihood, allowed, excess)
    moved = bool(shift.any())
    if probabilities is p and not moved and not evidence.soft_clicks:
        return Conditioned(posterior, evidence, outcome, surprise, np.zeros(3))
    conditioned = Posterior(
        posterior.model,
        probabilities,
        posterior.presence,
        displacement=posterior.displacement,
        share=posterior.share,
        prior_error=posterior.expected_error,
        box_shift=shift if moved else None,
        measured={c.landmark: Measurement(c.x, c.y, c.sigma**2) for c in evidence.soft_clicks},
    )
    mean_shift = probabilities.astype(np.float64) @ shift if moved else np.zeros(3)
    return Conditioned(conditioned, evidence, outcome, surprise, mean_shift)


def _answer(
    p: F32, log_likelihood: F64, allowed: NDArray[np.bool_], excess: F64
) -> tuple[F32, ConditioningOutcome, float | None]:
    """The new probabilities (K,), whether any exemplar agrees, and the surprise; also of impossible evidence."""
    agrees = allowed & (p > 0)
    if bool(agrees.any()):
        probabilities, log_mass = _reweigh(p, log_likelihood, agrees)
        return probabilities, ConditioningOutcome.CONDITIONED, max(-log_mass, 0.0)
    nearest = excess <= excess.min() + NEAREST_SLACK
    weights = p if bool((nearest & (p > 0)).any()) else np.ones_like(p)
    probabilities, _ = _reweigh(weights, log_likelihood, nearest & (weights > 0))
    return probabilities, ConditioningOutcome.IMPOSSIBLE, None


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
    error = posterior.expected_error
    misfit, move = taken.misfit_variance(error), error if free else 0.0
    return _click_kernel(  # type: ignore[no-any-return]
        np.stack([posterior.places(n) for n in (*(c.landmark for c in soft), *(c.landmark for c in hard))]),
        model.class_variance,
        np.array([(c.x, c.y, c.sigma**2 + misfit[c.landmark], model.landmark_scale[c.landmark]) for c in soft]).reshape(
            -1, 4
        ),
        np.array([(c.x, c.y, c.radius) for c in hard]).reshape(-1, 3),
        taken.shift * move,
        taken.log_scale * move,
    )


def _regions(
    posterior: Posterior, evidence: Evidence, shift: F32, excess: F64, allowed: NDArray[np.bool_], check: Check
) -> None:
    """Add Eq. 10c to ``excess`` and ``allowed``, in place."""
    for constraint in checked(evidence.regions, check):
        point = posterior.places(constraint.landmark).astype(np.float64)
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


# Long: one compiled kernel, whose loops share a block of exemplars in the first-level cache.
@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _click_kernel(
    points: F32,
    class_variance: F32,
    soft: F64,
    hard: F64,
    sigma_t: float,
    sigma_s: float,
) -> tuple[F64, F32, F64, NDArray[np.bool_]]:
    """Eq. 10a, b, f and g for every exemplar; float64 throughout, b_k rounded to float32.

    With b = diag(σ_t, σ_t, σ_s) z the normal equations are those of a prior N(0, I) and stay regular for σ = 0:

        | w  0  c_x | | z_x |   | g_x |
        | 0  w  c_y | | z_y | = | g_y |     w = 1 + σ_t² Σ 1/R,  c = σ_t σ_s Σ v/R,  q = 1 + σ_s² Σ v²/R,  v = µ − ½
        | c_x c_y q | | z_s |   | g_s |

    Exemplars are taken `CLICK_BLOCK` at a time with the clicks outside, so that every inner loop runs over exemplars
    without a branch and the compiler can use the vector units.

    Args:
        points: (S + H, 2, K) float32, the clicked landmarks of all exemplars, those of soft clicks first.
        class_variance: (K,) float32, c · v_k.
        soft: (S, 4) x, y, σ² + m_n², a_n.
        hard: (H, 3) x, y, r.
        sigma_t: σ_t.
        sigma_s: σ_s.

    Returns:
        ln L_k of soft clicks and box (K,), b_k (K, 3), summed excess of the hard clicks (K,), all hard ones met (K,).
    """
    count = points.shape[2]
    n_soft, n_hard = soft.shape[0], hard.shape[0]
    log_likelihood, shift = np.zeros(count), np.zeros((count, 3), np.float32)
    excess, met = np.zeros(count), np.ones(count, np.bool_)
    free = sigma_t > 0.0 or sigma_s > 0.0
    # Rows: w, c_x, c_y, q, g_x, g_y, g_s; then b.
    normal, b = np.empty((7, CLICK_BLOCK)), np.zeros((3, CLICK_BLOCK))
    for start in range(0, count, CLICK_BLOCK):
        size = min(CLICK_BLOCK, count - start)
        if free:
            normal[:] = 0.0
            normal[0], normal[3] = 1.0, 1.0
            b[:] = 0.0
            for i in range(n_soft):
                x, y = points[i, 0], points[i, 1]
                for k in range(size):
                    r = 1.0 / (soft[i, 2] + class_variance[start + k] * soft[i, 3])
                    px, py = float(x[start + k]), float(y[start + k])
                    _add(normal, k, px - 0.5, py - 0.5, soft[i, 0] - px, soft[i, 1] - py, r, sigma_t, sigma_s)
            if n_soft > 0:
                _solve(normal, b, size, sigma_t, sigma_s)
            for i in range(n_hard):
                x, y = points[n_soft + i, 0], points[n_soft + i, 1]
                radius = hard[i, 2]
                for k in range(size):
                    px, py = float(x[start + k]), float(y[start + k])
                    vx, vy = px - 0.5, py - 0.5
                    # From the landmark as the soft clicks leave it, to the click's centre.
                    fx, fy = hard[i, 0] - (px + b[0, k] + b[2, k] * vx), hard[i, 1] - (py + b[1, k] + b[2, k] * vy)
                    distance = math.sqrt(fx * fx + fy * fy)
                    r = 16.0 / (radius * radius) if distance > radius else 0.0
                    rest = 0.5 * radius / max(distance, radius)
                    _add(
                        normal, k, vx, vy, hard[i, 0] - rest * fx - px, hard[i, 1] - rest * fy - py, r, sigma_t, sigma_s
                    )
            if n_hard > 0:
                _solve(normal, b, size, sigma_t, sigma_s)
            for k in range(size):
                log_likelihood[start + k] = -0.5 * (
                    _squared(b[0, k], sigma_t) + _squared(b[1, k], sigma_t) + _squared(b[2, k], sigma_s)
                )
            # Rounded as it is kept, so that the answer's shapes are those whose likelihood was computed.
            for axis in range(3):
                for k in range(size):
                    shift[start + k, axis] = b[axis, k]
                    b[axis, k] = float(shift[start + k, axis])
        for i in range(n_soft):
            x, y = points[i, 0], points[i, 1]
            for k in range(size):
                px, py = float(x[start + k]), float(y[start + k])
                dx = soft[i, 0] - (px + b[0, k] + b[2, k] * (px - 0.5))
                dy = soft[i, 1] - (py + b[1, k] + b[2, k] * (py - 0.5))
                r = soft[i, 2] + class_variance[start + k] * soft[i, 3]
                log_likelihood[start + k] -= 0.5 * (dx * dx + dy * dy) / r
        for i in range(n_hard):
            x, y = points[n_soft + i, 0], points[n_soft + i, 1]
            for k in range(size):
                px, py = float(x[start + k]), float(y[start + k])
                dx = hard[i, 0] - (px + b[0, k] + b[2, k] * (px - 0.5))
                dy = hard[i, 1] - (py + b[1, k] + b[2, k] * (py - 0.5))
                over = max(math.sqrt(dx * dx + dy * dy) - hard[i, 2], 0.0)
                excess[start + k] += over
                met[start + k] &= over == 0.0
    return log_likelihood, shift, excess, met


@njit(inline="always")  # type: ignore[untyped-decorator]
def _add(
    normal: F64, k: int, vx: float, vy: float, dx: float, dy: float, r: float, sigma_t: float, sigma_s: float
) -> None:
    """Add one measurement of precision r, (dx, dy) away from the exemplar's landmark at ½ + v, to column k."""
    normal[0, k] += sigma_t * sigma_t * r
    normal[1, k] += sigma_t * sigma_s * r * vx
    normal[2, k] += sigma_t * sigma_s * r * vy
    normal[3, k] += sigma_s * sigma_s * r * (vx * vx + vy * vy)
    normal[4, k] += sigma_t * r * dx
    normal[5, k] += sigma_t * r * dy
    normal[6, k] += sigma_s * r * (vx * dx + vy * dy)


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _solve(normal: F64, b: F64, size: int, sigma_t: float, sigma_s: float) -> None:
    """b of Eq. 10f for each column of the normal equations."""
    for k in range(size):
        w, cx, cy = normal[0, k], normal[1, k], normal[2, k]
        gx, gy = normal[4, k], normal[5, k]
        zs = (normal[6, k] - (cx * gx + cy * gy) / w) / (normal[3, k] - (cx * cx + cy * cy) / w)
        b[0, k] = sigma_t * (gx - cx * zs) / w
        b[1, k] = sigma_t * (gy - cy * zs) / w
        b[2, k] = sigma_s * zs


@njit(inline="always", error_model="numpy")  # type: ignore[untyped-decorator]
def _squared(value: float, sigma: float) -> float:
    """(value / σ)²; 0 where σ is."""
    return (value / sigma) ** 2 if sigma > 0.0 else 0.0
