"""refiner.npz of a bundle: regressions to a better box; a bundle may be without."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exalign_engine.bundle.npz import read_arrays
from exalign_engine.errors import BundleError
from exalign_engine.refiner.refiner import Refiner

#: Name of the file.
REFINER = "refiner.npz"


def write_refiner(path: Path, refiner: Refiner) -> None:
    """Write refiner.npz, its weights in half precision, with which they were chosen."""
    np.savez_compressed(path, **refiner.to_arrays())  # type: ignore[arg-type]


def read_refiner(path: Path) -> Refiner:
    """Read refiner.npz.

    Raises:
        BundleError: with the array that is wrong.
    """
    a = read_arrays(
        path,
        {"sources": ("U", (None,)), "geometry": ("f", (None, None, 3, 4)), "weight": ("f", (None, 3, None))},
    )
    try:
        return Refiner.of_arrays(a)
    except ValueError as e:
        raise BundleError(path, str(e)) from e
