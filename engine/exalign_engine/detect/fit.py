"""Fits every detector's map to the face box on labelled faces, and says how much noise is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exalign_engine.arrays import F64
from exalign_engine.detect.affine import BoxAffine, ResidualStats, best_overlap, square
from exalign_engine.detect.base import Detector, RawDetection
from exalign_engine.detect.face_box import FaceBoxMap, PointMap
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.frames import tight_box

#: Medians over fewer faces would be too loose to serve with.
MIN_FACES = 10


@dataclass(frozen=True)
class FittedAffine:
    """A map and what is left after it on the faces that it was fitted on.

    Args:
        affine: what the detector answers → face box; with a map of points where it has points.
        residuals: mapped box against the truth, with the number of faces measured and missed.
    """

    affine: FaceBoxMap
    residuals: ResidualStats

    def to_dict(self) -> dict[str, Any]:
        """What ``detectors.json`` holds under the detector's name."""
        return self.affine.entry() | {"residuals": self.residuals.to_dict()}


def fit_affines(
    faces: Iterable[tuple[NDArray[np.uint8], ArrayLike]],
    detectors: Sequence[Detector],
    limit: int | None = None,
) -> dict[str, FittedAffine]:
    """Fit each detector on the same faces. Images are taken one at a time and not kept.

    Before an affine is known, a detection belongs to a face if its centre is the nearest one and within half
    a side of the face's; the medians forgive what this gets wrong.

    Args:
        faces: pairs of an (H, W, 3) uint8 RGB image and the landmarks (n, 2) of one face in it.
        detectors: the detectors.
        limit: use the first so many faces; None: all. Mix the order before, if it matters.

    Returns:
        Detector's name → its affine and residuals.

    Raises:
        InvalidInputError: a detector found fewer than ``MIN_FACES`` of the faces.
    """
    found: list[list[list[RawDetection]]] = [[] for _ in detectors]
    truth: list[F64] = []
    for image, landmarks in islice(faces, limit):
        truth.append(np.asarray(landmarks, dtype=np.float64))
        for each, detector in zip(found, detectors, strict=True):
            each.append(detector.detect(image))
    return {d.name: _fit_one(d.name, each, truth) for d, each in zip(detectors, found, strict=True)}


def _fit_one(name: str, found: Sequence[Sequence[RawDetection]], truth: Sequence[F64]) -> FittedAffine:
    """Fit from all that was found in each image, and the landmarks in each image."""
    pairs = [(d, true) for each, true in zip(found, truth, strict=True) if (d := _nearest(each, true)) is not None]
    if len(pairs) < MIN_FACES:
        raise InvalidInputError.of(
            "faces", f"{name} found {len(pairs)} of {len(truth)} faces, fitting needs at least {MIN_FACES}"
        )
    boxes = [d.box for d, _ in pairs]
    affine = BoxAffine.fit(boxes, [tight_box(true) for _, true in pairs])
    points = [d.points for d, _ in pairs if d.points is not None]
    of_points = PointMap.fit(boxes, points, [true for _, true in pairs]) if len(points) == len(pairs) else None
    fitted = FaceBoxMap(affine.dx, affine.dy, affine.scale, of_points)
    mapped, matched = [], []
    for each, true in zip(found, truth, strict=True):
        faces = np.array([fitted.face_box(d) for d in each]).reshape(-1, 4)
        best = best_overlap(faces, tight_box(true))
        if best is not None:
            mapped.append(faces[best])
            matched.append(tight_box(true))
    residuals = ResidualStats.of(mapped, matched, missed=len(truth) - len(matched))
    return FittedAffine(fitted, residuals)


def _nearest(found: Sequence[RawDetection], true: F64) -> RawDetection | None:
    """The detection whose centre is nearest to the face's; None if none is within half a side."""
    if not found:
        return None
    target, boxes = square(tight_box(true)), np.array([d.box for d in found])
    distance = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] - target[:2] - target[2:], axis=1) / 2
    best = int(np.argmin(distance))
    return found[best] if distance[best] < (target[2] - target[0]) / 2 else None
