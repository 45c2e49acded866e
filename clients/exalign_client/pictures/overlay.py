"""Pictures of answers: landmarks, the lines between them, and the uncertainty of each.

Needs OpenCV (extra ``cli``). Pixels are (H, W, 3) uint8 RGB in the image frame.
"""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np

from exalign.canvas import COLOURS, DARK, Canvas, Colour, Pixels, paint_face
from exalign.output_files import write_file
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.opencv import require_opencv
from exalign_client.pictures.decode import decode_picture
from exalign_client.results.faces import Face, Prediction

__all__ = ["COLOURS", "SUFFIXES", "Colour", "Pixels", "draw_overlay", "write_picture"]

#: Endings of files that `write_picture` can write.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_WHITE: Colour = (255, 255, 255)
_ABSENT: Colour = (255, 70, 60)

#: Size of a label's letters (OpenCV's: 1 is 22 pixels): the least that can be read, and the largest.
_LEAST_TEXT, _MOST_TEXT = 0.36, 4.0

#: Longer side of a picture, pixels, from which on letters grow with it: nobody looks at a larger one as it is.
_VIEWED = 900


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write pixels to a file in the format of its ending, one of `SUFFIXES`, whole or not at all.

    Raises:
        OSError: the file cannot be written, or the format does not take so large a picture.
    """
    cv2 = require_opencv()
    try:
        done, encoded = cv2.imencode(path.suffix.lower(), pixels[..., ::-1])
    except cv2.error:
        done, encoded = False, None
    if not done or encoded is None:
        size = f"{pixels.shape[1]}×{pixels.shape[0]}"
        raise OSError(errno.EFBIG, f"a {path.suffix} file cannot hold {size} pixels; .png can", str(path))
    write_file(path, encoded.tobytes())


def draw_overlay(
    picture: Pixels | bytes, prediction: Prediction, *, mass: float = 0.9, presence_threshold: float = 0.0
) -> Pixels:
    """Draw an answer over its picture.

    Each face gets its box with a label, the lines of the face, its landmarks coloured by group, and for each
    landmark the ellipse that holds ``mass`` of a normal distribution with its covariance. The smaller a face, the
    finer it is drawn; the label says less where there is less room.

    Args:
        picture: the picture of the request: its file's bytes, or (H, W, 3) uint8, RGB, upright.
        prediction: the answer.
        mass: probability that each ellipse holds, in (0, 1).
        presence_threshold: the box of a face whose presence is below this is red.

    Returns:
        (H, W, 3) uint8, RGB: a copy of the same size.

    Raises:
        InvalidRequestError: the picture cannot be decoded, or is not of the size that the answer is about.
        MissingExtraError: OpenCV or Pillow is not installed.
    """
    require_opencv()
    pixels = decode_picture(picture) if isinstance(picture, bytes) else picture
    height, width = pixels.shape[:2]
    if (width, height) != prediction.image_size:
        answered = "×".join(str(n) for n in prediction.image_size)
        raise InvalidRequestError([Violation("pixels", f"{width}×{height} pixels, but the answer is about {answered}")])
    canvas = Canvas(np.ascontiguousarray(pixels).copy())
    for face in prediction:
        paint_face(canvas, face.landmarks, face.covariances, mass, _side(face), face.hidden)
    for number, face in enumerate(prediction, start=1):
        _label(canvas, face, number, _WHITE if face.presence >= presence_threshold else _ABSENT)
    return canvas.pixels


def _side(face: Face) -> float:
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1]))


def _label(canvas: Canvas, face: Face, number: int, colour: Colour) -> None:
    """The box, and a plate on its upper edge with the number of the face and its probabilities."""
    x0, y0, x1, y1 = face.box.tolist()
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    unit = float(np.clip(_side(face) / 320, 0.3, 5.0))
    for width, ink in ((2.6 * unit + 1, DARK), (unit, colour)):
        canvas.line(corners, ink, width, closed=True)
    height, width_of = canvas.pixels.shape[:2]
    least = _LEAST_TEXT * max(max(height, width_of) / _VIEWED, 1.0)
    size = float(np.clip(0.42 * unit, least, _MOST_TEXT))
    full = f"{number}   presence {face.presence:.2f}"
    if face.detector_score is not None:
        full += f"   score {face.detector_score:.2f}"
    room = min(max(2.0 * _side(face), 0.15 * width_of), width_of)
    for text in (full, f"{number}  {face.presence:.2f}", str(number)):
        if canvas.text_size(text, size)[0] + 2 * _pad(canvas, size) <= room:
            _plate(canvas, text, (x0, y0), size, colour)
            return


def _pad(canvas: Canvas, size: float) -> int:
    return round(0.4 * canvas.text_size("0", size)[1]) + 1


def _plate(canvas: Canvas, text: str, corner: tuple[float, float], size: float, colour: Colour) -> None:
    """Text on a dark plate that stands on ``corner``, kept within the canvas."""
    width, height = canvas.text_size(text, size)
    pad = _pad(canvas, size)
    across, down = width + 2 * pad, height + 2 * pad
    canvas_height, canvas_width = canvas.pixels.shape[:2]
    left = int(np.clip(corner[0], 0, max(canvas_width - across, 0)))
    top = int(np.clip(corner[1] - down, 0, max(canvas_height - down, 0)))
    under = canvas.pixels[top : top + down, left : left + across]
    under[:] = (under * 0.25 + np.array(DARK) * 0.75).astype(np.uint8)
    canvas.text(text, (left + pad, top + pad + height), size, colour)
