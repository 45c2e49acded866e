"""What BlazeFace answers: from scores and regressions at its anchors to faces.

The conventions are MediaPipe's (``ssd_anchors_calculator``, ``tensors_to_detections_calculator``,
``non_max_suppression_calculator`` with weighted overlaps):

- Two layers of anchors cover the input: 16 × 16 cells with 2 anchors each, then 8 × 8 cells with 6 each, row by row.
  All anchors of a cell are its centre; none has a size.
- A regression is sixteen numbers in input pixels: the box's centre from the anchor, its width and height, and six
  points from the anchor: the eye at image left (the subject's right), the other eye, nose tip, mouth, the ear at image
  left, the other ear.
- A score is the logistic function of a logit that is clipped to ±100.
- Of boxes that overlap the best one by more than .3 (intersection ÷ union), box and points are averaged, weighted by
  score; the best one's score stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F32, F64

#: Cells along a side, and anchors of a cell.
_LAYERS = ((16, 2), (8, 6))
_MAX_LOGIT = 100.0
_MERGED_OVERLAP = 0.3
#: Faces of one input, best first: a picture made to trigger every anchor is answered soon too.
MOST_FACES = 100


@dataclass(frozen=True)
class Found:
    """Faces in one frame, highest score first.

    Attributes:
        boxes: (n, 4) x0, y0, x1, y1.
        points: (n, 6, 2).
        scores: (n,) in [0, 1].
    """

    boxes: F64
    points: F64
    scores: F64

    def of(self, chosen: np.ndarray) -> Found:
        """Those that an index or a mask names."""
        return Found(self.boxes[chosen], self.points[chosen], self.scores[chosen])


def anchors() -> F64:
    """(896, 2) x, y of the anchors, shares of the input's side."""
    layers = []
    for cells, repeats in _LAYERS:
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        layers.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(layers)


_ANCHORS = anchors()


def decoded(logits: F32, regressors: F32, side: int, min_score: float) -> Found:
    """Faces of one input, those that are one face made one.

    Args:
        logits: (896,).
        regressors: (896, 16).
        side: of the input, pixels.
        min_score: lowest score of a candidate.

    Returns:
        In input pixels; the input's left edge is 0, pixel i covers [i, i + 1].
    """
    scores = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -_MAX_LOGIT, _MAX_LOGIT)))
    chosen = np.flatnonzero(scores >= min_score)
    pairs = regressors[chosen].astype(np.float64).reshape(-1, 8, 2)
    # A network may answer a box without extent, or anything at all to a picture made for it.
    whole = (pairs[:, 1] > 0).all(axis=1) & np.isfinite(pairs).all(axis=(1, 2))
    chosen, pairs = chosen[whole], pairs[whole]
    centre, half = pairs[:, 0] + _ANCHORS[chosen] * side, pairs[:, 1] / 2
    points = pairs[:, 2:] + _ANCHORS[chosen, None] * side
    return averaged(Found(np.hstack([centre - half, centre + half]), points, scores[chosen]))


def averaged(candidates: Found) -> Found:
    """Candidates of one face averaged to one, weighted by their scores: at most `MOST_FACES`."""
    left = candidates.of(np.argsort(-candidates.scores, kind="stable"))
    boxes, points, scores = [np.empty((0, 4))], [np.empty((0, 6, 2))], [np.empty(0)]
    while len(left.scores) and len(scores) <= MOST_FACES:
        same = overlaps(left.boxes[0], left.boxes) > _MERGED_OVERLAP
        same[0] = True
        weight = left.scores[same] / left.scores[same].sum()
        boxes.append(weight[None] @ left.boxes[same])
        points.append(np.tensordot(weight[None], left.points[same], 1))
        scores.append(left.scores[:1])
        left = left.of(~same)
    return Found(np.concatenate(boxes), np.concatenate(points), np.concatenate(scores))


def overlaps(box: F64, boxes: F64, *, relative_to_smaller: bool = False) -> F64:
    """(4,) and (n, 4) → (n,) intersection ÷ union, or ÷ the smaller of the two."""
    meet = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.maximum(meet, 0).prod(axis=1)
    area, areas = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    share: F64 = shared / (np.minimum(area, areas) if relative_to_smaller else area + areas - shared)
    return share
