"""Heatmaps and head poses of answered faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign.summary import summarised
from exalign.v1 import geometry_pb2, heatmap_pb2, pose_pb2
from exalign_client.errors import InternalServerError
from exalign_client.json_form import float32_decimal
from exalign_client.landmarks import NAMES
from exalign_client.requests.arguments import (
    Landmark,
)
from exalign_client.requests.views import Range

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Heatmaps:
    """Where each of some landmarks may be, as probability mass on one grid.

    Attributes:
        rectangle: (4,) float32, the part of the image covered: x0, y0, x1, y1, pixels. Cell (row, column) is the
            part from x0 + column · (x1 − x0) ÷ W and y0 + row · (y1 − y0) ÷ H to where the next cells begin.
        landmarks: indices of the L landmarks, in the order requested.
        masses: (L, H, W) float32; with ``mass_outside`` each sums to one within ``mass_cut + mass_error``.
        mass_outside: (L,) float32, mass outside the rectangle.
        mass_cut: (L,) float32, mass of the exemplars that were left out.
        mass_error: (L,) float32, bound on Σ|mass sent − mass computed| over the cells.
    """

    __repr__ = summarised

    rectangle: F32
    landmarks: tuple[int, ...]
    masses: F32
    mass_outside: F32
    mass_cut: F32
    mass_error: F32

    def of(self, landmark: Landmark) -> F32:
        """(H, W) float32, the masses of one landmark, by name or index.

        Raises:
            KeyError: it is not among the landmarks requested.
        """
        index = NAMES.index(landmark) if landmark in NAMES else landmark
        if index not in self.landmarks:
            raise KeyError(landmark)
        heatmap: F32 = self.masses[self.landmarks.index(index)]
        return heatmap


@dataclass(frozen=True)
class PoseIntervals:
    """Central credible intervals (lower, upper) in degrees, each of its own marginal, that hold ``mass``."""

    mass: float
    yaw: Range
    pitch: Range
    roll: Range


@dataclass(frozen=True, eq=False, repr=False)
class PoseHistogram:
    """Joint distribution of yaw and roll; may have several modes.

    Attributes:
        masses: (roll bins, yaw bins) float32, probabilities, from the lowest roll and the lowest yaw.
        yaw_range: degrees.
        roll_range: degrees.
        mass_outside: probability outside both ranges.
    """

    __repr__ = summarised

    masses: F32
    yaw_range: Range
    roll_range: Range
    mass_outside: float


@dataclass(frozen=True, eq=False, repr=False)
class Pose:
    """The posterior of the head pose, degrees. R = Rz(roll)·Ry(yaw)·Rx(pitch).

    Attributes:
        yaw: mean, > 0 is nose to the image's right.
        pitch: mean, > 0 is up.
        roll: mean, > 0 is clockwise on screen.
        covariance: (3, 3) float32, square degrees, in the order yaw, pitch, roll.
        intervals: one a mass requested, in that order.
        histogram: None when no bins were requested.
    """

    __repr__ = summarised

    yaw: float
    pitch: float
    roll: float
    covariance: F32
    intervals: tuple[PoseIntervals, ...]
    histogram: PoseHistogram | None


def heatmaps_from(message: heatmap_pb2.Heatmaps, path: str) -> Heatmaps:
    """Read heatmaps in any encoding.

    Raises:
        InternalServerError: they do not keep to the contract.
    """
    shape = (message.height, message.width)
    masses = np.zeros((len(message.heatmaps), *shape), np.float32)
    for index, heatmap in enumerate(message.heatmaps):
        masses[index] = _cells(heatmap, shape, f"{path}.heatmaps[{index}]")
    area = message.rectangle
    return Heatmaps(
        rectangle=np.array([area.x0, area.y0, area.x1, area.y1], np.float32),
        landmarks=tuple(h.landmark for h in message.heatmaps),
        masses=masses,
        mass_outside=np.array([h.mass_outside for h in message.heatmaps], np.float32),
        mass_cut=np.array([h.mass_cut for h in message.heatmaps], np.float32),
        mass_error=np.array([h.mass_error for h in message.heatmaps], np.float32),
    )


def _cells(heatmap: heatmap_pb2.Heatmap, shape: tuple[int, int], path: str) -> F32:
    count = shape[0] * shape[1]
    match heatmap.WhichOneof("cells"):
        case "dense" if len(heatmap.dense.float32) == 4 * count:
            return np.frombuffer(heatmap.dense.float32, "<f4").reshape(shape).astype(np.float32)
        case "quantized" if len(heatmap.quantized.uint8) == count:
            steps = np.frombuffer(heatmap.quantized.uint8, np.uint8).reshape(shape)
            return steps.astype(np.float32) * np.float32(heatmap.quantized.scale)
        case "sparse" if len(heatmap.sparse.indices) == len(heatmap.sparse.masses):
            indices = np.array(heatmap.sparse.indices, np.int64)
            if not ((indices >= 0) & (indices < count)).all():
                raise InternalServerError(f"the answer does not keep to the contract: {path}.sparse is off the grid")
            cells = np.zeros(count, np.float32)
            cells[indices] = heatmap.sparse.masses
            return cells.reshape(shape)
        case _:
            raise InternalServerError(f"the answer does not keep to the contract: {path} does not have {count} cells")


def pose_from(message: pose_pb2.Pose, path: str) -> Pose:
    """Read a pose.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    if len(message.covariance) != 6:
        raise InternalServerError(f"the answer does not keep to the contract: {path}.covariance must have 6 numbers")
    covariance = np.zeros((3, 3), np.float32)
    covariance[np.triu_indices(3)] = message.covariance
    covariance = covariance + np.triu(covariance, 1).T
    mean = message.mean
    return Pose(
        yaw=float32_decimal(mean.yaw),
        pitch=float32_decimal(mean.pitch),
        roll=float32_decimal(mean.roll),
        covariance=covariance,
        intervals=tuple(
            PoseIntervals(float32_decimal(i.mass), _range(i.yaw), _range(i.pitch), _range(i.roll))
            for i in message.intervals
        ),
        histogram=_histogram(message.histogram, f"{path}.histogram") if message.HasField("histogram") else None,
    )


def _histogram(message: pose_pb2.PoseHistogram, path: str) -> PoseHistogram:
    shape = (message.roll_bins, message.yaw_bins)
    if len(message.masses) != shape[0] * shape[1]:
        raise InternalServerError(
            f"the answer does not keep to the contract: {path}.masses has {len(message.masses)} numbers"
        )
    return PoseHistogram(
        masses=np.array(message.masses, np.float32).reshape(shape),
        yaw_range=_range(message.yaw_range),
        roll_range=_range(message.roll_range),
        mass_outside=float32_decimal(message.mass_outside),
    )


def _range(interval: geometry_pb2.Interval) -> Range:
    return interval.lower, interval.upper
