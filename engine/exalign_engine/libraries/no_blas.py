"""numba without what it finds for others: no kernel of ours multiplies matrices, or calls C."""

from __future__ import annotations

import sys

#: What numba asks for, and does without where it is not there: matrix products, and C.
_LEFT_OUT = ("scipy", "cffi")


def load_numba_without_blas() -> None:
    """Load what numba needs to read or compile a kernel, without `scipy.linalg`, which takes longer than all the rest.

    Without cffi and its parser of C as well. For processes that are ours alone: other code's kernels could do neither
    any more. Nothing happens where somebody has loaded numba's matrices or `scipy.linalg` before.
    """
    if "numba.np.arraymath" in sys.modules or "scipy.linalg" in sys.modules:
        return
    before = {name: sys.modules[name] for name in _LEFT_OUT if name in sys.modules}
    sys.modules |= dict.fromkeys(_LEFT_OUT)  # type: ignore[arg-type]  # so Python blocks an import
    try:
        import numba.core.typing.cffi_utils  # read by the first kernel
        import numba.np.arraymath  # noqa: F401
    finally:
        for name in _LEFT_OUT:
            del sys.modules[name]
        sys.modules |= before
