"""Which track a piece of evidence is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evidence.evidence import Disc, Evidence, Rectangle, RegionConstraint
from exalign_engine.tracking.association import distance_to_box

F64 = NDArray[np.float64]


def assign(evidence: Sequence[tuple[int, Evidence]], boxes: Mapping[int, F64]) -> dict[int, Evidence]:
    """Which track each piece of evidence is about: track id → all that is known about it.

    Args:
        evidence: (track id of ``boxes``, or 0 for the only one or the nearest; image frame).
        boxes: (4,) of each track.

    Raises:
        InvalidInputError: there is no such track, or pieces about one track contradict each other.
    """
    found: dict[int, Evidence] = {}
    for i, (given_id, piece) in enumerate(evidence):
        field = f"evidence[{i}]"
        track_id = given_id or _nearest(piece, boxes, field)
        if track_id not in boxes:
            raise InvalidInputError.of(f"{field}.track_id", f"is {track_id}, a track that this frame does not hold")
        found[track_id] = union(found[track_id], piece, field) if track_id in found else piece
    return found


def union(old: Evidence, new: Evidence, field: str) -> Evidence:
    """Both together.

    Raises:
        InvalidInputError: they contradict each other; fields are named under ``field``.
    """
    try:
        return old.union(new)
    except InvalidInputError as error:
        # The places in the union are not those that the caller knows.
        wrong = [Violation(f"{field}.{v.field.split('[')[0]}", v.description) for v in error.violations]
        raise InvalidInputError(wrong) from error


def _nearest(piece: Evidence, boxes: Mapping[int, F64], field: str) -> int:
    if not boxes:
        raise InvalidInputError.of(f"{field}.track_id", "is 0, but no face is tracked in this frame")
    if len(boxes) == 1:
        return next(iter(boxes))
    places = [(c.x, c.y) for c in piece.clicks] + [_centre(r) for r in piece.regions if r.inside]
    if not places:
        text = f"is 0, but {len(boxes)} faces are tracked and this evidence has no place"
        raise InvalidInputError.of(f"{field}.track_id", text)
    x, y = (float(v) for v in np.mean(places, axis=0))

    def distance(track_id: int) -> tuple[float, float, int]:
        """To the box; inside several, to the centre; then the older track."""
        box = boxes[track_id]
        return distance_to_box(x, y, box), float(np.hypot(x - box[::2].mean(), y - box[1::2].mean())), track_id

    return min(boxes, key=distance)


def _centre(constraint: RegionConstraint) -> tuple[float, float]:
    region = constraint.region
    if isinstance(region, Rectangle):
        return (region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2
    if isinstance(region, Disc):
        return region.x, region.y
    x, y = np.mean(region.vertices, axis=0)
    return float(x), float(y)
