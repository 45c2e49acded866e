"""Occluders of kinds that nothing was ever taught: a scarf, leaves, a telephone, a microphone, bars.

They are drawn for the evaluation alone, otherwise than those that are taught (`exalign_engine.sampling.occluders`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, U8
from exalign_engine.sampling.occluders import Kind, box_side

#: Drawn so much finer than the crop, then brought down: thin edges as a lens shows them.
FINER = 3


def _canvas(size: int) -> tuple[F32, NDArray[np.uint8]]:
    side = FINER * size
    return np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.uint8)


def _reduced(colours: F32, cover: NDArray[np.uint8], size: int) -> tuple[F32, F32]:
    small = cv2.resize(colours, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small), np.asarray(
        cv2.resize(cover.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    )


def _pixels(places: F64) -> NDArray[np.int32]:
    return np.round(places * FINER + (FINER - 1) / 2).astype(np.int32)


def _scarf(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """Knitted, about chin and mouth, up to the nose or the eyes."""
    size, side = len(crop), box_side(points)
    colours, cover = _canvas(size)
    n = len(cover)
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    tilt, period = rng.uniform(-0.25, 0.25), FINER * rng.uniform(2.5, 6)
    u, v = x + tilt * y, y - tilt * x
    stitch = np.abs((u / period) % 1 - 0.5) + np.abs((v / (1.4 * period) + 0.5 * np.floor(u / period)) % 1 - 0.5)
    stripes = rng.uniform(20, 240, (2, 3))
    band = ((v / (period * rng.integers(3, 9))) % 2 < 1)[..., None]
    colours[:] = np.where(band, stripes[0], stripes[1]) * (0.65 + 0.5 * stitch[..., None])
    edge = points[33 if rng.random() < 0.6 else int(rng.choice([51, 28])), 1] * FINER
    wave = rng.uniform(0.01, 0.04) * side * FINER * np.sin(x[0] / rng.uniform(8, 30) / FINER + rng.uniform(0, 6))
    cover[v > edge + tilt * 0 + wave[None]] = 1
    return _reduced(colours, cover, size)


def _leaves(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A twig with many leaves, light between them."""
    size, side = len(crop), box_side(points)
    colours, cover = _canvas(size)
    start = points[int(rng.integers(68))] + rng.normal(0, 0.15 * side, 2)
    way = rng.uniform(0, 2 * np.pi)
    base = np.array([rng.uniform(40, 130), rng.uniform(80, 190), rng.uniform(20, 90)])
    if rng.random() < 0.3:
        base = base[[1, 0, 2]]  # in autumn
    for _ in range(int(rng.integers(8, 30))):
        at = start + rng.uniform(-0.5, 0.5) * side * np.array([np.cos(way), np.sin(way)]) + rng.normal(0, 0.1 * side, 2)
        length, angle = rng.uniform(0.1, 0.24) * side, way + rng.normal(0, 0.8)
        t = np.linspace(0, 1, 12)
        width = 0.3 * length * np.sin(np.pi * t) ** 0.8
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        spine = at + (t - 0.5)[:, None] * length * along
        ring = np.concatenate([spine + width[:, None] * across, (spine - width[:, None] * across)[::-1]])
        tone = base * rng.uniform(0.5, 1.3)
        cv2.fillPoly(colours, [_pixels(ring)], tuple(tone.tolist()))
        cv2.polylines(colours, [_pixels(spine)], False, tuple((1.25 * tone).tolist()), 1)
        cv2.fillPoly(cover, [_pixels(ring)], 1)
    return _reduced(colours, cover, size)


def _telephone(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A slab with round corners, a rim, a lens or a screen with rows on it."""
    size, side = len(crop), box_side(points)
    colours, cover = _canvas(size)
    at = points[int(rng.integers(68))] + rng.normal(0, 0.08 * side, 2)
    width = rng.uniform(0.3, 0.5) * side
    height, angle = width * rng.uniform(1.8, 2.1), rng.normal(0, 0.5) + (np.pi / 2 if rng.random() < 0.3 else 0)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def slab(inset: float, tone: NDArray[np.floating], top: float = -0.5, low: float = 0.5, left: float = -0.5) -> None:
        half = np.array([[left, top], [0.5, top], [0.5, low], [left, low]]) * (width - inset, height - inset)
        ring = _pixels(at + half @ axes)
        cv2.fillPoly(colours, [ring], tuple(tone.tolist()))
        cv2.polylines(colours, [ring], True, tuple(tone.tolist()), int(0.1 * width * FINER))
        if inset == 0.0:
            cv2.fillPoly(cover, [ring], 1)
            cv2.polylines(cover, [ring], True, 1, int(0.1 * width * FINER))

    rim = np.full(3, rng.uniform(5, 60)) if rng.random() < 0.6 else rng.uniform(60, 240, 3)
    slab(0.0, rim)
    if rng.random() < 0.6:  # its screen
        slab(0.12 * width, rng.uniform(30, 255, 3))
        for row in np.arange(-0.42, 0.4, rng.uniform(0.06, 0.12)):
            slab(0.3 * width, rng.uniform(0, 255, 3), row, row + 0.012, rng.uniform(-0.5, 0.2))
    else:
        lens = _pixels(at + np.array([-0.32 * width, -0.4 * height]) @ axes)
        cv2.circle(colours, tuple(lens.tolist()), int(0.1 * width * FINER), (12, 12, 16), -1)
        cv2.circle(colours, tuple(lens.tolist()), int(0.04 * width * FINER), (70, 80, 110), -1)
    return _reduced(colours, cover, size)


def _microphone(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A ball of wire on a stick, before the mouth most often."""
    size, side = len(crop), box_side(points)
    colours, cover = _canvas(size)
    at = points[int(rng.choice([57, 62, 8, 33, 5, 11, 48, 54]))] + rng.normal(0, 0.06 * side, 2)
    radius, angle = rng.uniform(0.13, 0.26) * side, rng.uniform(0.1, 0.9) * np.pi
    tone, metal = rng.uniform(15, 60), rng.uniform(60, 190)
    end = at + 1.6 * side * np.array([np.cos(angle), np.sin(angle)])
    near, far = _pixels(np.stack([at, end])).tolist()
    thick = int(1.1 * radius * FINER)
    for share, shade in ((1.0, 0.6), (0.7, 0.85), (0.35, 1.25)):
        cv2.line(colours, near, far, (shade * tone,) * 3, max(int(share * thick), 1))
    cv2.line(cover, near, far, 1, thick)
    ball = np.zeros(cover.shape, np.uint8)
    cv2.circle(ball, tuple(_pixels(at).tolist()), int(radius * FINER), 1, -1)
    y, x = np.mgrid[0 : len(cover), 0 : len(cover)].astype(np.float32)
    wires = ((x + y) / FINER % 2.6 < 1.0) | ((x - y) / FINER % 2.6 < 1.0)
    away = np.hypot(x / FINER - at[0] + 0.3 * radius, y / FINER - at[1] + 0.3 * radius) / radius
    shine = np.where(wires, metal, 0.35 * metal) * np.clip(1.3 - 0.6 * away, 0.2, 1.3)
    colours[ball > 0] = shine[ball > 0][:, None]
    return _reduced(colours, np.maximum(cover, ball), size)


def _bars(rng: np.random.Generator, crop: U8, points: F64, others: Sequence[U8]) -> tuple[F32, F32]:
    """A fence or a grille: bars at even distances, and a rail."""
    size, side = len(crop), box_side(points)
    colours, cover = _canvas(size)
    pitch, angle = rng.uniform(0.22, 0.45) * side, rng.normal(0, 0.25)
    along, across = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    width, tone, shift = rng.uniform(0.25, 0.5) * pitch, rng.uniform(20, 235, 3), rng.uniform(0, pitch)
    lines = [(np.array([size / 2, size / 2]) + across * (i * pitch + shift), along, width) for i in range(-6, 7)]
    lines.append((points[int(rng.integers(68))], across, 1.3 * width))
    for middle, way, thick in lines:
        near, far = _pixels(np.stack([middle - 2 * size * way, middle + 2 * size * way])).tolist()
        for share, shade in ((1.0, 0.55), (0.75, 0.9), (0.35, 1.2)):
            cv2.line(colours, near, far, tuple((shade * tone).tolist()), max(int(share * thick * FINER), 1))
        cv2.line(cover, near, far, 1, max(int(thick * FINER), 1))
    return _reduced(colours, cover, size)


#: The kinds that are kept for the evaluation.
UNSEEN: Mapping[str, Kind] = {
    "bars": _bars,
    "leaves": _leaves,
    "microphone": _microphone,
    "scarf": _scarf,
    "telephone": _telephone,
}
