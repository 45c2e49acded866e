"""Revisions are means over the frames around them (docs/decisions/temporal-mean.md).

    ŷ_s = Σ_{|d| ≤ h} (h + 1 − |d|) y_{s+d} / (h + 1)²          h ≤ `TemporalMeanSettings.reach`                    (A1)

y are the smoother's answers in the image. The window reaches as far back as ahead, so that uniform motion has no lag.
It ends where the track jumped or was lost, where frames were left out, and at the newest frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import diagonal, tight_box


@dataclass(frozen=True)
class TemporalMeanSettings:
    """Constants of Eq. A1.

    Attributes:
        reach: frames to either side that a mean may reach.
        jump: mean distance of the landmarks from one frame to the next above which the track has jumped, box diagonals.
    """

    # docs/decisions/temporal-mean.md
    reach: int = 2
    jump: float = 0.07


TEMPORAL_MEAN = TemporalMeanSettings()


@dataclass(frozen=True)
class TrackPoint:
    """A track in one frame, before means are taken.

    Attributes:
        index: of the frame.
        points: (68, 2) float64, image frame, pixels.
        lost: whether the track was lost.
    """

    index: int
    points: F64
    lost: bool


def triangular_mean(line: Sequence[TrackPoint], at: int) -> F64:
    """Eq. A1.

    Args:
        line: one track, ascending by frame.
        at: place in ``line`` of the frame that is wanted.

    Returns:
        (68, 2) image frame, pixels.
    """
    reach = 0
    while reach < TEMPORAL_MEAN.reach and _extends(line, at, reach + 1):
        reach += 1
    total = np.zeros_like(line[at].points)
    for d in range(-reach, reach + 1):
        total += (reach + 1 - abs(d)) * line[at + d].points
    return np.asarray(total / (reach + 1) ** 2, dtype=np.float64)


def _extends(line: Sequence[TrackPoint], at: int, reach: int) -> bool:
    """Whether a window may reach so far, given that it may reach one less."""
    first, last = at - reach, at + reach
    if first < 0 or last >= len(line):
        return False
    left_out = line[at].index - line[first].index != reach or line[last].index - line[at].index != reach
    return not (left_out or _jumped(line[first], line[first + 1]) or _jumped(line[last - 1], line[last]))


def _jumped(before: TrackPoint, after: TrackPoint) -> bool:
    apart = float(np.linalg.norm(after.points - before.points, axis=1).mean())
    return before.lost or after.lost or apart > TEMPORAL_MEAN.jump * diagonal(tight_box(after.points))
