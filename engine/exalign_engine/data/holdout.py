"""A validation split for data sets whose owners made none: whole groups, chosen by their names alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path

from exalign_engine.errors import DataError

#: Share of the groups that is kept out of training, rounded up: the paper's 10 %.
HELD_OUT = 0.1


def held_out(groups: Iterable[str], path: Path) -> frozenset[str]:
    """The groups that belong to ``val``: the same on every machine, whatever the order of the files.

    Args:
        groups: what must not be torn apart: the name of a photograph, a person or a clip; may repeat.
        path: named where they cannot be divided.

    Raises:
        DataError: there are fewer than two groups.
    """
    names = set(groups)
    if len(names) < 2:
        raise DataError(path, f"has {len(names)} group of faces that belong together, train and val need one each")
    ranked = sorted(names, key=lambda name: (hashlib.sha256(name.encode()).digest(), name))
    return frozenset(ranked[: math.ceil(HELD_OUT * len(names))])
