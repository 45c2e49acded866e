"""The one interface of all runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32
from exalign_engine.errors import BundleError

if TYPE_CHECKING:
    from exalign_engine.posterior.residual import ImageFeatures


@dataclass(frozen=True)
class Outputs:
    """What the network says about a batch of crops.

    Attributes:
        scores: (B, K) float32, unnormalised log-scores s_k.
        embedding: (B, D) float32.
        features: (B, C, h, w) float32.
        local: (B, L, h', w') float32, the map that the residual reads; None where the network has no such output.
        sums: (B, W) float32, what the graph itself summed over the exemplars (`exalign_engine.posterior.device_sums`);
        None
            where it sums nothing.
    """

    scores: F32
    embedding: F32
    features: F32
    local: F32 | None = None
    sums: F32 | None = None

    def row(self, i: int) -> FaceOutputs:
        """What the network says about crop ``i``."""
        # Here, so that the names of the runtimes, which settings need, do not wait for numba.
        from exalign_engine.posterior.residual import ImageFeatures

        image = None if self.local is None else ImageFeatures(self.embedding[i], self.local[i])
        sums = None if self.sums is None else self.sums[i]
        return FaceOutputs(self.scores[i], self.features[i], self.embedding[i], image, sums)

    def rows(self) -> list[FaceOutputs]:
        """`row` of every crop."""
        return [self.row(i) for i in range(len(self.scores))]


@dataclass(frozen=True)
class FaceOutputs:
    """What the network says about one crop.

    Attributes:
        scores: (K,) float32.
        features: (C, h, w) float32.
        embedding: (D,) float32.
        image: what a residual starts from; None where the network has no ``local`` output.
        sums: (W,) float32, see `Outputs`.
    """

    scores: F32
    features: F32
    embedding: F32
    image: ImageFeatures | None
    sums: F32 | None = None


class Runtime(Protocol):
    """Executes one network.

    A row's outputs depend on that row's crop alone: not on the batch's size, the row's place or its company.

    Attributes:
        name: one of `exalign_engine.runtime.runtime_names`.
        version: of the library behind it.
        precision: "f32", "f16" or "int8".
        device: "CPU" …
        reason: one sentence: why this runtime and precision.
    """

    name: str
    version: str
    precision: str
    device: str
    reason: str

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """Run the network. Thread-safe; the GIL is released while it runs.

        Args:
            crops: (B, S, S, 3) uint8 RGB, B ≥ 1.
        """

    def close(self) -> None:
        """Free what the runtime holds; no call may follow."""


#: Outputs that a network may be without.
OPTIONAL_OUTPUTS = ("local", "sums")


def known_outputs(network: Path, names: Sequence[str]) -> list[str]:
    """The outputs of a network file that make `Outputs`.

    Raises:
        BundleError: one that every network must have is missing.
    """
    known = [f.name for f in fields(Outputs)]
    missing = [name for name in known if name not in names and name not in OPTIONAL_OUTPUTS]
    if missing:
        raise BundleError(network, f"has no output {missing[0]!r}; its outputs: {', '.join(names)}")
    return [name for name in known if name in names]
