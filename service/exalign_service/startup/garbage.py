"""Python's collector of cycles while a process starts: modules and kernels make much that stays, and little garbage."""

from __future__ import annotations

import gc

#: Objects after which the youngest generation is looked through, meanwhile; 700 otherwise.
_MEANWHILE = 100_000


def collect_rarely() -> None:
    """From now on: to look through all that an import makes, again and again, takes a fifth of a start."""
    gc.set_threshold(_MEANWHILE, *gc.get_threshold()[1:])


def collect_as_usual(threshold: tuple[int, int, int]) -> None:
    """What is there now stays, and is looked through no more; from now on garbage is collected as before.

    Args:
        threshold: `gc.get_threshold` before `collect_rarely`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*threshold)
