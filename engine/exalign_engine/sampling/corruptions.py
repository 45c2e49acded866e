"""Disturbed faces: corruption × severity, seeded by the face's id and never by the order of the rows.

Every ingredient draws from a generator of its own (`seeded`), whatever its severity: the same face meets the same
occluder, only larger, and ``mixed`` meets the ones that the single corruptions showed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.exemplars.synthetic import rotate
from exalign_engine.geometry.frames import BoxFrame, diagonal, extract_crop, tight_box
from exalign_engine.sampling.augment import lower_resolution, texture

#: Share of the face box that is hidden, by severity; the second row is that of ``mixed``.
OCCLUDER = (0.2, 0.4, 0.6)
MIXED_OCCLUDER = (0.1, 0.25, 0.4)
#: Length of the smear in pixels of a picture `PICTURE` wide.
MOTION_BLUR = (7, 14, 21)
#: Side of the face box in pixels that are left.
LOW_RESOLUTION = (48, 32, 24)
#: In-plane turn to either side, degrees.
ROLL = (15.0, 30.0, 45.0)
#: Largest shift of the box in x and in y, and largest change of its side, as shares of the side.
BOX = (0.05, 0.10, 0.15)
DARKNESS = (0.5, 0.3, 0.15)

#: Every corruption but ``clean``, which has severity 0.
CORRUPTIONS = ("occluder", "motion_blur", "low_resolution", "roll", "box", "darkness", "mixed")
SEVERITIES = (1, 2, 3)

#: Pixels are disturbed in a square picture of this side, `PICTURE_MARGIN` box sides wide, as the data has them.
PICTURE, PICTURE_MARGIN = 160, 1.8


@dataclass(frozen=True)
class StressedFace:
    """A disturbed face and the box that the model is given.

    Attributes:
        picture: (160, 160, 3) uint8.
        truth: (68, 2) where the landmarks are in it, pixels.
        given: the box, square, pixels of ``picture``.
        click_sigma: 1 % of the true box's diagonal in sides of the given box: noise of a click, per coordinate.
    """

    picture: U8
    truth: F64
    given: BoxFrame
    click_sigma: float


def seeded(face_id: str, purpose: str) -> np.random.Generator:
    """The generator of one face for one purpose: the same on every machine, for every split and row."""
    digest = hashlib.sha256(f"{face_id}\n{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def stress(image: U8, points: F64, face_id: str, corruption: str, severity: int) -> StressedFace:
    """Disturb one face.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (68, 2) its landmarks, pixels.
        face_id: seeds everything.
        corruption: one of `CORRUPTIONS`, or "clean".
        severity: 1 to 3; 0 for "clean".

    Raises:
        ValueError: unknown corruption, or a severity that it does not have.
    """
    if (corruption, severity) != ("clean", 0) and not (corruption in CORRUPTIONS and severity in SEVERITIES):
        raise ValueError(f"corruption {corruption!r} of severity {severity!r} is unknown")
    picture, truth = _picture(image, points)
    i, mixed = severity - 1, corruption == "mixed"
    if corruption == "roll":
        turn = ROLL[i] * (1 if seeded(face_id, "roll").random() < 0.5 else -1)
        picture, truth = _rolled(picture, truth, turn)
    tight = BoxFrame.from_box(tight_box(truth))
    if corruption == "occluder" or mixed:
        share = MIXED_OCCLUDER[i] if mixed else OCCLUDER[i]
        picture = _occluded(picture, tight, share, seeded(face_id, "occluder"))
    if corruption == "motion_blur" or mixed:
        picture = _smeared(picture, MOTION_BLUR[i], seeded(face_id, "motion_blur").uniform(0, np.pi))
    if corruption == "low_resolution" or mixed:
        picture = lower_resolution(picture, LOW_RESOLUTION[i] * PICTURE_MARGIN)
    if corruption == "darkness":
        picture = np.asarray(np.rint(picture * DARKNESS[i]), dtype=np.uint8)
    given = tight
    if corruption == "box" or mixed:
        dx, dy, scale = seeded(face_id, "box").uniform(-BOX[i], BOX[i], 3)
        given = tight.moved(dx, dy, 1 + scale)
    return StressedFace(picture, truth, given, 0.01 * diagonal(tight_box(truth)) / given.side)


def _picture(image: U8, points: F64) -> tuple[U8, F64]:
    """The square about a face that pixels are disturbed in, and its landmarks there."""
    frame = BoxFrame.from_box(tight_box(points))
    picture = extract_crop(image, frame, PICTURE_MARGIN, PICTURE)
    return picture, (frame.from_image(points) - 0.5) * PICTURE / PICTURE_MARGIN + (PICTURE - 1) / 2


def _rolled(picture: U8, truth: F64, degrees: float) -> tuple[U8, F64]:
    """Turned clockwise about the face box's centre, the border repeated."""
    frame = BoxFrame.from_box(tight_box(truth))
    matrix = cv2.getRotationMatrix2D((frame.cx, frame.cy), -degrees, 1.0)
    out = cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, dtype=np.uint8), np.asarray(rotate(truth[None], np.array([degrees]))[0], dtype=np.float64)


def _occluded(picture: U8, box: BoxFrame, share: float, rng: np.random.Generator) -> U8:
    """A textured rectangle that hides exactly ``share`` of the square box."""
    # In this order, so that a larger share meets the same texture, aspect and place.
    cover = texture(rng, picture.shape[0])
    across, x, y = rng.random(3)
    width = share ** (0.3 + 0.4 * across)
    height = share / width
    x0, y0 = box.box[:2] + box.side * np.array([x * (1 - width), y * (1 - height)])
    left, top = round(x0), round(y0)
    right, bottom = round(x0 + width * box.side), round(y0 + height * box.side)
    out = picture.copy()
    out[max(top, 0) : bottom, max(left, 0) : right] = cover[max(top, 0) : bottom, max(left, 0) : right]
    return out


def _smeared(picture: U8, length: int, angle: float) -> U8:
    """Motion blur along a line of ``length`` pixels."""
    n = length | 1
    kernel = np.zeros((n, n), np.float32)
    reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    (x0, y0), (x1, y1) = np.rint(n // 2 - reach).astype(int), np.rint(n // 2 + reach).astype(int)
    cv2.line(kernel, (int(x0), int(y0)), (int(x1), int(y1)), 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), dtype=np.uint8)
