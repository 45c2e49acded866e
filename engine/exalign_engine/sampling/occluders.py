"""Things before a face, drawn with their masks: which landmarks they hide is known (docs/decisions/occlusion.md).

Each kind draws (size, size, 3) float32 colours and a (size, size) float32 cover from 0 to 1 for a crop. `Occluder`
lays one or two of them over a crop, with edges as soft as a lens makes them, and perhaps a shadow beneath. A shadow by
itself hides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, U8
from exalign_engine.sampling.augment import texture

#: Draws colours and cover: of a generator, the crop, its landmarks (68, 2) in pixels of it, and other photographs.
Kind = Callable[[np.random.Generator, U8, F64, Sequence[U8]], tuple[F32, F32]]

#: Share of a landmark's pixel from which on it is hidden.
HIDDEN = 0.5

#: Shares of crops with a second occluder, a soft shadow beneath, and a shadow that is all there is.
SECOND, BENEATH, SHADOW = 0.15, 0.35, 0.15

#: Half a wide range of an occluder's size: sides of the face box.
LEAST, MOST = 0.2, 0.85


class Occluder:
    """Lays occluders over crops.

    Args:
        kinds: by name.
        others: photographs that pieces are cut from.
    """

    def __init__(self, kinds: Mapping[str, Kind], others: Sequence[U8]) -> None:
        self._kinds, self._others = dict(kinds), others

    def cover(self, crop: U8, points: F64, rng: np.random.Generator, kind: str) -> tuple[U8, NDArray[np.bool_]]:
        """The crop behind an occluder.

        Args:
            crop: (S, S, 3) uint8 RGB.
            points: (68, 2) landmarks, pixels of the crop.
            rng: the only source of randomness.
            kind: of the first occluder; a second one is of any kind.

        Returns:
            The crop, and (68,) bool: which landmarks are hidden.
        """
        names, hidden, seen = sorted(self._kinds), np.zeros(len(crop), bool), crop.astype(np.float32)
        cover = np.zeros(crop.shape[:2], np.float32)
        for name in [kind, *([names[int(rng.integers(len(names)))]] if rng.random() < SECOND else [])]:
            colours, alpha = self._kinds[name](rng, crop, points, self._others)
            alpha = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.3, 1.1)))
            if rng.random() < BENEATH:
                seen = shaded(seen, alpha, rng)
            if rng.random() < 0.3:  # lit as the face is
                colours = colours + (seen.mean(axis=(0, 1)) - colours.mean(axis=(0, 1))) * np.float32(rng.uniform(0, 1))
            seen = seen + alpha[..., None] * (colours - seen)
            cover = np.maximum(cover, alpha)
        hidden = at_points(cover, points) > HIDDEN
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8), hidden

    @property
    def kinds(self) -> list[str]:
        """Their names, sorted."""
        return sorted(self._kinds)


def at_points(cover: F32, points: F64) -> F64:
    """(N,) bilinear values of (S, S) at (N, 2) pixels; 0 beyond the crop."""
    where = points.astype(np.float32)
    found = cv2.remap(cover, where[None, :, 0], where[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(found[0], dtype=np.float64)


def shaded(seen: F32, alpha: F32, rng: np.random.Generator) -> F32:
    """A soft shadow of a cover, a little aside."""
    size = len(seen)
    dx, dy = rng.uniform(-0.06, 0.06, 2) * size
    moved = cv2.warpAffine(alpha, np.array([[1, 0, dx], [0, 1, dy]]), (size, size))
    shadow = cv2.GaussianBlur(moved, (0, 0), float(rng.uniform(0.01, 0.05)) * size)
    return np.asarray(seen * (1 - np.float32(rng.uniform(0.2, 0.6)) * shadow[..., None]), dtype=np.float32)


def in_shadow(crop: U8, rng: np.random.Generator) -> U8:
    """A part of the crop in shadow or in bright light: nothing is hidden."""
    cover = blob(rng, len(crop), rng.uniform(0, 1, 2) * len(crop), rng.uniform(0.3, 0.9) * len(crop))
    cover = cv2.GaussianBlur(cover, (0, 0), float(rng.uniform(0.3, 6)))
    factor = rng.uniform(0.25, 0.75) if rng.random() < 0.75 else rng.uniform(1.3, 1.9)
    seen = crop * (1 + np.float32(factor - 1) * cover[..., None])
    return np.asarray(np.clip(np.rint(seen), 0, 255), dtype=np.uint8)


def blob(rng: np.random.Generator, size: int, centre: F64, side: float) -> F32:
    """(size, size) a closed figure about a centre: a rectangle, an ellipse, a polygon, or a soft outline."""
    mask, sort = np.zeros((size, size), np.uint8), int(rng.integers(4))
    aspect, angle = float(np.exp(rng.uniform(-0.7, 0.7))), float(rng.uniform(0, 180))
    box = ((float(centre[0]), float(centre[1])), (side * np.sqrt(aspect), side / np.sqrt(aspect)), angle)
    if sort == 0:
        cv2.fillPoly(mask, [np.round(cv2.boxPoints(box)).astype(np.int32)], 1)
    elif sort == 1:
        cv2.ellipse(mask, box, 1, -1)
    else:
        n = int(rng.integers(4, 9)) if sort == 2 else 64
        at = 2 * np.pi * (np.arange(n) + (rng.uniform(-0.3, 0.3, n) if sort == 2 else 0)) / n
        radius = np.ones(n)
        for waves in range(2, 6):
            radius = radius + rng.normal(0, 0.28 / waves) * np.cos(waves * at + rng.uniform(0, 2 * np.pi))
        ring = np.stack([np.cos(at) * np.sqrt(aspect), np.sin(at) / np.sqrt(aspect)], axis=1) * radius[:, None]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        cv2.fillPoly(mask, [np.round(ring @ turn.T * side / 2 + centre).astype(np.int32)], 1)
    return mask.astype(np.float32)


def box_side(points: F64) -> float:
    """Longer side of the landmarks' box, pixels."""
    return float(np.ptp(points, axis=0).max())


def place(rng: np.random.Generator, points: F64) -> F64:
    """(2,) somewhere over the face: near a landmark, most often."""
    return np.asarray(points[int(rng.integers(len(points)))] + rng.normal(0, 0.12 * box_side(points), 2))


def plain_blob(rng: np.random.Generator, points: F64, size: int) -> F32:
    """`blob` over the face."""
    return blob(rng, size, place(rng, points), rng.uniform(LEAST, MOST) * box_side(points))


def lit(rng: np.random.Generator, size: int, colour: NDArray[np.floating]) -> F32:
    """(size, size, 3) one colour with a slope of light and a little grain."""
    across = (np.arange(size, dtype=np.float32) / size - 0.5).astype(np.float32)
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.9)
    light = 1 + np.float32(depth) * (np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * across[:, None])
    grain = rng.normal(0, rng.uniform(0, 5), (size, size, 1)).astype(np.float32)
    return np.asarray(colour, np.float32) * light[..., None] + grain


def _noise(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """Coloured noise at a few scales, or a flat colour."""
    return texture(rng, len(crop)).astype(np.float32), plain_blob(rng, points, len(crop))


def _flat(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """One colour with light on it."""
    return lit(rng, len(crop), rng.uniform(5, 250, 3)), plain_blob(rng, points, len(crop))


def photo(rng: np.random.Generator, size: int, others: Sequence[U8]) -> F32:
    """(size, size, 3) a piece of another photograph, enlarged, turned by quarters and mirrored."""
    other = others[int(rng.integers(len(others)))]
    side = int(rng.uniform(0.25, 0.7) * min(other.shape[:2]))
    top, left = (int(rng.integers(0, n - side + 1)) for n in other.shape[:2])
    piece = np.rot90(other[top : top + side, left : left + side], int(rng.integers(4)))
    piece = piece[:, ::-1] if rng.random() < 0.5 else piece
    return np.asarray(cv2.resize(np.ascontiguousarray(piece), (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _piece(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A piece of another photograph."""
    return photo(rng, len(crop), others), plain_blob(rng, points, len(crop))


def _strands(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """Hair-like strips that hang over the face, or straps across it."""
    size, side = len(crop), box_side(points)
    base = rng.uniform(5, 90, 3) if rng.random() < 0.6 else rng.uniform(10, 240, 3)
    colours, cover = lit(rng, size, base), np.zeros((size, size), np.uint8)
    lean, start, spread = rng.uniform(-0.9, 0.9), place(rng, points), rng.uniform(0.05, 0.4) * side
    for _ in range(int(rng.integers(3, 26))):
        t = np.linspace(-1.2, 1.2, 24)
        bend = rng.normal(0, 0.25) * t**2 + rng.normal(0, 0.1) * t
        line = start + np.stack([(lean * t + bend) * side, t * side], axis=1) + np.r_[rng.normal(0, spread), 0.0]
        if rng.random() < 0.03:
            line = line[:, ::-1]
        drawn, width = [np.round(line).astype(np.int32)], max(int(rng.uniform(0.015, 0.09) * side), 1)
        cv2.polylines(cover, drawn, False, 1, width)
        tone = tuple((base * rng.uniform(0.6, 1.5)).tolist())
        cv2.polylines(colours, drawn, False, tone, max(width - int(rng.integers(0, 3)), 1))
    return colours, cover.astype(np.float32)


def _glasses(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """Glasses that nobody sees through."""
    size, cover = len(crop), np.zeros((len(crop), len(crop)), np.uint8)
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    apart = float(np.linalg.norm(right - left))
    angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
    width, height = apart * rng.uniform(0.62, 0.95), apart * rng.uniform(0.4, 0.8)
    down = rng.uniform(-0.05, 0.2) * apart
    square = rng.random() < 0.4
    for eye in (left, right):
        box = ((float(eye[0]), float(eye[1] + down)), (width, height), angle)
        if square:
            cv2.fillPoly(cover, [np.round(cv2.boxPoints(box)).astype(np.int32)], 1)
        else:
            cv2.ellipse(cover, box, 1, -1)
    lower = np.array([0, down - 0.1 * height])
    bar = [np.round(np.stack([left, right]) + lower).astype(np.int32)]
    cv2.polylines(cover, bar, False, 1, max(int(apart * rng.uniform(0.05, 0.12)), 1))
    for eye, ear in ((left, points[0]), (right, points[16])):
        near, far = np.round([eye, ear]).astype(int).tolist()
        cv2.line(cover, near, far, 1, max(int(apart * 0.06), 1))
    colours = lit(rng, size, rng.uniform(0, 70, 3) if rng.random() < 0.7 else rng.uniform(20, 250, 3))
    if rng.random() < 0.5:  # what they mirror
        colours = colours + np.float32(rng.uniform(0.1, 0.4)) * photo(rng, size, others)
    return colours, cover.astype(np.float32)


def _mask(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A mask over mouth and chin, and over the nose if it is worn well."""
    size, side = len(crop), box_side(points)
    first = int(rng.integers(1, 4))
    jaw = points[first : 17 - first]
    middle = points[8:9]
    jaw = middle + (jaw - middle) * rng.uniform(1.0, 1.12) + (0, rng.uniform(0, 0.05) * side)
    top = points[int(rng.integers(28, 34))] + (0, rng.normal(0, 0.02) * side)
    cheeks = [jaw[-1] * 0.4 + top * 0.6, top, jaw[0] * 0.4 + top * 0.6]
    cover = np.zeros((size, size), np.uint8)
    cv2.fillPoly(cover, [np.round(np.concatenate([jaw, np.stack(cheeks)])).astype(np.int32)], 1)
    tones = np.array([[180, 215, 235], [235, 235, 235], [25, 25, 28], [120, 170, 150], [200, 160, 170]])
    colour = tones[int(rng.integers(len(tones)))] if rng.random() < 0.6 else rng.uniform(10, 245, 3)
    colours = lit(rng, size, np.clip(colour * rng.uniform(0.5, 1.05) + rng.normal(0, 10, 3), 0, 255))
    for _ in range(int(rng.integers(0, 5))):  # folds
        y = int(rng.uniform(top[1], points[8, 1]))
        ends = [np.array([[0, y + rng.normal(0, 6)], [size / 2, y], [size, y + rng.normal(0, 6)]]).astype(np.int32)]
        cv2.polylines(colours, ends, False, tuple((colour * rng.uniform(0.7, 0.95)).tolist()), 1)
    if rng.random() < 0.2:
        colours = 0.6 * colours + 0.4 * texture(rng, size)
    return np.asarray(colours, np.float32), cover.astype(np.float32)


def _hand(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """Fingers, and perhaps the palm that they are of: skin before skin."""
    size, side = len(crop), box_side(points)
    cover = np.zeros((size, size), np.float32)
    if rng.random() < 0.5:  # the colour of this very face
        tone = crop[tuple(np.clip(np.round(points[int(rng.choice([2, 14, 30, 33]))]), 0, size - 1).astype(int)[::-1])]
        tone = np.clip(tone * rng.uniform(0.75, 1.25), 0, 255)
    else:
        tone = np.array([225, 180, 155]) * rng.uniform(0.3, 1.1) + rng.normal(0, 8, 3)
    colours = lit(rng, size, tone)
    root, angle = place(rng, points), rng.uniform(0, 2 * np.pi)
    thick = rng.uniform(0.1, 0.18) * side
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    for i in range(int(rng.integers(1, 6))):
        fan = rng.normal(0, 0.12)
        way = along * np.cos(fan) + across * np.sin(fan)
        start = root + across * (i - 1.5) * thick * rng.uniform(0.95, 1.2) - along * rng.uniform(0.0, 0.1) * side
        _finger(cover, colours, start, start + way * rng.uniform(0.35, 0.8) * side, thick * rng.uniform(0.8, 1.1), tone)
    if rng.random() < 0.5:
        palm = root - along * 0.25 * side + across * 0.2 * thick
        box = ((float(palm[0]), float(palm[1])), (0.75 * side, 4.4 * thick), float(np.degrees(angle)))
        mask = np.zeros((size, size), np.uint8)
        cv2.ellipse(mask, box, 1, -1)
        cover = np.maximum(cover, mask)
    return colours, cover


def _finger(cover: F32, colours: F32, start: F64, end: F64, thick: float, tone: NDArray[np.floating]) -> None:
    """One finger, dark at its sides, into cover and colours."""
    near, far = np.round([start, end]).astype(int).tolist()
    mask = np.zeros(cover.shape, np.uint8)
    cv2.line(mask, near, far, 1, max(int(thick), 2))
    inner = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    round_ = np.sqrt(np.clip(1 - (1 - inner / max(float(inner.max()), 1.0)) ** 2, 0, 1))
    drawn = np.asarray(tone, np.float32) * (0.62 + 0.38 * round_)[..., None]
    colours[mask > 0] = drawn[mask > 0]
    np.maximum(cover, mask, out=cover)


#: The kinds that are taught.
TAUGHT: Mapping[str, Kind] = {
    "flat": _flat,
    "glasses": _glasses,
    "hand": _hand,
    "mask": _mask,
    "noise": _noise,
    "piece": _piece,
    "strands": _strands,
}
