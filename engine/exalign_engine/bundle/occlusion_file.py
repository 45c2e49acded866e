"""occlusion.npz of a bundle: which landmarks are hidden; a bundle may be without."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exalign_engine.bundle.npz import read_arrays
from exalign_engine.errors import BundleError
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.occlusion import OcclusionHead

#: Name of the file.
OCCLUSION = "occlusion.npz"


def write_occlusion(path: Path, head: OcclusionHead) -> None:
    """Write occlusion.npz, its large matrices in half precision, with which it was made sure."""
    np.savez_compressed(path, **head.to_arrays())  # type: ignore[arg-type]


def read_occlusion(path: Path, margin: float) -> OcclusionHead:
    """Read occlusion.npz.

    Raises:
        BundleError: with the array that is wrong.
    """
    a = read_arrays(
        path,
        {
            "summary_weight": ("f", (None, None)),
            "summary_bias": ("f", (None,)),
            "weight": ("f", (None, None)),
            "bias": ("f", (N_LANDMARKS, None)),
            "summary_into": ("f", (None, None)),
            "out": ("f", (N_LANDMARKS, None)),
            "offset": ("f", (N_LANDMARKS,)),
            "summary_out": ("f", (N_LANDMARKS, None)),
            "sureness": ("f", (2,)),
        },
    )
    summary, hidden = len(a["summary_weight"]), len(a["weight"])
    expected = {
        "summary_bias": (summary,),
        "bias": (N_LANDMARKS, hidden),
        "summary_into": (hidden, summary),
        "out": (N_LANDMARKS, hidden),
        "summary_out": (N_LANDMARKS, summary),
    }
    for key, shape in expected.items():
        if a[key].shape != shape:
            raise BundleError(path, f"{key} has shape {a[key].shape}, weight and summary_weight ask for {shape}")
    if not summary or not hidden:
        raise BundleError(path, "weight or summary_weight has no row")
    return OcclusionHead.of_arrays(a, margin)
