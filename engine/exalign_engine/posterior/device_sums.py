"""Sums over all K exemplars that a network's graph can make beside its scores: what of them, and how they are read.

A device that has just scored K exemplars can weigh them too: softmax, then products with constant tables. All of it is
about the mixture where nothing is displaced, in the box frame, over the exemplars that moments use (p_k ≥ cut / K, as
`exalign_engine.posterior.posterior` keeps them), renormalised:

    m = Σ p_k µ_k        C_n = Σ p_k (µ_kn − m_n)(µ_kn − m_n)ᵀ        v = Σ p_k c v_k        (S1)

The displacement r needs m first, and the picture, so that it stays with the host. But how much of r each exemplar
takes, w_k = exp(−‖µ_k − m‖² / 2h²), depends on m alone, and three more sums are all that the displaced moments need:

    a = Σ p_k w_k        b = Σ p_k w_k²        X_n = Σ p_k w_k (µ_kn − m_n)                       (S2)
    mean of µ_kn + w_k r_n        m_n + a r_n                                                     (S3)
    its covariance                C_n + X_n r_nᵀ + r_n X_nᵀ + (b − a²) r_n r_nᵀ                   (S4)

What no constant table gives stays with the host too: confidence, heatmaps, clicks and the pose.
`exalign_engine.onnx_graph.sums` appends the sums to a network, with the constants of
`exalign_engine.onnx_graph.sums_tables`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: Coordinates of a shape: 68 x, then 68 y.
COORDINATES = 2 * N_LANDMARKS

#: Products of two coordinates of one landmark: 68 xx, 68 xy, 68 yy.
PRODUCTS = 3 * N_LANDMARKS

#: The output's columns: name → width, in this order.
COLUMNS = {
    "mean": COORDINATES,
    "covariance": PRODUCTS,
    "displacement_covariance": COORDINATES,
    "kernel_variance": 1,
    "kept_mass": 1,
    "mean_share": 1,
    "mean_squared_share": 1,
}

#: Numbers a face.
WIDTH = sum(COLUMNS.values())


@dataclass(frozen=True)
class MixtureSums:
    """The sums of one face, read from the network's output.

    Attributes:
        mean: (68, 2) m.
        covariance: (3, 68) C as xx, xy, yy, without the kernels' own variance.
        displacement_covariance: (68, 2) X.
        kernel_variance: v.
        kept_mass: probability of the exemplars that were summed.
        mean_share: a.
        mean_squared_share: b.
    """

    mean: F64
    covariance: F64
    displacement_covariance: F64
    kernel_variance: float
    kept_mass: float
    mean_share: float
    mean_squared_share: float

    @classmethod
    def of(cls, row: F32) -> MixtureSums:
        """Read one row of the output ``sums``.

        Args:
            row: (`WIDTH`,) float32.

        Raises:
            ValueError: wrong shape.
        """
        if row.shape != (WIDTH,):
            raise ValueError(f"sums have shape {row.shape}, must be ({WIDTH},)")
        ends = np.cumsum(list(COLUMNS.values()))[:-1]
        part = dict(zip(COLUMNS, np.split(row.astype(np.float64), ends), strict=True))
        covariance = part["covariance"].reshape(3, N_LANDMARKS)
        covariance[[0, 2]] = np.maximum(covariance[[0, 2]], 0.0)
        return cls(
            # In the order of memory that the host's own sums have: kernels are compiled for that one.
            mean=np.ascontiguousarray(part["mean"].reshape(2, N_LANDMARKS).T),
            covariance=covariance,
            displacement_covariance=part["displacement_covariance"].reshape(2, N_LANDMARKS).T,
            kernel_variance=float(part["kernel_variance"][0]),
            kept_mass=float(part["kept_mass"][0]),
            mean_share=float(part["mean_share"][0]),
            mean_squared_share=float(part["mean_squared_share"][0]),
        )

    def displaced(self, r: F64) -> tuple[F64, F64]:
        """Mean and covariance of the mixture displaced by r (Eq. S3, S4).

        Args:
            r: (68, 2) box sides.

        Returns:
            mean (2, 68), and covariance (3, 68) as xx, xy, yy, box frame.
        """
        (rx, ry), (lx, ly) = r.T, self.displacement_covariance.T
        spread = self.mean_squared_share - self.mean_share**2
        more = np.stack([2 * lx * rx, lx * ry + ly * rx, 2 * ly * ry])
        more += spread * np.stack([rx * rx, rx * ry, ry * ry])
        covariance = self.covariance + more
        covariance[[0, 2]] = np.maximum(covariance[[0, 2]], 0.0)
        return np.ascontiguousarray((self.mean + self.mean_share * r).T), covariance
