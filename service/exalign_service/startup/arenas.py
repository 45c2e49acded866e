"""The C library's allocator: one or two arenas, whatever the number of threads.

It gives every thread an arena of its own, and each keeps what its thread once needed: 48 MB of a working server, and
20 of those with two. Threads that compute take turns, at Python's lock or a core, so that few wait for an arena
(docs/decisions/memory.md).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: One arena for so many cores that the process may use, and how many at most.
_CORES, _MOST = 4, 2

#: <malloc.h> of glibc.
_M_ARENA_MAX = -8


def keep_few_arenas() -> None:
    """From now on; where the C library can, and the environment does not say otherwise. Before any thread starts."""
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, arenas(len(os.sched_getaffinity(0))))


def arenas(cores: int) -> int:
    """How many, for a process that may use so many cores."""
    return min(max(cores // _CORES, 1), _MOST)
