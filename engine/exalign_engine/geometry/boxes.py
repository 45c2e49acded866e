"""Boxes that a caller gives: checked all at once, each named by its index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exalign_engine.errors import InvalidInputError, Violation

#: A face box must be at least so wide and so high, in pixels: below, 68 points have no pixels to be seen in.
MIN_BOX_SIDE = 4.0

#: A box may be at most so many times as long as the image's longer side. A face may reach far out of its
#: picture; a larger box is a mistake of units, and its crop would be one colour.
MAX_BOX_SIDES = 4.0

#: Faces in one image.
MAX_FACES = 64


def check_boxes(
    boxes: Sequence[ArrayLike] | NDArray[np.floating],
    image_shape: tuple[int, ...],
    *,
    max_faces: int = MAX_FACES,
    field: str = "faces",
) -> NDArray[np.float64]:
    """Check the boxes of one request against their image.

    Args:
        boxes: n boxes, each (x0, y0, x1, y1), pixels in the image frame. They may reach out of the image.
        image_shape: (H, W, ...) of the image.
        max_faces: how many boxes are accepted.
        field: name of the list in errors; a box is named ``<field>[index].box``.

    Returns:
        (n, 4) float64.

    Raises:
        InvalidInputError: names every wrong box (of the first ``max_faces``) with its first fault: not four
            numbers, not finite, inverted, smaller than ``MIN_BOX_SIDE``, larger than ``MAX_BOX_SIDES`` × the
            image's longer side, or wholly outside the image.
    """
    height, width = int(image_shape[0]), int(image_shape[1])
    wrong: list[Violation] = []
    if len(boxes) > max_faces:
        wrong.append(Violation(field, f"has {len(boxes)} boxes, at most {max_faces} are accepted"))
    rows = []
    for index, box in enumerate(boxes[:max_faces]):
        try:
            row = np.asarray(box, dtype=np.float64)
        except (TypeError, ValueError):
            row = np.empty(0)
        fault = _fault(row, width, height)
        if fault is None:
            rows.append(row)
        else:
            wrong.append(Violation(f"{field}[{index}].box", fault))
    if wrong:
        raise InvalidInputError(wrong)
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _fault(box: NDArray[np.float64], width: int, height: int) -> str | None:
    """The first thing wrong with a box, as a sentence with value and limit; None if it is right."""
    if box.shape != (4,):
        return "must be four numbers x0, y0, x1, y1"
    shown = f"is ({', '.join(f'{v:g}' for v in box)})"
    if not np.isfinite(box).all():
        return f"{shown}, must be finite"
    if box[2] <= box[0] or box[3] <= box[1]:
        return f"{shown}, must have x0 < x1 and y0 < y1"
    return box_misplacement(box, width, height)


def box_misplacement(box: NDArray[np.float64], width: int, height: int) -> str | None:
    """What is wrong with a box's size or place in an image; None where it is right.

    Args:
        box: (4,) x0 < x1, y0 < y1, finite, pixels in the image frame.
        width: of the image, pixels.
        height: of the image, pixels.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    shown, w, h = f"is ({', '.join(f'{v:g}' for v in box)})", x1 - x0, y1 - y0
    if min(w, h) < MIN_BOX_SIDE:
        return f"{shown}, {w:g} × {h:g} pixels, must be at least {MIN_BOX_SIDE:g} × {MIN_BOX_SIDE:g}"
    most = MAX_BOX_SIDES * max(width, height)
    if max(w, h) > most:
        limit = f"{most:g} ({MAX_BOX_SIDES:g} image sides)"
        return f"{shown}, {w:g} × {h:g} pixels, its longer side must be at most {limit}"
    # Pixels are squares about whole numbers: the image reaches from -0.5 to size - 0.5.
    if x1 <= -0.5 or y1 <= -0.5 or x0 >= width - 0.5 or y0 >= height - 0.5:
        return f"{shown}, must overlap the image of {width} × {height} pixels"
    return None
