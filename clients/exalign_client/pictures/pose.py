"""A picture of the head pose: the joint map of yaw and roll with its marginals. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.opencv import require_opencv
from exalign_client.pictures.canvas import ACCENT, DARK, GREY, WHITE, Canvas, around, below, beside, blank, close_up
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.overlay import Colour
from exalign_client.requests.views import Range
from exalign_client.results.faces import Face, Faces
from exalign_client.results.views import Pose, PoseHistogram, PoseIntervals

_SIDE = 520  # of the joint map
_BAR = 110  # height of a marginal
_LEFT, _TOP, _FOOT = 64, 56, 84
_SPAN = 30.0  # degrees: the map never covers less
_AXES: tuple[tuple[str, Colour], ...] = (("x", (255, 107, 107)), ("y", (96, 211, 148)), ("z", (92, 168, 255)))

# Dark to bright through blue, purple, orange: even steps in lightness, legible to colour-blind eyes.
_RAMP = np.array([(20, 22, 32), (49, 30, 96), (120, 32, 118), (196, 62, 88), (245, 134, 48), (252, 236, 160)], float)


def draw_pose(pixels: Pixels, faces: Faces) -> Pixels:
    """Draw each face with the axes of its head, and the joint distribution of its yaw and roll.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture, upright.
        faces: an answer with poses and histograms; at least one face.

    Returns:
        (h, w, 3) uint8, RGB: the faces from top to bottom.

    Raises:
        InvalidRequestError: a face has no pose with a histogram.
    """
    return below([_row(pixels, face, number) for number, face in enumerate(faces, start=1)], gap=12)


def _row(pixels: Pixels, face: Face, number: int) -> Pixels:
    if face.pose is None or face.pose.histogram is None:
        raise InvalidRequestError([Violation("faces", f"face {number} has no pose with a histogram")])
    joint = _joint_map(face.pose, face.pose.histogram)
    picture = close_up(pixels, around(face.landmarks, 0.3), joint.shape[0])
    _head_axes(picture, face, face.pose)
    picture.text(f"face {number}", (16, 30), 0.6, edge=True)
    return beside([picture.pixels, joint])


def _head_axes(canvas: Canvas, face: Face, pose: Pose) -> None:
    """The axes of the head from between the eyes: to its left (x), up (y), and out of the nose (z)."""
    yaw, pitch, roll = (math.radians(v) for v in (pose.yaw, pose.pitch, pose.roll))
    cy, sy, cp, sp, cr, sr = (f(v) for v in (yaw, pitch, roll) for f in (math.cos, math.sin))
    # Unit vectors on screen (x right, y down) of the turned head: R = Rz(roll)·Ry(yaw)·Rx(pitch), orthographic.
    flat = {"x": (cy, 0.0), "y": (-sy * sp, -cp), "z": (sy * cp, -sp)}
    origin = face.landmarks[27:31].mean(axis=0).astype(np.float64)
    length = 0.5 * float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))
    for name, colour in _AXES:
        x, y = flat[name]
        turned = np.array([cr * x - sr * y, sr * x + cr * y]) * length
        for width, ink in ((7.0, DARK), (3.5, colour)):
            canvas.line(np.array([origin, origin + turned]), ink, width)
        canvas.disc(origin + turned, 6, colour)
    canvas.disc(origin, 6, WHITE)


def _window(masses: NDArray[np.floating], bounds: tuple[float, float], mean: float) -> slice:
    """Bins of a marginal worth showing: they hold 99.8 % of its mass, and at least _SPAN degrees."""
    step = (bounds[1] - bounds[0]) / len(masses)
    held = np.cumsum(masses) / max(float(masses.sum()), 1e-12)
    first, last = int(np.searchsorted(held, 0.001)), int(np.searchsorted(held, 0.999)) + 1
    reach = round(_SPAN / 2 / step)
    centre = round((mean - bounds[0]) / step)
    return slice(max(min(first - 1, centre - reach), 0), min(max(last + 1, centre + reach), len(masses)))


@dataclass(frozen=True)
class _Map:
    """The place of the joint map on its canvas, and the degrees that its sides cover."""

    left: int
    top: int
    yaw: Range
    roll: Range

    def x_of(self, degrees: float) -> float:
        """The column of a yaw."""
        return self.left + (degrees - self.yaw[0]) / (self.yaw[1] - self.yaw[0]) * _SIDE

    def y_of(self, degrees: float) -> float:
        """The row of a roll. It grows downwards, as clockwise does on the right-hand side of a face on screen."""
        return self.top + (degrees - self.roll[0]) / (self.roll[1] - self.roll[0]) * _SIDE


def _joint_map(pose: Pose, histogram: PoseHistogram) -> Pixels:
    cv2 = require_opencv()
    masses = histogram.masses.astype(np.float64)
    columns = _window(masses.sum(axis=0), histogram.yaw_range, pose.yaw)
    rows = _window(masses.sum(axis=1), histogram.roll_range, pose.roll)
    shown = masses[rows, columns]
    canvas = blank(_LEFT + _SIDE + _BAR + 28, _TOP + _BAR + _SIDE + _FOOT)
    place = _Map(
        left=_LEFT,
        top=_TOP + _BAR,
        yaw=_degrees(columns, masses.shape[1], histogram.yaw_range),
        roll=_degrees(rows, masses.shape[0], histogram.roll_range),
    )
    left, top = place.left, place.top
    smooth = np.maximum(cv2.resize(shown, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), 0)
    canvas.pixels[top : top + _SIDE, left : left + _SIDE] = ramp_colours(np.sqrt(smooth / max(smooth.max(), 1e-12)))
    _outline(canvas, smooth, left, top)
    _grid(canvas, place)
    _marginal(canvas, shown.sum(axis=0), left, top - 4, across=True)
    _marginal(canvas, shown.sum(axis=1), left + _SIDE + 4, top, across=False)
    widest = max(pose.intervals, key=lambda interval: interval.mass, default=None)
    if widest is not None:
        _interval_marks(canvas, place, widest)
    x, y = place.x_of(pose.yaw), place.y_of(pose.roll)
    for width, ink in ((4.0, DARK), (2.0, WHITE)):
        canvas.line(np.array([[x - 9, y], [x + 9, y]]), ink, width)
        canvas.line(np.array([[x, y - 9], [x, y + 9]]), ink, width)
    _captions(canvas, place, pose, widest)
    return canvas.pixels


def _grid(canvas: Canvas, place: _Map) -> None:
    """Ticks with their degrees, and a faint grid over the map."""
    left, top = place.left, place.top
    for degrees in _ticks(*place.yaw):
        x = place.x_of(degrees)
        canvas.line(np.array([[x, top + _SIDE], [x, top + _SIDE + 6]]), GREY)
        canvas.pixels[top : top + _SIDE, min(round(x), left + _SIDE - 1)] |= 40
        canvas.text(f"{degrees:g}", (x, top + _SIDE + 24), 0.45, GREY, align=0.5)
    for degrees in _ticks(*place.roll):
        y = place.y_of(degrees)
        canvas.line(np.array([[left - 6, y], [left, y]]), GREY)
        canvas.pixels[min(round(y), top + _SIDE - 1), left : left + _SIDE] |= 40
        canvas.text(f"{degrees:g}", (left - 10, y + 5), 0.45, GREY, align=1.0)


def _interval_marks(canvas: Canvas, place: _Map, interval: PoseIntervals) -> None:
    """The ends of an interval of yaw above the map and of roll beside it."""
    left, top = place.left, place.top
    ends = [min(max(place.x_of(v), left), left + _SIDE) for v in interval.yaw]
    canvas.line(np.array([[ends[0], top - _BAR - 6], [ends[1], top - _BAR - 6]]), ACCENT, 3)
    for end in ends:
        canvas.line(np.array([[end, top - _BAR - 10], [end, top - 4]]), ACCENT)
    ends = [min(max(place.y_of(v), top), top + _SIDE) for v in interval.roll]
    edge = left + _SIDE + _BAR + 6
    canvas.line(np.array([[edge, ends[0]], [edge, ends[1]]]), ACCENT, 3)
    for end in ends:
        canvas.line(np.array([[left + _SIDE + 4, end], [edge + 4, end]]), ACCENT)


def _captions(canvas: Canvas, place: _Map, pose: Pose, widest: PoseIntervals | None) -> None:
    deviations = np.sqrt(np.maximum(np.diagonal(pose.covariance), 0))
    angles = zip(("yaw", "pitch", "roll"), (pose.yaw, pose.pitch, pose.roll), deviations, strict=True)
    head = "   ".join(f"{name} {value:+.1f} ± {deviation:.1f}" for name, value, deviation in angles)
    middle, foot = place.left + _SIDE / 2, place.top + _SIDE
    canvas.text(f"{head}  degrees", (_LEFT, 26), 0.55)
    canvas.text("yaw (> 0: nose to the right)", (middle, foot + 46), 0.45, align=0.5)
    canvas.text("roll", (14, place.top - 12), 0.45)
    legend = "white: mean   line: 90 % of the joint mass"
    if widest is not None:
        legend += f"   orange: {widest.mass:.0%} interval"
    canvas.text(legend, (middle, foot + 68), 0.42, GREY, align=0.5)


def _degrees(bins: slice, count: int, bounds: tuple[float, float]) -> tuple[float, float]:
    step = (bounds[1] - bounds[0]) / count
    return bounds[0] + bins.start * step, bounds[0] + bins.stop * step


def _ticks(low: float, high: float) -> list[float]:
    step = next(s for s in (5, 10, 15, 30, 60, 90) if (high - low) / s <= 9)
    return [float(v) for v in np.arange(math.ceil(low / step) * step, high + 1e-6, step)]


def ramp_colours(values: NDArray[np.floating]) -> Pixels:
    """(...) values from 0 to 1 as (..., 3) uint8 colours from dark to bright, RGB."""
    steps = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, steps, channel) for channel in _RAMP.T], axis=-1).astype(np.uint8)


def _outline(canvas: Canvas, density: NDArray[np.floating], left: int, top: int) -> None:
    ordered = np.sort(density, axis=None)[::-1]
    held = np.cumsum(ordered)
    level = ordered[int(np.searchsorted(held, 0.9 * held[-1]))]
    outlines, _ = canvas.cv2.findContours(
        (density >= max(level, 1e-15)).astype(np.uint8), canvas.cv2.RETR_LIST, canvas.cv2.CHAIN_APPROX_NONE
    )
    canvas.cv2.drawContours(canvas.pixels, outlines, -1, WHITE, 1, canvas.cv2.LINE_AA, offset=(left, top))


def _marginal(canvas: Canvas, masses: NDArray[np.floating], left: int, top: int, *, across: bool) -> None:
    """Bars that stand on ``top`` (across) or on ``left``, as long as the joint map's side."""
    edges = np.round(np.linspace(0, _SIDE, len(masses) + 1)).astype(int)
    heights = np.round(masses / max(float(masses.max()), 1e-12) * (_BAR - 8)).astype(int)
    for first, last, height in zip(edges[:-1], edges[1:], heights, strict=True):
        end = max(int(last) - 1, int(first) + 1)
        if across:
            canvas.pixels[top - height : top, left + first : left + end] = _AXES[2][1]
        else:
            canvas.pixels[top + first : top + end, left : left + height] = _AXES[2][1]
