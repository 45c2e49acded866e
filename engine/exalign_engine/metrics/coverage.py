"""Coverage: how often the truth lies in the regions that are stated to hold it (docs/architecture.md#posterior).

The region of mass m of a landmark is the smallest one that holds m of its marginal: a highest-density region. Over
calibrated faces it holds the truth in a share m of the cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_engine.heatmaps.kernels import point_density
from exalign_engine.heatmaps.marginals import highest_density_level
from exalign_engine.posterior.posterior import Posterior

#: Masses of the regions that are reported, %.
MASSES = (50, 80, 90, 95)

#: Edges of the pose bins: yaw of the posterior mean, degrees.
YAW_EDGES = (-90.0, -30.0, -10.0, 10.0, 30.0, 90.0)

#: Density below which a truth counts as impossible; keeps one landmark from making the mean infinite.
LEAST_DENSITY = 1e-12


@dataclass(frozen=True)
class Levels:
    """Where the truth lay, for every landmark of every face.

    Attributes:
        level: (B, 68) mass that is denser than at the truth, 0 to 1: the region of mass m holds the truth where it
            is ≤ m.
        nll: (B, 68) negative log density at the truth, nats, densities per box side².
        yaw: (B,) posterior mean of the exemplars' yaw, degrees.
    """

    level: F64
    nll: F64
    yaw: F64


def measure(posteriors: Sequence[Posterior], truth: F64, poses: F32) -> Levels:
    """Compare posteriors with the truth.

    Args:
        posteriors: of B faces, as the network gave them.
        truth: (B, 68, 2), box frames.
        poses: (K, 3) float32, yaw, pitch and roll of every exemplar, degrees.
    """
    rows = [measure_face(p, t, poses) for p, t in zip(posteriors, truth, strict=True)]
    return collect(rows)


def measure_face(posterior: Posterior, truth: F64, poses: F32) -> tuple[F64, F64, float]:
    """One row of `Levels`: (68,), (68,), yaw; ``truth`` is (68, 2) in the box frame."""
    yaw = float(posterior.probabilities.astype(np.float64) @ poses[:, 0])
    return *landmark_levels(posterior, truth), yaw


def landmark_levels(posterior: Posterior, truth: F64) -> tuple[F64, F64]:
    """``level`` and ``nll`` of one face in `Levels`: (68,) and (68,); ``truth`` is (68, 2) in the box frame."""
    c, scale, every = posterior.components, posterior.model.landmark_scale, np.arange(N_LANDMARKS)
    level = highest_density_level(c.weights, c.index, c.shapes, c.class_variance, scale, every, truth)
    density = point_density(c.weights, c.index, c.shapes, c.class_variance, scale, every, truth)
    return level, -np.log(np.maximum(density, LEAST_DENSITY))


def collect(rows: Sequence[tuple[F64, F64, float]]) -> Levels:
    """Rows of `measure_face` → `Levels`."""
    levels, nll, yaw = zip(*rows, strict=True)
    return Levels(np.stack(levels), np.stack(nll), np.array(yaw))


def coverage_report(levels: Levels) -> dict[str, Any]:
    """What ``evaluate --json`` prints: ``coverage`` and ``coverage_by_group`` in %, and ``nll`` in nats."""
    return {
        "coverage": _shares(levels.level),
        "coverage_by_group": {name: _shares(levels.level[:, list(group)]) for name, group in GROUPS.items()},
        "nll": round(float(levels.nll.mean()), 5),
    }


def coverage_rows(levels: Levels) -> list[dict[str, Any]]:
    """What a calibration card keeps.

    Returns:
        One row for each group ("all" first), pose bin (None: all poses; bins without a face are left out) and mass:
        group, yaw (lower, upper in degrees, or None), nominal and observed (0 to 1), landmarks counted.
    """
    bins: list[tuple[list[float] | None, NDArray[np.bool_]]] = [(None, np.ones(len(levels.yaw), bool))]
    at = np.clip(np.digitize(levels.yaw, YAW_EDGES) - 1, 0, len(YAW_EDGES) - 2)
    for b, (lower, upper) in enumerate(pairwise(YAW_EDGES)):
        if (at == b).any():
            bins.append(([lower, upper], at == b))
    rows = []
    for yaw, faces in bins:
        for name, group in {"all": range(N_LANDMARKS), **GROUPS}.items():
            part = levels.level[faces][:, list(group)]
            for mass in MASSES:
                observed = round(float((part <= mass / 100).mean()), 6)
                rows.append(
                    {"group": name, "yaw": yaw, "nominal": mass / 100, "observed": observed, "landmarks": part.size}
                )
    return rows


def _shares(level: F64) -> dict[str, float]:
    return {str(mass): round(100 * float((level <= mass / 100).mean()), 3) for mass in MASSES}
