"""Training crops: a face as wild photographs show it, and crops that show none.

Everything drawn for a sample comes from one generator seeded by (seed, epoch, index), so a sample is the same
whatever the batch, the worker or an interruption.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64, U8
from exalign_engine.exemplars.synthetic import Variation, rebox, rotate
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.sampling.augment_config import AugmentConfig

#: How far samples are rotated that are rotated anywhere, degrees.
WIDE_ROLL_DEG = Variation().wide_roll_deg


#: Makes another crop (S, S, 3) of a crop and its landmarks (68, 2), pixels of the crop.
Cover = Callable[[U8, F64], U8]


@dataclass(frozen=True)
class CropSample:
    """One network input with its truth.

    Attributes:
        crop: (S, S, 3) uint8 RGB.
        shape: (68, 2) float32, frame of the box that the crop was cut about; meaningless for a negative.
        is_face: False for a negative.
    """

    crop: U8
    shape: NDArray[np.float32]
    is_face: bool


class Augmenter:
    """Draws crops from annotated faces.

    Args:
        config: probabilities and spreads.
        size: crop side, pixels.
        margin: crop side ÷ box side.
    """

    def __init__(self, config: AugmentConfig, size: int, margin: float) -> None:
        self.config, self.size, self.margin = config, size, margin

    def face(self, image: U8, points: F64, rng: np.random.Generator, cover: Cover | None = None) -> CropSample:
        """A disturbed crop of a face.

        Args:
            image: (H, W, 3) uint8.
            points: (68, 2) image frame, pixels.
            rng: the only source of randomness.
            cover: lays something over the crop before it loses quality.
        """
        c = self.config
        if rng.random() < 0.5:
            image, points = mirror_image(image, points)
        angle = float(np.clip(rng.standard_normal(), -3, 3) * c.roll_deg)
        if rng.random() < c.wide_roll:
            angle = float(rng.uniform(-1, 1)) * WIDE_ROLL_DEG
        u = rng.random()
        spread = 0.15 if u < c.exact_box else 3.0 if u > 1 - c.wide_box else 1.0
        dx, dy, log_scale = np.clip(rng.standard_normal(3), -3, 3) * spread
        shape, crop = self._posed(
            image, points, angle, c.shift * dx, c.shift * dy, float(np.exp(c.log_scale * log_scale))
        )
        if cover is not None:
            crop = cover(crop, self.in_crop(shape))
        crop = self._disturb(crop, rng)
        return CropSample(crop, shape.astype(np.float32), True)

    def in_crop(self, shape: F64) -> F64:
        """Landmarks of the box frame in pixels of the crop; the centre of the top-left pixel is (0, 0)."""
        return np.asarray(((shape - 0.5) / self.margin + 0.5) * self.size - 0.5)

    def negative(self, image: U8, points: F64, rng: np.random.Generator) -> CropSample:
        """A crop without a face: a texture, a far-off box, shuffled pieces of a face, or a full occluder."""
        kind = int(rng.integers(5))
        frame = BoxFrame.from_box(tight_box(points))
        if kind == 0:
            crop = texture(rng, self.size)
        elif kind == 1:  # a corner of the surroundings, where no whole face can be
            a, r, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.0), rng.uniform(0.3, 0.6)
            crop = self._cut(image, frame.moved(r * np.cos(a), r * np.sin(a), scale), 0.0)
        elif kind == 2:  # so close that no face can be made out
            dx, dy = rng.uniform(-0.35, 0.35, 2)
            crop = self._cut(image, frame.moved(dx, dy, rng.uniform(0.12, 0.3)), rng.uniform(-180, 180))
        elif kind == 3:
            crop = shuffled(self._cut(image, frame, 0.0), rng)
        else:
            dx, dy = rng.uniform(-0.05, 0.05, 2)
            crop = self._cut(image, frame.moved(dx, dy, rng.uniform(0.9, 1.1)), 0.0)
            crop = occlude(crop, rng, self.margin, share=1.0)
        return CropSample(self._disturb(crop, rng), np.zeros((len(points), 2), np.float32), False)

    def plain(self, image: U8, points: F64) -> CropSample:
        """The undisturbed crop about the true box: what validation sees."""
        shape, crop = self._posed(image, points, 0.0, 0.0, 0.0, 1.0)
        return CropSample(crop, shape.astype(np.float32), True)

    def _posed(self, image: U8, points: F64, angle: float, dx: float, dy: float, scale: float) -> tuple[F64, U8]:
        """Rotate about the face box's centre, then cut about a box that is off by (dx, dy, scale)."""
        rotated = rotate(points[None], np.array([angle]))
        shape = rebox(rotated, np.array([dx]), np.array([dy]), np.array([scale]))[0]
        frame = BoxFrame.from_box(tight_box(rotated[0])).moved(dx, dy, scale)
        pivot = BoxFrame.from_box(tight_box(points))
        return shape, self._cut(image, frame, angle, (pivot.cx, pivot.cy))

    def _cut(self, image: U8, frame: BoxFrame, angle: float, pivot: tuple[float, float] | None = None) -> U8:
        """The crop about ``frame`` of the image rotated clockwise by ``angle`` degrees about ``pivot``."""
        step = self.margin * frame.side / self.size
        px, py = pivot or (frame.cx, frame.cy)
        x0 = frame.cx - self.margin * frame.side / 2 + step / 2 - px
        y0 = frame.cy - self.margin * frame.side / 2 + step / 2 - py
        a = np.deg2rad(-angle)  # back from the rotated frame to the image's own
        cos, sin = np.cos(a), np.sin(a)
        matrix = np.array(
            [
                [cos * step, -sin * step, cos * x0 - sin * y0 + px],
                [sin * step, cos * step, sin * x0 + cos * y0 + py],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(image, matrix, (self.size, self.size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, dtype=np.uint8)

    def _disturb(self, crop: U8, rng: np.random.Generator) -> U8:
        c = self.config
        if rng.random() < c.occluder:
            crop = occlude(crop, rng, self.margin, share=rng.uniform(0.05, 0.6))
        if rng.random() < c.blur:
            crop = blur(crop, rng)
        if rng.random() < c.low_resolution:
            crop = lower_resolution(crop, rng.uniform(20, 70) * self.margin)
        if rng.random() < c.colour:
            crop = recolour(crop, rng)
        if rng.random() < c.dark:
            crop = np.asarray(crop * np.float32(rng.uniform(0.12, 0.5)), dtype=np.uint8)
        if rng.random() < c.noise:
            crop = add_noise(crop, rng)
        return crop


def mirror_image(image: U8, points: F64) -> tuple[U8, F64]:
    """Flip an image and its landmarks left to right, in the image frame."""
    flipped = mirror_shapes(points, image.shape[1] - 1.0)
    return np.ascontiguousarray(image[:, ::-1]), np.asarray(flipped, dtype=np.float64)


def texture(rng: np.random.Generator, size: int) -> U8:
    """(size, size, 3) uint8 of coloured noise with energy at a few random scales; sometimes one flat colour."""
    out = np.full((size, size, 3), rng.uniform(30, 220, 3), np.float32)
    for _ in range(int(rng.integers(0, 4))):
        cells = int(rng.integers(2, 40))
        noise = rng.standard_normal((cells, cells, 3 if rng.random() < 0.6 else 1)).astype(np.float32)
        layer = cv2.resize(noise, (size, size), interpolation=int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_CUBIC])))
        out += rng.uniform(10, 60) * (layer if layer.ndim == 3 else layer[:, :, None])
    return np.asarray(np.clip(out, 0, 255), dtype=np.uint8)


def shuffled(crop: U8, rng: np.random.Generator) -> U8:
    """The crop cut into 16 tiles in another order, each perhaps turned: skin and eyes, but no face."""
    n = 4
    t = crop.shape[0] // n
    tiles = [crop[i * t : (i + 1) * t, j * t : (j + 1) * t] for i in range(n) for j in range(n)]
    order = rng.permutation(n * n)
    turned = [np.rot90(tiles[o], int(rng.integers(4))) for o in order]
    rows = [np.concatenate(turned[i * n : (i + 1) * n], axis=1) for i in range(n)]
    out = np.concatenate(rows, axis=0)
    return np.asarray(cv2.resize(out, (crop.shape[1], crop.shape[0])), dtype=np.uint8)


def occlude(crop: U8, rng: np.random.Generator, margin: float, share: float) -> U8:
    """Hide ``share`` of the box (1.0: all of it and some more) behind a textured rectangle or ellipse."""
    size = crop.shape[0]
    box = size / margin
    low = (size - box) / 2
    out = crop.copy()
    cover = texture(rng, size)
    if share >= 1.0:
        edge = int(max(low - rng.uniform(0, 0.1) * size, 0))
        out[edge : size - edge, edge : size - edge] = cover[edge : size - edge, edge : size - edge]
        return out
    aspect = np.exp(rng.uniform(-0.7, 0.7))
    w, h = box * np.sqrt(share * aspect), box * np.sqrt(share / aspect)
    cx, cy = low + rng.uniform(0, 1, 2) * box
    if rng.random() < 0.5:
        x0, y0 = max(int(cx - w / 2), 0), max(int(cy - h / 2), 0)
        x1, y1 = max(int(cx + w / 2), 0), max(int(cy + h / 2), 0)
        out[y0:y1, x0:x1] = cover[y0:y1, x0:x1]
        return out
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, ((cx, cy), (w, h), float(rng.uniform(0, 180))), 1, -1)
    out[mask > 0] = cover[mask > 0]
    return out


def blur(crop: U8, rng: np.random.Generator) -> U8:
    """Motion blur of up to 15 pixels in any direction, or defocus."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.5, 2.5))), dtype=np.uint8)
    n = int(rng.integers(1, 8)) * 2 + 1
    kernel = np.zeros((n, n), np.float32)
    a = rng.uniform(0, np.pi)
    reach = (n // 2) * np.array([np.cos(a), np.sin(a)])
    centre = n // 2
    start, end = np.round(centre - reach).astype(int), np.round(centre + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum()), dtype=np.uint8)


def lower_resolution(crop: U8, side: float) -> U8:
    """Shrink the crop to ``side`` pixels and enlarge it again."""
    n = max(int(side), 4)
    if n >= crop.shape[0]:
        return crop
    small = cv2.resize(crop, (n, n), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def recolour(crop: U8, rng: np.random.Generator) -> U8:
    """Change gain, contrast and colour balance; sometimes to grey."""
    x = crop.astype(np.float32)
    if rng.random() < 0.2:
        x[:] = x.mean(axis=2, keepdims=True)
    gain = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.08, 3))
    x = (x - 128) * np.float32(np.exp(rng.normal(0, 0.2))) + np.float32(128 + rng.normal(0, 12))
    return np.asarray(np.clip(x * gain.astype(np.float32), 0, 255), dtype=np.uint8)


def add_noise(crop: U8, rng: np.random.Generator) -> U8:
    """Gaussian sensor noise."""
    noise = rng.standard_normal(crop.shape, dtype=np.float32) * np.float32(rng.uniform(2, 12))
    return np.asarray(np.clip(crop + noise, 0, 255), dtype=np.uint8)
