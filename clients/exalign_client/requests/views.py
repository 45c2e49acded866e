"""Options of the views of a face beside its landmarks: heatmaps and pose.

Everything is in the image frame (pixels); angles are in degrees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import geometry_pb2, heatmap_pb2, pose_pb2
from exalign_client.errors import Violations
from exalign_client.requests.arguments import (
    LandmarkOrGroup,
    finite_number,
    interval_message,
    items,
    kind_of,
    landmark_indices,
    rectangle_edges,
    whole_in,
)

F32 = NDArray[np.float32]
Range = tuple[float, float]

_MAX_CELLS = 256
_MAX_BINS = 180
#: Degrees.
_MIN_BIN_WIDTH = 1e-3
_MAX_INTERVALS = 8
_ENCODINGS = {
    "float32": heatmap_pb2.HEATMAP_ENCODING_FLOAT32,
    "uint8": heatmap_pb2.HEATMAP_ENCODING_UINT8,
    "sparse": heatmap_pb2.HEATMAP_ENCODING_SPARSE,
}


@dataclass(frozen=True)
class HeatmapOptions:
    """Which heatmaps to compute, and where.

    Args:
        landmarks: names, 0-based indices and groups ("jaw", "brows", "nose", "eyes", "mouth", "all"); empty:
            all 68.
        rectangle: x0, y0, x1, y1 (pixels): the part of the image to cover; None: for each face, the square that
            the network saw.
        width: cells a row, 1 to 256.
        height: rows of cells, 1 to 256.
        encoding: how cells travel: "float32" exactly, "uint8" in a quarter of the bytes, "sparse" only the
            heaviest ones. The answer always holds all cells as floats, and the error that the way cost.
        sparse_mass: for "sparse": share of the mass on the grid to send, in (0, 1]; None: the server's choice.
    """

    landmarks: Iterable[LandmarkOrGroup] = ()
    rectangle: Iterable[float] | None = None
    width: int = 64
    height: int = 64
    encoding: Literal["float32", "uint8", "sparse"] = "float32"
    sparse_mass: float | None = None


@dataclass(frozen=True)
class PoseOptions:
    """What to report about the pose.

    Args:
        interval_masses: masses of the credible intervals, each in (0, 1), at most 8; empty: 0.5 and 0.9.
        yaw_bins: bins of the joint histogram along yaw, 0 (no histogram) to 180.
        roll_bins: the same along roll.
        yaw_range: degrees, within [−180, 180], at least 0.001 wide a bin.
        roll_range: as yaw_range.
    """

    interval_masses: Iterable[float] = ()
    yaw_bins: int = 36
    roll_bins: int = 36
    yaw_range: Range = (-90.0, 90.0)
    roll_range: Range = (-90.0, 90.0)


def heatmap_message(options: HeatmapOptions | None, wrong: Violations) -> heatmap_pb2.HeatmapOptions | None:
    """Options as a message; ``wrong`` collects what is wrong with them."""
    if options is None or kind_of(options, HeatmapOptions, wrong) is None:
        return None
    encoding = options.encoding if isinstance(options.encoding, str) else ""
    message = heatmap_pb2.HeatmapOptions(
        landmarks=landmark_indices(options.landmarks, wrong.at("landmarks")),
        width=whole_in(options.width, 1, wrong.at("width"), _MAX_CELLS),
        height=whole_in(options.height, 1, wrong.at("height"), _MAX_CELLS),
        encoding=_ENCODINGS.get(encoding, heatmap_pb2.HEATMAP_ENCODING_UNSPECIFIED),
    )
    if encoding not in _ENCODINGS:
        wrong.at("encoding").add(f"{options.encoding!r} is none of {', '.join(_ENCODINGS)}")
    if options.rectangle is not None:
        edges = rectangle_edges(options.rectangle, wrong.at("rectangle"))
        if edges is not None:
            x0, y0, x1, y1 = edges
            message.rectangle.CopyFrom(geometry_pb2.Rectangle(x0=x0, y0=y0, x1=x1, y1=y1))
    if options.sparse_mass is not None:
        if not 0 < finite_number(options.sparse_mass, wrong.at("sparse_mass")) <= 1:
            wrong.at("sparse_mass").add(f"{options.sparse_mass!r} must be above 0 and at most 1")
        else:
            message.sparse_mass = options.sparse_mass
    return message


def pose_message(options: PoseOptions | None, wrong: Violations) -> pose_pb2.PoseOptions | None:
    """Options as a message; ``wrong`` collects what is wrong with them."""
    if options is None or kind_of(options, PoseOptions, wrong) is None:
        return None
    masses = items(options.interval_masses, wrong.at("interval_masses"))
    if len(masses) > _MAX_INTERVALS:
        wrong.at("interval_masses").add(f"{len(masses)} masses; at most {_MAX_INTERVALS}")
    for index, mass in enumerate(masses):
        if not (isinstance(mass, (int, float, np.number)) and 0 < mass < 1):
            wrong.at("interval_masses").at(index).add(f"{mass!r} must be between 0 and 1")
    histogram = pose_pb2.PoseHistogramOptions(
        yaw_bins=whole_in(options.yaw_bins, 0, wrong.at("yaw_bins"), _MAX_BINS),
        roll_bins=whole_in(options.roll_bins, 0, wrong.at("roll_bins"), _MAX_BINS),
        yaw_range=_range(options.yaw_range, options.yaw_bins, wrong.at("yaw_range")),
        roll_range=_range(options.roll_range, options.roll_bins, wrong.at("roll_range")),
    )
    return pose_pb2.PoseOptions(interval_masses=() if wrong else masses, histogram=histogram)


def _range(bounds: Range, bins: int, wrong: Violations) -> geometry_pb2.Interval | None:
    """One side of a histogram; ``bins`` may be wrong, which is said elsewhere."""
    interval = interval_message(bounds, wrong, empty=False)
    if interval is not None and isinstance(bins, int) and 0 <= bins <= _MAX_BINS:
        width, least = interval.upper - interval.lower, _MIN_BIN_WIDTH * bins
        if width < least:
            wrong.add(f"is {width:g} degrees wide, must be at least {least:g} for {bins} bins")
    return interval
