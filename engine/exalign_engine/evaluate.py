"""Accuracy on a split: the figures of `exalign-model evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exalign_engine.aligner import Aligner, LocatedFace
from exalign_engine.data.prepared import AnnotatedPhoto
from exalign_engine.data.source import FaceSource
from exalign_engine.detect import MISS_IOU
from exalign_engine.frames import iou, tight_box
from exalign_engine.image import ImageLimits, decode
from exalign_engine.metrics import nrmse, summarise

Boxes = Literal["truth", "detector"]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class FaceError:
    """One face's outcome.

    Attributes:
        id: of the face.
        origin: its collection.
        error: NRMSE; infinite where the detector missed the face.
    """

    id: str
    origin: str
    error: float


def evaluate_crops(
    aligner: Aligner, faces: FaceSource, boxes: Boxes, detector: str, progress: Progress | None = None
) -> list[FaceError]:
    """Every face of a split, each in its own image.

    Args:
        aligner: the model.
        faces: annotated faces.
        boxes: "truth", or "detector": the detection with the highest IoU with the true face box counts, and a
            face without one of IoU ≥ 0.3 counts as infinite error.
        detector: used for "detector".
        progress: told how many faces are done.
    """
    outcomes = []
    for i in range(len(faces)):
        image, truth = faces.image(i), faces.landmarks[i]
        error = _errors(aligner, image, truth[None], boxes, detector)[0]
        outcomes.append(FaceError(faces.ids[i], faces.origins[i], error))
        if progress:
            progress(i + 1)
    return outcomes


def evaluate_photos(
    aligner: Aligner,
    photos: Sequence[AnnotatedPhoto],
    boxes: Boxes,
    detector: str,
    progress: Progress | None = None,
) -> list[FaceError]:
    """Every annotated face of whole photos; detections that match no annotated face are not counted."""
    outcomes = []
    for i, photo in enumerate(photos):
        image = decode(photo.encoded(), ImageLimits(), field=str(photo.path))
        errors = _errors(aligner, image, photo.landmarks, boxes, detector)
        outcomes += [FaceError(name, photo.origin, e) for name, e in zip(photo.ids, errors, strict=True)]
        if progress:
            progress(i + 1)
    return outcomes


def report(outcomes: Sequence[FaceError]) -> dict[str, Any]:
    """Figures in total, and under ``groups`` by collection."""
    total: dict[str, Any] = dict(summarise([o.error for o in outcomes]))
    total["groups"] = {
        origin: summarise([o.error for o in outcomes if o.origin == origin])
        for origin in sorted({o.origin for o in outcomes})
    }
    return total


def _errors(
    aligner: Aligner, image: NDArray[np.uint8], truths: NDArray[np.float64], boxes: Boxes, detector: str
) -> list[float]:
    """NRMSE of each annotated face of one image: (H, W, 3), (F, 68, 2) → F."""
    if boxes == "truth":
        located: list[LocatedFace | None] = [aligner.place(tight_box(t)) for t in truths]
    else:
        found = aligner.locate(image, detector)
        located = [_best(found, tight_box(t)) for t in truths]
    answers = iter(aligner.answer(image, [place for place in located if place is not None]))
    return [
        float("inf") if place is None else nrmse(next(answers).landmarks, truth)
        for place, truth in zip(located, truths, strict=True)
    ]


def _best(found: Sequence[LocatedFace], truth: NDArray[np.float64]) -> LocatedFace | None:
    overlaps = [iou(f.box, truth) for f in found]
    if not overlaps or max(overlaps) < MISS_IOU:
        return None
    return found[int(np.argmax(overlaps))]
