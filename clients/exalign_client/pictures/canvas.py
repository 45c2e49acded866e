"""A close-up of a picture to draw on in the coordinates of the image frame. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_client.landmarks import CONTOURS
from exalign_client.pictures.decode import Pixels, require_opencv
from exalign_client.pictures.overlay import COLOURS, Colour

DARK: Colour = (16, 18, 24)
PANEL: Colour = (24, 27, 36)
WHITE: Colour = (240, 242, 246)
GREY: Colour = (150, 156, 168)
ACCENT: Colour = (255, 176, 59)

# OpenCV takes coordinates as integers in units of 1/16 pixel.
_SHIFT = 4


class Canvas:
    """Pixels, (H, W, 3) uint8 RGB, and a map from coordinates of the caller's to them.

    Args:
        pixels: what to draw on; it is drawn on in place.
        origin: the caller's coordinates of the centre of the top-left pixel.
        scale: canvas pixels a unit of the caller's coordinates.
    """

    def __init__(self, pixels: Pixels, origin: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> None:
        self.cv2: Any = require_opencv()
        self.pixels = pixels
        self._origin = np.array(origin)
        self.scale = scale

    def place(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """(..., 2) coordinates of the caller's → canvas pixels."""
        placed: NDArray[np.floating] = (np.asarray(points, np.float64) - self._origin) * self.scale
        return placed

    def _fixed(self, points: NDArray[np.floating]) -> NDArray[np.int32]:
        fixed: NDArray[np.int32] = np.round(self.place(points) * 2**_SHIFT).astype(np.int32)
        return fixed

    def line(self, points: NDArray[np.floating], colour: Colour, width: float = 1.0, closed: bool = False) -> None:
        """A line through (M, 2) points, ``width`` in canvas pixels."""
        thick = max(round(width), 1)
        self.cv2.polylines(self.pixels, [self._fixed(points)], closed, colour, thick, self.cv2.LINE_AA, _SHIFT)

    def disc(self, centre: Sequence[float] | NDArray[np.floating], radius: float, colour: Colour) -> None:
        """A filled disc, ``radius`` in canvas pixels."""
        x, y = self._fixed(np.asarray(centre)).tolist()
        fixed = round(radius * 2**_SHIFT)
        self.cv2.circle(self.pixels, (x, y), fixed, colour, self.cv2.FILLED, self.cv2.LINE_AA, _SHIFT)

    def ring(self, centre: Sequence[float] | NDArray[np.floating], radius: float, colour: Colour, width: float) -> None:
        """A circle, ``radius`` and ``width`` in canvas pixels."""
        x, y = self._fixed(np.asarray(centre)).tolist()
        thick = max(round(width), 1)
        self.cv2.circle(self.pixels, (x, y), round(radius * 2**_SHIFT), colour, thick, self.cv2.LINE_AA, _SHIFT)

    def ellipse(
        self, centre: NDArray[np.floating], covariance: NDArray[np.floating], mass: float, colour: Colour
    ) -> None:
        """The ellipse that holds ``mass`` of a normal distribution, filled; covariance in the caller's units²."""
        variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
        lengths = math.sqrt(-2.0 * math.log1p(-mass)) * np.sqrt(np.maximum(variances, 0.0)) * self.scale
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))  # of the longer axis
        halves = tuple(np.round(lengths[::-1] * 2**_SHIFT).astype(int).tolist())
        at = tuple(self._fixed(centre).tolist())
        self.cv2.ellipse(self.pixels, at, halves, angle, 0, 360, colour, self.cv2.FILLED, self.cv2.LINE_AA, _SHIFT)

    def face(
        self, points: NDArray[np.floating], width: float = 1.6, colour: Colour | None = None, edge: bool = True
    ) -> None:
        """The lines of a face, by group in its colour or all in one, on a dark edge that keeps them legible."""
        for dark in (True, False) if edge else (False,):
            for group, indices, closed in CONTOURS:
                ink = DARK if dark else (colour or COLOURS[group])
                self.line(points[list(indices)], ink, width * 2.4 if dark else width, closed)

    def text(
        self,
        text: str,
        at: tuple[float, float],
        size: float = 0.5,
        colour: Colour = WHITE,
        *,
        align: float = 0.0,
        edge: bool = False,
    ) -> None:
        """Text on the canvas (in canvas pixels): its base line begins at ``at``, ends there (align 1), or between."""
        font, thick = self.cv2.FONT_HERSHEY_SIMPLEX, 2 if size >= 0.7 else 1
        (width, _), _ = self.cv2.getTextSize(text, font, size, thick)
        place = (round(at[0] - align * width), round(at[1]))
        if edge:  # of the same weight, moved about: in some versions of OpenCV a bolder text is also a longer one
            for right, down in ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 2)):
                moved = (place[0] + right, place[1] + down)
                self.cv2.putText(self.pixels, text, moved, font, size, DARK, thick, self.cv2.LINE_AA)
        self.cv2.putText(self.pixels, text, place, font, size, colour, thick, self.cv2.LINE_AA)


def close_up(pixels: Pixels, rectangle: Iterable[float], width: int) -> Canvas:
    """The part of a picture in a rectangle (image frame, pixels), ``width`` canvas pixels wide.

    What lies outside the picture is dark. The canvas takes coordinates of the image frame.
    """
    cv2 = require_opencv()
    x0, y0, x1, y1 = (float(v) for v in rectangle)
    scale = width / (x1 - x0)
    height = max(round((y1 - y0) * scale), 1)
    source, shrink = pixels, 1.0
    if scale < 1:  # averaged first: a warp alone would skip pixels
        shrink = scale
        size = (max(round(pixels.shape[1] * shrink), 1), max(round(pixels.shape[0] * shrink), 1))
        source = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    # The rectangle's edges lie on the outer edges of the canvas's outermost pixels.
    origin = (x0 + 0.5 / scale, y0 + 0.5 / scale)
    step = shrink / scale
    offset = [(v + 0.5) * shrink - 0.5 for v in origin]
    back = np.array([[step, 0.0, offset[0]], [0.0, step, offset[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen: Pixels = cv2.warpAffine(source, back, (width, height), flags=flags, borderValue=DARK)
    return Canvas(seen, origin, scale)


def blank(width: int, height: int, colour: Colour = PANEL) -> Canvas:
    """A canvas of one colour in its own pixels."""
    return Canvas(np.full((height, width, 3), colour, np.uint8))


def beside(panels: Sequence[Pixels], gap: int = 12) -> Pixels:
    """Panels from left to right, their upper edges level, on one ground."""
    height = max(panel.shape[0] for panel in panels)
    width = sum(panel.shape[1] for panel in panels) + gap * (len(panels) - 1)
    ground = np.full((height, width, 3), PANEL, np.uint8)
    left = 0
    for panel in panels:
        ground[: panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + gap
    return ground


def below(panels: Sequence[Pixels], gap: int = 0) -> Pixels:
    """Panels from top to bottom, their left edges level, on one ground."""
    turned = beside([panel.transpose(1, 0, 2) for panel in panels], gap)
    return np.ascontiguousarray(turned.transpose(1, 0, 2))


def around(points: NDArray[np.floating], margin: float = 0.25) -> tuple[float, float, float, float]:
    """The square about (M, 2) points, widened by ``margin`` of its side on each edge."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = float(max(high - low)) * (0.5 + margin)
    x, y = ((low + high) / 2).tolist()
    return x - half, y - half, x + half, y + half
