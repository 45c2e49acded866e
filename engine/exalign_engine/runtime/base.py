"""The one interface of all runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Outputs:
    """What the network says about a batch of crops.

    Attributes:
        scores: (B, K) float32, unnormalised log-scores s_k.
        embedding: (B, D) float32.
        features: (B, C, h, w) float32.
    """

    scores: F32
    embedding: F32
    features: F32


class Runtime(Protocol):
    """Executes one network.

    A row's outputs depend on that row's crop alone: not on the batch's size, the row's place or its company.

    Attributes:
        name: one of `exalign_engine.runtime.RUNTIMES`.
        version: of the library behind it.
        precision: "f32" …
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
