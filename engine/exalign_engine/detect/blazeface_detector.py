"""BlazeFace (Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047) with MediaPipe's weights: the default detector.

Two small networks of fixed inputs look at a picture at several scales (docs/decisions/detector.md):

1. *near*, 128 pixels: the picture in the middle of twice its longer side, so that faces cut by its border are seen too;
2. *far*, 256 pixels: the picture as large as it fits, for faces from about 5 % of its longer side;
3. *tiles*, 256 pixels: overlapping squares of the picture at 427 pixels, for smaller ones.

A face that fills much of the picture ends the search after the first look. Tiles are looked at only where the faces
found are small, or where there are none. ``blazeface-thorough`` makes every look, and tiles at 640 pixels too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.detect.base import RawDetection
from exalign_engine.detect.blazeface.decoding import Found, overlaps
from exalign_engine.detect.blazeface.looks import Scaled
from exalign_engine.detect.blazeface.network import Network, open_network
from exalign_engine.detect.registry import DetectorSpec
from exalign_engine.geometry.levels import Pixels, seen_at

#: Inputs of the networks, and the picture's longer side at each look, pixels.
NEAR, FAR = 128, 256
NEAR_SCALE, FAR_SCALE, TILE_SCALES = 64, 256, (427, 640)
#: Longer side from which more pixels bring the first two looks nothing. Between it and twice as many a face of a third
#: of the picture has the pixels that its crop needs, so that a photo is decoded once.
FIRST_SIDE = 320
#: Overlap of tiles, pixels of their scale: larger faces are left to the other looks.
TILE_OVERLAP = 85

#: Lowest scores: of a near face, which hardly anything else looks like, and of others.
NEAR_SCORE, FAR_SCORE = 0.3, 0.5
#: Lowest score in tiles that are looked at whatever the picture shows: there are many of them.
THOROUGH_SCORE = 0.65
#: A near face of this score ends the search.
SURE = 0.8
#: So does one of this size and score: it reaches out of the picture, where a finer look sees faces in its parts.
CLOSE_UP, CLOSE_UP_SURE = 0.7, 0.55
#: Smallest near face, longer side of its box ÷ that of the picture.
NEAR_SIZE = 0.4
#: Faces below this share are small: the picture may hold smaller ones yet.
SMALL = 0.12

#: Overlaps, ÷ union and ÷ the smaller box, from which two looks saw the same face.
SAME, INSIDE = 0.3, 0.6


class BlazeFaceDetector:
    """Finds faces of any roll, with six points each. Thread safe: nothing changes after construction.

    Args:
        thorough: make every look at every picture.
        networks: what looks near and far; None: those beside this file.

    Raises:
        RuntimeUnavailableError: the networks cannot be loaded.
    """

    min_score = NEAR_SCORE
    first_side = FIRST_SIDE

    def __init__(self, *, thorough: bool = False, networks: tuple[Network, Network] | None = None) -> None:
        self.name = "blazeface-thorough" if thorough else "blazeface"
        self._thorough = thorough
        self._near, self._far = networks or (_network("short-128.onnx"), _network("back-256.onnx"))

    def detect(self, image: Pixels) -> list[RawDetection]:
        """Find faces: see :class:`~exalign_engine.detect.base.Detector`."""
        found = self._found(image)
        order = np.argsort(-found.scores, kind="stable")
        return [RawDetection(found.boxes[i] - 0.5, float(found.scores[i]), found.points[i] - 0.5) for i in order]

    def _found(self, image: Pixels) -> Found:
        long_side, level = max(image.shape[:2]), seen_at(image, FIRST_SIDE)
        near = Scaled(level, NEAR_SCALE).centred(self._near, NEAR, NEAR_SCORE)
        near = near.of(_sizes(near) >= NEAR_SIZE * long_side)
        sure = near.of(near.scores >= np.where(_sizes(near) >= CLOSE_UP * long_side, CLOSE_UP_SURE, SURE))
        if len(sure.scores) and not self._thorough:
            return sure
        far = Scaled(level, FAR_SCALE).centred(self._far, FAR, FAR_SCORE)
        found = joined(sure, near, far)
        small = not len(found.scores) or _sizes(found).min() < SMALL * long_side
        if self._thorough:
            return joined(found, *self._tiles(image, TILE_SCALES, THOROUGH_SCORE))
        return joined(found, *self._tiles(image, TILE_SCALES[:1], FAR_SCORE)) if small else found

    def _tiles(self, image: Pixels, scales: Iterable[int], min_score: float) -> Iterable[Found]:
        for scale in scales:
            yield from Scaled(seen_at(image, scale), scale).tiles(self._far, FAR, TILE_OVERLAP, min_score)


def joined(first: Found, *looks: Found) -> Found:
    """Faces of several looks: all of the first, then the best of those that are no face yet, nor inside of one."""
    every = Found(*(np.concatenate([getattr(look, f.name) for look in (first, *looks)]) for f in fields(Found)))
    kept = list(range(len(first.scores)))
    for i in np.argsort(-every.scores[len(kept) :], kind="stable") + len(kept):
        box, boxes = every.boxes[i], every.boxes[kept]
        if not ((overlaps(box, boxes) > SAME) | (overlaps(box, boxes, relative_to_smaller=True) > INSIDE)).any():
            kept.append(int(i))
    return every.of(np.array(kept, dtype=np.intp))


def _sizes(found: Found) -> F64:
    """(n,) longer sides of the boxes."""
    sizes: F64 = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
    return sizes


@cache
def _network(name: str) -> Network:
    """Both detectors look through the same two networks."""
    return open_network(Path(__file__).parent / "blazeface" / name)


SPEC = DetectorSpec("blazeface", lambda model: BlazeFaceDetector())
THOROUGH = DetectorSpec("blazeface-thorough", lambda model: BlazeFaceDetector(thorough=True), boxes="blazeface")
