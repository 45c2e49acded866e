"""A displacer that does what a picture made for it says; the picture may be mirrored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.geometry.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.posterior.residual import ImageFeatures

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class StatedDisplacer:
    """r = what the picture tells, and ``pull`` of the way to the middle: it depends on where it starts."""

    pull: float = 0.1

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """See `exalign_engine.posterior.residual.Displacer`."""
        stated = image.embedding.astype(np.float64).reshape(N_LANDMARKS, 2)
        return np.asarray(stated + self.pull * (0.5 - start))


def features_of(displacement: NDArray[np.floating]) -> ImageFeatures:
    """A picture that tells (68, 2)."""
    return ImageFeatures(displacement.astype(np.float32).ravel(), np.zeros((1, 1, 1), np.float32))


def drawn(seed: int, size: float = 0.02) -> ImageFeatures:
    """A picture that tells random displacements."""
    return features_of(np.random.default_rng([seed, 9]).normal(0, size, (N_LANDMARKS, 2)))


def mirrored(image: ImageFeatures) -> ImageFeatures:
    """The picture of the mirrored face."""
    return features_of(image.embedding.reshape(N_LANDMARKS, 2)[MIRROR] * (-1, 1))
