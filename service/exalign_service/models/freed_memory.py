"""Giving memory back to the system."""

from __future__ import annotations

from contextlib import suppress


def give_memory_back() -> None:
    """Give the system what was freed: after a start, a tenth of the process. Where the C library can."""
    import ctypes  # here: who asks for it has no haste, the start has

    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
