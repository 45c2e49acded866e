"""moments.npz: what of its training faces a bundle keeps, so that it can be fine-tuned without them.

C of Eq. F2 (`exalign_engine.calibration.last_level`): no face can be made of it. The file lies in the bundle's
directory and is none of its sealed files, for fine-tuning alone reads it; it says itself which residual it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exalign.output_files import replacing
from exalign_engine.arrays import F64
from exalign_engine.bundle.npz import read_arrays
from exalign_engine.errors import BundleError

MOMENTS = "moments.npz"


@dataclass(frozen=True)
class Moments:
    """C, and what it is of.

    Attributes:
        second: (H + 1, H + 1) float64, C.
        rows: crops times looks that it is the mean of.
    """

    second: F64
    rows: int


def write_moments(root: Path, moments: Moments, residual: str) -> None:
    """Write the file: the upper triangle of C in single precision, and the SHA-256 of residual.npz (hexadecimal)."""
    upper = moments.second[np.triu_indices(len(moments.second))].astype(np.float32)
    with replacing(root / MOMENTS) as partial, partial.open("wb") as out:
        np.savez(out, upper=upper, rows=np.array([moments.rows]), residual=np.array([residual]))


def read_moments(root: Path, residual: str, inputs: int) -> Moments:
    """Read the file of a bundle.

    Args:
        root: the bundle.
        residual: SHA-256 of its residual.npz.
        inputs: H + 1 of that.

    Raises:
        BundleError: there is none, it is of another residual, or an array is wrong.
    """
    path = root / MOMENTS
    if not path.is_file():
        raise BundleError(path, "is missing: exalign-model calibrate writes it, from the faces that trained the bundle")
    a = read_arrays(path, {"upper": ("f", (None,)), "rows": ("i", (1,)), "residual": ("U", (1,))})
    if a["residual"][0] != residual:
        raise BundleError(path, "is of another residual.npz: exalign-model calibrate writes it anew")
    index = np.triu_indices(inputs)
    if a["upper"].shape != index[0].shape:
        raise BundleError(path, f"upper has shape {a['upper'].shape}, residual.npz asks for {index[0].shape}")
    second = np.zeros((inputs, inputs))
    second[index] = a["upper"]
    return Moments(second + np.triu(second, 1).T, int(a["rows"][0]))
