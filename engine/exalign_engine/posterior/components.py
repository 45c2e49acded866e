"""The Gaussians of a posterior's mixture, as the fast kernels take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32


@dataclass(frozen=True)
class Components:
    """The mixture's Gaussians that moments and heatmaps are made of.

    Attributes:
        index: (M,) int32, rows of ``shapes``, ``class_variance`` and ``class_log_sigma``.
        weights: (M,) float32, sum to 1.
        shapes: (R, 2, 68) float32, box frame, displaced and moved with the box.
        class_variance: (R,) float32, c · v_k; times a_n it is σ²_kn.
        class_log_sigma: (R,) float32, ln √(c v_k).
    """

    index: NDArray[np.int32]
    weights: F32
    shapes: F32
    class_variance: F32
    class_log_sigma: F32
