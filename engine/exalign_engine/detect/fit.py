"""Fits every detector's affine to the face box on labelled faces, and says how much noise is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exalign_engine.detect.affine import BoxAffine, ResidualStats, best_overlap, square
from exalign_engine.detect.base import Detector
from exalign_engine.errors import InvalidInputError

#: Medians over fewer faces would be too loose to serve with.
MIN_FACES = 10


@dataclass(frozen=True)
class FittedAffine:
    """An affine and what is left after it on the faces that it was fitted on.

    Args:
        affine: detector box → face box.
        residuals: mapped box against the truth, with the number of faces measured and missed.
    """

    affine: BoxAffine
    residuals: ResidualStats

    def to_dict(self) -> dict[str, dict[str, float]]:
        """What ``detectors.json`` holds under the detector's name."""
        return {"affine": self.affine.to_dict(), "residuals": self.residuals.to_dict()}


def fit_affines(
    faces: Iterable[tuple[NDArray[np.uint8], ArrayLike]],
    detectors: Sequence[Detector],
    limit: int | None = None,
) -> dict[str, FittedAffine]:
    """Fit each detector on the same faces. Images are taken one at a time and not kept.

    Before an affine is known, a detection belongs to a face if its centre is the nearest one and within half
    a side of the face's; the medians forgive what this gets wrong.

    Args:
        faces: pairs of an (H, W, 3) uint8 RGB image and the tight face box (4,) of one face in it.
        detectors: the detectors.
        limit: use the first so many faces; None: all. Mix the order before, if it matters.

    Returns:
        Detector's name → its affine and residuals.

    Raises:
        InvalidInputError: a detector found fewer than ``MIN_FACES`` of the faces.
    """
    found: list[list[NDArray[np.float64]]] = [[] for _ in detectors]
    truth: list[NDArray[np.float64]] = []
    for image, face_box in islice(faces, limit):
        truth.append(np.asarray(face_box, dtype=np.float64))
        for boxes, detector in zip(found, detectors, strict=True):
            boxes.append(np.array([d.box for d in detector.detect(image)], dtype=np.float64).reshape(-1, 4))
    return {d.name: _fit_one(d.name, boxes, truth) for d, boxes in zip(detectors, found, strict=True)}


def _fit_one(name: str, found: Sequence[NDArray[np.float64]], truth: Sequence[NDArray[np.float64]]) -> FittedAffine:
    """Fit from all boxes found in each image, and the true box of each image."""
    pairs = [(box, true) for boxes, true in zip(found, truth, strict=True) for box in _nearest(boxes, true)]
    if len(pairs) < MIN_FACES:
        raise InvalidInputError.of(
            "faces", f"{name} found {len(pairs)} of {len(truth)} faces, fitting needs at least {MIN_FACES}"
        )
    affine = BoxAffine.fit([box for box, _ in pairs], [true for _, true in pairs])
    mapped, matched = [], []
    for boxes, true in zip(found, truth, strict=True):
        faces = affine.apply(boxes)
        best = best_overlap(faces, true)
        if best is not None:
            mapped.append(faces[best])
            matched.append(true)
    residuals = ResidualStats.of(mapped, matched, missed=len(truth) - len(matched))
    return FittedAffine(affine, residuals)


def _nearest(boxes: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box whose centre is nearest to the face's, (1, 4); (0, 4) if none is within half a side."""
    if not len(boxes):
        return boxes
    target = square(true)
    distance = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] - target[:2] - target[2:], axis=1) / 2
    best = int(np.argmin(distance))
    return boxes[[best]] if distance[best] < (target[2] - target[0]) / 2 else boxes[:0]
