"""Accuracy on a split: the figures of `exalign-model evaluate`.

``auc_inner51`` counts landmarks 17-67, without the jaw, which annotators place least alike; like all figures it is
relative to the diagonal of the face box of all 68 (`exalign_engine.geometry.landmark_formats`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.prepared import AnnotatedPhoto
from exalign_engine.detect import MISS_IOU
from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.geometry.frames import iou, tight_box
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.landmark_formats import format_error
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.metrics.accuracy import summarise

Boxes = Literal["truth", "detector"]
Progress = Callable[[int], None]

#: The format of ``auc_inner51``.
INNER = 51


@dataclass(frozen=True)
class FaceError:
    """One face's outcome.

    Attributes:
        id: of the face.
        origin: its collection.
        error: NRMSE; infinite where the detector missed the face.
        inner_error: the same over landmarks 17-67.
    """

    id: str
    origin: str
    error: float
    inner_error: float


def evaluate_crops(
    aligner: Aligner,
    faces: FaceSource,
    boxes: Boxes,
    detector: str | None,
    progress: Progress | None = None,
    points: int = N_LANDMARKS,
) -> list[FaceError]:
    """Every face of a split, each in its own image.

    Args:
        aligner: the model.
        faces: annotated faces.
        boxes: "truth", or "detector": the detection with the highest IoU with the true face box counts, and a
            face without one of IoU ≥ 0.3 counts as infinite error.
        detector: used for "detector".
        progress: told how many faces are done.
        points: format of the errors, see `exalign_engine.geometry.landmark_formats`.
    """
    outcomes = []
    for i in range(len(faces)):
        image, truth = faces.image(i), faces.landmarks[i]
        errors = _errors(aligner, image, truth[None], boxes, detector, points)[0]
        outcomes.append(FaceError(faces.ids[i], faces.origins[i], *errors))
        if progress:
            progress(i + 1)
    return outcomes


def evaluate_photos(
    aligner: Aligner,
    photos: Sequence[AnnotatedPhoto],
    boxes: Boxes,
    detector: str | None,
    progress: Progress | None = None,
    points: int = N_LANDMARKS,
) -> list[FaceError]:
    """Every annotated face of whole photos; detections that match no annotated face are not counted."""
    outcomes = []
    for i, photo in enumerate(photos):
        image = decode(photo.encoded(), ImageLimits(), field=str(photo.path))
        errors = _errors(aligner, image, photo.landmarks, boxes, detector, points)
        outcomes += [FaceError(name, photo.origin, *e) for name, e in zip(photo.ids, errors, strict=True)]
        if progress:
            progress(i + 1)
    return outcomes


def report(outcomes: Sequence[FaceError], subsets: Mapping[str, NDArray[np.intp]] | None = None) -> dict[str, Any]:
    """Figures in total, and under ``groups`` by collection and by subset.

    Args:
        outcomes: one a face.
        subsets: indices into ``outcomes`` by name, as of `exalign_engine.metrics.subsets.difficult_subsets`.

    Returns:
        What `exalign_engine.metrics.accuracy.summarise` gives, ``auc_inner51``, and the former again for each of
        ``groups``.
    """
    total: dict[str, Any] = dict(summarise([o.error for o in outcomes]))
    total["auc_inner51"] = summarise([o.inner_error for o in outcomes])["auc"]
    groups = {
        origin: [o.error for o in outcomes if o.origin == origin] for origin in sorted({o.origin for o in outcomes})
    }
    groups |= {name: [outcomes[i].error for i in index] for name, index in (subsets or {}).items()}
    total["groups"] = {name: summarise(errors) for name, errors in groups.items()}
    return total


def _errors(
    aligner: Aligner,
    image: NDArray[np.uint8],
    truths: NDArray[np.float64],
    boxes: Boxes,
    detector: str | None,
    points: int,
) -> list[tuple[float, float]]:
    """``error`` and ``inner_error`` of each annotated face of one image: (H, W, 3), (F, 68, 2) → F pairs."""
    if boxes == "truth":
        located: list[LocatedFace | None] = [aligner.place(tight_box(t)) for t in truths]
    else:
        found = aligner.locate(image, detector)
        located = [_best(found, tight_box(t)) for t in truths]
    answers = iter(aligner.answer(image, [place for place in located if place is not None]))
    errors = []
    for place, truth in zip(located, truths, strict=True):
        if place is None:
            errors.append((math.inf, math.inf))
        else:
            answer = next(answers).landmarks
            errors.append((format_error(answer, truth, points), format_error(answer, truth, INNER)))
    return errors


def _best(found: Sequence[LocatedFace], truth: NDArray[np.float64]) -> LocatedFace | None:
    overlaps = [iou(f.box, truth) for f in found]
    if not overlaps or max(overlaps) < MISS_IOU:
        return None
    return found[int(np.argmax(overlaps))]
