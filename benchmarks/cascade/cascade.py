"""The cascade: linear regressors for a hundred classes of poses, level after level (paper §3.4).

The paper trains for each of 100 pose classes a cascade of 7 linear regressors on the training faces near that class;
its authors' take 3.2 GB. This one reads the network's ``local`` map where theirs takes HOG of the picture, and is
compact because the classes share what they have in common:

    c     = the class whose centre is nearest to the start
    y₀    = the centre of c, or the start itself
    x_t   = (v_t − m) · s, element by element           v_t as in Eq. R1 of `posterior.residual`               (C1)
    y_t+1 = y_t + Bᵀ (A_t x_t + Δ_tc P x_t + d_tc)                                                               (C2)

P and B are principal components of inputs and outputs, A_t what the classes share, Δ_tc and d_tc a class's own part.
Everything is linear but the choice of c and the sampling of the map. From the centre, as in the paper, a start that is
off only matters where it changes the class; but a start that a click has moved is forgotten too, down to its class.

`benchmarks.cascade.fitting` fits it; ``cascade.npz`` keeps it, the large matrices in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.npz import read_arrays
from exalign_engine.errors import BundleError
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.residual import ImageFeatures, looks_at, mean_move, sample_map

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

COORDINATES = 2 * N_LANDMARKS

#: Arrays of numbers in cascade.npz, and those that it holds in half precision.
ARRAYS = ("centres", "mean", "scale", "projection", "shared", "own", "offset", "basis")
HALVES = ("projection", "shared", "own")


@dataclass(frozen=True)
class Cascade:
    """A `exalign_engine.posterior.residual.Displacer`; V = 68 · C + D + 136 inputs, L levels, K pose classes.

    Attributes:
        centres: (K, 68, 2) float32, the classes' mean shapes, box frame.
        mean: (V,) float32, m.
        scale: (V,) float32, s.
        projection: (p, V) float32, P.
        shared: (L, R, V) float32, A_t.
        own: (L, K, R, p) float32, Δ_tc.
        offset: (L, K, R) float32, d_tc.
        basis: (R, 136) float32, B, box sides.
        from_centre: y₀ is the centre of the class.
        margin: crop side ÷ box side.

    Raises:
        ValueError: names the array whose shape does not fit the others.
    """

    centres: F32
    mean: F32
    scale: F32
    projection: F32
    shared: F32
    own: F32
    offset: F32
    basis: F32
    from_centre: bool
    margin: float

    def __post_init__(self) -> None:
        for name, dimensions in (("centres", 3), ("projection", 2), ("shared", 3)):
            found = getattr(self, name).shape
            if len(found) != dimensions or not all(found):
                raise ValueError(f"{name} has shape {found}, must have {dimensions} lengths above 0")
        (p, v), k, (levels, r, _) = self.projection.shape, len(self.centres), self.shared.shape
        expected = {
            "centres": (k, N_LANDMARKS, 2),
            "mean": (v,),
            "scale": (v,),
            "shared": (levels, r, v),
            "own": (levels, k, r, p),
            "offset": (levels, k, r),
            "basis": (r, COORDINATES),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"{name} has shape {found}, the other arrays ask for {shape}")

    @property
    def inputs(self) -> int:
        """V."""
        return len(self.mean)

    def class_of(self, start: NDArray[np.floating]) -> int:
        """The pose class of a shape (68, 2), box frame."""
        return int(((self.centres - start) ** 2).sum(axis=(1, 2)).argmin())

    def looks(self, image: ImageFeatures) -> int:
        """How often the network looked: 1, or 2.

        Raises:
            ValueError: the map or the embedding is not of the size that the cascade was fitted with.
        """
        return looks_at(image, self.inputs - COORDINATES)

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """From the start to y_L of Eq. C2; of a network that looked twice, the mean of what both looks say.

        Args:
            image: of the crop about the box in whose frame ``start`` is.
            start: (68, 2), box frame.

        Returns:
            (68, 2) float64, box sides.

        Raises:
            ValueError: the map or the embedding is not of the size that the cascade was fitted with.
        """

        def move(looks: Sequence[ImageFeatures], starts: F64) -> F64:
            return np.stack([self._moved(look, begin) for look, begin in zip(looks, starts, strict=True)])

        return mean_move(image, self.looks(image), start, move) - start

    def _moved(self, image: ImageFeatures, start: NDArray[np.floating]) -> F64:
        """(68, 2) → (68, 2): y_L from one look."""
        k = self.class_of(start)
        shape = (self.centres[k] if self.from_centre else start).astype(np.float32)
        seen = len(image.local) * N_LANDMARKS
        values = np.empty(self.inputs, np.float32)
        values[seen:-COORDINATES] = image.embedding
        for shared, own, offset in zip(self.shared, self.own[:, k], self.offset[:, k], strict=True):
            values[:seen] = sample_map(image.local, shape, self.margin).reshape(-1)
            values[-COORDINATES:] = shape.reshape(-1) - np.float32(0.5)
            x = (values - self.mean) * self.scale
            answer = shared @ x + own @ (self.projection @ x) + offset
            shape = shape + (answer @ self.basis).reshape(-1, 2)
        return shape.astype(np.float64)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What cascade.npz holds."""
        arrays: dict[str, NDArray[Any]] = {"from_centre": np.array(self.from_centre)}
        for name in ARRAYS:
            arrays[name] = getattr(self, name).astype(np.float16 if name in HALVES else np.float32)
        return arrays

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], margin: float) -> Cascade:
        """The inverse of `to_arrays`.

        Raises:
            ValueError: names the array that is missing or wrong.
        """
        for name in ("from_centre", *ARRAYS):
            if name not in arrays:
                raise ValueError(f"no array {name!r}")
        flag = arrays["from_centre"]
        if flag.shape != () or flag.dtype.kind != "b":
            raise ValueError(f"from_centre has shape {flag.shape} and dtype {flag.dtype}, must be one bool")
        found = {}
        for name in ARRAYS:
            if arrays[name].dtype.kind != "f":
                raise ValueError(f"{name} has dtype {arrays[name].dtype}, must be real numbers")
            found[name] = np.ascontiguousarray(arrays[name], dtype=np.float32)
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name} holds a value that is not finite")
        return cls(**found, from_centre=bool(flag), margin=margin)


def write_cascade(path: Path, cascade: Cascade) -> None:
    """Write cascade.npz."""
    np.savez(path, **cascade.to_arrays())  # type: ignore[arg-type]


def read_cascade(path: Path, margin: float) -> Cascade:
    """Read cascade.npz.

    Args:
        path: the file.
        margin: crop side ÷ box side, from the bundle.

    Raises:
        BundleError: with the array that is wrong.
    """
    try:
        return Cascade.of_arrays(read_arrays(path, {}), margin)
    except ValueError as e:
        raise BundleError(path, str(e)) from e
