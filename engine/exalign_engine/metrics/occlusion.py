"""How well it is known which landmarks are hidden: over all landmarks together, and landmark by landmark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.metrics.accuracy import roc_auc
from exalign_engine.sampling.occluded import CLEAN

#: A landmark counts as hidden from this probability on.
FLAGGED = 0.5


def occlusion_report(stated: F64, hidden: NDArray[np.bool_], kinds: Sequence[str]) -> dict[str, Any]:
    """Figures of crops that are clean or behind an occluder.

    Reliability and the expected calibration error are of a mix in which clean crops weigh as much as all others.

    Args:
        stated: (B, 68) probabilities.
        hidden: (B, 68).
        kinds: B names; `CLEAN` where nothing is before the face.
    """
    names = np.asarray(kinds)
    clean = names == CLEAN
    report: dict[str, Any] = {"faces": int(clean.sum()), "occluded": int((~clean).sum())}
    if (~clean).any():
        seen, y = stated[~clean], hidden[~clean]
        report["hidden"] = round(100 * float(y.mean()), 2)
        report["found"] = round(100 * float((seen[y] >= FLAGGED).mean()), 2) if y.any() else None
        report["roc_auc"] = _auc(seen, y)
        each = [_auc(seen[:, n], y[:, n]) for n in range(N_LANDMARKS)]
        known = [value for value in each if value is not None]
        report |= {"roc_auc_of_each_landmark": each}
        report["roc_auc_mean"] = round(float(np.mean(known)), 4) if known else None
        report["roc_auc_least"] = min(known, default=None)
        report["kinds"] = {
            kind: {"crops": int((names == kind).sum()), "roc_auc": _auc(stated[names == kind], hidden[names == kind])}
            for kind in sorted(set(names[~clean].tolist()))
        }
    if clean.any():
        report["flagged_clean"] = round(100 * float((stated[clean] >= FLAGGED).mean()), 3)
    if clean.any() and (~clean).any():
        rows, error = _mixed(stated, hidden, clean)
        report |= {"expected_calibration_error": round(error, 4), "reliability": rows}
    return report


def _auc(stated: F64, hidden: NDArray[np.bool_]) -> float | None:
    """None where there are not both kinds."""
    y = hidden.ravel()
    return None if y.all() or not y.any() else round(roc_auc(stated.ravel()[y], stated.ravel()[~y]), 4)


def _mixed(
    stated: F64, hidden: NDArray[np.bool_], clean: NDArray[np.bool_]
) -> tuple[list[dict[str, float | int]], float]:
    """Ten bins of the stated probability, and the mean distance of stated and observed."""
    shares = np.where(clean, 0.5 / clean.sum(), 0.5 / (~clean).sum()) / N_LANDMARKS
    p, y, w = stated.ravel(), hidden.ravel(), np.repeat(shares, N_LANDMARKS)
    place = np.minimum((p * 10).astype(int), 9)
    rows, error = [], 0.0
    for b in range(10):
        here = place == b
        mass = float(w[here].sum())
        if mass > 0:
            stated_, observed = float(w[here] @ p[here]) / mass, float(w[here] @ y[here]) / mass
            error += mass * abs(stated_ - observed)
            rows.append({"stated": round(stated_, 4), "observed": round(observed, 4), "count": int(here.sum())})
    return rows, error
