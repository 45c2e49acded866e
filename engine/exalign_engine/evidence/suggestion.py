"""Which landmark to click next, by the expected gain of each click (paper §4.3, "active learning").

The shape error that the posterior expects of its own mean, and the entropy's drop by a click at e on landmark n, are

    ε(p) = √( (1/68) Σ_n tr Cov_p(y_n) )                                                                     (S1)
    I(p, n, e) = Σ_k p_k' ln(p_k'/p_k),    p_k' = p_k L_k(n, e) / Σ_j p_j L_j(n, e),  L of Eq. 10b           (S2)

The place of the click follows the posterior, e ~ Σ_j p_j N(µ_jn, (σ² + m_n² + σ²_jn) I):

    Δε(n) = ε(p) − E_e ε(p'),        ΔH(n) = E_e I(p, n, e)                                                  (S3)

The expected gain is α Δε(n) + (β ΔH(n) + o_n) ε, with slopes and landmark n's offset calibrated on clicks (Eq. S4 of
`exalign_engine.calibration.clicks`). E_e I is the mutual information of class and click. Unlike the difference of two
entropies it is never negative, and leaving exemplars out does not bias it.

The expectation is a sum over `NODES` deterministic nodes: exemplars j by systematic resampling from p, and for each a
point of a two-dimensional normal Halton sequence. Posteriors of more than `MAX_MEMBERS` exemplars are resampled first.
µ_jn is the landmark after all displacement. The box is held fixed: where it is wrong, every landmark is about as
informative about it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evidence.conditioning import EvidenceModel
from exalign_engine.evidence.evidence import MAX_LENGTH, MIN_LENGTH
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.checks import Check, checked, unchecked
from exalign_engine.posterior.posterior import Posterior

#: Clicks tried a landmark, and exemplars that stand for the posterior.
NODES, MAX_MEMBERS = 32, 2048

#: Exemplars that stand for a posterior of which few stand for many already (docs/decisions/hidden-faces.md).
WIDE_MEMBERS = 512

#: Candidates that are tried before the next check.
CANDIDATES = 8

#: An exemplar whose likelihood is below exp(−30) is left out.
LEAST_LOG_LIKELIHOOD = -30.0


class Criterion(Enum):
    """By what suggestions are ranked."""

    ERROR = "error"
    ENTROPY = "entropy"


@dataclass(frozen=True)
class Suggestion:
    """The expected gain of a click on one landmark.

    Attributes:
        landmark: 0-based.
        error_reduction: α Δε + (β ΔH + o_n) ε, box sides; may be slightly negative.
        entropy_reduction: ΔH, nats, ≥ 0.
    """

    landmark: int
    error_reduction: float
    entropy_reduction: float


@dataclass(frozen=True)
class Suggestions:
    """Landmarks to click next.

    Attributes:
        expected_error: ε now, box sides.
        ranked: best first; equals in the order of the landmarks.
    """

    expected_error: float
    ranked: tuple[Suggestion, ...]


def suggest(
    posterior: Posterior,
    sigma: float,
    landmarks: Sequence[int] | None = None,
    criterion: Criterion = Criterion.ERROR,
    model: EvidenceModel | None = None,
    check: Check = unchecked,
) -> Suggestions:
    """Rank landmarks by the expected gain of a soft click on them (Eq. S3).

    Args:
        posterior: evidence included.
        sigma: standard deviation of the coming click, per coordinate, box sides.
        landmarks: candidates; None takes all that are not measured yet.
        criterion: by what to rank.
        model: how the click will be weighed; its box is not used. Default `EvidenceModel()`.
        check: called before every `CANDIDATES` candidates.

    Raises:
        InvalidInputError: a candidate is unknown, repeated or measured already, or sigma is out of range.
    """
    chosen = _candidates(posterior, sigma, landmarks)
    members = _Members.of(posterior)
    node, count = systematic(members.weights, NODES)
    misfit = (model or EvidenceModel()).misfit_variance(posterior.prior_error)
    errors, information = np.empty(len(chosen)), np.empty(len(chosen))
    for start in checked(range(0, len(chosen), CANDIDATES), check):
        some = slice(start, start + CANDIDATES)
        errors[some], information[some] = _expected_after_click(
            members.weights,
            members.shapes,
            members.squares,
            members.variance,
            posterior.model.landmark_scale,
            members.fixed_variance,
            np.array(chosen[some], dtype=np.int64),
            np.repeat(node, count),
            normal_points(NODES),
            sigma * sigma,
            misfit,
        )
    before, (alpha, beta) = members.error(), posterior.model.calibration.click_slopes
    gains, offset = np.maximum(information, 0.0), posterior.model.calibration.click_offset
    found = [
        Suggestion(n, alpha * (before - float(e)) + (beta * float(h) + offset[n]) * before, float(h))
        for n, e, h in zip(chosen, errors, gains, strict=True)
    ]
    if criterion is Criterion.ERROR:
        found.sort(key=lambda s: (-s.error_reduction, s.landmark))
    else:
        found.sort(key=lambda s: (-s.entropy_reduction, s.landmark))
    return Suggestions(posterior.expected_error, tuple(found))


def systematic(
    weights: NDArray[np.floating], draws: int, held: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Systematic resampling with the fixed offset ½: (rows drawn, ascending; how often each, summing to ``draws``).

    Args:
        weights: (K,) ≥ 0, some above 0.
        draws: how many.
        held: ascending, every row with a weight above 0, where they are known to be few; None: any may have one.
    """
    some = weights if held is None else weights[held]
    cumulative = np.cumsum(some, dtype=np.float64)
    at = (np.arange(draws) + 0.5) / draws * cumulative[-1]
    # The last row with any weight, should rounding push the last point beyond the sum.
    rows = np.minimum(np.searchsorted(cumulative, at, side="right"), np.flatnonzero(some)[-1])
    found, count = np.unique(rows if held is None else held[rows], return_counts=True)
    return found.astype(np.int64), count.astype(np.int64)


def normal_points(count: int) -> F64:
    """(count, 2) points of N(0, I): Halton's sequence of bases 2 and 3 through Box and Muller's map."""
    u, v = (_van_der_corput(count, base) for base in (2, 3))
    radius = np.sqrt(-2 * np.log(u))
    return np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], axis=1)


def _van_der_corput(count: int, base: int) -> F64:
    """Radical inverses of 1 … count, all in (0, 1)."""
    out = np.zeros(count)
    for i in range(count):
        number, digit = i + 1, 1 / base
        while number:
            number, rest = divmod(number, base)
            out[i] += rest * digit
            digit /= base
    return out


def _candidates(posterior: Posterior, sigma: float, landmarks: Sequence[int] | None) -> list[int]:
    wrong: list[Violation] = []
    if not MIN_LENGTH <= sigma <= MAX_LENGTH:
        wrong.append(Violation("sigma", f"is {sigma:g} box sides, must be from {MIN_LENGTH:g} to {MAX_LENGTH:g}"))
    chosen = [n for n in range(N_LANDMARKS) if n not in posterior.measured] if landmarks is None else list(landmarks)
    for i, n in enumerate(chosen):
        if not 0 <= n < N_LANDMARKS:
            wrong.append(Violation(f"landmarks[{i}]", f"is {n}, must be from 0 to {N_LANDMARKS - 1}"))
        elif n in chosen[:i]:
            wrong.append(Violation(f"landmarks[{i}]", f"repeats {n}"))
        elif n in posterior.measured:
            wrong.append(Violation(f"landmarks[{i}]", f"{n} is clicked already"))
    if wrong:
        raise InvalidInputError(wrong)
    return chosen


@dataclass(frozen=True)
class _Members:
    """The exemplars that stand for a posterior, about their mean.

    Attributes:
        weights: (M,) float32, sum to 1.
        shapes: (M, 2, N) float32; measured landmarks are 0, as all exemplars agree about them.
        squares: (M,) float64, squared norm of each row of ``shapes``.
        variance: (M,) float32, c · v_k.
        fixed_variance: (N,) a measured landmark's variance, whatever the class; −1 where the kernels give it.
    """

    weights: F32
    shapes: F32
    squares: F64
    variance: F32
    fixed_variance: F64
    landmark_scale: F64

    @classmethod
    def of(cls, posterior: Posterior) -> _Members:
        c = posterior.components
        index, weights = c.index, c.weights
        most = MAX_MEMBERS if posterior.kept.whole else WIDE_MEMBERS
        if len(index) > most:
            rows, count = systematic(weights, most)
            index, weights = index[rows], (count / most).astype(np.float32)
        # About the posterior mean, so that float32 sums lose no digits to it.
        shapes = (c.shapes[index] - posterior.mean.T).astype(np.float32)
        fixed = np.full(N_LANDMARKS, -1.0)
        for n in posterior.measured:
            shapes[:, :, n] = 0
            fixed[n] = posterior.kernel_variance[n]
        squares = np.square(shapes, dtype=np.float64).sum(axis=(1, 2))
        return cls(weights, shapes, squares, c.class_variance[index], fixed, posterior.model.landmark_scale)

    def error(self) -> float:
        """ε of Eq. S1 as these members have it."""
        w = self.weights.astype(np.float64)
        mean = np.einsum("m,mcn->cn", w, self.shapes.astype(np.float64))
        kernel = np.where(self.fixed_variance >= 0, self.fixed_variance, (w @ self.variance) * self.landmark_scale)
        spread = float(w @ self.squares - np.square(mean).sum())
        return math.sqrt(max(spread + 2 * float(kernel.sum()), 0.0) / N_LANDMARKS)


# Long: one compiled kernel, whose loops share what was gathered for a landmark.
@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _expected_after_click(
    weights: F32,
    shapes: F32,
    squares: F64,
    variance: F32,
    landmark_scale: F64,
    fixed_variance: F64,
    candidates: NDArray[np.int64],
    nodes: NDArray[np.int64],
    noise: F64,
    click_variance: float,
    misfit_variance: F64,
) -> tuple[F64, F64]:
    """Mean over the nodes of ε (Eq. S1) and of I (Eq. S2) for each candidate: (C,), (C,)."""
    members, n_landmarks = shapes.shape[0], shapes.shape[2]
    rows = shapes.reshape(members, 2 * n_landmarks)
    free_scale, fixed_sum = 0.0, 0.0
    for j in range(n_landmarks):
        if fixed_variance[j] >= 0.0:
            fixed_sum += fixed_variance[j]
        else:
            free_scale += landmark_scale[j]
    errors, information = np.zeros(candidates.shape[0]), np.zeros(candidates.shape[0])
    mean = np.empty(2 * n_landmarks, np.float32)
    x, y, half_precision = np.empty(members), np.empty(members), np.empty(members)
    for i in range(candidates.shape[0]):
        n = candidates[i]
        scale = landmark_scale[n]
        for k in range(members):
            x[k], y[k] = shapes[k, 0, n], shapes[k, 1, n]
            half_precision[k] = 0.5 / (click_variance + misfit_variance[n] + variance[k] * scale)
        for q in range(nodes.shape[0]):
            j = nodes[q]
            spread = math.sqrt(0.5 / half_precision[j])
            ex, ey = x[j] + spread * noise[q, 0], y[j] + spread * noise[q, 1]
            mean[:] = 0.0
            total, square, kernel, logs, own = 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(members):
                dx, dy = x[k] - ex, y[k] - ey
                log = -(dx * dx + dy * dy) * half_precision[k]
                if log > LEAST_LOG_LIKELIHOOD:
                    w = weights[k] * math.exp(log)
                    total += w
                    square += w * squares[k]
                    kernel += w * variance[k]
                    logs += w * log
                    own += w * (x[k] * x[k] + y[k] * y[k])
                    w32, row = np.float32(w), rows[k]
                    for c in range(2 * n_landmarks):
                        mean[c] += w32 * row[c]
            norm = 0.0
            for c in range(2 * n_landmarks):
                if c != n and c != n + n_landmarks:
                    norm += float(mean[c]) * float(mean[c])
            # The clicked landmark has the click's variance times the kernel's, whatever the exemplars say.
            kernel /= total
            clicked = kernel * scale * click_variance / (kernel * scale + click_variance)
            trace = (square - own) / total - norm / (total * total)
            trace += 2.0 * (kernel * (free_scale - scale) + clicked + fixed_sum)
            errors[i] += math.sqrt(max(trace, 0.0) / n_landmarks)
            information[i] += logs / total - math.log(total)
        errors[i] /= nodes.shape[0]
        information[i] /= nodes.shape[0]
    return errors, information
