"""Heatmaps, pose and evidence: from the engine's values to messages."""

from __future__ import annotations

import numpy as np

from exalign.v1 import evidence_pb2, geometry_pb2, heatmap_pb2, pose_pb2
from exalign_engine.arrays import F32
from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.evidence.evidence import (
    BoxMotion,
    Disc,
    Evidence,
    HardClick,
    PoseRange,
    Rectangle,
    RegionConstraint,
)
from exalign_engine.face.views import HeatmapView
from exalign_engine.heatmaps.marginals import quantise_uint8, sparse
from exalign_engine.posterior.pose import PoseView
from exalign_service.requests.views import HeatmapOptions
from exalign_service.responses.wire import field_parts, packed_floats, serialized

_OUTCOMES = {
    ConditioningOutcome.CONDITIONED: evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED,
    ConditioningOutcome.IMPOSSIBLE: evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE,
}


def heatmaps_parts(view: HeatmapView, options: HeatmapOptions) -> list[bytes]:
    """The parts of a `Heatmaps` message, encoded as requested; each map states the error of encoding and kernel."""
    x0, y0, x1, y1 = (float(v) for v in view.rectangle)
    message = heatmap_pb2.Heatmaps(
        rectangle=geometry_pb2.Rectangle(x0=x0, y0=y0, x1=x1, y1=y1), width=options.width, height=options.height
    )
    parts = [serialized(message)]
    for landmark, cells, outside in zip(options.landmarks, view.cells, view.mass_outside, strict=True):
        held, cost = _cells_parts(cells, options)
        heatmap = heatmap_pb2.Heatmap(
            landmark=landmark,
            mass_outside=float(outside),
            mass_cut=view.mass_cut,
            mass_error=view.mass_error + cost,
        )
        parts += field_parts(heatmap_pb2.Heatmaps, "heatmaps", [serialized(heatmap), *held])
    return parts


def _cells_parts(cells: F32, options: HeatmapOptions) -> tuple[list[bytes], float]:
    """The parts of the field of a `Heatmap` that holds its (H, W) cells, and the mass that their encoding costs."""
    if options.encoding == heatmap_pb2.HEATMAP_ENCODING_UINT8:
        steps, scale, cost = quantise_uint8(cells)
        held = [serialized(heatmap_pb2.QuantizedCells(scale=scale))]
        held += field_parts(heatmap_pb2.QuantizedCells, "uint8", [steps.tobytes()])
        return field_parts(heatmap_pb2.Heatmap, "quantized", held), cost
    if options.encoding == heatmap_pb2.HEATMAP_ENCODING_SPARSE:
        indices, masses, cost = sparse(cells, options.sparse_mass)
        # Written even where no cell holds anything.
        found = heatmap_pb2.SparseCells(indices=indices.tolist(), masses=masses.tolist())
        return field_parts(heatmap_pb2.Heatmap, "sparse", [serialized(found)]), cost
    held = field_parts(heatmap_pb2.DenseCells, "float32", [np.ascontiguousarray(cells, "<f4").tobytes()])
    return field_parts(heatmap_pb2.Heatmap, "dense", held), 0.0


def pose_message(view: PoseView) -> pose_pb2.Pose:
    """The posterior of the head pose."""
    yaw, pitch, roll = (float(v) for v in view.mean)
    message = pose_pb2.Pose(
        mean=pose_pb2.PoseAngles(yaw=yaw, pitch=pitch, roll=roll),
        covariance=view.covariance[np.triu_indices(3)].tolist(),
    )
    for mass, ends in zip(view.masses, view.intervals, strict=True):
        message.intervals.add(mass=mass, yaw=_interval(ends[0]), pitch=_interval(ends[1]), roll=_interval(ends[2]))
    if view.grid is not None and view.histogram is not None:
        histogram = message.histogram
        histogram.yaw_bins, histogram.roll_bins = view.grid.yaw_bins, view.grid.roll_bins
        histogram.yaw_range.CopyFrom(_interval(view.grid.yaw_range))
        histogram.roll_range.CopyFrom(_interval(view.grid.roll_range))
        histogram.MergeFromString(packed_floats(pose_pb2.PoseHistogram.MASSES_FIELD_NUMBER, view.histogram))
        histogram.mass_outside = view.mass_outside
    return message


def evidence_message(evidence: Evidence) -> evidence_pb2.Evidence:
    """Evidence in pixels as it would be sent, with every default filled in."""
    free = evidence.box_motion is BoxMotion.FREE
    message = evidence_pb2.Evidence(
        regions=[_constraint(r) for r in evidence.regions],
        poses=[_pose_range(p) for p in evidence.poses],
        box_motion=evidence_pb2.BOX_MOTION_FREE if free else evidence_pb2.BOX_MOTION_FIXED,
    )
    for click in evidence.clicks:
        sent = message.clicks.add(landmark=click.landmark, position=geometry_pb2.Point(x=click.x, y=click.y))
        if isinstance(click, HardClick):
            sent.radius = click.radius
        else:
            sent.sigma = click.sigma
    return message


def outcome_message(outcome: ConditioningOutcome) -> evidence_pb2.EvidenceOutcome.ValueType:
    """Whether any exemplar agreed with the evidence."""
    return _OUTCOMES[outcome]


def _constraint(constraint: RegionConstraint) -> evidence_pb2.RegionConstraint:
    region = constraint.region
    if isinstance(region, Rectangle):
        shape = geometry_pb2.Region(
            rectangle=geometry_pb2.Rectangle(x0=region.x0, y0=region.y0, x1=region.x1, y1=region.y1)
        )
    elif isinstance(region, Disc):
        center = geometry_pb2.Point(x=region.x, y=region.y)
        shape = geometry_pb2.Region(circle=geometry_pb2.Circle(center=center, radius=region.radius))
    else:
        corners = [geometry_pb2.Point(x=x, y=y) for x, y in region.vertices]
        shape = geometry_pb2.Region(polygon=geometry_pb2.Polygon(vertices=corners))
    side = evidence_pb2.REGION_SIDE_INSIDE if constraint.inside else evidence_pb2.REGION_SIDE_OUTSIDE
    return evidence_pb2.RegionConstraint(landmark=constraint.landmark, region=shape, side=side)


def _pose_range(pose: PoseRange) -> evidence_pb2.PoseRange:
    ends = {name: getattr(pose, name) for name in ("yaw", "pitch", "roll")}
    return evidence_pb2.PoseRange(**{name: _interval(e) for name, e in ends.items() if e is not None})


def _interval(ends: tuple[float, float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> geometry_pb2.Interval:
    return geometry_pb2.Interval(lower=float(ends[0]), upper=float(ends[1]))
