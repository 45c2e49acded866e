"""Evidence and suggestion options of a request, as checked values in pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from exalign.v1 import evidence_pb2, geometry_pb2
from exalign_engine import LocatedFace
from exalign_engine.errors import InvalidInputError, Violations
from exalign_engine.evidence.evidence import (
    MAX_POSES,
    MAX_REGIONS,
    MAX_VERTICES,
    MIN_VERTICES,
    BoxMotion,
    Click,
    Disc,
    Evidence,
    HardClick,
    Polygon,
    PoseRange,
    Rectangle,
    Region,
    RegionConstraint,
    SoftClick,
)
from exalign_engine.evidence.suggestion import Criterion
from exalign_engine.face.views import click_sigma
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_service.requests.enums import add_unknown_enum
from exalign_service.requests.picture import check_indices
from exalign_service.requests.views import check_coordinate, check_rectangle, read_angles

#: Most clicks and most constraints of all kinds in one Evidence.
MAX_CLICKS = N_LANDMARKS
MAX_CONSTRAINTS = MAX_CLICKS + MAX_REGIONS + MAX_POSES

#: Radii and σ, pixels.
MIN_PIXELS, MAX_PIXELS = 1e-3, 1e6

#: Suggestions where the request does not say how many.
DEFAULT_SUGGESTIONS = 5

_CRITERIA = {
    evidence_pb2.SUGGESTION_CRITERION_UNSPECIFIED: Criterion.ERROR,
    evidence_pb2.SUGGESTION_CRITERION_ERROR: Criterion.ERROR,
    evidence_pb2.SUGGESTION_CRITERION_ENTROPY: Criterion.ENTROPY,
}


@dataclass(frozen=True)
class RequestedClick:
    """A click; ``radius`` makes it hard; with neither it is soft, and its σ depends on the face."""

    landmark: int
    x: float
    y: float
    radius: float | None
    sigma: float | None

    def resolve(self, located: LocatedFace) -> Click:
        """The click on a face."""
        if self.radius is not None:
            return HardClick(self.landmark, self.x, self.y, self.radius)
        # As the answer will say it, so that what is sent back is an exact repeat.
        sigma = float(np.float32(click_sigma(located))) if self.sigma is None else self.sigma
        return SoftClick(self.landmark, self.x, self.y, sigma)


@dataclass(frozen=True)
class RequestedEvidence:
    """Evidence in the order of the request."""

    clicks: tuple[RequestedClick, ...] = ()
    regions: tuple[RegionConstraint, ...] = ()
    poses: tuple[PoseRange, ...] = ()
    box_motion: BoxMotion = BoxMotion.FREE

    def added_to(self, known: Evidence, located: LocatedFace) -> Evidence:
        """All that is known of a face with this as well, pixels; an empty set adds nothing.

        Raises:
            InvalidInputError: a landmark is clicked twice at different places, or the constraints are too many.
        """
        clicks = [click.resolve(located) for click in self.clicks]
        try:
            return known.adding(clicks, self.regions, self.poses, self.box_motion)
        except InvalidInputError as e:
            raise e.below("evidence") from None


@dataclass(frozen=True)
class SuggestionOptions:
    """What to suggest.

    Attributes:
        landmarks: candidates; empty: all that are not clicked yet.
        most: so many suggestions at most.
        criterion: by what to rank.
        sigma: of the coming click, pixels; None: by the face.
    """

    landmarks: tuple[int, ...] = ()
    most: int = DEFAULT_SUGGESTIONS
    criterion: Criterion = field(default=Criterion.ERROR)
    sigma: float | None = None

    def candidates(self, known: Evidence) -> list[int]:
        """The landmarks to try on a face.

        Raises:
            InvalidInputError: one is clicked already.
        """
        clicked = {c.landmark for c in known.clicks}
        violations = Violations("suggestion.landmarks")
        for i, n in enumerate(self.landmarks):
            if n in clicked:
                violations.add(f"[{i}]", f"is {n}, which is clicked already")
        violations.raise_if_any()
        return list(self.landmarks) or [n for n in range(N_LANDMARKS) if n not in clicked]


def read_evidence(message: evidence_pb2.Evidence, violations: Violations) -> RequestedEvidence:
    """Evidence as it was sent, from a field ``evidence``."""
    violations = violations.at("evidence")
    for name, most in (("clicks", MAX_CLICKS), ("regions", MAX_REGIONS), ("poses", MAX_POSES)):
        count = len(getattr(message, name))
        if count > most:
            violations.add(name, f"has {count} constraints, at most {most} are accepted")
    clicks = [_click(c, violations.at(f"clicks[{i}]")) for i, c in enumerate(message.clicks[:MAX_CLICKS])]
    regions = [_constraint(r, violations.at(f"regions[{i}]")) for i, r in enumerate(message.regions[:MAX_REGIONS])]
    poses = [_pose(p, violations.at(f"poses[{i}]")) for i, p in enumerate(message.poses[:MAX_POSES])]
    if message.box_motion not in evidence_pb2.BoxMotion.values():
        add_unknown_enum(violations, "box_motion", message.box_motion, evidence_pb2.BoxMotion.DESCRIPTOR)
    fixed = message.box_motion == evidence_pb2.BOX_MOTION_FIXED
    return RequestedEvidence(
        tuple(clicks),
        tuple(r for r in regions if r is not None),
        tuple(poses),
        BoxMotion.FIXED if fixed else BoxMotion.FREE,
    )


def read_suggestion_options(options: evidence_pb2.SuggestionOptions, violations: Violations) -> SuggestionOptions:
    """What to suggest, from a field ``suggestion``."""
    violations = violations.at("suggestion")
    check_indices(options.landmarks, violations.at("landmarks"))
    most = options.max_suggestions if options.HasField("max_suggestions") else DEFAULT_SUGGESTIONS
    if not 1 <= most <= N_LANDMARKS:
        violations.add("max_suggestions", f"is {most}, must be 1 to {N_LANDMARKS}")
    if options.criterion not in _CRITERIA:
        kinds = evidence_pb2.SuggestionCriterion.DESCRIPTOR
        add_unknown_enum(violations, "criterion", options.criterion, kinds)
    sigma = options.click_sigma if options.HasField("click_sigma") else None
    if sigma is not None:
        _check_length(sigma, "click_sigma", violations)
    return SuggestionOptions(tuple(options.landmarks), most, _CRITERIA.get(options.criterion, Criterion.ERROR), sigma)


def _click(click: evidence_pb2.Click, violations: Violations) -> RequestedClick:
    _check_landmark(click, violations)
    _check_point(click, "position", violations)
    trust = click.WhichOneof("trust")
    if trust is not None:
        _check_length(getattr(click, trust), trust, violations)
    return RequestedClick(
        click.landmark,
        click.position.x,
        click.position.y,
        click.radius if trust == "radius" else None,
        click.sigma if trust == "sigma" else None,
    )


def _constraint(given: evidence_pb2.RegionConstraint, violations: Violations) -> RegionConstraint | None:
    _check_landmark(given, violations)
    if given.side not in evidence_pb2.RegionSide.values():
        add_unknown_enum(violations, "side", given.side, evidence_pb2.RegionSide.DESCRIPTOR)
    before = len(violations)
    region = _region(given.region, violations.at("region"))
    if region is None or len(violations) > before:
        return None
    return RegionConstraint(given.landmark, region, given.side != evidence_pb2.REGION_SIDE_OUTSIDE)


def _region(region: geometry_pb2.Region, violations: Violations) -> Region | None:
    shape = region.WhichOneof("shape")
    if shape == "rectangle":
        r = region.rectangle
        check_rectangle(r, violations.at("rectangle"))
        return Rectangle(r.x0, r.y0, r.x1, r.y1)
    if shape == "circle":
        circle = region.circle
        _check_point(circle, "center", violations.at("circle"))
        _check_length(circle.radius, "radius", violations.at("circle"))
        return Disc(circle.center.x, circle.center.y, circle.radius)
    if shape == "polygon":
        return _polygon(region.polygon, violations.at("polygon.vertices"))
    violations.add("", "is not set, must hold a rectangle, a circle or a polygon")
    return None


def _polygon(polygon: geometry_pb2.Polygon, violations: Violations) -> Polygon | None:
    vertices = polygon.vertices
    if not MIN_VERTICES <= len(vertices) <= MAX_VERTICES:
        violations.add("", f"has {len(vertices)} corners, must have {MIN_VERTICES} to {MAX_VERTICES}")
        return None
    for i, vertex in enumerate(vertices):
        check_coordinate(vertex.x, f"[{i}].x", violations)
        check_coordinate(vertex.y, f"[{i}].y", violations)
    return Polygon(tuple((v.x, v.y) for v in vertices))


def _pose(given: evidence_pb2.PoseRange, violations: Violations) -> PoseRange:
    names: tuple[Literal["yaw", "pitch", "roll"], ...] = ("yaw", "pitch", "roll")
    return PoseRange(
        *(read_angles(getattr(given, name), violations.at(name)) if given.HasField(name) else None for name in names)
    )


def _check_landmark(given: evidence_pb2.Click | evidence_pb2.RegionConstraint, violations: Violations) -> None:
    if not given.HasField("landmark"):
        violations.add("landmark", f"is not set, must be 0 to {N_LANDMARKS - 1}")
    elif not 0 <= given.landmark < N_LANDMARKS:
        violations.add("landmark", f"is {given.landmark}, must be 0 to {N_LANDMARKS - 1}")


def _check_point(given: evidence_pb2.Click | geometry_pb2.Circle, name: str, violations: Violations) -> None:
    if not given.HasField(name):  # type: ignore[arg-type]  # the stubs want a literal
        violations.add(name, "is not set, must be a point")
        return
    point = getattr(given, name)
    check_coordinate(point.x, f"{name}.x", violations)
    check_coordinate(point.y, f"{name}.y", violations)


def _check_length(value: float, field: str, violations: Violations) -> None:
    if not MIN_PIXELS <= value <= MAX_PIXELS:  # NaN too
        violations.add(field, f"is {value:g}, must be {MIN_PIXELS:g} to {MAX_PIXELS:g} pixels")
