"""numba's ``njit`` for every kernel of the engine: it also works where nothing can be cached.

numba refuses ``cache=True`` when it is imported, where neither the package's folder nor the user's cache can be
written: a read-only installation, run by a user without a home. The kernels are then compiled anew in each process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba

_log = logging.getLogger(__name__)

#: What numba says then; it raises a plain RuntimeError.
_NO_CACHE = "cannot cache function"


def njit(**options: Any) -> Any:
    """`numba.njit` with these options; without ``cache`` where there is no folder for it. Untyped, as numba is.

    Raises:
        KeyError: numba does not know an option.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as e:
            if not (options.get("cache") and _NO_CACHE in str(e)):
                raise
            _say_that_nothing_is_cached()
            return numba.njit(**{**options, "cache": False})(function)

    return compiled


@cache
def _say_that_nothing_is_cached() -> None:
    _log.warning(
        "compiled kernels cannot be kept: neither the installation nor the user's cache can be written. Each process"
        " compiles them anew, which takes up to a minute; NUMBA_CACHE_DIR names a folder that can be written"
    )
