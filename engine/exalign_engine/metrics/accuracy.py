"""The accuracy figures, one definition for every command (docs/architecture.md#frames)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import diagonal, tight_box

#: Errors above this count as failures, and the area under the curve ends here.
FAILURE = 0.08


def nrmse(answer: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]]) -> float:
    """Mean point-to-point error ÷ diagonal of the true face box: (68, 2), (68, 2) in one frame → float."""
    distance = np.linalg.norm(np.asarray(answer, dtype=np.float64) - truth, axis=-1)
    return float(distance.mean() / diagonal(tight_box(truth)))


def summarise(errors: Sequence[float]) -> dict[str, float | int | None]:
    """Figures of a set of faces.

    Args:
        errors: NRMSE of each face; infinite where the face was missed.

    Returns:
        n; nrmse_mean over the faces that were found (None if there is none); auc = mean(max(0, 1 − e/0.08)) over
        all; failure_rate and missed, % of all.
    """
    e = np.asarray(errors, dtype=np.float64)
    found = e[np.isfinite(e)]
    return {
        "n": len(e),
        "nrmse_mean": round(float(found.mean()), 6) if len(found) else None,
        "auc": round(float(np.maximum(0.0, 1.0 - e / FAILURE).mean()), 6) if len(e) else None,
        "failure_rate": round(100.0 * float((e > FAILURE).mean()), 4) if len(e) else None,
        "missed": round(100.0 * float(np.isinf(e).mean()), 4) if len(e) else None,
    }


def roc_auc(positive: F64, negative: F64) -> float:
    """Probability that a random positive scores above a random negative; ties count half (Mann-Whitney)."""
    values = np.concatenate([positive, negative])
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.bincount(inverse, ranks) / count
    u = mean_rank[inverse][: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(u / (len(positive) * len(negative)))


def reliability(stated: F64, observed: NDArray[np.bool_], bins: int = 10) -> list[dict[str, float | int]]:
    """Stated probability against observed frequency in equal bins of the stated one; empty bins are left out."""
    place = np.minimum((stated * bins).astype(int), bins - 1)
    return [
        {
            "stated": round(float(stated[place == b].mean()), 6),
            "observed": round(float(observed[place == b].mean()), 6),
            "count": int((place == b).sum()),
        }
        for b in range(bins)
        if (place == b).any()
    ]
