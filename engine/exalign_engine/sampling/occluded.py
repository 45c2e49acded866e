"""Crops of faces behind occluders, and which of their landmarks are hidden (docs/decisions/occlusion.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64, U8
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.occluders import SHADOW, TAUGHT, Kind, Occluder, in_shadow

#: Name of what is before a face that nothing is before.
CLEAN = "clean"

#: Share of training crops with nothing before the face.
CLEAN_SHARE = 0.2


@dataclass(frozen=True)
class OccludedCrop:
    """A crop, and what is before the face.

    Attributes:
        crop: (S, S, 3) uint8 RGB.
        hidden: (68,) which landmarks it hides.
        kind: of the (first) occluder; `CLEAN`: there is none.
    """

    crop: U8
    hidden: NDArray[np.bool_]
    kind: str


def disturbed_crops(faces: FaceMemory, size: int, margin: float, round_: int, seed: int) -> Iterator[OccludedCrop]:
    """Each face once as training disturbs it, behind an occluder of any kind that is taught, or behind none.

    Args:
        faces: in memory.
        size: of a crop, pixels.
        margin: crop side ÷ box side.
        round_: another one draws anew.
        seed: a crop depends on (seed, round, row) alone.
    """
    augmenter = Augmenter(replace(AugmentConfig(), occluder=0.0), size, margin)
    occluder = Occluder(TAUGHT, faces.images)
    for i, (image, points) in enumerate(zip(faces.images, faces.landmarks, strict=True)):
        rng = np.random.default_rng([seed, round_, i])
        kind = occluder.kinds[int(rng.integers(len(occluder.kinds)))]
        shadow, clean = rng.random() < SHADOW, rng.random() < CLEAN_SHARE
        layer = _Layer(occluder, CLEAN if clean else kind, rng, shadow=shadow)
        sample = augmenter.face(image, points, rng, layer)
        yield OccludedCrop(sample.crop, layer.hidden, layer.kind)


def plain_crops(
    faces: FaceMemory, size: int, margin: float, kinds: Mapping[str, Kind], each: Sequence[str] | None, seed: int
) -> Iterator[OccludedCrop]:
    """Each face about its true box, undisturbed: once with nothing before it, then behind occluders.

    Args:
        faces: in memory.
        size: of a crop, pixels.
        margin: crop side ÷ box side.
        kinds: of occluders.
        each: the kinds that each face is behind; None: one of all, in turn.
        seed: what is before a face depends on (seed, kind, row) alone.
    """
    augmenter = Augmenter(AugmentConfig(), size, margin)
    occluder = Occluder(kinds, faces.images)
    for i, (image, points) in enumerate(zip(faces.images, faces.landmarks, strict=True)):
        sample = augmenter.plain(image, points)
        yield OccludedCrop(sample.crop, np.zeros(N_LANDMARKS, bool), CLEAN)
        names = occluder.kinds
        for kind in [names[i % len(names)]] if each is None else each:
            rng = np.random.default_rng([seed, names.index(kind), i])
            crop, hidden = occluder.cover(sample.crop, augmenter.in_crop(sample.shape.astype(np.float64)), rng, kind)
            yield OccludedCrop(crop, hidden, kind)


class _Layer:
    """What is laid over one crop, and what it hides."""

    def __init__(self, occluder: Occluder, kind: str, rng: np.random.Generator, *, shadow: bool) -> None:
        self._occluder, self.kind, self._rng, self._shadow = occluder, kind, rng, shadow
        self.hidden = np.zeros(N_LANDMARKS, bool)

    def __call__(self, crop: U8, points: F64) -> U8:
        if self._shadow:
            crop = in_shadow(crop, self._rng)
        if self.kind != CLEAN:
            crop, self.hidden = self._occluder.cover(crop, points, self._rng, self.kind)
        return crop
