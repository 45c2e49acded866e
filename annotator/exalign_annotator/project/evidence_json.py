"""Evidence as the page and the project's files have it: JSON, in pixels of the upright picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.evidence import (
    Circle,
    Click,
    Constraint,
    Inside,
    Outside,
    Polygon,
    PoseRange,
    Rectangle,
    Shape,
)

#: Most constraints of one face: 68 clicks, 68 regions and 8 ranges of the pose.
MOST_CONSTRAINTS = 144


def evidence_from_json(value: object, field: str = "evidence") -> tuple[Constraint, ...]:
    """Read evidence.

    Raises:
        InvalidRequestError: it is none; the first thing that is wrong is named.
    """
    if not isinstance(value, list) or len(value) > MOST_CONSTRAINTS:
        raise _wrong(field, f"must be a list of at most {MOST_CONSTRAINTS} constraints")
    return tuple(_constraint(one, f"{field}[{i}]") for i, one in enumerate(value))


def evidence_to_json(evidence: Sequence[Constraint]) -> list[dict[str, Any]]:
    """Write evidence, so that `evidence_from_json` reads the same."""
    return [_constraint_json(one) for one in evidence]


def number(value: object, field: str) -> float:
    """A finite number.

    Raises:
        InvalidRequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _wrong(field, "must be a finite number")
    return float(value)


def whole(value: object, field: str, most: int) -> int:
    """A whole number from 0 to ``most``.

    Raises:
        InvalidRequestError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _wrong(field, f"must be a whole number from 0 to {most}")
    return value


def numbers(value: object, count: int, field: str) -> tuple[float, ...]:
    """So many finite numbers.

    Raises:
        InvalidRequestError: they are not.
    """
    if not isinstance(value, list) or len(value) != count:
        raise _wrong(field, f"must be a list of {count} numbers")
    return tuple(number(one, f"{field}[{i}]") for i, one in enumerate(value))


def landmarks_from_json(value: object, field: str) -> frozenset[int]:
    """Landmarks one by one.

    Raises:
        InvalidRequestError: one is none.
    """
    if not isinstance(value, list) or len(value) > N_LANDMARKS:
        raise _wrong(field, "must be a list of landmarks")
    return frozenset(whole(one, f"{field}[{i}]", N_LANDMARKS - 1) for i, one in enumerate(value))


def _constraint(value: object, field: str) -> Constraint:
    if not isinstance(value, Mapping):
        raise _wrong(field, "must be an object")
    kind = value.get("kind")
    if kind == "pose":
        ranges = {
            name: (low, high)
            for name in ("yaw", "pitch", "roll")
            if value.get(name) is not None
            for low, high in [numbers(value[name], 2, f"{field}.{name}")]
        }
        return PoseRange(**ranges)
    landmark = whole(value.get("landmark"), f"{field}.landmark", N_LANDMARKS - 1)
    if kind == "click":
        sigma = None if value.get("sigma") is None else number(value["sigma"], f"{field}.sigma")
        return Click(landmark, number(value.get("x"), f"{field}.x"), number(value.get("y"), f"{field}.y"), sigma=sigma)
    if kind in ("inside", "outside"):
        area = _area(value.get("area"), f"{field}.area")
        return Inside(landmark, area) if kind == "inside" else Outside(landmark, area)
    raise _wrong(f"{field}.kind", "must be click, inside, outside or pose")


def _area(value: object, field: str) -> Shape:
    if isinstance(value, Mapping) and len(value) == 1:
        if "rectangle" in value:
            return Rectangle(*numbers(value["rectangle"], 4, f"{field}.rectangle"))
        if "circle" in value:
            return Circle(*numbers(value["circle"], 3, f"{field}.circle"))
        if isinstance(value.get("polygon"), list):
            corners = value["polygon"][:65]  # one more than may be: the server's limit is then named
            pairs = [numbers(corner, 2, f"{field}.polygon[{i}]") for i, corner in enumerate(corners)]
            return Polygon(tuple((x, y) for x, y in pairs))
    raise _wrong(field, "must have exactly one of rectangle, circle and polygon")


def _constraint_json(one: Constraint) -> dict[str, Any]:
    match one:
        case Click():
            found = {"kind": "click", "landmark": one.landmark, "x": one.x, "y": one.y}
            return found if one.sigma is None else {**found, "sigma": one.sigma}
        case Inside() | Outside():
            return {"kind": one.side, "landmark": one.landmark, "area": _area_json(one.area)}
        case PoseRange():
            ranges = {"yaw": one.yaw, "pitch": one.pitch, "roll": one.roll}
            return {"kind": "pose", **{name: list(pair) for name, pair in ranges.items() if pair is not None}}


def _area_json(area: Shape) -> dict[str, Any]:
    match area:
        case Rectangle(x0, y0, x1, y1):
            return {"rectangle": [x0, y0, x1, y1]}
        case Circle(x, y, radius):
            return {"circle": [x, y, radius]}
        case Polygon(vertices):
            return {"polygon": [list(corner) for corner in vertices]}


def _wrong(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError([Violation(field, problem)])
