"""Which face a piece of evidence is about: the named one, or the one whose box contains it, else the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evidence.evidence import Disc, Evidence, Rectangle, RegionConstraint


def assign(evidence: Sequence[tuple[int, Evidence]], boxes: Mapping[int, F64]) -> dict[int, Evidence]:
    """The evidence about each track, by track id.

    Args:
        evidence: (track id of ``boxes``, or 0 for the only one or the nearest; image frame, pixels).
        boxes: (4,) of each track, image frame, pixels.

    Raises:
        InvalidInputError: there is no such track, or pieces about one track contradict each other.
    """
    found: dict[int, Evidence] = {}
    for i, (given_id, piece) in enumerate(evidence):
        field = f"evidence[{i}]"
        track_id = given_id or _track_of(piece, boxes, field)
        if track_id not in boxes:
            raise InvalidInputError.of(f"{field}.track_id", f"is {track_id}, a track that this frame does not hold")
        found[track_id] = merged(found.get(track_id), piece, field)
    return found


def merged(old: Evidence | None, new: Evidence, field: str) -> Evidence:
    """Both together.

    Raises:
        InvalidInputError: they contradict each other; fields are named under ``field``.
    """
    try:
        return new if old is None else old.union(new)
    except InvalidInputError as error:
        # The places in a set are not those that the caller gave.
        wrong = [Violation(f"{field}.{v.field.split('[')[0]}", v.description) for v in error.violations]
        raise InvalidInputError(wrong) from error


def nearest_face(
    points: Sequence[tuple[float, float]], regions: Sequence[RegionConstraint], boxes: Mapping[int, F64]
) -> int | None:
    """The face that clicks and regions without a track id are about.

    It is the only one; or the one whose box is nearest to the mean of the places; of several boxes that contain it, the
    one with the nearest centre; of equals, the lower id.

    Args:
        points: places of the clicks, image frame, pixels.
        regions: of which the centres of those with a landmark inside are places, too.
        boxes: (4,) by id, at least one, image frame, pixels.

    Returns:
        None where there are several boxes and no place.
    """
    if len(boxes) == 1:
        return next(iter(boxes))
    places = [*points, *(_centre(r) for r in regions if r.inside)]
    if not places:
        return None
    x, y = (float(v) for v in np.mean(places, axis=0))

    def distance(face: int) -> tuple[float, float, int]:
        box = boxes[face]
        return _distance_to_box(x, y, box), float(np.hypot(x - box[::2].mean(), y - box[1::2].mean())), face

    return min(boxes, key=distance)


def _track_of(piece: Evidence, boxes: Mapping[int, F64], field: str) -> int:
    if not boxes:
        raise InvalidInputError.of(f"{field}.track_id", "is 0, but no face is tracked in this frame")
    found = nearest_face([(c.x, c.y) for c in piece.clicks], piece.regions, boxes)
    if found is None:
        text = f"is 0, but {len(boxes)} faces are tracked and this evidence has no place"
        raise InvalidInputError.of(f"{field}.track_id", text)
    return found


def _distance_to_box(x: float, y: float, box: F64) -> float:
    """From a point to a box, pixels; 0 inside."""
    dx = max(float(box[0]) - x, x - float(box[2]), 0.0)
    dy = max(float(box[1]) - y, y - float(box[3]), 0.0)
    return float(np.hypot(dx, dy))


def _centre(constraint: RegionConstraint) -> tuple[float, float]:
    region = constraint.region
    if isinstance(region, Rectangle):
        return (region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2
    if isinstance(region, Disc):
        return region.x, region.y
    x, y = np.mean(region.vertices, axis=0)
    return float(x), float(y)
