"""The residual: from the posterior's mean to where the picture says the landmarks are.

The mixture answers with shapes that training faces have; no face is quite like any of them. The residual reads the
network's ``local`` map at the landmarks of a start y₀ and moves them, level by level:

    v_t  = [local sampled at y_t | embedding | y_t − ½]                                                     (R1)
    y_t+1 = y_t + s · (W₂ relu(W₁ v_t + b₁) + b₂)                                                           (R2)

Its displacement r = y_L − y₀ moves the exemplars around y₀, the less the farther they are; their weights p_k stay
(`exalign_engine.posterior.posterior`). So landmarks, heatmaps, clicks and poses go on describing one face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import N_LANDMARKS, mirror_shapes
from exalign_engine.libraries.njit import njit

#: h: an exemplar whose distance from y₀ is h takes 61 % of the displacement; box sides.
# docs/decisions/displacement.md
DISPLACEMENT_REACH = 0.05

#: s of Eq. R2, box sides: brings what the levels put out to order one.
STEP = 0.1


@dataclass(frozen=True)
class ImageFeatures:
    """What the network saw in one crop, beside the scores.

    Attributes:
        embedding: (D,) float32.
        local: (C, h, w) float32, a map over the crop: cell (i, j) is centred at ((j + ½) / w, (i + ½) / h) crop sides.

    A network that looks at the mirror image too (`exalign_engine.train.network.SecondLook`) gives both looks' one after
    the other: (2D,) and (2C, h, w); the second is about the mirror image.
    """

    embedding: F32
    local: F32


class Displacer(Protocol):
    """Moves a shape to where the picture says that it is."""

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """(68, 2) box sides, from ``start`` (68, 2), box frame."""


def looks_at(image: ImageFeatures, one_look: int) -> int:
    """How often the network looked: 1, or 2.

    Args:
        image: of one crop.
        one_look: 68 · C + D, how many numbers a displacer reads of one look.

    Raises:
        ValueError: the map and the embedding are of other sizes.
    """
    c, d = len(image.local), len(image.embedding)
    looks, rest = divmod(c * N_LANDMARKS + d, one_look)
    if looks not in (1, 2) or rest:
        inputs = one_look + 2 * N_LANDMARKS
        raise ValueError(f"a local map of {c} channels and an embedding of {d} do not make {inputs} inputs")
    return looks


def mean_move(image: ImageFeatures, looks: int, start: F64, move: Callable[[Sequence[ImageFeatures], F64], F64]) -> F64:
    """Where a displacer ends, (68, 2) box frame: from one look, or the mean of what both looks say.

    Args:
        image: of one crop.
        looks: 1 or 2, see `looks_at`.
        start: (68, 2), box frame.
        move: from L looks and their starts to their ends, both (L, 68, 2), each in the frame of its look.
    """
    features, starts = of_each_look(image, looks, start)
    ends = move(features, starts)
    return np.asarray(ends[0] if looks == 1 else (ends[0] + mirror_shapes(ends[1])) / 2)


def of_each_look(image: ImageFeatures, looks: int, start: F64) -> tuple[list[ImageFeatures], F64]:
    """What each of L looks saw, and (L, 68, 2) the start in its own frame; ``start`` is (68, 2)."""
    if looks == 1:
        return [image], start[None]
    parts = zip(np.split(image.embedding, 2), np.split(image.local, 2), strict=True)
    features = [ImageFeatures(embedding, local) for embedding, local in parts]
    return features, np.stack([start, mirror_shapes(start)]).astype(np.float64)


@dataclass(frozen=True)
class Level:
    """One level: W₁ (H, V), b₁ (H,), W₂ (136, H), b₂ (136,), float32; V = 68 · C + D + 136."""

    hidden_weight: F32
    hidden_bias: F32
    weight: F32
    bias: F32


@dataclass(frozen=True)
class ResidualHead:
    """The levels that were trained jointly with the classifier (`exalign_engine.train.residual`).

    Attributes:
        levels: in the order in which they are run.
        margin: crop side ÷ box side.
    """

    levels: Sequence[Level]
    margin: float

    @property
    def inputs(self) -> int:
        """V."""
        return int(self.levels[0].hidden_weight.shape[1])

    def looks(self, image: ImageFeatures) -> int:
        """How often the network looked: 1, or 2.

        Raises:
            ValueError: the map or the embedding is not of the size that the levels were trained with.
        """
        return looks_at(image, self.inputs - 2 * N_LANDMARKS)

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """r of Eq. R2; of a network that looked twice, the mean of what both looks say.

        Args:
            image: of the crop about the box in whose frame ``start`` is.
            start: (68, 2), box frame.

        Returns:
            (68, 2) float64, box sides.

        Raises:
            ValueError: the map or the embedding is not of the size that the levels were trained with.
        """
        return mean_move(image, self.looks(image), start, self._move) - start

    def before_last(self, image: ImageFeatures, start: F64) -> tuple[F32, F32]:
        """What the last level's W₂ reads, (L, H), and y_L−1 that it moves, (L, 68, 2): a row a look, in its own frame.

        Arguments and errors are those of `displacement`.
        """
        return self._before_last(*of_each_look(image, self.looks(image), start))

    def _move(self, looks: Sequence[ImageFeatures], starts: F64) -> F64:
        """(L, 68, 2) → (L, 68, 2): y_L of Eq. R2 from each look, in its own frame."""
        hidden, shapes = self._before_last(looks, starts)
        return _moved(self.levels[-1], hidden, shapes).astype(np.float64)

    def _before_last(self, looks: Sequence[ImageFeatures], starts: F64) -> tuple[F32, F32]:
        shapes, seen = starts.astype(np.float32), len(looks[0].local) * N_LANDMARKS
        values = np.empty((len(looks), self.inputs), np.float32)
        for row, look in zip(values, looks, strict=True):
            row[seen : -2 * N_LANDMARKS] = look.embedding
        for i, level in enumerate(self.levels):
            for row, look, shape in zip(values, looks, shapes, strict=True):
                row[:seen] = sample_map(look.local, shape, self.margin).reshape(-1)
                row[-2 * N_LANDMARKS :] = shape.reshape(-1) - np.float32(0.5)
            hidden = np.maximum(affine(level.hidden_weight, values, level.hidden_bias), 0)
            if i < len(self.levels) - 1:
                shapes = _moved(level, hidden, shapes)
        return hidden, shapes

    def to_arrays(self) -> dict[str, NDArray[np.float16] | F32]:
        """What residual.npz holds: the matrices in half precision, L levels stacked."""
        halves = ("hidden_weight", "weight")
        return {key: a.astype(np.float16) if key in halves else a for key, a in self.stacked().items()}

    def stacked(self) -> dict[str, F32]:
        """By the names of `Level`, L levels stacked."""
        return {name: np.stack([getattr(v, name) for v in self.levels]) for name in Level.__dataclass_fields__}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.floating]], margin: float) -> ResidualHead:
        """The inverse of `to_arrays`, and of `stacked`."""
        names = ("hidden_weight", "hidden_bias", "weight", "bias")
        stacked = [np.ascontiguousarray(arrays[name], dtype=np.float32) for name in names]
        return cls(tuple(Level(*parts) for parts in zip(*stacked, strict=True)), margin)


def _moved(level: Level, hidden: F32, shapes: F32) -> F32:
    """(L, H) and (L, 68, 2) → (L, 68, 2) float32: one step of Eq. R2."""
    move = affine(level.weight, hidden, level.bias).reshape(shapes.shape)
    return np.asarray(shapes + np.float32(STEP) * move)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def affine(weight: F32, values: F32, bias: F32) -> F32:
    """W v + b of each look: (R, V) float32, (L, V), (R,) → (L, R).

    As fast as BLAS on one thread. On more, BLAS shares out even products this small, and on a busy machine waits for a
    thread that has no core: a face then cost 32 CPU-milliseconds in place of 2. The weights, which do not fit the
    caches, are read once for all looks.
    """
    out = np.empty((values.shape[0], weight.shape[0]), np.float32)
    for i in range(weight.shape[0]):
        for look in range(values.shape[0]):
            total = np.float32(0)
            for j in range(weight.shape[1]):
                total += weight[i, j] * values[look, j]
            out[look, i] = total + bias[i]
    return out


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def sample_map(local: F32, shape: F32, margin: float) -> F32:
    """A map's values at the landmarks, bilinear, the border continued outwards.

    Args:
        local: (C, h, w).
        shape: (N, 2), box frame.
        margin: crop side ÷ box side.

    Returns:
        (C, N) float32.
    """
    channels, height, width = local.shape
    out = np.empty((channels, shape.shape[0]), np.float32)
    for n in range(shape.shape[0]):
        x = min(max(((shape[n, 0] - 0.5) / margin + 0.5) * width - 0.5, 0.0), width - 1.0)
        y = min(max(((shape[n, 1] - 0.5) / margin + 0.5) * height - 0.5, 0.0), height - 1.0)
        x0, y0 = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
        x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
        fx, fy = np.float32(x - x0), np.float32(y - y0)
        for c in range(channels):
            top = local[c, y0, x0] + fx * (local[c, y0, x1] - local[c, y0, x0])
            low = local[c, y1, x0] + fx * (local[c, y1, x1] - local[c, y1, x0])
            out[c, n] = top + fy * (low - top)
    return out
