"""Crops behind a piece of another photograph: what hides faces in the world is no coloured noise."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import U8
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory

#: Side of the piece, shorter sides of the photograph that it is from: a corner, beside the face that is there.
PIECE = 0.4

#: Shares of the face box that a face may lose and still be one.
LEAST, MOST = 0.1, 0.65


def covered_crops(faces: FaceMemory, augmenter: Augmenter, seed: int, *, wholly: bool) -> Iterator[U8]:
    """Each face about its true box, a piece of another photograph over a part or over all of it.

    Args:
        faces: in memory.
        augmenter: cuts the crops.
        seed: what lies over face i depends on (seed, i) alone.
        wholly: over all of it.

    Yields:
        (S, S, 3) uint8 RGB.
    """
    for i, (image, points) in enumerate(zip(faces.images, faces.landmarks, strict=True)):
        rng = np.random.default_rng([seed, int(wholly), i])
        crop = augmenter.plain(image, points).crop
        other = faces.images[int(rng.integers(len(faces)))]
        piece = cv2.resize(_corner(other, rng), crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        share = 1.0 if wholly else rng.uniform(LEAST, MOST)
        yield np.where(_side(len(crop), augmenter.margin, share, rng)[..., None], piece, crop).astype(np.uint8)


def _corner(image: U8, rng: np.random.Generator) -> U8:
    """A corner of a photograph, perhaps mirrored."""
    height, width = image.shape[:2]
    side = max(int(PIECE * min(height, width)), 1)
    top, left = rng.choice([0, height - side]), rng.choice([0, width - side])
    piece = image[top : top + side, left : left + side]
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def _side(size: int, margin: float, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(size, size) bool: beyond a straight edge that leaves ``share`` of the face box on that side; 1.0: everywhere."""
    if share >= 1.0:
        return np.ones((size, size), dtype=bool)
    across = (np.arange(size) + 0.5) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * across + np.sin(angle) * across[:, None]
    box = (np.abs(across) <= 0.5 / margin) & (np.abs(across) <= 0.5 / margin)[:, None]
    return np.asarray(along <= np.quantile(along[box], share))
