"""Faces made of arcs, and the types of the fixtures that vary them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.geometry.landmarks import mirror_shapes

F64 = NDArray[np.float64]

#: ``make_shapes(n, seed)``: (n, 68, 2) float64, each in its own box frame.
MakeShapes = Callable[[int, int], F64]
#: ``make_prepared(folder, splits)``: writes a folder in the prepared format, one face a split name; its landmarks.
MakePrepared = Callable[[Path, Sequence[str]], F64]

#: Side of the pictures that `make_prepared` writes.
PICTURE = 96


def mean_face() -> F64:
    """(68, 2) a frontal face made of arcs, symmetric, roughly in the unit square."""

    def arc(n: int, cx: float, cy: float, rx: float, ry: float) -> F64:
        """n points from the left end of an ellipse round over its top."""
        a = np.pi - 2 * np.pi * np.arange(n) / n
        return np.stack([cx + rx * np.cos(a), cy - ry * np.sin(a)], axis=1)

    t = np.pi * np.arange(17) / 16
    jaw = np.stack([0.5 - 0.5 * np.cos(t), 0.25 + 0.75 * np.sin(t)], axis=1)
    brow = np.stack([np.linspace(0.08, 0.42, 5), [0.12, 0.04, 0.0, 0.02, 0.08]], axis=1)
    bridge = np.stack([np.full(4, 0.5), np.linspace(0.22, 0.48, 4)], axis=1)
    base = np.stack([np.linspace(0.38, 0.62, 5), [0.55, 0.57, 0.58, 0.57, 0.55]], axis=1)
    left_brow = brow[::-1] * (-1, 1) + (1, 0)
    eyes = [arc(6, 0.27, 0.24, 0.08, 0.03), arc(6, 0.73, 0.24, 0.08, 0.03)]
    mouth = [arc(12, 0.5, 0.76, 0.18, 0.07), arc(8, 0.5, 0.76, 0.13, 0.03)]
    points = np.concatenate([jaw, brow, left_brow, bridge, base, *eyes, *mouth])
    return np.asarray((points + mirror_shapes(points)) / 2, dtype=np.float64)
