"""A picture of one frame of a tracked video. Needs OpenCV (extra ``cli``).

Pixels are (H, W, 3) uint8 RGB in the image frame.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from exalign_client.landmarks import GROUPS
from exalign_client.opencv import require_opencv
from exalign_client.pictures.canvas import ACCENT, DARK, GREY, PANEL, WHITE, Canvas
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.overlay import COLOURS, Colour
from exalign_client.pictures.pose import ramp_colours
from exalign_client.results.views import Pose, PoseHistogram
from exalign_client.track.results import Track, TrackResult, TrackState

#: Colour of a track's box and words, by what it is doing.
_STATES: dict[TrackState, Colour] = {
    TrackState.VISIBLE: (120, 230, 140),
    TrackState.HIDDEN: ACCENT,
    TrackState.LOST: (255, 70, 60),
    TrackState.UNKNOWN: GREY,
}

#: Small videos are enlarged to this height, pixels.
_LEAST_HEIGHT = 480

#: Faces smaller than this, canvas pixels, are lines without dots.
_DOTS_FROM = 90.0

#: Side of a map of yaw and roll, canvas pixels, and the degrees that it covers each way.
_MAP, _REACH = 132, 60.0
_MAP_GAP, _MAP_FOOT, _MAP_BLUR = 10, 20, 1.8


def draw_track(
    pixels: Pixels, result: TrackResult, *, mass: float = 0.9, absent: Collection[int] = frozenset()
) -> Pixels:
    """Draw the answer to a frame over its picture.

    Each track has a box in the colour of its state, with its id, state and probability of being visible; its
    landmarks, and for each the ellipse that holds ``mass`` of a normal distribution with its covariance. A track that
    is lost or absent is named in the caption alone: where its face was says nothing about this picture.
    Where the answer has poses with histograms, a map of yaw and roll for each track stands along the lower edge.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture of the frame.
        result: the answer.
        mass: probability that each ellipse holds, in (0, 1).
        absent: ids of tracks whose faces are not in this shot.

    Returns:
        (h, w, 3) uint8, RGB: a copy, enlarged where it is small; both sides even, as codecs want them.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv()
    height, width = pixels.shape[:2]
    scale = max(1.0, _LEAST_HEIGHT / height)
    size = (math.ceil(width * scale / 2) * 2, math.ceil(height * scale / 2) * 2)
    if scale > 1:
        drawn: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    else:
        drawn = np.pad(pixels, ((0, size[1] - height), (0, size[0] - width), (0, 0)), mode="edge")
    # Pixel centres are at whole numbers on both.
    canvas = Canvas(drawn, ((0.5 / scale) - 0.5, (0.5 / scale) - 0.5), scale)
    here = [t for t in result.tracks if t.state is not TrackState.LOST and t.track_id not in absent]
    for track in here:
        _draw_face(canvas, track, mass)
    for track in here:
        _label(canvas, track)
    _draw_maps(canvas, here)
    caption = f"frame {result.frame_index}"
    if result.media_time is not None:
        caption += f"   {result.media_time:.2f} s"
    if result.problems:
        caption += "   picture not used"
    for track in result.tracks:
        if track not in here:
            caption += f"   #{track.track_id} {'lost' if track.state is TrackState.LOST else 'not in this shot'}"
    canvas.text(caption, (12, 24), 0.5, edge=True)
    return canvas.pixels


def _draw_face(canvas: Canvas, track: Track, mass: float) -> None:
    face = track.face
    side = float(max(face.box[2] - face.box[0], face.box[3] - face.box[1])) * canvas.scale
    unit = float(np.clip(side / 300, 0.5, 3.0))
    hidden = track.state is not TrackState.VISIBLE
    canvas.ellipses(face.landmarks, face.covariances, mass, tint=0.35)
    canvas.face(face.landmarks, unit, ACCENT if hidden else None, edge=not hidden)
    if hidden or side < _DOTS_FROM:
        return
    for group, indices in GROUPS.items():
        for point in face.landmarks[list(indices)]:
            canvas.disc(point, 1.7 * unit + 0.7, DARK)
            canvas.disc(point, 1.7 * unit, COLOURS[group])


def _label(canvas: Canvas, track: Track) -> None:
    colour, box = _STATES[track.state], track.face.box
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]], np.float64)
    for width, ink in ((3.5, DARK), (1.5, colour)):
        if track.state is TrackState.VISIBLE:
            canvas.line(corners, ink, width, closed=True)
        else:
            for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
                _dashes(canvas, start, end, ink, width)
    caption = f"#{track.track_id} {track.state}   P(visible) {track.visible_probability:.2f}"
    if track.state is not TrackState.VISIBLE:
        caption += f"   P(lost) {track.lost_probability:.2f}"
    height, width_of = canvas.pixels.shape[:2]
    x, y = canvas.place(corners[0]).tolist()
    (length, _), _ = canvas.cv2.getTextSize(caption, canvas.cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    at = (max(min(x, width_of - length - 4), 4), min(max(y - 8, 44), height - 8))
    canvas.text(caption, at, 0.5, colour, edge=True)


def _dashes(canvas: Canvas, start: NDArray[np.float64], end: NDArray[np.float64], ink: Colour, width: float) -> None:
    for first in np.linspace(0, 1, 9)[:-1]:
        canvas.line(np.array([start + (end - start) * first, start + (end - start) * (first + 1 / 16)]), ink, width)


def _draw_maps(canvas: Canvas, tracks: Iterable[Track]) -> None:
    height, width = canvas.pixels.shape[:2]
    left, top = _MAP_GAP, height - _MAP - _MAP_FOOT - _MAP_GAP
    for track in tracks:
        pose = track.face.pose
        if pose is None or pose.histogram is None:
            continue
        if left + _MAP + _MAP_GAP > width or top < 0:
            return
        _draw_map(canvas, pose, pose.histogram, track, left, top)
        left += _MAP + _MAP_GAP


def _draw_map(canvas: Canvas, pose: Pose, histogram: PoseHistogram, track: Track, left: int, top: int) -> None:
    """Joint distribution of yaw (across) and roll (down), dark to bright; the cross is the mean."""
    cv2 = canvas.cv2
    panel = canvas.pixels[top - 4 : top + _MAP + _MAP_FOOT, left - 4 : left + _MAP + 4]
    panel[:] = (panel * 0.2 + np.array(PANEL) * 0.8).astype(np.uint8)
    rows = _shown(histogram.masses.shape[0], histogram.roll_range)
    columns = _shown(histogram.masses.shape[1], histogram.yaw_range)
    shown = histogram.masses[rows, columns].astype(np.float64)
    # Blurred by less than two degrees: a sure answer would be a speck.
    smooth = cv2.GaussianBlur(cv2.resize(shown, (_MAP, _MAP), interpolation=cv2.INTER_LINEAR), (0, 0), _MAP_BLUR)
    colours = ramp_colours(np.sqrt(smooth / max(float(smooth.max()), 1e-12)))
    canvas.pixels[top : top + _MAP, left : left + _MAP] = colours
    plain = Canvas(canvas.pixels)
    yaw = _span(columns, histogram.masses.shape[1], histogram.yaw_range)
    roll = _span(rows, histogram.masses.shape[0], histogram.roll_range)

    def at(yaw_degrees: float, roll_degrees: float) -> tuple[float, float]:
        x = left + (yaw_degrees - yaw[0]) / (yaw[1] - yaw[0]) * _MAP
        y = top + (roll_degrees - roll[0]) / (roll[1] - roll[0]) * _MAP
        return min(max(x, left), left + _MAP - 1), min(max(y, top), top + _MAP - 1)

    for zero in ((at(yaw[0], 0.0), at(yaw[1], 0.0)), (at(0.0, roll[0]), at(0.0, roll[1]))):
        plain.line(np.array(zero), GREY, 1.0)
    x, y = at(pose.yaw, pose.roll)
    for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):  # a cross with an open middle: what is there stays seen
        plain.line(np.array([[x + 5 * right, y + 5 * down], [x + 10 * right, y + 10 * down]]), WHITE, 1.0)
    caption = f"#{track.track_id} yaw {pose.yaw:+.0f} roll {pose.roll:+.0f}"
    plain.text(caption, (left + _MAP / 2, top + _MAP + 14), 0.38, WHITE, align=0.5)


def _shown(bins: int, bounds: tuple[float, float]) -> slice:
    """The bins within `_REACH` degrees of the front, or all where that is none."""
    edges = np.linspace(bounds[0], bounds[1], bins + 1)
    inside = np.flatnonzero((edges[:-1] >= -_REACH - 1e-6) & (edges[1:] <= _REACH + 1e-6))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, bins)


def _span(shown: slice, bins: int, bounds: tuple[float, float]) -> tuple[float, float]:
    step = (bounds[1] - bounds[0]) / bins
    return bounds[0] + shown.start * step, bounds[0] + shown.stop * step
