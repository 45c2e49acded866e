"""Which landmarks something hides: a probability a landmark, read from what the network saw in the crop.

Where a landmark is uncertain it need not be hidden, and a hidden one may be well known by the rest of the face. So this
is no function of the posterior's spread. It reads the network's ``local`` map at each landmark y_n and at four places
about it, and a summary j of the whole face; e is the embedding, O the number of places:

    j   = relu(W [local at y_1 … y_68 | e | y − ½] + b)                                                     (O1)
    h_n = relu(A [local at the O places of n] + B_n + J j)                                                  (O2)
    z_n = w_n · h_n + c_n + (U j)_n          P(n is hidden) = logistic(α z̄_n + β)                            (O3)

z̄ is the mean of both looks, y the answered landmarks. Everything but α and β is taught on faces of ``train`` behind
drawn occluders, whose masks are known; these two are fitted on ``val`` (`exalign_engine.calibration.occlusion`).
What it is worth: docs/decisions/occlusion.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.landmarks import MIRROR, N_LANDMARKS, mirror_shapes
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.residual import ImageFeatures, looks_at, of_each_look, sample_map

#: Places about a landmark at which the map is read, beside the landmark's own, crop sides: a cell and a half of 28.
AROUND = 1.5 / 28
PLACES = np.array([[0, 0], [0, -AROUND], [-AROUND, 0], [AROUND, 0], [0, AROUND]], np.float32)


@dataclass(frozen=True)
class OcclusionHead:
    """Eq. O1 to O3, float32; C channels of one look's map, D of its embedding, S of the summary, H of each landmark.

    Attributes:
        summary_weight: (S, 68·C + D + 136) W.
        summary_bias: (S,) b.
        weight: (H, C·O) A, the channels of one place after those of another.
        bias: (68, H) B.
        summary_into: (H, S) J.
        out: (68, H) w.
        offset: (68,) c.
        summary_out: (68, S) U.
        sureness: (2,) α and β.
        margin: crop side ÷ box side.
    """

    summary_weight: F32
    summary_bias: F32
    weight: F32
    bias: F32
    summary_into: F32
    out: F32
    offset: F32
    summary_out: F32
    sureness: F32
    margin: float

    @property
    def one_look(self) -> int:
        """68·C + D: how many numbers of one look it reads."""
        return int(self.summary_weight.shape[1]) - 2 * N_LANDMARKS

    def check(self, image: ImageFeatures) -> None:
        """Raise ValueError where the map or the embedding is not of the size that this was taught with."""
        looks = looks_at(image, self.one_look)
        channels = len(image.local) // looks
        if self.weight.shape[1] != channels * len(PLACES):
            raise ValueError(f"a local map of {channels} channels does not make {self.weight.shape[1]} inputs")

    def probabilities(self, image: ImageFeatures, shape: F64) -> F64:
        """(68,) that each landmark is hidden.

        Args:
            image: of a crop.
            shape: (68, 2) where the landmarks are in it, box frame.

        Raises:
            ValueError: the map or the embedding is not of the size that this was taught with.
        """
        looks = looks_at(image, self.one_look)
        starts = np.stack([shape, mirror_shapes(shape)][:looks]).astype(np.float32)
        local = image.local.reshape(looks, -1, *image.local.shape[1:])
        scores = _scores(
            local,
            image.embedding.reshape(looks, -1),
            starts,
            self.margin,
            self.summary_weight,
            self.summary_bias,
            self.weight,
            self.bias,
            self.summary_into,
            self.out,
            self.offset,
            self.summary_out,
        )
        return self.sure(mean_of_looks(scores))

    def sure(self, scores: F64) -> F64:
        """Probabilities of z̄, any shape."""
        alpha, beta = self.sureness.tolist()
        return np.asarray(1 / (1 + np.exp(-np.clip(alpha * scores + beta, -30, 30))))

    def scores_of(self, seen: SeenLandmarks) -> F64:
        """(68,) z̄ of Eq. O3 of what was read; for the judge of many crops."""
        j = np.maximum(seen.summary @ self.summary_weight.T + self.summary_bias, 0)
        h = np.maximum(seen.places @ self.weight.T + self.bias + (j @ self.summary_into.T)[:, None], 0)
        z = (h * self.out).sum(axis=2) + self.offset + j @ self.summary_out.T
        return mean_of_looks(z.astype(np.float64))

    def to_arrays(self) -> dict[str, NDArray[np.float16] | F32]:
        """What occlusion.npz holds: the large matrices in half precision."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "margin"}
        return {k: v.astype(np.float16) if k in ("summary_weight", "weight") else v for k, v in arrays.items()}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[np.floating]], margin: float) -> OcclusionHead:
        """The inverse of `to_arrays`."""
        names = [f.name for f in fields(cls) if f.name != "margin"]
        return cls(**{n: np.ascontiguousarray(arrays[n], dtype=np.float32) for n in names}, margin=margin)


@dataclass(frozen=True)
class SeenLandmarks:
    """What Eq. O1 and O2 read of a crop, of each of L looks in its own frame.

    Attributes:
        places: (L, 68, O·C) float32.
        summary: (L, 68·C + D + 136) float32.
    """

    places: F32
    summary: F32


def seen_at(image: ImageFeatures, looks: int, shape: F64, margin: float) -> SeenLandmarks:
    """Read a crop's map.

    Args:
        image: of the crop.
        looks: 1 or 2.
        shape: (68, 2), box frame.
        margin: crop side ÷ box side.
    """
    features, shapes = of_each_look(image, looks, shape)
    channels, d = len(features[0].local), len(features[0].embedding)
    places = np.empty((looks, N_LANDMARKS, len(PLACES) * channels), np.float32)
    summary = np.empty((looks, N_LANDMARKS * channels + d + 2 * N_LANDMARKS), np.float32)
    for i, (look, y) in enumerate(zip(features, shapes.astype(np.float32), strict=True)):
        at = (y[:, None] + np.float32(margin) * PLACES).reshape(-1, 2)
        read = sample_map(look.local, at, margin).reshape(channels, N_LANDMARKS, len(PLACES))
        places[i] = read.transpose(1, 2, 0).reshape(N_LANDMARKS, -1)
        summary[i, : N_LANDMARKS * channels] = read[:, :, 0].reshape(-1)
        summary[i, N_LANDMARKS * channels : -2 * N_LANDMARKS] = look.embedding
        summary[i, -2 * N_LANDMARKS :] = y.reshape(-1) - np.float32(0.5)
    return SeenLandmarks(places, summary)


def mean_of_looks(scores: F64) -> F64:
    """(L, 68) of each look in its own frame → (68,): of two looks, the mean."""
    return np.asarray(scores[0] if len(scores) == 1 else (scores[0] + scores[1, MIRROR]) / 2)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _scores(
    local: F32,
    embedding: F32,
    shapes: F32,
    margin: float,
    summary_weight: F32,
    summary_bias: F32,
    weight: F32,
    bias: F32,
    summary_into: F32,
    out: F32,
    offset: F32,
    summary_out: F32,
) -> F64:
    """(L, 68) float64, z of Eq. O3: what `OcclusionHead.scores_of` says of `seen_at`, in half the time.

    ``local`` is (L, C, h, w), ``embedding`` (L, D) and ``shapes`` (L, 68, 2) in the box frames of the looks; all else
    is as in `OcclusionHead`.
    """
    looks, channels = local.shape[0], local.shape[1]
    landmarks, hidden, summary = shapes.shape[1], weight.shape[0], summary_weight.shape[0]
    z = np.empty((looks, landmarks))
    at, v = np.empty((PLACES.shape[0] * landmarks, 2), np.float32), np.empty(summary_weight.shape[1], np.float32)
    j, into = np.empty(summary, np.float32), np.empty(hidden, np.float32)
    x = np.empty(weight.shape[1], np.float32)
    for look in range(looks):
        for o in range(PLACES.shape[0]):
            for n in range(landmarks):
                for axis in range(2):
                    at[o * landmarks + n, axis] = shapes[look, n, axis] + np.float32(margin) * PLACES[o, axis]
        read = sample_map(local[look], at, margin)
        for n in range(landmarks):
            for c in range(channels):
                v[c * landmarks + n] = read[c, n]
            for axis in range(2):
                v[channels * landmarks + embedding.shape[1] + 2 * n + axis] = shapes[look, n, axis] - np.float32(0.5)
        for i in range(embedding.shape[1]):
            v[channels * landmarks + i] = embedding[look, i]
        for i in range(summary):
            j[i] = max(_dot(summary_weight[i], v) + summary_bias[i], np.float32(0))
        for i in range(hidden):
            into[i] = _dot(summary_into[i], j)
        for n in range(landmarks):
            for o in range(PLACES.shape[0]):
                for c in range(channels):
                    x[o * channels + c] = read[c, o * landmarks + n]
            total = offset[n] + _dot(summary_out[n], j)
            for i in range(hidden):
                total += out[n, i] * max(_dot(weight[i], x) + bias[n, i] + into[i], np.float32(0))
            z[look, n] = total
    return z


@njit(inline="always", fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _dot(a: F32, b: F32) -> np.float32:
    """Σ a b."""
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total
