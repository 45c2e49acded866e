"""The views of each face that a request asks for, as checked values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from exalign.v1 import geometry_pb2, heatmap_pb2, pose_pb2
from exalign_engine.errors import Violations
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.heatmaps.marginals import MAX_CELLS
from exalign_engine.posterior.pose import MAX_BINS, MAX_INTERVALS, PoseGrid, too_narrow
from exalign_service.requests.enums import add_unknown_enum
from exalign_service.requests.picture import DEFAULT_TOP_EXEMPLARS, LandmarkOptions, check_corners, check_indices

#: Cells along a side of a heatmap, and the share of mass in a sparse one, where the request does not say.
DEFAULT_CELLS, DEFAULT_SPARSE_MASS = 64, 0.999

#: Masses of the credible intervals where the request names none.
DEFAULT_MASSES = (0.5, 0.9)

#: Rectangles, points and regions lie within so many pixels of the image's corner, whichever image it is.
MAX_COORDINATE = 1e6

_ALL = tuple(range(N_LANDMARKS))


@dataclass(frozen=True)
class HeatmapOptions:
    """Which heatmaps, and how to send them.

    Attributes:
        landmarks: 0-based, in the order of the answer.
        rectangle: x0, y0, x1, y1 in pixels; None: the square that the network saw.
        width: cells a row.
        height: rows.
        encoding: FLOAT32, UINT8 or SPARSE.
        sparse_mass: share of the mass on the grid that SPARSE must send.
    """

    landmarks: tuple[int, ...] = _ALL
    rectangle: tuple[float, float, float, float] | None = None
    width: int = DEFAULT_CELLS
    height: int = DEFAULT_CELLS
    encoding: int = heatmap_pb2.HEATMAP_ENCODING_FLOAT32
    sparse_mass: float = DEFAULT_SPARSE_MASS


@dataclass(frozen=True)
class PoseOptions:
    """How the pose is answered.

    Attributes:
        masses: of the credible intervals.
        grid: of the histogram; None: no histogram.
    """

    masses: tuple[float, ...] = DEFAULT_MASSES
    grid: PoseGrid | None = field(default_factory=PoseGrid)


@dataclass(frozen=True)
class ViewOptions:
    """The views of each face that are requested; None: not requested."""

    landmarks: LandmarkOptions | None = None
    heatmaps: HeatmapOptions | None = None
    pose: PoseOptions | None = None

    @property
    def top_exemplars(self) -> int:
        """How many exemplars the posterior's summary names."""
        return DEFAULT_TOP_EXEMPLARS if self.landmarks is None else self.landmarks.top_exemplars


def read_heatmap_options(options: heatmap_pb2.HeatmapOptions, violations: Violations) -> HeatmapOptions:
    """Which heatmaps, and how to send them, from a field ``heatmaps``."""
    violations = violations.at("heatmaps")
    check_indices(options.landmarks, violations.at("landmarks"))
    rectangle = None
    if options.HasField("rectangle"):
        r = options.rectangle
        check_rectangle(r, violations.at("rectangle"))
        rectangle = (r.x0, r.y0, r.x1, r.y1)
    size = {}
    for name in ("width", "height"):
        size[name] = getattr(options, name) if options.HasField(name) else DEFAULT_CELLS
        if not 1 <= size[name] <= MAX_CELLS:
            violations.add(name, f"is {size[name]}, must be 1 to {MAX_CELLS}")
    encoding = options.encoding or heatmap_pb2.HEATMAP_ENCODING_FLOAT32
    if encoding not in heatmap_pb2.HeatmapEncoding.values():
        add_unknown_enum(violations, "encoding", encoding, heatmap_pb2.HeatmapEncoding.DESCRIPTOR)
    mass = options.sparse_mass if options.HasField("sparse_mass") else DEFAULT_SPARSE_MASS
    if encoding == heatmap_pb2.HEATMAP_ENCODING_SPARSE and not 0 < mass <= 1:
        violations.add("sparse_mass", f"is {mass:g}, must be above 0 and at most 1")
    return HeatmapOptions(tuple(options.landmarks) or _ALL, rectangle, size["width"], size["height"], encoding, mass)


def check_rectangle(r: geometry_pb2.Rectangle, violations: Violations) -> None:
    """Check the corners of a rectangle, which may lie outside the picture."""
    if not check_corners(r, violations):
        return
    for name in ("x0", "y0", "x1", "y1"):
        check_coordinate(getattr(r, name), name, violations)


def read_pose_options(options: pose_pb2.PoseOptions, violations: Violations) -> PoseOptions:
    """How the pose is answered, from a field ``pose``."""
    violations = violations.at("pose")
    masses = options.interval_masses
    if len(masses) > MAX_INTERVALS:
        violations.add("interval_masses", f"has {len(masses)} masses, at most {MAX_INTERVALS} are accepted")
    for i, mass in enumerate(masses[:MAX_INTERVALS]):
        if not 0 < mass < 1:
            violations.add(f"interval_masses[{i}]", f"is {mass:g}, must be above 0 and below 1")
    return PoseOptions(tuple(masses) or DEFAULT_MASSES, _histogram(options.histogram, violations.at("histogram")))


def _histogram(options: pose_pb2.PoseHistogramOptions, violations: Violations) -> PoseGrid | None:
    before, default = len(violations), PoseGrid()
    yaw_bins = options.yaw_bins if options.HasField("yaw_bins") else default.yaw_bins
    roll_bins = options.roll_bins if options.HasField("roll_bins") else default.roll_bins
    for name, bins in (("yaw_bins", yaw_bins), ("roll_bins", roll_bins)):
        if not 0 <= bins <= MAX_BINS:
            violations.add(name, f"is {bins}, must be 0 to {MAX_BINS}")
    yaw_range, roll_range = default.yaw_range, default.roll_range
    if options.HasField("yaw_range"):
        yaw_range = read_angles(options.yaw_range, violations.at("yaw_range"))
    if options.HasField("roll_range"):
        roll_range = read_angles(options.roll_range, violations.at("roll_range"))
    for name, (lower, upper), bins in (("yaw_range", yaw_range, yaw_bins), ("roll_range", roll_range, roll_bins)):
        if lower == upper:
            violations.add(name, f"is empty at {lower:g} degrees, lower must be below upper")
        elif lower < upper and (narrow := too_narrow(upper - lower, min(bins, MAX_BINS))) is not None:
            violations.add(name, narrow)
    if len(violations) > before or not (yaw_bins and roll_bins):
        return None
    return PoseGrid(yaw_bins, roll_bins, yaw_range, roll_range)


def read_angles(interval: geometry_pb2.Interval, violations: Violations) -> tuple[float, float]:
    """An interval of degrees."""
    lower, upper, before = interval.lower, interval.upper, len(violations)
    for name, value in (("lower", lower), ("upper", upper)):
        if not -180 <= value <= 180:  # NaN too
            violations.add(name, f"is {value:g} degrees, must be -180 to 180")
    if len(violations) == before and lower > upper:
        violations.add("lower", f"is {lower:g}, must be at most upper = {upper:g}")
    return lower, upper


def check_coordinate(value: float, field: str, violations: Violations) -> None:
    """Check one coordinate in the image frame."""
    if not math.isfinite(value):
        violations.add(field, f"is {value}, must be finite")
    elif abs(value) > MAX_COORDINATE:
        violations.add(field, f"is {value:g}, must be within ±{MAX_COORDINATE:g} pixels")
