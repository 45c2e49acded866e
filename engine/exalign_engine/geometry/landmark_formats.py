"""Which of the 68 landmarks count: published figures are in several formats."""

from __future__ import annotations

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: The 66-point format is without the two inner corners of the mouth.
INNER_MOUTH_CORNERS = (60, 64)

#: The 51-point format is without the jaw.
INNER_FROM = 17

#: By the number of points in it: the landmarks that a format counts.
FORMATS: dict[int, tuple[int, ...]] = {
    68: tuple(range(N_LANDMARKS)),
    66: tuple(n for n in range(N_LANDMARKS) if n not in INNER_MOUTH_CORNERS),
    51: tuple(range(INNER_FROM, N_LANDMARKS)),
}


def format_error(answer: F64, truth: F64, points: int = 68) -> float:
    """NRMSE over the landmarks of a format.

    Args:
        answer: (68, 2).
        truth: (68, 2) in the same frame.
        points: of `FORMATS`.

    Returns:
        Mean point-to-point error ÷ diagonal of the true face box, that of all 68 points in every format: where 68 are
        annotated, the box does not depend on how many of them are counted.
    """
    kept = list(FORMATS[points])
    distance = np.linalg.norm(np.asarray(answer)[kept] - np.asarray(truth)[kept], axis=1)
    return float(distance.mean() / diagonal(tight_box(truth)))
