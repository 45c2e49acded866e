"""The C library's allocator: two arenas, whatever the number of threads.

It gives every thread an arena of its own, and each keeps what its thread once needed: 48 MB of a working server.
Threads that compute take turns, at Python's lock or a core, so two are seldom waited for (docs/decisions/start.md).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_ARENAS = 2

#: <malloc.h> of glibc.
_M_ARENA_MAX = -8


def keep_few_arenas() -> None:
    """From now on; where the C library can, and the environment does not say otherwise. Before any thread starts."""
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
