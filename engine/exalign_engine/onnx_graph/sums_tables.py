"""Constants of the sums over all K exemplars (`exalign_engine.posterior.device_sums`), made from a bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F32
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.device_sums import COORDINATES
from exalign_engine.posterior.kept import MOMENT_CUT
from exalign_engine.posterior.kernels import kernel_layout
from exalign_engine.posterior.residual import DISPLACEMENT_REACH


@dataclass(frozen=True)
class MixtureTables:
    """What the sums are made of. Costs nothing until a table is asked for: they take 1.4 kB an exemplar.

    Attributes:
        exemplars: the classes.
        calibration: temperature and kernels.
        cut: exemplars with p_k < cut / K are left out.
        reach: h of the displacement's share, box sides.
    """

    exemplars: Exemplars
    calibration: Calibration
    cut: float = MOMENT_CUT
    reach: float = DISPLACEMENT_REACH

    @classmethod
    def of(cls, bundle: Bundle) -> MixtureTables:
        """Of a bundle."""
        return cls(bundle.exemplars, bundle.calibration)

    @property
    def count(self) -> int:
        """K."""
        return self.exemplars.count

    def shapes(self) -> tuple[F32, F32]:
        """(K, 136) float32, 68 x then 68 y, relative to their mean; and that mean, (136,) float32, box frame.

        Relative to it, float32 keeps the digits in which the exemplars differ.
        """
        absolute = kernel_layout(self.exemplars.shapes).reshape(self.count, COORDINATES)
        pivot = absolute.mean(axis=0, dtype=np.float64).astype(np.float32)
        return absolute - pivot, pivot

    def products(self, shapes: F32) -> F32:
        """(K, 204) float32 of `shapes`: 68 xx, 68 xy, 68 yy."""
        x, y = shapes[:, :N_LANDMARKS], shapes[:, N_LANDMARKS:]
        return np.concatenate([x * x, x * y, y * y], axis=1)

    def nearness(self, shapes: F32) -> tuple[F32, float]:
        """(K,) float32 −g ‖µ_k‖² of `shapes`, and g: nearness is exp(−g ‖µ_k − m‖²)."""
        g = 1 / (2 * N_LANDMARKS * self.reach**2)
        return (-g * np.einsum("kc,kc->k", shapes, shapes, dtype=np.float64)).astype(np.float32), g

    def kernel_columns(self) -> F32:
        """(K, 2) float32: c · v_k; 1."""
        kernels = self.calibration.kernel_scale * self.exemplars.variance.astype(np.float64)
        return np.column_stack([kernels, np.ones(self.count)]).astype(np.float32)
