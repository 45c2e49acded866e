"""Does a frame show another shot? It is compared with the one before as a picture of 8 × 8 cells.

    d_c = |a_c − b_c|          a cut ⇔ more than ``share`` of all d_c are above ``levels``                          (C1)

a_c is the mean grey level of cell c, of 64 pixels that lie evenly in it. The thumbnail is all that a session keeps of a
picture: 64 bytes. An occluder covers part of a picture, a cut changes all of it (docs/decisions/faces-in-motion.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import U8


@dataclass(frozen=True)
class CutSettings:
    """Constants of Eq. C1, and how a thumbnail is made.

    Attributes:
        levels: grey levels, of 256.
        share: of the cells.
        cells: along each axis of a thumbnail.
        samples: pixels that are read along each axis of a cell.
    """

    # docs/decisions/faces-in-motion.md
    levels: int = 12
    share: float = 0.45
    cells: int = 8
    samples: int = 8


CUTS = CutSettings()


def thumbnail_of(pixels: U8) -> bytes:
    """64 grey levels, row by row.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    cells, samples = CUTS.cells, CUTS.samples
    height, width = pixels.shape[:2]
    read = pixels.reshape(height * width, 3).take(_places(height, width), axis=0).astype(np.int32)
    grey = (read[:, 0] + 2 * read[:, 1] + read[:, 2]).reshape(cells, samples, cells, samples).sum(axis=(1, 3))
    small: U8 = (grey // (4 * samples * samples)).astype(np.uint8)
    return small.tobytes()


@lru_cache(maxsize=16)
def _places(height: int, width: int) -> NDArray[np.intp]:
    """Which pixels of a picture are read, row by row."""
    side = CUTS.cells * CUTS.samples
    ys, xs = ((2 * np.arange(side) + 1) * n // (2 * side) for n in (height, width))
    return (ys[:, None] * width + xs).reshape(-1)


def is_cut(before: bytes, after: bytes, settings: CutSettings = CUTS) -> bool:
    """Whether two thumbnails of frames in a row are of different shots; not where one is empty (Eq. C1)."""
    if len(before) != len(after) or not before:
        return False
    change = np.abs(np.frombuffer(before, np.uint8).astype(np.int16) - np.frombuffer(after, np.uint8))
    return float((change > settings.levels).mean()) > settings.share
