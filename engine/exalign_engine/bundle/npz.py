"""Reading a bundle's .npz files: never unpickled, and with an error that names the array that is wrong."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import BundleError

#: By name, the dtype's kind ("f", "i", "U") and the shape (None: any length) of arrays.
Layout = Mapping[str, tuple[str, tuple[int | None, ...]]]


#: What NumPy and zipfile raise. A lone .npy is no context manager (TypeError); RuntimeError is an archive of a kind
#: that is not read, MemoryError an array that claims more than there is; the others are damaged archives and pickles.
UNREADABLE = (
    OSError,
    EOFError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_arrays(path: Path, shapes: Layout) -> dict[str, NDArray[Any]]:
    """Read an .npz.

    Args:
        path: the file.
        shapes: arrays that it must hold; it may hold others.

    Returns:
        All arrays of the file, by name.

    Raises:
        BundleError: it cannot be read, or with the array that is missing, of another kind or shape, or not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as z:
            arrays = {key: z[key] for key in z.files}
    except UNREADABLE as e:
        raise BundleError(path, f"cannot be read: {e}") from e
    check_arrays(path, arrays, shapes)
    return arrays


def check_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], shapes: Layout) -> None:
    """Compare the arrays of a file with what they must be.

    Raises:
        BundleError: with the array that is missing, of another kind or shape, or not finite.
    """
    for key, (kind, shape) in shapes.items():
        if key not in arrays:
            raise BundleError(path, f"no array {key!r}")
        a = arrays[key]
        if a.ndim != len(shape) or any(s not in (None, n) for s, n in zip(shape, a.shape, strict=True)):
            raise BundleError(path, f"{key} has shape {a.shape}, expected {shape}")
        if a.dtype.kind != kind:
            raise BundleError(path, f"{key} has dtype {a.dtype}, expected kind {kind!r}")
        if kind == "f" and not np.isfinite(a).all():
            raise BundleError(path, f"{key} holds a value that is not finite")
