"""The posterior of the head pose: what probabilities over exemplars say about yaw, pitch and roll.

Exemplar k says "pose_k, give or take": a Gaussian about pose_k, on the circle, independent in the three angles (see
`exalign_engine.exemplars.poses`). Angles are degrees, in the order yaw, pitch, roll.

Where exemplars are displaced (`exalign_engine.posterior.posterior`), all of them are turned by what that turns their
mean y₀: pose(y₀ + Σ_k p_k w_k r) − pose(y₀).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign.summary import summarised
from exalign_engine.arrays import F32, F64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import ROLL, YAW, wrap
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.checks import Check, checked, unchecked
from exalign_engine.posterior.posterior import Posterior

#: Cells of a full turn in the marginals behind credible intervals (0.125° each).
MARGINAL_CELLS = 2880

#: Kernels whose variances differ by less than this factor are blurred together, with their mean variance.
VARIANCE_STEP = 1.5

#: Exemplars whose share of a histogram is made at a time.
HISTOGRAM_ROWS = 4096

#: Most credible intervals a view holds.
MAX_INTERVALS = 8

#: Most bins along one side of a histogram, and the least width of one, degrees.
MAX_BINS, MIN_BIN_WIDTH = 180, 1e-3


@dataclass(frozen=True)
class PoseGrid:
    """The grid of the joint yaw × roll histogram.

    Args:
        yaw_bins: 1 to `MAX_BINS`.
        roll_bins: as yaw_bins.
        yaw_range: lowest and highest yaw, degrees, within [−180, 180], at least `MIN_BIN_WIDTH` a bin.
        roll_range: as yaw_range.

    Raises:
        InvalidInputError: names every wrong field.
    """

    yaw_bins: int = 36
    roll_bins: int = 36
    yaw_range: tuple[float, float] = (-90.0, 90.0)
    roll_range: tuple[float, float] = (-90.0, 90.0)

    def __post_init__(self) -> None:
        wrong = []
        for name, bins in (("yaw_bins", self.yaw_bins), ("roll_bins", self.roll_bins)):
            if not 1 <= bins <= MAX_BINS:
                wrong.append(Violation(name, f"{bins} is not between 1 and {MAX_BINS}"))
        sides = (("yaw_range", self.yaw_range, self.yaw_bins), ("roll_range", self.roll_range, self.roll_bins))
        for name, (low, high), bins in sides:
            if not -180.0 <= low < high <= 180.0:
                wrong.append(Violation(name, f"[{low}, {high}] is not a non-empty range within [-180, 180] degrees"))
            elif (narrow := too_narrow(high - low, bins)) is not None:
                wrong.append(Violation(name, narrow))
        if wrong:
            raise InvalidInputError(wrong)


def too_narrow(width: float, bins: int) -> str | None:
    """What is wrong with a range of so many degrees in so many bins; None: nothing."""
    least = MIN_BIN_WIDTH * bins
    return None if width >= least else f"is {width:g} degrees wide, must be at least {least:g} for {bins} bins"


@dataclass(frozen=True, repr=False)
class PoseView:
    """The posterior of the head pose.

    Attributes:
        mean: (3,) yaw, pitch, roll in degrees.
        covariance: (3, 3) square degrees.
        masses: the probability that each interval holds.
        intervals: (len(masses), 3, 2) lower and upper end, degrees; see `credible_intervals`.
        grid: of the histogram, or None.
        histogram: (roll_bins, yaw_bins) probabilities, or None.
        mass_outside: probability outside the histogram; 0 where there is none.
    """

    __repr__ = summarised

    mean: F64
    covariance: F64
    masses: tuple[float, ...]
    intervals: F64
    grid: PoseGrid | None
    histogram: F64 | None
    mass_outside: float


def displaced_turn(posterior: Posterior, poses: Poses) -> F64:
    """By how much its displacement turns the exemplars of a posterior.

    Args:
        posterior: of one face.
        poses: what reads poses from shapes.

    Returns:
        (3,) degrees in [−180, 180).
    """
    start, r = posterior.mixture_mean, posterior.mean_displacement
    if not r.any():
        return np.zeros(3)
    before, after = poses.of(np.stack([start, start + r]))
    return wrap(after - before)


def displaced_poses(posterior: Posterior, poses: Poses) -> Poses:
    """The poses of all or some exemplars as the posterior displaces them; see `displaced_turn`."""
    turn = displaced_turn(posterior, poses)
    return replace(poses, pose=wrap(poses.pose + turn).astype(np.float32)) if turn.any() else poses


def view_pose(
    p: F32,
    pose: F32,
    variance: F32 | None = None,
    masses: Sequence[float] = (0.5, 0.9),
    grid: PoseGrid | None = None,
    check: Check = unchecked,
) -> PoseView:
    """All that is said about the pose of one face.

    Args:
        p: (K,) probabilities.
        pose: (K, 3) degrees.
        variance: (K, 3) square degrees, or None for exemplars without width.
        masses: of the credible intervals.
        grid: of the joint histogram; None leaves it out.
        check: called now and then.

    Raises:
        InvalidInputError: a mass is wrong, or there are more than `MAX_INTERVALS`.
    """
    check()
    mean, covariance = pose_moments(p, pose, variance)
    check()
    intervals = credible_intervals(p, pose, masses, variance)
    histogram, outside = joint_histogram(p, pose, grid, variance, check) if grid else (None, 0.0)
    return PoseView(mean, covariance, tuple(masses), intervals, grid, histogram, outside)


def pose_moments(p: F32, pose: F32, variance: F32 | None = None) -> tuple[F64, F64]:
    """Mean and covariance on the circle.

    Angles are first unrolled about their mean direction, so that rolls of 179° and −179° average to 180°; for angles
    within 180° of each other this is the plain mean.

    Args:
        p: (K,) probabilities.
        pose: (K, 3) degrees.
        variance: (K, 3) square degrees, or None.

    Returns:
        (3,) degrees in [−180, 180), and (3, 3) square degrees.
    """
    weight = np.asarray(p, dtype=np.float64) / p.sum(dtype=np.float64)
    angle = np.deg2rad(pose.astype(np.float64))
    direction = np.rad2deg(np.arctan2(weight @ np.sin(angle), weight @ np.cos(angle)))
    offset = wrap(pose - direction)
    shift = weight @ offset
    offset -= shift
    covariance = (offset * weight[:, None]).T @ offset
    if variance is not None:
        covariance += np.diag(weight @ variance)
    return wrap(direction + shift), covariance


def credible_intervals(p: F32, pose: F32, masses: Sequence[float], variance: F32 | None = None) -> F64:
    """Central credible intervals of each angle's own marginal: quantiles (1 ∓ mass) / 2.

    Args:
        p: (K,) probabilities.
        pose: (K, 3) degrees.
        masses: each in (0, 1), at most `MAX_INTERVALS`.
        variance: (K, 3) square degrees, or None.

    Returns:
        (len(masses), 3, 2) degrees, lower ≤ upper, to 0.13°. The circle is cut opposite the mean: an end may lie beyond
        ±180, so that an interval is never inside out.

    Raises:
        InvalidInputError: names every wrong mass.
    """
    wrong = [
        Violation(f"interval_masses[{i}]", f"{m} is not between 0 and 1, both excluded")
        for i, m in enumerate(masses)
        if not 0.0 < m < 1.0
    ]
    if len(masses) > MAX_INTERVALS:
        wrong.append(Violation("interval_masses", f"{len(masses)} masses, the limit is {MAX_INTERVALS}"))
    if wrong:
        raise InvalidInputError(wrong)
    mean, _ = pose_moments(p, pose)
    quantiles = (1.0 + np.array([-1.0, 1.0]) * np.asarray(masses, dtype=np.float64)[:, None]) / 2
    edges = np.linspace(-180.0, 180.0, MARGINAL_CELLS + 1)
    result = np.empty((len(masses), 3, 2))
    for axis in range(3):
        width = None if variance is None else variance[:, axis]
        cells = _blurred(p, wrap(pose[:, axis] - mean[axis]), width, MARGINAL_CELLS)
        cdf = np.concatenate([[0.0], np.cumsum(cells)])
        result[:, axis] = mean[axis] + np.interp(quantiles, cdf, edges)
    return result


def joint_histogram(
    p: F32, pose: F32, grid: PoseGrid, variance: F32 | None = None, check: Check = unchecked
) -> tuple[F64, float]:
    """The joint distribution of yaw and roll; may have several modes.

    Args:
        p: (K,) probabilities.
        pose: (K, 3) degrees.
        grid: bins and ranges.
        variance: (K, 3) square degrees, or None.
        check: called before every `HISTOGRAM_ROWS` exemplars.

    Returns:
        (roll_bins, yaw_bins) probabilities from the lowest roll and yaw, and the probability outside; they sum to 1.
    """
    weight = np.asarray(p, dtype=np.float64) / p.sum(dtype=np.float64)
    histogram: F64 = np.zeros((grid.roll_bins, grid.yaw_bins))
    for start in checked(range(0, len(pose), HISTOGRAM_ROWS), check):
        rows = slice(start, start + HISTOGRAM_ROWS)
        angles = pose[rows].astype(np.float64)
        sigma = np.zeros(angles.shape) if variance is None else np.sqrt(variance[rows], dtype=np.float64)
        roll = _mass_in_bins(angles[:, ROLL], sigma[:, ROLL], *grid.roll_range, grid.roll_bins)
        yaw = _mass_in_bins(angles[:, YAW], sigma[:, YAW], *grid.yaw_range, grid.yaw_bins)
        histogram += roll.T @ (weight[rows, None] * yaw)
    return histogram, max(1.0 - float(histogram.sum()), 0.0)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mass_in_bins(angle: F64, sigma: F64, low: float, high: float, bins: int) -> F64:
    """(K, bins) mass of a Gaussian on the circle in each bin; all of it in one bin where σ is 0."""
    out = np.zeros((angle.shape[0], bins))
    size = (high - low) / bins
    for k in range(angle.shape[0]):
        for turn in range(-1, 2):
            x = angle[k] + 360.0 * turn
            reach = 6.0 * sigma[k]
            first, last = math.floor((x - reach - low) / size), math.floor((x + reach - low) / size)
            if last < 0 or first >= bins:
                continue
            if first == last:
                out[k, first] += 1.0
                continue
            before = 0.0
            # From the edge of the range, where the Gaussian begins before it; never beyond the range.
            for b in range(max(first, -1), min(last, bins - 1) + 1):
                after = 1.0 if b == last else 0.5 * math.erfc((x - low - (b + 1) * size) / (sigma[k] * math.sqrt(2.0)))
                if b >= 0:
                    out[k, b] += after - before
                before = after
    return out


def _blurred(p: F32, angles: F64, variance: NDArray[np.float32] | None, cells: int) -> F64:
    """Probability of every cell of a full turn, each exemplar spread by its Gaussian.

    Args:
        p: (K,) probabilities.
        angles: (K,) degrees in [−180, 180).
        variance: (K,) square degrees, or None.
        cells: of the turn, from −180°.

    Returns:
        (cells,) float64, sums to 1.
    """
    where = np.minimum(((angles + 180.0) * (cells / 360.0)).astype(np.int64), cells - 1)
    weight = np.asarray(p, dtype=np.float64) / p.sum(dtype=np.float64)
    if variance is None:
        return np.asarray(np.bincount(where, weight, cells), dtype=np.float64)
    level = np.floor(np.log(np.maximum(variance, 1e-6)) / np.log(VARIANCE_STEP)).astype(np.int64)
    level -= level.min()
    # ω of the k-th harmonic of a full turn is k a turn; in radians a degree.
    squared = np.deg2rad(np.arange(cells // 2 + 1)) ** 2
    spectrum = np.zeros(len(squared), dtype=np.complex128)
    for g in np.flatnonzero(np.bincount(level, weight) > 0):
        inside = np.flatnonzero(level == g)
        mean = float(weight[inside] @ variance[inside] / weight[inside].sum())
        spectrum += np.fft.rfft(np.bincount(where[inside], weight[inside], cells)) * np.exp(-0.5 * mean * squared)
    result = np.maximum(np.fft.irfft(spectrum, cells), 0.0)
    return np.asarray(result / result.sum())
