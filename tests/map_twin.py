"""The slow twin of `exalign_engine.posterior.residual.sample_map`, which the twins of all displacers call."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def sample_twin(local: F32, x: float, y: float, margin: float) -> F64:
    """(C,) at a point of the box frame: the four cell centres around it, those beyond the border the border's."""
    _, height, width = local.shape
    column = ((x - 0.5) / margin + 0.5) * width - 0.5
    row = ((y - 0.5) / margin + 0.5) * height - 0.5
    total = np.zeros(len(local))
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            total += weight * local[:, min(max(i, 0), height - 1), min(max(j, 0), width - 1)].astype(np.float64)
    return total
