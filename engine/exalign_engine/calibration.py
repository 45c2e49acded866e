"""What turns scores into calibrated answers: temperature, kernels and presence (design §4)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import BundleError
from exalign_engine.landmarks import N_LANDMARKS


@dataclass(frozen=True)
class Calibration:
    """Fitted on ``val``; kept in the bundle as calibration.json.

    Attributes:
        temperature: T of p = softmax(s/T), > 0.
        kernel_scale: c of σ²_kn = c · a_n · v_k, > 0.
        landmark_scale: 68 values a_n > 0 with mean 1.
        presence_slope: presence = logistic(slope · (log Σ exp s_k) + offset).
        presence_offset: see ``presence_slope``.
        presence_threshold: presence from which a crop counts as a face.
        card: figures measured on the split it was fitted on, as a JSON object; empty before calibration.
    """

    temperature: float = 1.0
    kernel_scale: float = 1.0
    landmark_scale: tuple[float, ...] = (1.0,) * N_LANDMARKS
    presence_slope: float = 1.0
    presence_offset: float = 0.0
    presence_threshold: float = 0.5
    card: dict[str, Any] = field(default_factory=dict)

    def presence(self, scores: NDArray[np.float32]) -> float:
        """Probability that a crop shows a face, from its K unnormalised scores."""
        z = self.presence_slope * score_mass(scores) + self.presence_offset
        return 1.0 / (1.0 + math.exp(-min(max(z, -60.0), 60.0)))

    def write(self, path: Path) -> None:
        """Write calibration.json."""
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read calibration.json.

        Raises:
            BundleError: a field is missing, unknown or out of range.
        """
        try:
            raw = json.loads(path.read_text())
        except (OSError, ValueError) as e:
            raise BundleError(path, f"cannot be read: {e}") from e
        names = set(cls.__dataclass_fields__)
        if not isinstance(raw, dict) or set(raw) != names:
            odd = sorted(names.symmetric_difference(raw if isinstance(raw, dict) else ()))
            raise BundleError(path, f"fields missing or unknown: {', '.join(odd)}")
        raw["landmark_scale"] = tuple(raw["landmark_scale"])
        result = cls(**raw)
        positive = {"temperature": result.temperature, "kernel_scale": result.kernel_scale}
        for name, value in positive.items():
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise BundleError(path, f"{name} is {value!r}, must be a finite number above 0")
        if len(result.landmark_scale) != N_LANDMARKS or not all(a > 0 for a in result.landmark_scale):
            raise BundleError(path, f"landmark_scale must hold {N_LANDMARKS} numbers above 0")
        return result


def score_mass(scores: NDArray[np.float32]) -> float:
    """log Σ_k exp s_k: how much the K binary classifiers claim between them; low when none sees a face."""
    top = float(scores.max())
    return top + math.log(float(np.exp(scores - np.float32(top)).sum(dtype=np.float64)))
