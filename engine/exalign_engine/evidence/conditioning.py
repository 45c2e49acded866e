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

**Few exemplars first.** As L_k ≤ 1, classes that hold less than δ of p hold less than δ / Σ p_k L_k of p'. So soft
clicks are weighed for the classes with p_k ≥ δ/K alone, for more where these agree too little, and at last for all
(docs/decisions/conditioning.md).

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
from exalign_engine.evidence.click_kernel import click_kernel
from exalign_engine.evidence.evidence import BoxMotion, Evidence, PoseRange
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_engine.posterior.checks import Check, checked, unchecked
from exalign_engine.posterior.posterior import Measurement, Posterior

#: Impossible evidence: exemplars whose excess is so near the least count as nearest, box sides.
NEAREST_SLACK = 0.01

#: δ: classes that together hold less of the posterior are not weighed by soft clicks; tried one after the other.
LEFT_OUT = (1e-10, 1e-15, 0.0)

#: What they may hold of the answer at most, δ / Σ p_k L_k: less than float32 tells from nothing beside 1.
LEFT_OUT_OF_ANSWER = 1e-7

#: ε₀, box sides: the default bundle's expected error on a face that nothing hides (docs/decisions/conditioning.md).
REFERENCE_ERROR = 0.035

#: Limit of (ε₀/ε)²: a posterior on few exemplars is overconfident.
MAX_MISFIT_SHARE = 2.0

#: l_n: the misfit of landmarks, in units of those of nose, eyes and mouth.
LOOSENESS: F64 = np.ones(N_LANDMARKS)
LOOSENESS[list(GROUPS["jaw"])] = 1.7
LOOSENESS[list(GROUPS["brows"])] = 1.5

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
    # What is not asked softly may leave a posterior as it is, or rule out classes by name.
    for left_out in LEFT_OUT if evidence.soft_clicks else (0.0,):
        rows = _all_but(posterior.probabilities, left_out)
        found = _reweighed(posterior, evidence, poses, model or EvidenceModel(), rows, check)
        if found.mass * LEFT_OUT_OF_ANSWER >= left_out:
            break
    return found.answer(posterior, evidence)


def _all_but(p: F32, left_out: float) -> NDArray[np.int32] | None:
    """(M,) int32 ascending, all of K classes but some that hold less than ``left_out`` of p; None: all."""
    return np.flatnonzero(p >= np.float32(left_out / len(p))).astype(np.int32) if left_out else None


@dataclass(frozen=True)
class _Reweighed:
    """What evidence says of M classes.

    Attributes:
        rows: (M,) int32 ascending, which; None: all.
        weights: (M,) float32, p_k' of them.
        shift: (M, 3) float32, b_k.
        outcome: see `Conditioned`.
        surprise: see `Conditioned`.
    """

    rows: NDArray[np.int32] | None
    weights: F32
    shift: F32
    outcome: ConditioningOutcome
    surprise: float | None

    @property
    def mass(self) -> float:
        """Σ p_k L_k over the classes."""
        return 0.0 if self.surprise is None else math.exp(-self.surprise)

    def answer(self, posterior: Posterior, evidence: Evidence) -> Conditioned:
        """The posterior that follows from it."""
        p, rows = posterior.probabilities, self.rows
        moved = bool(self.shift.any())
        if self.weights is p and not moved and not evidence.soft_clicks:
            return Conditioned(posterior, evidence, self.outcome, self.surprise, np.zeros(3))
        probabilities, shift = self.weights, self.shift
        if rows is not None:
            probabilities, shift = np.zeros_like(p), np.zeros((len(p), 3), np.float32)
            probabilities[rows], shift[rows] = self.weights, self.shift
        conditioned = Posterior(
            posterior.model,
            probabilities,
            posterior.presence,
            displacement=posterior.displacement,
            share=posterior.share,
            prior_error=posterior.expected_error,
            box_shift=shift if moved else None,
            measured={c.landmark: Measurement(c.x, c.y, c.sigma**2) for c in evidence.soft_clicks},
            held=rows,
        )
        mean_shift = self.weights.astype(np.float64) @ self.shift if moved else np.zeros(3)
        return Conditioned(conditioned, evidence, self.outcome, self.surprise, mean_shift)


def _reweighed(
    posterior: Posterior,
    evidence: Evidence,
    poses: F32 | None,
    model: EvidenceModel,
    rows: NDArray[np.int32] | None,
    check: Check,
) -> _Reweighed:
    """All evidence for some classes, or for all."""
    check()
    p = posterior.probabilities if rows is None else posterior.probabilities[rows]
    log_likelihood, shift, excess, allowed = _clicks(posterior, evidence, model, rows)
    if evidence.regions:
        _regions(posterior, evidence, rows, shift, excess, allowed, check)
    for pose in checked(evidence.poses, check):
        assert poses is not None  # noqa: S101 - checked before; for the type checker
        _pose_range(pose, poses if rows is None else poses[rows], excess, allowed)
    weights, outcome, surprise = _answer(p, log_likelihood, allowed, excess)
    return _Reweighed(rows, weights, shift, outcome, surprise)


def _answer(
    p: F32, log_likelihood: F64, allowed: NDArray[np.bool_], excess: F64
) -> tuple[F32, ConditioningOutcome, float | None]:
    """The new probabilities (M,), whether any exemplar agrees, and the surprise; also of impossible evidence."""
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


def _clicks(
    posterior: Posterior, evidence: Evidence, taken: EvidenceModel, rows: NDArray[np.int32] | None
) -> tuple[F64, F32, F64, NDArray[np.bool_]]:
    """ln L_k of the clicks (M,), b_k (M, 3), summed excess (M,), and whether all hard clicks are met (M,)."""
    model, k = posterior.model, len(posterior.probabilities if rows is None else rows)
    if not evidence.clicks:
        return np.zeros(k), np.zeros((k, 3), np.float32), np.zeros(k), np.ones(k, bool)
    soft, hard, free = evidence.soft_clicks, evidence.hard_clicks, evidence.box_motion is BoxMotion.FREE
    error = posterior.expected_error
    misfit, move = taken.misfit_variance(error), error if free else 0.0
    return click_kernel(  # type: ignore[no-any-return]
        np.stack([posterior.places(n, rows) for n in (*(c.landmark for c in soft), *(c.landmark for c in hard))]),
        model.class_variance if rows is None else model.class_variance[rows],
        np.array([(c.x, c.y, c.sigma**2 + misfit[c.landmark], model.landmark_scale[c.landmark]) for c in soft]).reshape(
            -1, 4
        ),
        np.array([(c.x, c.y, c.radius) for c in hard]).reshape(-1, 3),
        taken.shift * move,
        taken.log_scale * move,
    )


def _regions(
    posterior: Posterior,
    evidence: Evidence,
    rows: NDArray[np.int32] | None,
    shift: F32,
    excess: F64,
    allowed: NDArray[np.bool_],
    check: Check,
) -> None:
    """Add Eq. 10c to ``excess`` and ``allowed``, in place."""
    for constraint in checked(evidence.regions, check):
        point = posterior.places(constraint.landmark, rows).astype(np.float64)
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
