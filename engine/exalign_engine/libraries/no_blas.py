"""numba without scipy: no kernel of ours multiplies matrices."""

from __future__ import annotations

import sys

_BLAS = "scipy.linalg.cython_blas"


def load_numba_without_blas() -> None:
    """Load what numba needs to read or compile a kernel, without `scipy.linalg`, which takes longer than all the rest.

    For processes that are ours alone: other code's kernels could not multiply matrices any more. Nothing happens where
    somebody has loaded either of them before.
    """
    if "numba.np.arraymath" in sys.modules or "scipy.linalg" in sys.modules:
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # so Python blocks an import
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules[_BLAS]
