"""Evidence about the shape of a face, as simple values; everything in the image frame, pixels.

The order of evidence does not matter; all of it holds together, with at most one click a landmark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from exalign.v1 import evidence_pb2, geometry_pb2
from exalign_client.errors import InternalServerError, Violations
from exalign_client.json_form import float32_decimal
from exalign_client.requests.arguments import (
    Landmark,
    finite_number,
    interval_message,
    items,
    landmark_index,
    positive_number,
    rectangle_edges,
)


@dataclass(frozen=True)
class Click:
    """ "This landmark is here."

    Args:
        landmark: its name or 0-based index: ``"nose_tip"`` or 30.
        x: pixels.
        y: pixels.
        radius: a hard click: shapes with the landmark farther away than this are ruled out; pixels, > 0.
        sigma: a soft click: standard deviation of the click itself; pixels a coordinate, > 0. With neither
            ``radius`` nor ``sigma``: soft, 1 % of the face box's diagonal. Both at once are refused.
    """

    landmark: Landmark
    x: float
    y: float
    radius: float | None = None
    sigma: float | None = None


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned rectangle, x0 < x1 and y0 < y1; its border belongs to it."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True)
class Circle:
    """A disc of radius > 0 about (x, y); its border belongs to it."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Polygon:
    """A simple polygon: 3 to 64 corners (x, y) in order; its border belongs to it."""

    vertices: tuple[tuple[float, float], ...]


Shape: TypeAlias = Rectangle | Circle | Polygon


@dataclass(frozen=True)
class Inside:
    """ "This landmark lies in this area." """

    landmark: Landmark
    area: Shape
    side: str = field(default="inside", init=False)


@dataclass(frozen=True)
class Outside:
    """ "This landmark lies outside this area." """

    landmark: Landmark
    area: Shape
    side: str = field(default="outside", init=False)


@dataclass(frozen=True)
class PoseRange:
    """ "The head is turned like this": closed intervals (lower, upper) of degrees; None allows everything.

    Args:
        yaw: > 0 is nose to the image's right.
        pitch: > 0 is up.
        roll: > 0 is clockwise on screen.
    """

    yaw: tuple[float, float] | None = None
    pitch: tuple[float, float] | None = None
    roll: tuple[float, float] | None = None


Constraint: TypeAlias = Click | Inside | Outside | PoseRange


class EvidenceOutcome(StrEnum):
    """What became of evidence."""

    #: The answer is the posterior given the evidence.
    CONDITIONED = "conditioned"
    #: No exemplar agrees with it; the answer is made of those that violate it least.
    IMPOSSIBLE = "impossible"
    #: The server is newer than this client and means something else.
    UNKNOWN = "unknown"


_OUTCOMES = {
    evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED: EvidenceOutcome.CONDITIONED,
    evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE: EvidenceOutcome.IMPOSSIBLE,
}


def outcome_from(outcome: evidence_pb2.EvidenceOutcome.ValueType) -> EvidenceOutcome:
    """Read an outcome."""
    return _OUTCOMES.get(outcome, EvidenceOutcome.UNKNOWN)


def evidence_message(
    evidence: Constraint | Iterable[Constraint], box_moves: bool, wrong: Violations
) -> evidence_pb2.Evidence:
    """Evidence as a message; ``wrong`` collects what is wrong with it."""
    message = evidence_pb2.Evidence(
        box_motion=evidence_pb2.BOX_MOTION_FREE if box_moves else evidence_pb2.BOX_MOTION_FIXED
    )
    single = isinstance(evidence, (Click, Inside, Outside, PoseRange))
    clicked: dict[int, Click] = {}
    for index, constraint in enumerate([evidence] if single else items(evidence, wrong)):
        here = wrong.at(index)
        match constraint:
            case Click():
                click = _click(constraint, here)
                earlier = clicked.setdefault(click.landmark, constraint)
                if (earlier.x, earlier.y) != (constraint.x, constraint.y):
                    here.add(f"a second click on landmark {click.landmark} at a different place")
                message.clicks.append(click)
            case Inside() | Outside():
                message.regions.append(_region(constraint, here))
            case PoseRange():
                message.poses.add(
                    yaw=interval_message(constraint.yaw, here.at("yaw")),
                    pitch=interval_message(constraint.pitch, here.at("pitch")),
                    roll=interval_message(constraint.roll, here.at("roll")),
                )
            case _:
                kind = type(constraint).__name__
                here.add(f"a {kind} is no Click, Inside, Outside or PoseRange")
    return message


def _click(click: Click, wrong: Violations) -> evidence_pb2.Click:
    if click.radius is not None and click.sigma is not None:
        wrong.at("sigma").add("a click has a radius or a sigma, not both")
    message = evidence_pb2.Click(
        landmark=landmark_index(click.landmark, wrong.at("landmark")),
        position=_point(click.x, click.y, wrong),
    )
    # Set only where it is given: setting one clears the other, and both absent mean the server's default.
    radius = positive_number(click.radius, wrong.at("radius"))
    sigma = positive_number(click.sigma, wrong.at("sigma"))
    if radius is not None:
        message.radius = radius
    elif sigma is not None:
        message.sigma = sigma
    return message


def _point(x: object, y: object, wrong: Violations) -> geometry_pb2.Point:
    return geometry_pb2.Point(x=finite_number(x, wrong.at("x")), y=finite_number(y, wrong.at("y")))


def _corner(corner: object, wrong: Violations) -> geometry_pb2.Point:
    pair = items(corner, wrong)
    if len(pair) != 2:
        wrong.add(f"{corner!r} is not two numbers x, y")
        return geometry_pb2.Point()
    return _point(*pair, wrong)


def _region(constraint: Inside | Outside, wrong: Violations) -> evidence_pb2.RegionConstraint:
    inside = isinstance(constraint, Inside)
    return evidence_pb2.RegionConstraint(
        landmark=landmark_index(constraint.landmark, wrong.at("landmark")),
        region=_area(constraint.area, wrong.at("area")),
        side=evidence_pb2.REGION_SIDE_INSIDE if inside else evidence_pb2.REGION_SIDE_OUTSIDE,
    )


def _area(area: Shape, wrong: Violations) -> geometry_pb2.Region:
    match area:
        case Rectangle(x0, y0, x1, y1):
            edges = rectangle_edges((x0, y0, x1, y1), wrong)
            if edges is not None:
                names = ("x0", "y0", "x1", "y1")
                return geometry_pb2.Region(rectangle=geometry_pb2.Rectangle(**dict(zip(names, edges, strict=True))))
        case Circle(x, y, radius):
            centre = _point(x, y, wrong)
            length = positive_number(radius, wrong.at("radius"))
            return geometry_pb2.Region(circle=geometry_pb2.Circle(center=centre, radius=length or 0.0))
        case Polygon(vertices):
            here, before = wrong.at("vertices"), len(wrong)
            corners = [_corner(corner, here.at(i)) for i, corner in enumerate(items(vertices, here))]
            if len(wrong) == before and not 3 <= len(corners) <= 64:
                here.add(f"{len(corners)} corners; must be 3 to 64")
            return geometry_pb2.Region(polygon=geometry_pb2.Polygon(vertices=corners))
        case _:
            wrong.add(f"a {type(area).__name__} is no Rectangle, Circle or Polygon")
    return geometry_pb2.Region()


def evidence_from(message: evidence_pb2.Evidence) -> tuple[Constraint, ...]:
    """Read evidence: clicks first, then regions, then pose ranges.

    Raises:
        InternalServerError: a region has no shape.
    """
    clicks = tuple(
        Click(
            c.landmark,
            *_place(c.position),
            radius=float32_decimal(c.radius) if c.HasField("radius") else None,
            sigma=float32_decimal(c.sigma) if c.HasField("sigma") else None,
        )
        for c in message.clicks
    )
    regions = tuple(
        (Outside if r.side == evidence_pb2.REGION_SIDE_OUTSIDE else Inside)(r.landmark, _area_from(r.region))
        for r in message.regions
    )
    poses = tuple(
        PoseRange(
            yaw=_bounds(p.yaw) if p.HasField("yaw") else None,
            pitch=_bounds(p.pitch) if p.HasField("pitch") else None,
            roll=_bounds(p.roll) if p.HasField("roll") else None,
        )
        for p in message.poses
    )
    return clicks + regions + poses


def _area_from(region: geometry_pb2.Region) -> Shape:
    match region.WhichOneof("shape"):
        case "rectangle":
            r = region.rectangle
            return Rectangle(*(float32_decimal(v) for v in (r.x0, r.y0, r.x1, r.y1)))
        case "circle":
            return Circle(*_place(region.circle.center), float32_decimal(region.circle.radius))
        case "polygon":
            return Polygon(tuple(_place(v) for v in region.polygon.vertices))
        case _:
            raise InternalServerError("the answer does not keep to the contract: evidence.regions has no shape")


def _place(point: geometry_pb2.Point) -> tuple[float, float]:
    return float32_decimal(point.x), float32_decimal(point.y)


def _bounds(interval: geometry_pb2.Interval) -> tuple[float, float]:
    return interval.lower, interval.upper
