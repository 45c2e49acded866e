"""Evidence: constraints on the shape of a face, from a person or a program (paper §4.3, Eq. 10).

Everything is in the box frame: positions and lengths in box sides, poses in degrees. `Evidence` is a *set*: it puts its
constraints in one canonical order and drops exact repeats, so that neither can change an answer. It has one merge,
`Evidence.adding`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.libraries.njit import njit

T = TypeVar("T")

#: Corners of a polygon.
MIN_VERTICES, MAX_VERTICES = 3, 64

#: Positions lie within so many box sides of the box; radii and σ within the range. Far beyond any face, and near
#: enough that squares neither overflow nor vanish.
MAX_POSITION = 1e6
MIN_LENGTH, MAX_LENGTH = 1e-6, 1e6

_CLICKED_TWICE = "is clicked already, at another place or with another trust; at most one click a landmark"

#: Region constraints, and pose ranges, in one set of evidence.
MAX_REGIONS, MAX_POSES = 68, 8


@dataclass(frozen=True)
class HardClick:
    """Landmark n lies within ``radius`` of (x, y) (Eq. 10).

    It rules exemplars out and no more: the landmark's marginal stays that of the exemplars that are left.
    """

    landmark: int
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class SoftClick:
    """Landmark n was seen at (x, y), with Gaussian noise of standard deviation ``sigma`` per coordinate.

    It is a measurement: the landmark's marginal becomes the click's.
    """

    landmark: int
    x: float
    y: float
    sigma: float


Click = HardClick | SoftClick


@dataclass(frozen=True)
class Rectangle:
    """Axis-aligned; x0 < x1, y0 < y1; its border belongs to it."""

    x0: float
    y0: float
    x1: float
    y1: float

    def signed_distance(self, x: F64, y: F64) -> F64:
        """(K,), (K,) → (K,) distance to the border, negative inside."""
        dx = np.maximum(self.x0 - x, x - self.x1)
        dy = np.maximum(self.y0 - y, y - self.y1)
        outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        return np.asarray(outside + np.minimum(np.maximum(dx, dy), 0))


@dataclass(frozen=True)
class Disc:
    """All points within ``radius`` > 0 of (x, y)."""

    x: float
    y: float
    radius: float

    def signed_distance(self, x: F64, y: F64) -> F64:
        """(K,), (K,) → (K,) distance to the border, negative inside."""
        return np.asarray(np.hypot(x - self.x, y - self.y) - self.radius)


@dataclass(frozen=True)
class Polygon:
    """Closed by itself, filled by the even-odd rule; its border belongs to it."""

    vertices: tuple[tuple[float, float], ...]

    def signed_distance(self, x: F64, y: F64) -> F64:
        """(K,), (K,) → (K,) distance to the border, negative inside; the border itself up to rounding."""
        result: F64 = _polygon_distance(np.asarray(x), np.asarray(y), np.array(self.vertices, dtype=np.float64))
        return result


Region = Rectangle | Disc | Polygon


@dataclass(frozen=True)
class RegionConstraint:
    """Landmark n lies inside the region, or outside it."""

    landmark: int
    region: Region
    inside: bool = True


@dataclass(frozen=True)
class PoseRange:
    """The head is turned like this: (lower, upper) in degrees, both included; None allows everything."""

    yaw: tuple[float, float] | None = None
    pitch: tuple[float, float] | None = None
    roll: tuple[float, float] | None = None


class BoxMotion(Enum):
    """Whether clicks may correct the face box as well as the shape in it."""

    FIXED = "fixed"
    FREE = "free"


@dataclass(frozen=True)
class Evidence:
    """A set of constraints on one face; all of them hold together.

    Any order of the same constraints, with any repeats, makes an equal object.

    Args:
        clicks: at most one a landmark, apart from exact repeats.
        regions: at most `MAX_REGIONS`.
        poses: at most `MAX_POSES`.
        box_motion: whether clicks may move the box.

    Raises:
        InvalidInputError: names every wrong constraint by its place in the arguments, as ``clicks[1].sigma``.
    """

    clicks: tuple[Click, ...] = ()
    regions: tuple[RegionConstraint, ...] = ()
    poses: tuple[PoseRange, ...] = ()
    box_motion: BoxMotion = BoxMotion.FREE

    def __post_init__(self) -> None:
        wrong = [*_wrong_clicks(self.clicks), *_wrong_regions(self.regions), *_wrong_poses(self.poses)]
        if wrong:
            raise InvalidInputError(wrong)
        # The dataclass is frozen for its users; here its own arguments are put in order.
        object.__setattr__(self, "clicks", _canonical(self.clicks))
        object.__setattr__(self, "regions", _canonical(self.regions))
        object.__setattr__(self, "poses", _canonical(self.poses))

    def adding(
        self,
        clicks: Sequence[Click] = (),
        regions: Sequence[RegionConstraint] = (),
        poses: Sequence[PoseRange] = (),
        box_motion: BoxMotion = BoxMotion.FREE,
    ) -> Evidence:
        """This evidence and more; no constraint at all adds nothing, not even ``box_motion``.

        Args:
            clicks: each valid by itself, as the others.
            regions: see ``clicks``.
            poses: see ``clicks``.
            box_motion: of the result, if there is any constraint.

        Raises:
            InvalidInputError: a landmark is clicked at two places, named by its place in ``clicks``; or there are too
                many regions or poses.
        """
        if not (clicks or regions or poses):
            return self
        wrong, clicked = [], {c.landmark: c for c in self.clicks}
        for i, click in enumerate(clicks):
            if clicked.setdefault(click.landmark, click) != click:
                wrong.append(Violation(f"clicks[{i}].landmark", f"is {click.landmark}, which {_CLICKED_TWICE}"))
        all_regions, all_poses = {*self.regions, *regions}, {*self.poses, *poses}
        for name, count, most in (("regions", len(all_regions), MAX_REGIONS), ("poses", len(all_poses), MAX_POSES)):
            if count > most:
                text = f"has {count} different ones with those that the face holds, at most {most} are accepted"
                wrong.append(Violation(name, text))
        if wrong:
            raise InvalidInputError(wrong)
        return Evidence(tuple(clicked.values()), tuple(all_regions), tuple(all_poses), box_motion)

    def union(self, other: Evidence) -> Evidence:
        """Both together, as `adding` has it.

        Raises:
            InvalidInputError: they contradict each other about one landmark, or are too many.
        """
        return self.adding(other.clicks, other.regions, other.poses, other.box_motion)

    def normalised(self) -> Evidence:
        """Equal evidence whose numbers are plain Python's, whatever kinds of numbers these are."""
        return Evidence(
            tuple(_plain(c) for c in self.clicks),
            tuple(RegionConstraint(int(r.landmark), _plain(r.region), bool(r.inside)) for r in self.regions),
            tuple(_plain(p) for p in self.poses),
            self.box_motion,
        )

    @property
    def soft_clicks(self) -> tuple[SoftClick, ...]:
        """The clicks that are measurements, by landmark."""
        return tuple(c for c in self.clicks if isinstance(c, SoftClick))

    @property
    def hard_clicks(self) -> tuple[HardClick, ...]:
        """The clicks that rule exemplars out, by landmark."""
        return tuple(c for c in self.clicks if isinstance(c, HardClick))


def _plain(constraint: T) -> T:
    """A click, a region or a pose range with plain numbers."""
    numbers = {name: int(v) if name == "landmark" else _floats(v) for name, v in vars(constraint).items()}
    return type(constraint)(**numbers)


def _floats(value: Any) -> Any:
    """A number as a float, None as it is, and so for every item of a sequence."""
    if value is None:
        return None
    return float(value) if np.ndim(value) == 0 else tuple(_floats(item) for item in value)


def _canonical(constraints: Iterable[T]) -> tuple[T, ...]:
    """Without repeats, in an order that depends on the constraints alone."""
    # repr() of floats is exact, and it orders constraints of different classes too.
    return tuple(sorted(set(constraints), key=repr))


def _wrong_clicks(clicks: Iterable[Click]) -> Iterable[Violation]:
    first: dict[int, Click] = {}
    for i, click in enumerate(clicks):
        yield from _wrong_landmark(f"clicks[{i}]", click.landmark)
        if not (abs(click.x) <= MAX_POSITION and abs(click.y) <= MAX_POSITION):
            limit = f"must be finite and within {MAX_POSITION:g} box sides"
            yield Violation(f"clicks[{i}].position", f"is ({click.x:g}, {click.y:g}), {limit}")
        name = "radius" if isinstance(click, HardClick) else "sigma"
        yield from _wrong_length(f"clicks[{i}].{name}", getattr(click, name))
        if first.setdefault(click.landmark, click) != click:
            yield Violation(f"clicks[{i}].landmark", f"is {click.landmark}, which {_CLICKED_TWICE}")


def _wrong_regions(regions: tuple[RegionConstraint, ...]) -> Iterable[Violation]:
    if len(regions) > MAX_REGIONS:
        yield Violation("regions", f"has {len(regions)} constraints, at most {MAX_REGIONS} are accepted")
    for i, constraint in enumerate(regions):
        field, region = f"regions[{i}].region", constraint.region
        yield from _wrong_landmark(f"regions[{i}]", constraint.landmark)
        numbers = region.vertices if isinstance(region, Polygon) else astuple(region)
        if not (np.abs(np.array(numbers, dtype=np.float64)) <= MAX_POSITION).all():
            yield Violation(field, f"must be finite and within {MAX_POSITION:g} box sides")
        elif isinstance(region, Rectangle) and not (region.x0 < region.x1 and region.y0 < region.y1):
            yield Violation(field, f"is {astuple(region)}, must have x0 < x1 and y0 < y1")
        elif isinstance(region, Disc):
            yield from _wrong_length(f"{field}.radius", region.radius)
        elif isinstance(region, Polygon) and not MIN_VERTICES <= len(region.vertices) <= MAX_VERTICES:
            n = len(region.vertices)
            yield Violation(f"{field}.vertices", f"has {n} corners, must have {MIN_VERTICES} to {MAX_VERTICES}")


def _wrong_poses(poses: tuple[PoseRange, ...]) -> Iterable[Violation]:
    if len(poses) > MAX_POSES:
        yield Violation("poses", f"has {len(poses)} ranges, at most {MAX_POSES} are accepted")
    for i, pose in enumerate(poses):
        for name in ("yaw", "pitch", "roll"):
            interval = getattr(pose, name)
            # NaN fails every comparison, so it is refused here too.
            if interval is not None and not -180 <= interval[0] <= interval[1] <= 180:
                lower, upper = interval
                limit = "must have -180 ≤ lower ≤ upper ≤ 180"
                yield Violation(f"poses[{i}].{name}", f"is ({lower:g}, {upper:g}) degrees, {limit}")


def _wrong_landmark(field: str, landmark: int) -> Iterable[Violation]:
    if not 0 <= landmark < N_LANDMARKS:
        yield Violation(f"{field}.landmark", f"is {landmark}, must be from 0 to {N_LANDMARKS - 1}")


def _wrong_length(field: str, value: float) -> Iterable[Violation]:
    if not MIN_LENGTH <= value <= MAX_LENGTH:
        yield Violation(field, f"is {value:g} box sides, must be from {MIN_LENGTH:g} to {MAX_LENGTH:g}")


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _polygon_distance(x: F64, y: F64, vertices: F64) -> F64:
    """Distance to the nearest edge, negative where an odd number of edges is crossed to the right."""
    out = np.empty(x.shape[0])
    n = vertices.shape[0]
    for k in range(x.shape[0]):
        nearest, inside = np.inf, False
        ax, ay = vertices[n - 1, 0], vertices[n - 1, 1]
        for i in range(n):
            bx, by = vertices[i, 0], vertices[i, 1]
            ex, ey, px, py = bx - ax, by - ay, x[k] - ax, y[k] - ay
            squared = ex * ex + ey * ey
            t = 0.0 if squared == 0.0 else min(max((px * ex + py * ey) / squared, 0.0), 1.0)
            nearest = min(nearest, (px - t * ex) ** 2 + (py - t * ey) ** 2)
            if (ay > y[k]) != (by > y[k]) and px < py * ex / ey:
                inside = not inside
            ax, ay = bx, by
        distance = math.sqrt(nearest)
        out[k] = -distance if inside else distance
    return out
