"""From what a detector answers about a face to the face box: by its points where it has them, else by its box.

The affine of a box has three numbers. It cannot tell where the eyes are in the box, nor how the face is turned; points
tell both (docs/decisions/detector.md). With the mean points m and the points p of a face, all as complex numbers about
their mean:

    a = Σ p_i m̄_i / Σ |m_i|²,   r = p / a − m                                                             (P1)
    x = (1, Re r, Im r, ln(√(w·h) / |a|), Re b, Im b, Re u², Im u², Re u⁴, Im u⁴)                         (P2)
    (Re o, Im o, ln(s / |a|)) = W x;   the face box has its centre at c + a·o, and the side s               (P3)

a is the similarity that takes m to p, its angle the face's roll; c the mean of the points; w, h the box, b the way from
c to its centre, ÷ a; u = a / |a|. A square about a turned face is larger than about an upright one, with two- and
fourfold symmetry: hence u² and u⁴.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from exalign_engine.arrays import C128, F64
from exalign_engine.detect.affine import BoxAffine, square
from exalign_engine.detect.base import RawDetection
from exalign_engine.geometry.frames import iou, tight_box

#: Where the two ways overlap less, the points are not to be trusted.
LEAST_OVERLAP = 0.4

#: Standard deviations, degrees, of the turns that a map is fitted on, beside the faces as they are and any turn at all.
TURNS = (12.0, 25.0)

#: Penalty of the squared weights, ÷ the number of faces.
RIDGE = 1e-2


@dataclass(frozen=True)
class PointMap:
    """Maps a detector's points and box to the square face box (P1 to P3).

    Args:
        mean: (n, 2) m, n ≥ 2, about their mean, Σ |m|² = 1.
        weight: (3, 2 n + 8) W.

    Raises:
        ValueError: a shape is wrong, or a number is not finite.
    """

    mean: F64
    weight: F64

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or self.mean.shape[1:] != (2,) or len(self.mean) < 2:
            raise ValueError(f"mean has the shape {self.mean.shape}, must be (n, 2), n at least 2")
        if self.weight.shape != (3, 2 * len(self.mean) + 8):
            raise ValueError(f"weight has the shape {self.weight.shape}, must be (3, {2 * len(self.mean) + 8})")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.weight).all() and self.mean.any()):
            raise ValueError("mean or weight is not finite, or all points of mean are one")

    def apply(self, boxes: F64, points: F64) -> F64:
        """Boxes (n, 4) and points (n, p, 2) → square face boxes (n, 4); not finite where all points are one."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inputs, centre, similarity = _inputs(self.mean, boxes, points)
            moved = inputs @ self.weight.T
            middle = centre + similarity * _complex(moved[:, :2])
            half = np.exp(moved[:, 2]) * np.abs(similarity) / 2
            return np.column_stack([middle.real - half, middle.imag - half, middle.real + half, middle.imag + half])

    @classmethod
    def fit(cls, boxes: ArrayLike, points: ArrayLike, landmarks: ArrayLike) -> PointMap:
        """By least squares, on the faces as they are and turned in the plane.

        Args:
            boxes: (n, 4) of the detector.
            points: (n, p, 2) of the detector.
            landmarks: (n, 68, 2) of the same faces.

        Raises:
            ValueError: shapes do not fit together, or there are no faces.
        """
        b, p, y = (np.asarray(a, dtype=np.float64) for a in (boxes, points, landmarks))
        if not (len(b) == len(p) == len(y) > 0) or p.ndim != 3:
            raise ValueError(f"boxes, points and landmarks have the shapes {b.shape}, {p.shape} and {y.shape}")
        upright = p - p.mean(axis=1, keepdims=True)
        mean = (upright / np.sqrt((upright**2).sum(axis=(1, 2), keepdims=True))).mean(axis=0)
        mean /= np.sqrt((mean**2).sum())
        rng = np.random.default_rng(0)
        turns = [np.zeros(len(b)), *(rng.normal(0, sd, len(b)) for sd in TURNS), rng.uniform(-180, 180, len(b))]
        rows = [_training_rows(mean, *_turned(b, p, y, np.radians(turn))) for turn in turns]
        x, target = (np.concatenate(part) for part in zip(*rows, strict=True))
        penalty = RIDGE * len(x) * np.diag(x.var(axis=0) + 1e-12)
        return cls(mean, np.linalg.solve(x.T @ x + penalty, x.T @ target).T)

    def to_dict(self) -> dict[str, list[list[float]]]:
        """What ``detectors.json`` holds under "points"."""
        return {"mean": np.round(self.mean, 8).tolist(), "weight": np.round(self.weight, 8).tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> PointMap:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is wrong; the message names it.
        """
        if not isinstance(values, Mapping) or sorted(values) != ["mean", "weight"]:
            raise ValueError("must have the keys mean and weight")
        try:
            mean, weight = (np.array(values[name], dtype=np.float64) for name in ("mean", "weight"))
        except (TypeError, ValueError) as e:
            raise ValueError(f"mean or weight is no table of numbers: {e}") from e
        return cls(mean, weight)


@dataclass(frozen=True)
class FaceBoxMap(BoxAffine):
    """From what one detector answers to face boxes.

    Args:
        points: of its points and boxes; None where it has no points.
    """

    points: PointMap | None = None

    @property
    def reads_points(self) -> bool:
        """See `BoxAffine.reads_points`."""
        return self.points is not None

    def face_box(self, detection: RawDetection) -> F64:
        """By the points. Those that say something quite else than the box are not heard."""
        by_box = super().face_box(detection)
        if self.points is None or detection.points is None or detection.points.shape != self.points.mean.shape:
            return by_box
        (by_points,) = self.points.apply(detection.box[None], detection.points[None])
        trusted = np.isfinite(by_points).all() and iou(by_points, by_box) >= LEAST_OVERLAP
        return by_points if trusted else by_box

    def entry(self) -> dict[str, Any]:
        """What ``detectors.json`` holds under the detector's name."""
        entry: dict[str, Any] = {"affine": self.to_dict()}
        return entry if self.points is None else entry | {"points": self.points.to_dict()}

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> FaceBoxMap:
        """The inverse of :meth:`entry`; what else it holds is left alone.

        Raises:
            ValueError: a key is missing or unknown, or a value is wrong; the message names it.
        """
        try:
            affine, points = entry["affine"], entry.get("points")
        except (KeyError, TypeError, AttributeError) as e:
            raise ValueError(f"affine is missing or wrong ({e})") from e
        try:
            numbers = BoxAffine.from_dict(affine)
        except (TypeError, ValueError) as e:
            raise ValueError(f"affine is missing or wrong ({e})") from e
        try:
            return cls(numbers.dx, numbers.dy, numbers.scale, None if points is None else PointMap.from_dict(points))
        except ValueError as e:
            raise ValueError(f"points: {e}") from e


def _complex(pairs: F64) -> C128:
    return pairs[..., 0] + 1j * pairs[..., 1]


def _inputs(mean: F64, boxes: F64, points: F64) -> tuple[F64, C128, C128]:
    """P1 and P2: x (n, 2 p + 8), c (n,) and a (n,) complex."""
    m, p = _complex(mean), _complex(points)
    centre = p.mean(axis=1)
    similarity = ((p - centre[:, None]) @ m.conj()) / (np.abs(m) ** 2).sum()
    rest = (p - centre[:, None]) / similarity[:, None] - m
    size = boxes[:, 2:] - boxes[:, :2]
    way = (_complex((boxes[:, :2] + boxes[:, 2:]) / 2) - centre) / similarity
    scale = np.log(np.sqrt(size.prod(axis=1)) / np.abs(similarity))
    u = similarity / np.abs(similarity)
    columns = (rest.real, rest.imag, scale, way.real, way.imag, (u**2).real, (u**2).imag, (u**4).real, (u**4).imag)
    return np.column_stack([np.ones(len(p)), *columns]), centre, similarity


def _training_rows(mean: F64, boxes: F64, points: F64, landmarks: F64) -> tuple[F64, F64]:
    """x (n, 2 p + 8) and what P3 should answer (n, 3)."""
    x, centre, similarity = _inputs(mean, boxes, points)
    faces = np.stack([square(tight_box(each)) for each in landmarks])
    offset = (_complex((faces[:, :2] + faces[:, 2:]) / 2) - centre) / similarity
    return x, np.column_stack([offset.real, offset.imag, np.log((faces[:, 2] - faces[:, 0]) / np.abs(similarity))])


def _turned(boxes: F64, points: F64, landmarks: F64, angles: F64) -> tuple[F64, F64, F64]:
    """Faces turned about the picture's origin; a detector's box keeps its size, as BlazeFace's does."""
    turn = np.exp(1j * angles)[:, None]

    def turned(pairs: F64) -> F64:
        z = _complex(pairs) * turn
        return np.stack([z.real, z.imag], axis=-1)

    centre, half = turned((boxes[:, None, :2] + boxes[:, None, 2:]) / 2)[:, 0], (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.hstack([centre - half, centre + half]), turned(points), turned(landmarks)
