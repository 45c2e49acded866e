"""Faces that the tests draw: varied, with exact landmarks, and found by the detector. No data is needed.

A face is a cartoon: skin, hair, brows, eyes, a nose with its shadow and a mouth, drawn about 68 points and shaded.
It is drawn four times as large and then made small, so that its edges are soft.
"""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

#: Side of a picture, pixels.
SIDE = 160

#: Side of a picture, in longer sides of its landmarks' box.
MARGIN = 1.8

#: How much larger a face is drawn than it is wanted.
_FINE = 4

#: Fraction bits of the places that OpenCV draws at.
_BITS = 4

#: Quality of the JPEG streams that `write_prepared` writes.
_QUALITY = 92


def mean_face() -> F64:
    """(68, 2) a frontal face made of arcs; x from 0 to 1 is its width, y runs down."""

    def arc(n: int, cx: float, cy: float, rx: float, ry: float) -> F64:
        """n points from the left end of an ellipse round over its top."""
        a = np.pi - 2 * np.pi * np.arange(n) / n
        return np.stack([cx + rx * np.cos(a), cy - ry * np.sin(a)], axis=1)

    t = np.pi * np.arange(17) / 16
    jaw = np.stack([0.5 - 0.5 * np.cos(t), 0.25 + 0.8 * np.sin(t)], axis=1)
    brow = np.stack([np.linspace(0.1, 0.42, 5), [0.1, 0.03, 0.0, 0.02, 0.06]], axis=1)
    bridge = np.stack([np.full(4, 0.5), np.linspace(0.22, 0.5, 4)], axis=1)
    base = np.stack([np.linspace(0.39, 0.61, 5), [0.57, 0.59, 0.6, 0.59, 0.57]], axis=1)
    eyes = [arc(6, 0.28, 0.22, 0.085, 0.032), arc(6, 0.72, 0.22, 0.085, 0.032)]
    mouth = [arc(12, 0.5, 0.79, 0.18, 0.065), arc(8, 0.5, 0.79, 0.14, 0.012)]
    return np.concatenate([jaw, brow, brow[::-1] * (-1, 1) + (1, 0), bridge, base, *eyes, *mouth])


def drawn_shapes(n: int, seed: int) -> F64:
    """(n, 68, 2) varied faces: turned, nodding, stretched, smiling, tilted; each centred, its longer side 1."""
    rng = np.random.default_rng([seed, 0])
    shapes = np.repeat(mean_face()[None], n, axis=0)
    across, down = shapes[..., 0] - 0.5, shapes[..., 1] - 0.5
    depth = 0.35 - across**2 - 0.3 * down**2
    depth[:, 29:36] += 0.12
    shapes[..., 0] += rng.normal(0, 0.3, (n, 1)) * depth
    shapes[..., 1] += rng.normal(0, 0.15, (n, 1)) * depth
    shapes[..., 1] *= np.exp(rng.normal(0, 0.06, (n, 1)))
    smile, opened = rng.normal(0, 0.3, (n, 1)), np.abs(rng.normal(0, 0.04, (n, 1)))
    mouth = across[:, 48:]
    shapes[:, 48:, 1] += rng.normal(0, 0.015, (n, 1)) + smile * (0.01 - mouth**2)
    below = np.r_[np.zeros(7), np.ones(5), np.zeros(5), np.ones(3)]
    shapes[:, 48:, 1] += opened * below
    shapes[:, 17:27, 1] += rng.normal(0, 0.015, (n, 1))
    shapes += rng.normal(0, 0.004, shapes.shape)
    angle = np.deg2rad(rng.normal(0, 8, n))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    shapes = shapes @ turn.transpose(0, 2, 1)
    low, high = shapes.min(axis=1), shapes.max(axis=1)
    return np.asarray((shapes - ((low + high) / 2)[:, None]) / (high - low).max(axis=1)[:, None, None])


def drawn_faces(n: int, seed: int) -> tuple[list[U8], F64]:
    """Draw faces.

    Args:
        n: how many.
        seed: of everything that varies.

    Returns:
        n pictures (160, 160, 3) uint8 RGB, and (n, 68, 2) their landmarks, pixels.
    """
    landmarks = drawn_shapes(n, seed) * (SIDE / MARGIN) + (SIDE - 1) / 2
    pictures = [draw(points, np.random.default_rng([seed, 1, i])) for i, points in enumerate(landmarks)]
    return pictures, landmarks


def draw(points: F64, rng: np.random.Generator) -> U8:
    """(160, 160, 3) uint8 RGB: a face about these landmarks (68, 2), before a background made of chance."""
    size = SIDE * _FINE
    # Pixel centres are at whole numbers, before and after.
    p = (points + 0.5) * _FINE - 0.5
    scale = float(np.ptp(p[:17, 0]))
    skin = np.array([224.0, 172.0, 140.0]) * rng.uniform(0.55, 1.08) + rng.normal(0, 6, 3)
    hair = rng.uniform(15, 75) * np.array([1.0, 0.8, 0.65])
    picture = _background(size, rng)
    brows, eyes_line = p[17:27].mean(axis=0), p[36:48].mean(axis=0)
    up = brows - p[8]
    up /= np.linalg.norm(up)
    side = np.array([-up[1], up[0]])
    # Neck and shoulders, hair, the face itself with its forehead.
    _fill(picture, [p[5], p[11], p[11] - up * scale * 0.9, p[5] - up * scale * 0.9], skin * 0.72)
    cloth = rng.uniform(20, 230, 3)
    chin = p[8] - up * 0.22 * scale
    outline = ((-0.3, 0), (0.3, 0), (1.2, 0.4), (1.2, 2), (-1.2, 2), (-1.2, 0.4))
    _fill(picture, [chin + side * s * scale - up * d * scale for s, d in outline], cloth)
    _fill(picture, _ellipse(eyes_line + up * 0.14 * scale, side * 0.62 * scale, up * 0.64 * scale), hair)
    forehead = _ellipse(eyes_line, side * 0.5 * scale, up * 0.5 * scale, 0.0, np.pi)
    _fill(picture, [*p[:17], *forehead], skin)
    soft = np.zeros((size, size), np.float32)
    _mask(soft, [*p[:17], *forehead], 1.0)
    # A lamp from one side, and darker towards the edge of the head.
    yy, xx = np.mgrid[:size, :size].astype(np.float32)
    lamp = rng.normal(0, 0.35) * ((xx - p[30, 0]) * side[0] + (yy - p[30, 1]) * side[1]) / scale
    centre = (eyes_line + p[33]) / 2
    distance = np.hypot((xx - centre[0]) / (0.62 * scale), (yy - centre[1]) / (0.75 * scale))
    shade = np.clip(1.06 + lamp - 0.28 * distance**2, 0.4, 1.3)
    picture *= 1 + soft[..., None] * (shade[..., None] - 1)
    for eye in (p[36:42], p[42:48]):
        socket = _ellipse(eye.mean(axis=0) + up * 0.01 * scale, side * 0.15 * scale, up * 0.09 * scale)
        _shadow(picture, socket, 0.72, scale)
    _shadow(picture, [p[27], p[31], p[31] - up * 0.02 * scale, p[33], p[30], p[29]], 0.78, scale * 0.6)
    _shadow(picture, [p[31], p[33] - up * 0.05 * scale, p[35], p[30]], 0.7, scale * 0.5)
    _shadow(picture, [p[48], p[57] - up * 0.02 * scale, p[54], p[57] - up * 0.07 * scale], 0.75, scale * 0.6)
    _line(picture, p[17:22], hair, 0.035 * scale)
    _line(picture, p[22:27], hair, 0.035 * scale)
    for eye in (p[36:42], p[42:48]):
        _fill(picture, eye, np.array([232.0, 228.0, 224.0]))
        middle, radius = eye.mean(axis=0), 0.036 * scale
        white = np.zeros((size, size), np.float32)
        _mask(white, eye, 1.0)
        iris = np.zeros((size, size), np.float32)
        _mask(iris, _ellipse(middle, side * radius, up * radius), 1.0)
        picture -= (white * iris)[..., None] * (picture - np.array([45.0, 30.0, 22.0], np.float32))
        _line(picture, eye[:4], hair * 0.6, 0.014 * scale)
    for nostril in (p[32], p[34]):
        _fill(picture, _ellipse(nostril, side * 0.025 * scale, up * 0.012 * scale), skin * 0.35)
    lips = skin * np.array([0.82, 0.52, 0.52])
    _fill(picture, p[48:60], lips)
    _fill(picture, p[60:68], np.array([70.0, 30.0, 30.0]))
    _line(picture, p[[60, 61, 62, 63, 64]], lips * 0.5, 0.008 * scale)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 1.8) * _FINE / 2)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = small * rng.uniform(0.75, 1.15) + rng.normal(0, rng.uniform(1, 5), small.shape)
    return np.asarray(np.clip(np.rint(small), 0, 255), dtype=np.uint8)


def _background(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(size, size, 3) float32: soft patches of colour."""
    coarse = rng.uniform(30, 225, 3) + rng.normal(0, 35, (5, 5, 3))
    return np.asarray(cv2.resize(coarse.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC))


def _ellipse(centre: F64, a: F64, b: F64, start: float = 0.0, end: float = 2 * np.pi) -> list[F64]:
    """Points of an ellipse with these half axes, from one angle to the other."""
    return [centre + a * np.cos(t) + b * np.sin(t) for t in np.linspace(start, end, 48)]


def _fixed(points: list[F64] | F64) -> NDArray[np.int32]:
    return np.asarray(np.rint(np.asarray(points) * 2**_BITS), dtype=np.int32)


def _fill(picture: NDArray[np.float32], points: list[F64] | F64, colour: F64) -> None:
    cv2.fillPoly(picture, [_fixed(points)], colour.tolist(), cv2.LINE_8, _BITS)


def _mask(mask: NDArray[np.float32], points: list[F64] | F64, value: float) -> None:
    cv2.fillPoly(mask, [_fixed(points)], value, cv2.LINE_8, _BITS)


def _line(picture: NDArray[np.float32], points: F64, colour: F64, width: float) -> None:
    thickness = max(1, round(width))
    cv2.polylines(picture, [_fixed(points)], False, colour.tolist(), thickness, cv2.LINE_8, _BITS)


def _shadow(picture: NDArray[np.float32], points: list[F64], factor: float, scale: float) -> None:
    """Darken an area with soft edges."""
    mask = np.zeros(picture.shape[:2], np.float32)
    _mask(mask, points, 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.04 * scale)
    picture *= 1 + mask[..., None] * (factor - 1)


def write_prepared(folder: Path, n_train: int, n_val: int, n_test: int, seed: int) -> F64:
    """Draw faces and write them in the prepared format; every face is a group of its own.

    Returns:
        (n, 68, 2) the landmarks, in the order of the rows: train, val, test.
    """
    splits = ["train"] * n_train + ["val"] * n_val + ["test"] * n_test
    pictures, landmarks = drawn_faces(len(splits), seed)
    folder.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    streams = [cv2.imencode(".jpg", picture[..., ::-1], quality)[1].reshape(-1) for picture in pictures]
    offset = np.cumsum([0, *(len(s) for s in streams)]).astype(np.int64)
    np.savez(folder / "faces.npz", jpeg=np.concatenate(streams), offset=offset)
    np.save(folder / "landmarks.npy", landmarks.astype(np.float32))
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f)
        table.writerow(["row", "id", "source", "split", "group"])
        table.writerows([i, f"drawn_{i}", "drawn", split, f"drawn_{i}"] for i, split in enumerate(splits))
    return landmarks
