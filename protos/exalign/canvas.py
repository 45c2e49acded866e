"""Drawing on a picture in coordinates of the image frame: what the client's pictures and ``Face.draw`` are made of.

Needs NumPy; and OpenCV, which is imported when something is drawn. Pixels are (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

DARK: Colour = (16, 18, 24)
PANEL: Colour = (24, 27, 36)
WHITE: Colour = (240, 242, 246)
GREY: Colour = (150, 156, 168)
ACCENT: Colour = (255, 176, 59)

#: One colour a landmark group: bright, and apart for colour-blind eyes too.
COLOURS: dict[str, Colour] = {
    "jaw": (86, 180, 255),
    "brows": (250, 225, 70),
    "nose": (60, 225, 150),
    "eyes": (255, 255, 255),
    "mouth": (255, 120, 170),
}

#: Lines of a face in the iBUG layout as (group, indices, closed).
CONTOURS: tuple[tuple[str, range, bool], ...] = (
    ("jaw", range(0, 17), False),
    ("brows", range(17, 22), False),
    ("brows", range(22, 27), False),
    ("nose", range(27, 31), False),
    ("nose", range(31, 36), False),
    ("eyes", range(36, 42), True),
    ("eyes", range(42, 48), True),
    ("mouth", range(48, 60), True),
    ("mouth", range(60, 68), True),
)

# OpenCV takes coordinates as integers in units of 1/16 pixel.
_SHIFT = 4

#: Faces smaller than this, canvas pixels, are lines without dots; below the second, lines without a dark edge.
_DOTS_FROM, _EDGE_FROM = 60.0, 150.0

#: A sign that OpenCV's letters lack, and how it is put together: a raised plus above a line.
_PLUS_MINUS = "±"


class Canvas:
    """Pixels, and a map from coordinates of the caller's to them.

    Args:
        pixels: what to draw on; it is drawn on in place.
        origin: the caller's coordinates of the centre of the top-left pixel.
        scale: canvas pixels a unit of the caller's coordinates.
    """

    def __init__(self, pixels: Pixels, origin: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> None:
        self.cv2: Any = _opencv()
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
        self,
        centre: NDArray[np.floating],
        covariance: NDArray[np.floating],
        mass: float,
        colour: Colour,
        width: float | None = None,
    ) -> None:
        """The ellipse that holds ``mass`` of a normal distribution, covariance in the caller's units².

        Filled, or its outline of ``width`` canvas pixels.
        """
        variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
        lengths = math.sqrt(-2.0 * math.log1p(-mass)) * np.sqrt(np.maximum(variances, 0.0)) * self.scale
        angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))  # of the longer axis
        halves = tuple(np.round(lengths[::-1] * 2**_SHIFT).astype(int).tolist())
        at = tuple(self._fixed(centre).tolist())
        thick = self.cv2.FILLED if width is None else max(round(width), 1)
        self.cv2.ellipse(self.pixels, at, halves, angle, 0, 360, colour, thick, self.cv2.LINE_AA, _SHIFT)

    def face(
        self, points: NDArray[np.floating], width: float = 1.6, colour: Colour | None = None, edge: bool = True
    ) -> None:
        """The lines of a face, by group in its colour or all in one, on a dark edge that keeps them legible."""
        for dark in (True, False) if edge else (False,):
            for group, indices, closed in CONTOURS:
                ink = DARK if dark else (colour or COLOURS[group])
                self.line(points[list(indices)], ink, width * 2.4 if dark else width, closed)

    def ellipses(
        self, points: NDArray[np.floating], covariances: NDArray[np.floating], mass: float, tint: float = 0.3
    ) -> None:
        """Ellipses of all landmarks, of so much tint; only the part of the picture that they reach is blended."""
        spread = 3.0 * math.sqrt(max(float(covariances[:, (0, 1), (0, 1)].sum(axis=1).max()), 0.0))
        low = np.floor(self.place(points.min(axis=0) - spread)).astype(int)
        high = np.ceil(self.place(points.max(axis=0) + spread)).astype(int) + 1
        height, width = self.pixels.shape[:2]
        (x0, y0), (x1, y1) = np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))
        if x0 >= x1 or y0 >= y1:
            return
        part = self.pixels[y0:y1, x0:x1]
        before = part.copy()
        for group, n in _landmarks():
            self.ellipse(points[n], covariances[n], mass, COLOURS[group])
        part[:] = self.cv2.addWeighted(part, tint, before, 1 - tint, 0.0)

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
        width, _ = self.text_size(text, size)
        place = (round(at[0] - align * width), round(at[1]))
        if edge:  # of the same weight, moved about: in some versions of OpenCV a bolder text is also a longer one
            for right, down in ((-1, -1), (1, -1), (-1, 1), (1, 1), (0, 2)):
                self._write(text, (place[0] + right, place[1] + down), size, DARK)
        self._write(text, place, size, colour)

    def text_size(self, text: str, size: float) -> tuple[int, int]:
        """Width of a text and height of its letters, canvas pixels."""
        font, thick = self.cv2.FONT_HERSHEY_SIMPLEX, _weight(size)
        (width, height), _ = self.cv2.getTextSize(text.replace(_PLUS_MINUS, "+"), font, size, thick)
        return width, height

    def _write(self, text: str, place: tuple[int, int], size: float, colour: Colour) -> None:
        cv2, (x, y), thick = self.cv2, place, _weight(size)
        font, line = cv2.FONT_HERSHEY_SIMPLEX, cv2.LINE_AA
        for number, piece in enumerate(text.split(_PLUS_MINUS)):
            if number:
                width, height = self.text_size("+", size)
                cv2.putText(self.pixels, "+", (x, y - max(round(0.2 * height), 1)), font, size, colour, thick, line)
                inset = max(round(0.15 * width), 1)
                cv2.line(self.pixels, (x + inset, y), (x + width - inset, y), colour, thick, line)
                x += width
            cv2.putText(self.pixels, piece, (x, y), font, size, colour, thick, line)
            x += self.text_size(piece, size)[0]


def close_up(pixels: Pixels, rectangle: Iterable[float], width: int) -> Canvas:
    """The part of a picture in a rectangle (image frame, pixels), ``width`` canvas pixels wide.

    What lies outside the picture is dark. The canvas takes coordinates of the image frame.
    """
    cv2 = _opencv()
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


def around(points: NDArray[np.floating], margin: float = 0.25) -> tuple[float, float, float, float]:
    """The square about (M, 2) points, widened by ``margin`` of its side on each edge."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = float(max(high - low)) * (0.5 + margin)
    x, y = ((low + high) / 2).tolist()
    return x - half, y - half, x + half, y + half


def paint_face(
    canvas: Canvas,
    points: NDArray[np.floating],
    covariances: NDArray[np.floating],
    mass: float,
    side: float,
    hidden: NDArray[np.bool_] | None = None,
) -> None:
    """The uncertainty of a face, its lines and its landmarks, as fine as the face is small.

    Args:
        canvas: in coordinates of the image frame.
        points: (68, 2) landmarks, image frame, pixels.
        covariances: (68, 2, 2) of each landmark, px².
        mass: probability that each ellipse holds, in (0, 1).
        side: longer side of the face's box, canvas pixels.
        hidden: (68,) bool: landmarks that something hides are rings; None: not known.
    """
    unit = float(np.clip(side / 320, 0.25, 5.0))
    canvas.ellipses(points, covariances, mass)
    if side >= _EDGE_FROM:
        for group, n in _landmarks():
            canvas.ellipse(points[n], covariances[n], mass, COLOURS[group], 0.6 * unit)
    canvas.face(points, unit, edge=side >= _EDGE_FROM)
    if side < _DOTS_FROM:
        return
    for group, n in _landmarks():
        if side >= _EDGE_FROM:
            canvas.disc(points[n], 3.4 * unit, DARK)
        if hidden is not None and hidden[n]:
            canvas.disc(points[n], max(2.4 * unit, 0.9), DARK)
            canvas.ring(points[n], max(2.4 * unit, 0.9), COLOURS[group], max(0.8 * unit, 1.0))
        else:
            canvas.disc(points[n], max(2.4 * unit, 0.9), COLOURS[group])


def draw_face(
    points: NDArray[np.floating],
    covariances: NDArray[np.floating],
    pixels: Pixels | None = None,
    *,
    mass: float = 0.9,
    width: int = 480,
    hidden: NDArray[np.bool_] | None = None,
) -> Pixels:
    """A face by itself, large enough to see: over its part of a picture, or on a plain ground.

    Args:
        points: (68, 2) landmarks, image frame, pixels.
        covariances: (68, 2, 2) of each landmark, px².
        pixels: (H, W, 3) uint8, RGB: the picture, upright; None: a plain ground.
        mass: probability that each ellipse holds, in (0, 1).
        width: of the drawing, pixels.
        hidden: (68,) bool: landmarks that something hides are rings; None: not known.

    Returns:
        (width, width, 3) uint8, RGB.

    Raises:
        ImportError: OpenCV is not installed.
    """
    square = around(np.asarray(points, np.float64), 0.15)
    ground = np.full((1, 1, 3), DARK, np.uint8) if pixels is None else pixels
    canvas = close_up(ground, square, width)
    extent = points.max(axis=0) - points.min(axis=0)
    paint_face(canvas, points, covariances, mass, float(max(extent)) * canvas.scale, hidden)
    return canvas.pixels


def _landmarks() -> Iterator[tuple[str, int]]:
    """Group and index of every landmark, in order."""
    seen: set[int] = set()
    for group, indices, _ in CONTOURS:
        for n in indices:
            if n not in seen:
                seen.add(n)
                yield group, n


def _weight(size: float) -> int:
    """Thickness of letters of a size."""
    return max(round(2.0 * size), 1) if size >= 1 else 2 if size >= 0.7 else 1


def _opencv() -> Any:
    import cv2

    return cv2
