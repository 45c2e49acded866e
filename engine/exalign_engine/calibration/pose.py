"""What an exemplar's pose is worth: fitted on ``val``, so that the stated intervals of the pose hold their mass.

    angle_k' = m + s (angle_k − m),    s = V / (V + ν),    V = Σ_k p_k (angle_k − m)²                       (C1)

m is the poses' mean. ν, the excess, is what V holds beside the truth's own spread; one number an angle. The kernel
about angle_k' has the variance ``pose_scale`` times the exemplar's own. Why poses are drawn together:
docs/decisions/pose-calibration.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import ROLL, project, solve_pose, wrap
from exalign_engine.libraries.njit import njit
from exalign_engine.metrics.coverage import MASSES
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose import credible_intervals, pose_moments
from exalign_engine.posterior.pose_calibrated import ANGLES, _shrink, calibrated_poses

#: Candidates for ν, in units of the mean of V over the faces; and for the factor of the kernels' variances.
EXCESSES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0)
SCALES = 2.0 ** (-np.arange(17) / 2)

#: Candidates within so many nats of the likeliest count, and cover well where the root mean square of
#: (observed − stated) over `MASSES` is at most so much.
SLACK, COVERS = 0.05, 0.015

#: Exemplars that together hold less than this probability are left out of the fit.
FIT_CUT = 1e-3

#: Known poses that errors are measured on lie within these of zero: yaw, pitch, roll, degrees. And their seed.
KNOWN_LIMITS, KNOWN_SEED = (60.0, 30.0, 45.0), 12


@dataclass(frozen=True)
class PoseFit:
    """What `fit_pose` found, each for yaw, pitch and roll.

    Attributes:
        scale: factor of the kernels' variances.
        excess: ν, square degrees.
        nll: mean negative log density at the true angle, nats, densities per degree.
        nll_optimal: the same of the candidate that is best by likelihood alone.
    """

    scale: tuple[float, float, float]
    excess: tuple[float, float, float]
    nll: tuple[float, float, float]
    nll_optimal: tuple[float, float, float]


def fit_pose(probabilities: Sequence[F32], truth: NDArray[np.floating], poses: Poses) -> PoseFit:
    """Choose ν and the kernels' factor of each angle, by likelihood and coverage.

    The likelihood is all but flat along a line on which narrower places go with wider kernels, so coverage decides; and
    of what covers well, the least ν: it does least to posteriors that are wide because the network is at a loss.

    Args:
        probabilities: of B faces, (K,) each, as the network gave them.
        truth: (B, 3) the pose of each face's true shape, degrees, less what the displacement turns the exemplars by
            (`exalign_engine.posterior.pose.displaced_turn`): the same as to turn the exemplars.
        poses: of the exemplars.
    """
    seen = []
    for p, true in zip(probabilities, truth, strict=True):
        mean, covariance = pose_moments(p, poses.pose)
        kept = np.flatnonzero(p >= FIT_CUT / len(p))
        weights = p[kept].astype(np.float64)
        offset = wrap(poses.pose[kept] - mean)
        seen.append((weights / weights.sum(), offset, poses.variance[kept], wrap(true - mean), np.diag(covariance)))
    excesses = np.array(EXCESSES)[:, None] * np.mean([v for *_, v in seen], axis=0)
    nll = np.zeros((len(EXCESSES), len(SCALES), 3))
    level = np.empty((len(seen), len(EXCESSES), len(SCALES), 3))
    for i, (weights, offset, variance, away, spread) in enumerate(seen):
        for axis in range(3):
            shrink = _shrink(spread[axis], excesses[:, axis])
            x, v = np.ascontiguousarray(offset[:, axis]), np.ascontiguousarray(variance[:, axis])
            density, below = _scan(weights, x, v, float(away[axis]), shrink, SCALES)
            nll[..., axis] -= np.log(density) / len(seen)
            level[i, ..., axis] = np.abs(2 * below - 1)
    held = np.stack([(level <= mass / 100).mean(axis=0) - mass / 100 for mass in MASSES])
    missed = np.where(nll <= nll.min(axis=(0, 1)) + SLACK, np.sqrt((held**2).mean(axis=0)), np.inf)
    found = []
    for axis in range(3):
        # ν ascends along the first axis: of those that cover well, the first row's best.
        well = np.flatnonzero(missed[..., axis].min(axis=1) <= max(COVERS, missed[..., axis].min()))[0]
        found.append((well, missed[well, :, axis].argmin()))
    return PoseFit(
        _three(SCALES[s] for _, s in found),
        _three(excesses[e, axis] for axis, (e, _) in enumerate(found)),
        _three(nll[e, s, axis] for axis, (e, s) in enumerate(found)),
        _three(nll.min(axis=(0, 1))),
    )


def interval_rows(
    probabilities: Sequence[F32], truth: NDArray[np.floating], poses: Poses, calibration: Calibration
) -> list[dict[str, Any]]:
    """How often the stated credible intervals hold the truth.

    Args:
        probabilities: of B faces, (K,) each.
        truth: (B, 3) as in `fit_pose`.
        poses: of the exemplars.
        calibration: with the pose fitted.

    Returns:
        One row for each angle and mass: angle, nominal and observed (0 to 1), median width (degrees), faces counted.
    """
    masses = [m / 100 for m in MASSES]
    ends = []
    for p in probabilities:
        pose, variance = calibrated_poses(p, poses, calibration)
        ends.append(credible_intervals(p, pose, masses, variance))
    width = np.ptp(ends, axis=-1)
    inside = np.abs(wrap(truth[:, None] - np.mean(ends, axis=-1))) <= width / 2
    return [
        {
            "angle": name,
            "nominal": mass,
            "observed": round(float(inside[:, m, axis].mean()), 6),
            "width": round(float(np.median(width[:, m, axis])), 3),
            "faces": len(ends),
        }
        for axis, name in enumerate(ANGLES)
        for m, mass in enumerate(masses)
    ]


def error_rows(
    probabilities: Sequence[F32], truth: NDArray[np.floating], shapes: NDArray[np.floating], poses: Poses
) -> dict[str, dict[str, float]]:
    """Errors of the pose, degrees, by angle.

    Args:
        probabilities: of B faces, (K,) each.
        truth: (B, 3) as in `fit_pose`.
        shapes: (B, 68, 2) their true shapes.
        poses: of the exemplars.

    Returns:
        "mean_rms": of the posterior's mean against the pose of the true shape; "known_rms": of the solver against the
        known pose of synthetic projections of the 3-D face (`known_pose_error`).
    """
    mean = np.stack([pose_moments(p, poses.pose)[0] for p in probabilities])
    rms = np.sqrt((wrap(mean - truth) ** 2).mean(axis=0))
    known = known_pose_error(poses.mean_face, shapes)
    return {
        "mean_rms": {name: round(float(rms[axis]), 3) for axis, name in enumerate(ANGLES)},
        "known_rms": {name: round(float(known[axis]), 3) for axis, name in enumerate(ANGLES)},
    }


def known_pose_error(mean_face: F64, shapes: NDArray[np.floating]) -> F64:
    """Error of `solve_pose` where the pose is known: the 3-D mean face, projected, with real faces' own residuals.

    Every shape lends what the mean face does not explain of it (identity, expression, annotation) to a projection at a
    random pose within `KNOWN_LIMITS`, turned in the plane with it.

    Args:
        mean_face: (68, 3).
        shapes: (B, 68, 2), upright or not, any scale and place.

    Returns:
        (3,) root mean square error, degrees.
    """
    rng = np.random.default_rng(KNOWN_SEED)
    known = rng.uniform(-1, 1, (len(shapes), 3)) * KNOWN_LIMITS
    found = solve_pose(shapes, mean_face).astype(np.float64)
    face = mean_face - mean_face.mean(axis=0)
    seen = project(face, found)
    centred = np.asarray(shapes, dtype=np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    scale = (seen * centred).sum(axis=(1, 2)) / (seen**2).sum(axis=(1, 2))
    residual = centred / scale[:, None, None] - seen
    angle = np.deg2rad(known[:, ROLL] - found[:, ROLL])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    drawn = project(face, known) + residual @ np.swapaxes(turn, 1, 2)
    return np.asarray(np.sqrt((wrap(solve_pose(drawn, mean_face) - known) ** 2).mean(axis=0)))


def _three(values: Iterable[np.floating]) -> tuple[float, float, float]:
    yaw, pitch, roll = (float(v) for v in values)
    return yaw, pitch, roll


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan(weights: F64, offset: F64, variance: F32, truth: float, shrink: F64, scales: F64) -> tuple[F64, F64]:
    """Density and distribution function at the truth for every candidate, one angle of one face.

    Args:
        weights: (M,) sum to 1.
        offset: (M,) angle_k − m, degrees.
        variance: (M,) of each exemplar's pose, square degrees.
        truth: true angle − m.
        shrink: (E,) s.
        scales: (S,) factors of the variances.

    Returns:
        (E, S) density, at least 1e-12, and (E, S) probability of an angle below the truth.
    """
    density, below = np.zeros((len(shrink), len(scales))), np.zeros((len(shrink), len(scales)))
    for m in range(len(weights)):
        sigma = math.sqrt(variance[m])
        for e in range(len(shrink)):
            away = (truth - shrink[e] * offset[m]) / sigma
            for i in range(len(scales)):
                root = math.sqrt(scales[i])
                z = away / root
                if z > 7.0:  # most are far away, and neither function is cheap
                    below[e, i] += weights[m]
                elif z > -7.0:
                    density[e, i] += weights[m] * math.exp(-0.5 * z * z) / (root * sigma * math.sqrt(2 * math.pi))
                    below[e, i] += weights[m] * 0.5 * math.erfc(-z / math.sqrt(2.0))
    # The floor keeps one impossible face from making the mean infinite.
    return np.maximum(density, 1e-12), below
