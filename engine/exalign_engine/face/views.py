"""Views of one located face in the image frame: heatmaps, pose, the face given evidence, what to click next.

The posterior lives in the box frame of `LocatedFace`. Here it is asked, and its answers are told, in pixels.
`Evidence` is taken in pixels too: positions in the image frame, radii and σ in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from exalign.summary import summarised
from exalign_engine.arrays import F32, F64
from exalign_engine.evidence.conditioning import ConditioningOutcome, EvidenceModel, condition
from exalign_engine.evidence.evidence import (
    MIN_LENGTH,
    Click,
    Disc,
    Evidence,
    HardClick,
    Polygon,
    Rectangle,
    Region,
    SoftClick,
)
from exalign_engine.evidence.suggestion import Criterion, Suggestion, Suggestions, suggest
from exalign_engine.exemplars.poses import Poses
from exalign_engine.face.aligner import Face, LocatedFace
from exalign_engine.geometry.frames import BoxFrame, diagonal
from exalign_engine.geometry.landmarks import N_LANDMARKS, NOSE_TIP
from exalign_engine.heatmaps.marginals import Grid, marginal_heatmaps
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.posterior.pose import PoseGrid, PoseView, displaced_poses, view_pose
from exalign_engine.posterior.pose_calibrated import calibrated_poses

#: Standard deviation of a click of which nothing else is known, as a share of the face box's diagonal.
CLICK_SIGMA = 0.01


@dataclass(frozen=True, repr=False)
class HeatmapView:
    """Marginals of some landmarks of one face, on one grid of the image.

    Attributes:
        rectangle: (4,) x0, y0, x1, y1, image frame, pixels.
        cells: (L, H, W) float32 ≥ 0, mass in each cell; rows from the top.
        mass_outside: (L,) float64, mass beyond the rectangle.
        mass_cut: mass of the exemplars that were left out.
        mass_error: bound for each heatmap on what the fast kernel costs, Σ |error of a cell|.
    """

    __repr__ = summarised

    rectangle: F64
    cells: F32
    mass_outside: F64
    mass_cut: float
    mass_error: float


@dataclass(frozen=True, repr=False)
class ConditionedFace:
    """A face given evidence.

    Attributes:
        face: the answer. Its ``located`` is still the frame that the posterior lives in.
        box: (4,) the face box as the evidence moved it, image frame, pixels.
        outcome: whether any exemplar agrees.
        surprise: of all the evidence, nats; None where it is impossible.
    """

    __repr__ = summarised

    face: Face
    box: F64
    outcome: ConditioningOutcome
    surprise: float | None


def crop_square(located: LocatedFace, margin: float) -> F64:
    """(4,) the square that the network saw, image frame, pixels; ``margin`` is the bundle's."""
    return located.frame.moved(0.0, 0.0, margin).box


def click_sigma(located: LocatedFace) -> float:
    """σ of a click of which nothing else is known, pixels."""
    return CLICK_SIGMA * diagonal(located.box)


def heatmaps(
    face: Face,
    landmarks: Sequence[int],
    rectangle: ArrayLike,
    width: int = 64,
    height: int = 64,
    check: Check = unchecked,
) -> HeatmapView:
    """Where some landmarks may be.

    Args:
        face: whose.
        landmarks: 0-based, in the order wanted.
        rectangle: (4,) x0, y0, x1, y1 to cover, image frame, pixels; see `crop_square`.
        width: cells a row, 1 to 256.
        height: rows, 1 to 256.
        check: called now and then.

    Raises:
        InvalidInputError: the rectangle or the size is wrong (see `exalign_engine.heatmaps.marginals.Grid`).
    """
    posterior, frame = face.posterior, face.located.frame
    corners = np.asarray(rectangle, dtype=np.float64)
    x0, y0, x1, y1 = (float(v) for v in frame.from_image(corners.reshape(2, 2)).ravel())
    grid = Grid(x0, y0, x1, y1, width, height)
    cells = np.empty((len(landmarks), height, width), dtype=np.float32)
    outside, error = np.empty(len(landmarks)), 0.0
    measured = np.array([n in posterior.measured for n in landmarks], dtype=np.bool_)
    chosen = np.asarray(landmarks, dtype=np.int64)
    if not measured.all():
        c, scale = posterior.components, posterior.model.landmark_scale
        made = marginal_heatmaps(c.weights, c.index, c.shapes, c.class_variance, scale, chosen[~measured], grid, check)
        cells[~measured], outside[~measured], error = made.cells, made.mass_outside, made.error_bound
    if measured.any():
        # A measured landmark has one Gaussian of its own: a mixture of one class, whose variance is all in a_n.
        place = np.zeros((1, 2, N_LANDMARKS), dtype=np.float32)
        for n, seen in posterior.measured.items():
            place[0, :, n] = seen.x, seen.y
        one, first = np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.int32)
        made = marginal_heatmaps(one, first, place, one, posterior.kernel_variance, chosen[measured], grid)
        cells[measured], outside[measured], error = made.cells, made.mass_outside, made.error_bound
    return HeatmapView(corners, cells, outside, posterior.cut_mass, error)


def pose(
    face: Face,
    poses: Poses,
    calibration: Calibration,
    masses: Sequence[float] = (0.5, 0.9),
    grid: PoseGrid | None = None,
    check: Check = unchecked,
) -> PoseView:
    """How the head is turned, degrees; from the exemplars that moments use.

    Args:
        face: whose.
        poses: of the bundle's exemplars.
        calibration: of the bundle.
        masses: of the credible intervals, each in (0, 1), at most `exalign_engine.posterior.pose.MAX_INTERVALS`.
        grid: of the joint yaw × roll histogram; None leaves it out.
        check: called now and then.

    Raises:
        InvalidInputError: a mass is wrong.
    """
    kept = face.posterior.kept
    mine = replace(poses, pose=poses.pose[kept.index], variance=poses.variance[kept.index])
    places, variance = calibrated_poses(kept.weights, displaced_poses(face.posterior, mine), calibration)
    return view_pose(kept.weights, places, variance, masses, grid, check)


def conditioned(
    face: Face,
    evidence: Evidence,
    poses: Poses | None = None,
    model: EvidenceModel | None = None,
    check: Check = unchecked,
) -> ConditionedFace:
    """A face given evidence.

    Args:
        face: as the network saw it; not one that was conditioned on clicks (condition that on the union).
        evidence: image frame, pixels. Lengths below a millionth of the box side are taken for that.
        poses: of the bundle's exemplars; needed for pose ranges.
        model: what evidence is taken for; default `EvidenceModel()`.
        check: called now and then.

    Raises:
        ValueError: the face holds clicks already, or pose ranges are given without poses.
    """
    located = face.located
    angles = displaced_poses(face.posterior, poses).pose if evidence.poses and poses else None
    answer = condition(face.posterior, in_box_frame(evidence, located.frame), poses=angles, model=model, check=check)
    image = face.posterior.image or face.image
    given = face if answer.posterior is face.posterior else Face(located, answer.posterior, image=image)
    return ConditionedFace(given, moved_box(located, answer.box_shift), answer.outcome, answer.surprise)


def moved_box(located: LocatedFace, shift: F64) -> F64:
    """(4,) the face box moved by ``shift`` (3,), dx, dy and ln s of Eq. 10e, box sides; image frame, pixels."""
    dx, dy, log_scale = (float(v) for v in shift)
    x0, y0, x1, y1 = (float(v) for v in located.box)
    cx, cy = (x0 + x1) / 2 + dx * located.frame.side, (y0 + y1) / 2 + dy * located.frame.side
    # A shape grows by 1 + ln s (Eq. 10e), and its box with it.
    w, h = (x1 - x0) / 2 * (1 + log_scale), (y1 - y0) / 2 * (1 + log_scale)
    return np.array([cx - w, cy - h, cx + w, cy + h])


def suggestions(
    face: Face,
    sigma: float | None = None,
    landmarks: Sequence[int] | None = None,
    criterion: Criterion = Criterion.ERROR,
    model: EvidenceModel | None = None,
    check: Check = unchecked,
) -> Suggestions:
    """Which landmark to click next; errors in pixels.

    Args:
        face: what is known, evidence included.
        sigma: standard deviation of the coming click, per coordinate, pixels; None takes `click_sigma`.
        landmarks: candidates; None takes all that are not measured yet.
        criterion: by what to rank.
        model: how the click will be taken.
        check: called now and then.

    Raises:
        InvalidInputError: a candidate is unknown, repeated or measured already, or sigma is out of range.
    """
    side = face.located.frame.side
    length = click_sigma(face.located) if sigma is None else sigma
    found = suggest(face.posterior, max(length / side, MIN_LENGTH), landmarks, criterion, model, check)
    ranked = tuple(Suggestion(s.landmark, s.error_reduction * side, s.entropy_reduction) for s in found.ranked)
    return Suggestions(found.expected_error * side, ranked)


def in_box_frame(evidence: Evidence, frame: BoxFrame) -> Evidence:
    """Evidence in pixels → evidence in the box frame."""
    return Evidence(
        clicks=tuple(_click(c, frame) for c in evidence.clicks),
        regions=tuple(replace(r, region=_region(r.region, frame)) for r in evidence.regions),
        poses=evidence.poses,
        box_motion=evidence.box_motion,
    )


def warm_up(face: Face, poses: Poses, margin: float) -> None:
    """Ask a face everything once, so that no caller waits for a compiler."""
    (nose_x, nose_y), (jaw_x, jaw_y) = face.landmarks[[NOSE_TIP, 0]].tolist()
    click = SoftClick(NOSE_TIP, nose_x, nose_y, click_sigma(face.located))
    disc = HardClick(0, jaw_x, jaw_y, diagonal(face.located.box))
    square = crop_square(face.located, margin)
    for seen in (face.compute(), conditioned(face, Evidence((click, disc)), poses).face.compute()):
        # Coarse and fine: they take different ways through the kernels.
        for size in (8, 64):
            heatmaps(seen, range(N_LANDMARKS), square, size, size)
    pose(face, poses, face.posterior.model.calibration, grid=PoseGrid())
    suggestions(face, landmarks=(0,))


def _click(click: Click, frame: BoxFrame) -> Click:
    x, y = (float(v) for v in frame.from_image((click.x, click.y)))
    if isinstance(click, HardClick):
        return HardClick(click.landmark, x, y, _length(click.radius, frame))
    return SoftClick(click.landmark, x, y, _length(click.sigma, frame))


def _region(region: Region, frame: BoxFrame) -> Region:
    if isinstance(region, Rectangle):
        (x0, y0), (x1, y1) = frame.from_image(((region.x0, region.y0), (region.x1, region.y1))).tolist()
        return Rectangle(x0, y0, x1, y1)
    if isinstance(region, Disc):
        x, y = frame.from_image((region.x, region.y)).tolist()
        return Disc(x, y, _length(region.radius, frame))
    return Polygon(tuple((x, y) for x, y in frame.from_image(region.vertices).tolist()))


def _length(pixels: float, frame: BoxFrame) -> float:
    return max(pixels / frame.side, MIN_LENGTH)
