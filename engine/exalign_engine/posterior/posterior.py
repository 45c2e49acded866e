"""The posterior over exemplars for one face (paper §3, Eq. 3; docs/architecture.md#posterior).

    p_k = softmax(s / T)_k            p(y_n) = Σ_k p_k N(y_n; µ_kn + w_k r_n, σ²_kn I),   σ²_kn = c · a_n · v_k

r is the displacement that the picture asks for (`exalign_engine.posterior.residual`), from the start y₀ = Σ_k p_k µ_k,
and

    w_k = exp(−‖µ_k − y₀‖² / 2h²)  where p_k ≥ cut / K,  else 0

is how much of it concerns exemplar k: what the residual saw from y₀ says little about a face that is elsewhere. Both
are found once, from the network's outputs. Evidence reweighs the exemplars where they are displaced to, and they stay
there (docs/decisions/displacement.md).

Everything here lives in the box frame; `exalign_engine.face.aligner` carries it into the image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.calibration import Calibration, log_mass
from exalign_engine.posterior.components import Components
from exalign_engine.posterior.device_sums import MixtureSums
from exalign_engine.posterior.held import entropy, sum_of_squares
from exalign_engine.posterior.kept import Support, entropy_of_many, supported
from exalign_engine.posterior.kernels import (
    disc_mass,
    kernel_layout,
    moved_shapes,
    nearness,
    rice_table,
    weighted_moments,
)
from exalign_engine.posterior.occlusion import OcclusionHead
from exalign_engine.posterior.residual import DISPLACEMENT_REACH, Displacer, ImageFeatures
from exalign_engine.tables.store import Layout

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


@dataclass(frozen=True)
class Measurement:
    """Where a landmark was seen by someone else: its marginal is this, not the exemplars'.

    Attributes:
        x: box frame.
        y: box frame.
        variance: of the measurement, per coordinate, box sides².
    """

    x: float
    y: float
    variance: float


class PosteriorModel:
    """What all posteriors of one bundle share: exemplars and kernels in the kernels' layout.

    Args:
        exemplars: the classes.
        calibration: T, c, a_n and presence.
        displacer: moves the exemplars to where a picture says; None leaves them where they are.
        occlusion: tells which landmarks are hidden; None: nothing does.
    """

    def __init__(
        self,
        exemplars: Exemplars,
        calibration: Calibration,
        displacer: Displacer | None = None,
        occlusion: OcclusionHead | None = None,
    ) -> None:
        self.exemplars, self.calibration, self.displacer, self.occlusion = exemplars, calibration, displacer, occlusion
        self.shapes = kernel_layout(exemplars.shapes)
        #: (K,) c · v_k; times a_n it is σ²_kn.
        self.class_variance: F32 = (calibration.kernel_scale * exemplars.variance).astype(np.float32)
        self.landmark_scale = np.asarray(calibration.landmark_scale, dtype=np.float64)
        self.class_log_sigma: F32 = (0.5 * np.log(self.class_variance)).astype(np.float32)
        self.landmark_log_sigma: F32 = (0.5 * np.log(self.landmark_scale)).astype(np.float32)
        self.rice_table = rice_table()

    @cached_property
    def by_landmark(self) -> F32:
        """(68, 2, K) float32: ``shapes`` for who reads few landmarks of all exemplars; made when first read."""
        layout: Layout = {"shapes": (np.float32, self.shapes.shape[::-1])}
        made = self.exemplars.tables.arrays("by-landmark", layout, lambda: {"shapes": self.shapes.transpose(2, 1, 0)})
        return np.ascontiguousarray(made["shapes"])

    def posterior(
        self, scores: F32, image: ImageFeatures | None = None, sums: F32 | None = None, *, whole: bool = False
    ) -> Posterior:
        """The posterior of one face.

        Args:
            scores: (K,) float32 from the network.
            image: what else it saw in the same crop; without it nothing is displaced.
            sums: (W,) float32, where the network's graph made the moments' sums itself; None makes them here.
            whole: make views of all exemplars, however many: to compare posteriors by. Slow where they are many.

        Raises:
            ValueError: wrong shape, or scores that are not finite.
        """
        if scores.shape != (self.exemplars.count,):
            raise ValueError(f"scores have shape {scores.shape}, the bundle has K = {self.exemplars.count}")
        top = scores.max()  # a NaN where there is one
        if not (math.isfinite(top) and math.isfinite(scores.min())):
            raise ValueError("scores are not finite")
        made = None if sums is None else MixtureSums.of(sums)
        # The maximum goes first: a score may be so large that dividing it by T < 1 would overflow to a NaN.
        with np.errstate(over="ignore"):
            shares = scores - top
            p = np.exp(shares)
            mass = log_mass(float(top), p)
            np.divide(shares, np.float32(self.calibration.temperature), out=p)
        np.exp(p, out=p)
        p /= p.sum(dtype=np.float64).astype(np.float32)
        probabilities: F32 = p
        kept = Support.of_all(probabilities) if whole else None
        presence = self.calibration.presence_of(mass, None if image is None else image.embedding)
        return Posterior(self, probabilities, presence, image=image, sums=made, kept=kept)


class Posterior:
    """The distribution over exemplars for one face. Views are computed when first read.

    Made by `PosteriorModel.posterior` from scores, and by `exalign_engine.evidence.conditioning` from evidence.

    Args:
        model: exemplars and kernels.
        probabilities: (K,) float32; sums to 1.
        presence: calibrated probability that there is a face in the crop at all.
        image: of the crop in whose box frame the posterior is; what the model's displacer reads.
        displacement: (68, 2) float64 r, box sides, where there is no image to ask; None is zeros.
        share: (K,) float32 w_k that belong to ``displacement``; None is as ``start`` says.
        start: (68, 2) y₀ from which w_k are found; None where ``share`` says them, or they are 1: displaced as one.
        prior_error: `expected_error` of the posterior that this one was conditioned from; None where it was not.
        box_shift: (K, 3) float32, b_k = (dx, dy, ln s), which moves exemplar k to µ_k + (dx, dy) + ln s · (µ_k − ½);
            None moves nothing. µ_k is what it is after its displacement. Any where p_k is 0.
        measured: landmarks whose marginal is a measurement.
        sums: of the same probabilities, made by the network's graph; moments are read from them where nothing is
            measured or moved with the box.
        kept: of the same probabilities, where it is at hand.
        held: (H,) int32 ascending, every class with a probability above 0, where they are known to be few.
    """

    def __init__(
        self,
        model: PosteriorModel,
        probabilities: F32,
        presence: float,
        *,
        image: ImageFeatures | None = None,
        displacement: F64 | None = None,
        share: F32 | None = None,
        start: F64 | None = None,
        prior_error: float | None = None,
        box_shift: F32 | None = None,
        measured: Mapping[int, Measurement] | None = None,
        sums: MixtureSums | None = None,
        kept: Support | None = None,
        held: NDArray[np.int32] | None = None,
    ) -> None:
        self.model, self.probabilities, self.presence = model, probabilities, presence
        self.image, self._displacement, self._share, self._start = image, displacement, share, start
        self._prior_error, self._kept, self.held = prior_error, kept, held
        self.box_shift, self.measured = box_shift, dict(measured or {})
        self._sums = None if self.measured or box_shift is not None else sums

    @cached_property
    def map_index(self) -> int:
        """Class id of the most probable exemplar."""
        return int(self.probabilities.argmax())

    @property
    def map_shape(self) -> F64:
        """(68, 2) the most probable exemplar, displaced and moved with the box."""
        return np.ascontiguousarray(self._moved(np.array([self.map_index], np.int32))[0].T, dtype=np.float64)

    def _moved(self, index: NDArray[np.int32]) -> F32:
        """(M, 2, 68) exemplars, displaced and moved with the box."""
        m = len(index)
        shift = np.zeros((m, 3), np.float32) if self.box_shift is None else self.box_shift[index]
        r = np.ascontiguousarray(self.displacement.T, dtype=np.float32)
        return moved_shapes(index, self.model.shapes, r, self._shares(index), shift)  # type: ignore[no-any-return]

    def places(self, landmark: int, rows: NDArray[np.int32] | None = None) -> F32:
        """(2, M) float32: where some exemplars, or all, have this landmark; displaced, not moved with the box."""
        places: F32 = self.model.by_landmark[landmark]
        places = places if rows is None else places.take(rows, axis=1)
        r = self.displacement[landmark].astype(np.float32)[:, None]
        if r.any():
            share = self.share if self.share is None or rows is None else self.share[rows]
            places = places + (r if share is None else r * share)
        return places

    @cached_property
    def kept(self) -> Support:
        """The exemplars that moments and all other views are made of."""
        return self._kept or Support.of(self.probabilities, self.model.exemplars, self.held)

    @property
    def cut_mass(self) -> float:
        """Probability of the exemplars that no view is made of; see `Support`."""
        return self.kept.cut

    @cached_property
    def components(self) -> Components:
        """What moments and heatmaps are made of, `cut_mass` left out. Measured landmarks have their own marginal."""
        index, weights = self.kept.index, self.kept.weights
        m = self.model
        if self.box_shift is None and not self.displacement.any():
            return Components(index, weights, m.shapes, m.class_variance, m.class_log_sigma)
        rows = np.arange(len(index), dtype=np.int32)
        return Components(rows, weights, self._moved(index), m.class_variance[index], m.class_log_sigma[index])

    @cached_property
    def mixture_mean(self) -> F64:
        """(68, 2) y₀: the mean of the exemplars as they are, neither displaced nor moved with the box."""
        if self._sums is not None:
            return self._sums.mean
        index, weights = self.kept.index, self.kept.weights
        mean, _ = weighted_moments(weights, index, self.model.shapes)
        return np.ascontiguousarray(mean.T)

    @cached_property
    def displacement(self) -> F64:
        """(68, 2) float64 r, box sides: by how much the picture moves an exemplar at y₀; zeros where nothing tells."""
        if self.image is not None and self.model.displacer is not None:
            return self.model.displacer.displacement(self.image, self.mixture_mean)
        return np.zeros((N_LANDMARKS, 2)) if self._displacement is None else self._displacement

    @property
    def _share_start(self) -> F64 | None:
        """y₀ from which shares are found; None where they are given, or 1."""
        return self._start if self.image is None or self.model.displacer is None else self.mixture_mean

    @cached_property
    def share(self) -> F32 | None:
        """(K,) float32 w: how much of r each exemplar takes; None: all of it."""
        start = self._share_start
        if start is None:
            return self._share
        share = np.zeros_like(self.probabilities)
        index = supported(self.probabilities)
        share[index] = nearness(index, self.model.shapes, start.T, DISPLACEMENT_REACH)
        return share

    def _shares(self, index: NDArray[np.int32]) -> F32:
        """(M,) float32 w of some exemplars with p_k ≥ cut/K; what `share` says, in less time where they are few."""
        start = self._share_start
        if start is not None and "share" not in self.__dict__:
            return nearness(index, self.model.shapes, start.T, DISPLACEMENT_REACH)  # type: ignore[no-any-return]
        return np.ones(len(index), np.float32) if self.share is None else self.share[index]

    @property
    def mean_displacement(self) -> F64:
        """(68, 2) float64 Σ_k p_k w_k r, box sides: by how much the mean is displaced."""
        index, weights = self.kept.index, self.kept.weights
        whole = self._share_start is None and self._share is None
        return self.displacement if whole else self.displacement * float(weights @ self._shares(index))

    @cached_property
    def _moments(self) -> tuple[F64, F64]:
        if self._sums is not None:
            return self._sums.displaced(self.displacement)
        c = self.components
        mean, covariance = weighted_moments(c.weights, c.index, c.shapes)
        for n, seen in self.measured.items():
            mean[:, n], covariance[:, n] = (seen.x, seen.y), 0.0
        return mean, covariance

    @property
    def mean(self) -> F64:
        """(68, 2) posterior mean: the point."""
        return np.ascontiguousarray(self._moments[0].T)

    @cached_property
    def _mean_kernel_variance(self) -> float:
        """Σ_k p_k c v_k; times a_n it is the kernels' share of landmark n's variance."""
        if self._sums is not None:
            return self._sums.kernel_variance
        index, weights = self.kept.index, self.kept.weights
        return float(weights @ self.model.class_variance[index])

    @cached_property
    def kernel_variance(self) -> F64:
        """(68,) what each landmark's variance holds beside the spread of the exemplars, per coordinate.

        The kernels' mean variance; for a measured landmark the product of that Gaussian and the measurement's.
        """
        variance = self._mean_kernel_variance * self.model.landmark_scale
        for n, seen in self.measured.items():
            variance[n] = variance[n] * seen.variance / (variance[n] + seen.variance)
        return variance

    @property
    def covariance(self) -> F64:
        """(68, 3) xx, xy, yy of each landmark: spread of the exemplars plus the kernels' own variance."""
        spread = self._moments[1].T.copy()
        spread[:, [0, 2]] += self.kernel_variance[:, None]
        return spread

    @cached_property
    def expected_error(self) -> float:
        """ε of Eq. S1: the root mean square error over the 68 points that is expected of the mean, box sides."""
        return math.sqrt(float(self.covariance[:, [0, 2]].sum()) / self.covariance.shape[0])

    @property
    def prior_error(self) -> float:
        """`expected_error` before there was any evidence, box sides."""
        return self.expected_error if self._prior_error is None else self._prior_error

    @cached_property
    def confidence(self) -> F64:
        """(68,) P(‖y_n − ŷ_n‖ ≤ 0.05 · diagonal of the point's face box) under the calibrated marginals."""
        c, m = self.components, self.model
        mean = self._moments[0]
        radius = CONFIDENCE_RADIUS * diagonal(tight_box(mean.T))
        mass: F64 = disc_mass(
            c.weights, c.index, c.shapes, c.class_log_sigma, m.landmark_log_sigma, mean, radius, m.rice_table
        )
        for n in self.measured:
            mass[n] = -math.expm1(-(radius**2) / (2 * self.kernel_variance[n]))
        return np.clip(mass, 0.0, 1.0)

    @cached_property
    def entropy(self) -> float:
        """Entropy over the K exemplars, nats."""
        return entropy(self.probabilities, self.held) if self.kept.whole else entropy_of_many(self.probabilities)

    @cached_property
    def effective_number(self) -> float:
        """1 ÷ Σ p_k²: how many exemplars share the mass."""
        return float(1.0 / sum_of_squares(self.probabilities, self.held))

    def top(self, n: int) -> list[tuple[int, float]]:
        """The n most probable exemplars as (class id, probability), in descending order."""
        n = min(n, self.probabilities.shape[0])
        if n == 0:
            return []
        # They are among those that are kept, where so many are: no other has as much.
        if self.kept.whole and len(self.kept.index) >= n:
            best = self.kept.index[np.argpartition(self.probabilities[self.kept.index], -n)[-n:]].astype(np.intp)
        else:
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
        c, chosen = self.components, list(landmarks)
        points = c.shapes[c.index][:, :, chosen]
        for i, n in enumerate(chosen):
            if n in self.measured:
                points[:, :, i] = self.measured[n].x, self.measured[n].y
        centroids = points.mean(axis=2, dtype=np.float64)
        w = c.weights.astype(np.float64)
        mean = w @ centroids
        d = centroids - mean
        own = float(self.kernel_variance[chosen].sum()) / len(chosen) ** 2
        covariance = np.array([w @ d[:, 0] ** 2 + own, w @ (d[:, 0] * d[:, 1]), w @ d[:, 1] ** 2 + own])
        trace = self.covariance[chosen][:, [0, 2]].sum(axis=1)
        return GroupUncertainty(mean, covariance, float(np.sqrt(trace.mean())))
