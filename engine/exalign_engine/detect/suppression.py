"""Non-maximum suppression: of boxes that overlap, the best one stays."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray


def suppress(
    boxes: NDArray[np.float64],
    scores: NDArray[np.floating],
    threshold: float,
    *,
    relative_to: Literal["union", "smaller"] = "union",
    most: int | None = None,
) -> NDArray[np.intp]:
    """Greedy suppression: from the highest score down, a box stays if it overlaps no kept box too much.

    Args:
        boxes: (n, 4) x0, y0, x1, y1.
        scores: (n,) > 0; equal scores are taken in the order given.
        threshold: an overlap (intersection ÷ what ``relative_to`` names) up to this is allowed.
        relative_to: the two boxes' union, or the smaller of them (drops boxes inside another).
        most: look at so many of the highest scores only; None: at all.

    Returns:
        (m,) indices of kept boxes, by score, highest first.
    """
    order = np.argsort(-scores, kind="stable")[:most]
    if not len(order):
        return order
    box, score = boxes[order], scores[order]
    size = box[:, 2:] - box[:, :2]
    if relative_to == "union":
        kept = cv2.dnn.NMSBoxes(np.hstack([box[:, :2], size]).tolist(), score.tolist(), 0.0, threshold)
        return order[np.asarray(kept, dtype=np.intp)]
    area = size.prod(axis=1)
    alive = np.ones(len(box), dtype=bool)
    for i in range(len(box)):
        if alive[i]:
            meet = np.minimum(box[i, 2:], box[i + 1 :, 2:]) - np.maximum(box[i, :2], box[i + 1 :, :2])
            overlap = np.maximum(meet, 0).prod(axis=1) / np.minimum(area[i], area[i + 1 :])
            alive[i + 1 :] &= overlap <= threshold
    return order[alive]
