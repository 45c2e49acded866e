"""What several kinds of entries begin with: a photograph, its JPEG, and the check that this very tree runs."""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

TESTS = Path(__file__).parents[1]
for _folder in (TESTS, TESTS / "engine"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from golden_tree import Table

# What is recorded must be this tree's answers, not those of another one that is installed.
for _package in ("exalign_engine", "exalign_service", "exalign_client", "exalign"):
    _home = find_spec(_package)
    _places = [Path(place) for place in (_home and _home.submodule_search_locations) or ()]
    if not any(place.is_relative_to(TESTS.parent) for place in _places):
        raise ImportError(f"{_package} comes from {_places}, not from {TESTS.parent}; set PYTHONPATH")

U8 = NDArray[np.uint8]
Tables = dict[str, Table]

#: Numbers kept of each array: of answers of the real model, and of toy sessions, which are many.
KEEP, KEEP_TOY = 300, 24


@cache
def astronaut() -> U8:
    """(512, 512, 3) RGB: a photograph that is always there."""
    from skimage.data import astronaut as photograph

    return np.asarray(photograph(), dtype=np.uint8)


def jpeg(picture: U8) -> bytes:
    return bytes(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
