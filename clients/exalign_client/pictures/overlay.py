"""Pictures of answers: landmarks, the lines between them, and the uncertainty of each.

Needs OpenCV (extra ``cli``). Pixels are (H, W, 3) uint8 RGB in the image frame.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import CONTOURS, GROUPS
from exalign_client.pictures.decode import Pixels, decode_picture, require_opencv
from exalign_client.results.faces import Face, Prediction

Colour = tuple[int, int, int]

#: Endings of files that `write_picture` can write.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

#: One colour a landmark group, RGB: bright, and apart for colour-blind eyes too.
COLOURS: dict[str, Colour] = {
    "jaw": (86, 180, 255),
    "brows": (250, 225, 70),
    "nose": (60, 225, 150),
    "eyes": (255, 255, 255),
    "mouth": (255, 120, 170),
}
_DARK: Colour = (16, 18, 24)
_WHITE: Colour = (255, 255, 255)
_ABSENT: Colour = (255, 70, 60)

#: A face is drawn at least so large, pixels; small pictures are enlarged for it, up to _MAX_SIDE.
_FACE_SIDE = 480
_MAX_SIDE = 4000

# OpenCV takes coordinates as integers in units of 1/16 pixel.
_SHIFT = 4


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write pixels to a file in the format of its ending, one of `SUFFIXES`.

    Raises:
        OSError: the file cannot be written.
    """
    cv2 = require_opencv()
    _, encoded = cv2.imencode(path.suffix.lower(), pixels[..., ::-1])
    path.write_bytes(encoded.tobytes())


def draw_overlay(
    picture: Pixels | bytes, prediction: Prediction, *, mass: float = 0.9, presence_threshold: float = 0.0
) -> Pixels:
    """Draw an answer over its picture.

    Each face gets its box with a label, the lines of the face, its landmarks coloured by group, and for each
    landmark the ellipse that holds ``mass`` of a normal distribution with its covariance.

    Args:
        picture: the picture of the request: its file's bytes, or (H, W, 3) uint8, RGB, upright.
        prediction: the answer.
        mass: probability that each ellipse holds, in (0, 1).
        presence_threshold: the box of a face whose presence is below this is red.

    Returns:
        (s·H, s·W, 3) uint8, RGB: a copy, enlarged by s ≥ 1 so that faces are large enough to see.

    Raises:
        InvalidRequestError: the picture cannot be decoded, or is not of the size that the answer is about.
        MissingExtraError: OpenCV or Pillow is not installed.
    """
    cv2 = require_opencv()
    pixels = decode_picture(picture) if isinstance(picture, bytes) else picture
    height, width = pixels.shape[:2]
    if (width, height) != prediction.image_size:
        answered = "×".join(str(n) for n in prediction.image_size)
        raise InvalidRequestError([Violation("pixels", f"{width}×{height} pixels, but the answer is about {answered}")])
    scale = _enlargement(prediction, width, height)
    size = (round(width * scale), round(height * scale))
    # Copied also at scale 1: the caller's pixels stay as they are.
    canvas: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else pixels.copy()
    sketch = _Sketch(cv2, canvas, scale)
    for number, face in enumerate(prediction, start=1):
        sketch.face(face, mass)
        sketch.label(face, number, face.presence >= presence_threshold)
    return canvas


def _enlargement(prediction: Prediction, width: int, height: int) -> float:
    sides = [float(max(face.box[2] - face.box[0], face.box[3] - face.box[1])) for face in prediction]
    wanted = _FACE_SIDE / max(min(sides), 1.0) if sides else 1.0
    return max(1.0, min(wanted, _MAX_SIDE / max(width, height)))


class _Sketch:
    """A canvas that takes coordinates in the image frame of the picture before enlargement."""

    def __init__(self, cv2: Any, canvas: Pixels, scale: float) -> None:
        self._cv2, self._canvas, self._scale = cv2, canvas, scale

    def _place(self, points: NDArray[np.floating]) -> NDArray[np.int32]:
        """(..., 2) image frame → 1/16 pixels of the canvas; both have pixel centres at whole numbers."""
        on_canvas = (np.asarray(points, np.float64) + 0.5) * self._scale - 0.5
        fixed: NDArray[np.int32] = np.round(on_canvas * 2**_SHIFT).astype(np.int32)
        return fixed

    def _stroke(self, face: Face) -> float:
        """Unit of line width for a face, canvas pixels."""
        side = max(face.box[2] - face.box[0], face.box[3] - face.box[1]) * self._scale
        return float(np.clip(side / 320, 1.0, 5.0))

    def face(self, face: Face, mass: float) -> None:
        """Ellipses below, then lines, then landmarks."""
        unit = self._stroke(face)
        self._ellipses(face, mass, unit)
        for width, dark in ((2.6 * unit, True), (1.0 * unit, False)):  # a dark edge, legible on any skin
            for group, indices, closed in CONTOURS:
                line = self._place(face.landmarks[list(indices)])
                colour = _DARK if dark else COLOURS[group]
                self._cv2.polylines(self._canvas, [line], closed, colour, _pixels(width), self._cv2.LINE_AA, _SHIFT)
        for group, indices in GROUPS.items():
            for x, y in self._place(face.landmarks[list(indices)]).tolist():
                for radius, colour in ((3.4 * unit, _DARK), (2.4 * unit, COLOURS[group])):
                    fixed = round(radius * 2**_SHIFT)
                    self._cv2.circle(self._canvas, (x, y), fixed, colour, self._cv2.FILLED, self._cv2.LINE_AA, _SHIFT)

    def _ellipses(self, face: Face, mass: float, unit: float) -> None:
        radius = math.sqrt(-2.0 * math.log1p(-mass))  # in standard deviations, two dimensions
        variances, axes = np.linalg.eigh(face.covariances.astype(np.float64))
        lengths = radius * np.sqrt(np.maximum(variances, 0.0)) * self._scale
        angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))  # of the longer axis
        centres = self._place(face.landmarks)
        halves = np.round(lengths[:, ::-1] * 2**_SHIFT).astype(int)  # the longer first
        ellipses = [
            (tuple(centres[n].tolist()), tuple(halves[n].tolist()), angles[n], 0, 360, COLOURS[group])
            for group, indices in GROUPS.items()
            for n in indices
        ]
        line = self._cv2.LINE_AA
        tint = self._canvas.copy()
        for ellipse in ellipses:
            self._cv2.ellipse(tint, *ellipse, self._cv2.FILLED, line, _SHIFT)
        self._cv2.addWeighted(tint, 0.3, self._canvas, 0.7, 0.0, dst=self._canvas)
        for ellipse in ellipses:
            self._cv2.ellipse(self._canvas, *ellipse, _pixels(0.6 * unit), line, _SHIFT)

    def label(self, face: Face, number: int, present: bool) -> None:
        """The box, and a plate on its upper edge with the number of the face and its probabilities."""
        unit, colour = self._stroke(face), _WHITE if present else _ABSENT
        corners = self._place(face.box.reshape(2, 2))
        first, last = tuple(corners[0].tolist()), tuple(corners[1].tolist())
        for width, ink in ((2.6 * unit, _DARK), (1.0 * unit, colour)):
            self._cv2.rectangle(self._canvas, first, last, ink, _pixels(width), self._cv2.LINE_AA, _SHIFT)
        text = f"{number}   presence {face.presence:.2f}"
        if face.detector_score is not None:
            text += f"   score {face.detector_score:.2f}"
        self._plate(text, corners[0] / 2**_SHIFT, 0.42 * unit, colour)

    def _plate(self, text: str, corner: NDArray[np.floating], size: float, colour: Colour) -> None:
        """Text on a dark plate that stands on ``corner`` (canvas pixels), kept within the canvas."""
        font, thick = self._cv2.FONT_HERSHEY_SIMPLEX, _pixels(2.0 * size)
        (width, height), base = self._cv2.getTextSize(text, font, size, thick)
        pad = height // 2 + 1
        across, down = width + 2 * pad, height + base + 2 * pad
        canvas_height, canvas_width = self._canvas.shape[:2]
        left = int(np.clip(corner[0], 0, max(canvas_width - across, 0)))
        top = int(np.clip(corner[1] - down, 0, max(canvas_height - down, 0)))
        under = self._canvas[top : top + down, left : left + across]
        under[:] = (under * 0.25 + np.array(_DARK) * 0.75).astype(np.uint8)
        at = (left + pad, top + pad + height)
        self._cv2.putText(self._canvas, text, at, font, size, colour, thick, self._cv2.LINE_AA)


def _pixels(width: float) -> int:
    return max(round(width), 1)
