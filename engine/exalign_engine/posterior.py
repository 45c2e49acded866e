"""The posterior over exemplars for one face, and what can be read off it (paper §3, Eq. 3).

    p_k = softmax(s / T)_k            p(y_n) = Σ_k p_k N(y_n; µ_kn, σ²_kn I),   σ²_kn = c · a_n · v_k

Everything here lives in the box frame; `exalign_engine.aligner` carries it into the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exalign_engine.calibration import Calibration
from exalign_engine.exemplars import Exemplars
from exalign_engine.frames import diagonal, tight_box
from exalign_engine.kernels import disc_mass, kernel_layout, rice_table, weighted_moments

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Moments leave out exemplars that together hold less than this probability.
MOMENT_CUT = 1e-3

#: Confidence is the probability of lying within this share of the face box's diagonal.
CONFIDENCE_RADIUS = 0.05


@dataclass(frozen=True)
class GroupUncertainty:
    """How several landmarks move together.

    Attributes:
        centroid: (2,) posterior mean of their centroid.
        covariance: (3,) of the centroid, as xx, xy, yy.
        rms_spread: root mean square, over the landmarks, of √trace of each one's covariance.
    """

    centroid: F64
    covariance: F64
    rms_spread: float


class PosteriorModel:
    """What all posteriors of one bundle share: exemplars and kernels in the kernels' layout.

    Args:
        exemplars: the classes.
        calibration: T, c, a_n and presence.
    """

    def __init__(self, exemplars: Exemplars, calibration: Calibration) -> None:
        self.exemplars, self.calibration = exemplars, calibration
        self.shapes = kernel_layout(exemplars.shapes)
        #: (K,) c · v_k; times a_n it is σ²_kn.
        self.class_variance: F32 = (calibration.kernel_scale * exemplars.variance).astype(np.float32)
        self.landmark_scale = np.asarray(calibration.landmark_scale, dtype=np.float64)
        self.class_log_sigma: F32 = (0.5 * np.log(self.class_variance)).astype(np.float32)
        self.landmark_log_sigma: F32 = (0.5 * np.log(self.landmark_scale)).astype(np.float32)
        self.rice_table = rice_table()

    def posterior(self, scores: F32) -> Posterior:
        """The posterior of one face.

        Args:
            scores: (K,) float32 from the network.

        Raises:
            ValueError: wrong shape, or scores that are not finite.
        """
        if scores.shape != (self.exemplars.count,):
            raise ValueError(f"scores have shape {scores.shape}, the bundle has K = {self.exemplars.count}")
        if not np.isfinite(scores).all():
            raise ValueError("scores are not finite")
        return Posterior(self, scores)


class Posterior:
    """The distribution over exemplars for one face. Views are computed when first read.

    Attributes:
        model: exemplars and kernels.
        probabilities: (K,) float32, p = softmax(s/T); sums to 1.
        presence: calibrated probability that there is a face in the crop at all.
    """

    def __init__(self, model: PosteriorModel, scores: F32) -> None:
        self.model = model
        # The maximum goes first: a score may be so large that dividing it by T < 1 would overflow to a NaN.
        with np.errstate(over="ignore"):
            p = np.exp((scores - scores.max()) / np.float32(model.calibration.temperature))
        self.probabilities: F32 = p / p.sum(dtype=np.float64).astype(np.float32)
        self.presence = model.calibration.presence(scores)

    @cached_property
    def map_index(self) -> int:
        """Class id of the most probable exemplar."""
        return int(self.probabilities.argmax())

    @property
    def map_shape(self) -> F64:
        """(68, 2) the most probable exemplar."""
        return np.asarray(self.model.exemplars.shapes[self.map_index], dtype=np.float64)

    @cached_property
    def _kept(self) -> tuple[NDArray[np.int32], F32, float]:
        """Indices and renormalised weights of the exemplars that moments use, and the probability left out.

        Dropping every p_k < cut/K leaves out less than ``MOMENT_CUT`` in all, without a sort.
        """
        p = self.probabilities
        index = np.flatnonzero(p >= MOMENT_CUT / p.shape[0]).astype(np.int32)
        weights = p[index]
        mass = float(weights.sum(dtype=np.float64))
        return index, (weights / np.float32(mass)).astype(np.float32), max(1.0 - mass, 0.0)

    @property
    def cut_mass(self) -> float:
        """Probability of the exemplars that the moments left out; below `MOMENT_CUT`."""
        return self._kept[2]

    @cached_property
    def _moments(self) -> tuple[F64, F64]:
        index, weights, _ = self._kept
        mean, covariance = weighted_moments(weights, index, self.model.shapes)
        return mean, covariance

    @property
    def mean(self) -> F64:
        """(68, 2) posterior mean: the point."""
        return np.ascontiguousarray(self._moments[0].T)

    @cached_property
    def _mean_kernel_variance(self) -> float:
        """Σ_k p_k c v_k; times a_n it is the kernels' share of landmark n's variance."""
        index, weights, _ = self._kept
        return float(weights @ self.model.class_variance[index])

    @property
    def covariance(self) -> F64:
        """(68, 3) xx, xy, yy of each landmark: spread of the exemplars plus the kernels' own variance."""
        spread = self._moments[1].T.copy()
        spread[:, [0, 2]] += (self._mean_kernel_variance * self.model.landmark_scale)[:, None]
        return spread

    @cached_property
    def confidence(self) -> F64:
        """(68,) P(‖y_n − ŷ_n‖ ≤ 0.05 · diagonal of the point's face box) under the calibrated marginals."""
        index, weights, _ = self._kept
        m = self.model
        mean = self._moments[0]
        radius = CONFIDENCE_RADIUS * diagonal(tight_box(mean.T))
        mass: F64 = disc_mass(
            weights, index, m.shapes, m.class_log_sigma, m.landmark_log_sigma, mean, radius, m.rice_table
        )
        return np.clip(mass, 0.0, 1.0)

    @cached_property
    def entropy(self) -> float:
        """Entropy over the K exemplars, nats."""
        p = self.probabilities[self.probabilities > 0].astype(np.float64)
        return max(float(-(p * np.log(p)).sum()), 0.0)

    @cached_property
    def effective_number(self) -> float:
        """1 ÷ Σ p_k²: how many exemplars share the mass."""
        return float(1.0 / np.square(self.probabilities, dtype=np.float64).sum())

    def top(self, n: int) -> list[tuple[int, float]]:
        """The n most probable exemplars as (class id, probability), in descending order."""
        n = min(n, self.probabilities.shape[0])
        if n == 0:
            return []
        best = np.argpartition(self.probabilities, -n)[-n:]
        best = best[np.lexsort((best, -self.probabilities[best]))]
        return [(int(k), float(self.probabilities[k])) for k in best]

    def group(self, landmarks: Sequence[int]) -> GroupUncertainty:
        """Uncertainty of several landmarks as a whole.

        Given its exemplar, each landmark's kernel noise is independent, so it averages out in the centroid;
        the spread of the exemplars does not.

        Args:
            landmarks: 0-based indices, at least one.
        """
        index, weights, _ = self._kept
        chosen = list(landmarks)
        centroids = self.model.shapes[index][:, :, chosen].mean(axis=2, dtype=np.float64)
        mean = weights.astype(np.float64) @ centroids
        d = centroids - mean
        kernel = self._mean_kernel_variance * self.model.landmark_scale[chosen]
        own = float(kernel.sum()) / len(chosen) ** 2
        w = weights.astype(np.float64)
        covariance = np.array([w @ d[:, 0] ** 2 + own, w @ (d[:, 0] * d[:, 1]), w @ d[:, 1] ** 2 + own])
        trace = self.covariance[chosen][:, [0, 2]].sum(axis=1)
        return GroupUncertainty(mean, covariance, float(np.sqrt(trace.mean())))
