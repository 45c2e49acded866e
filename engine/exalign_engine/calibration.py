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
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read calibration.json.

        Raises:
            BundleError: a field is missing, unknown or out of range.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise BundleError(path, f"cannot be read: {e}") from e
        names = set(cls.__dataclass_fields__)
        if not isinstance(raw, dict) or set(raw) != names:
            odd = sorted(names.symmetric_difference(raw if isinstance(raw, dict) else ()))
            raise BundleError(path, f"fields missing or unknown: {', '.join(odd)}")
        for name in ("temperature", "kernel_scale"):
            if not (_is_finite(raw[name]) and raw[name] > 0):
                raise BundleError(path, f"{name} is {raw[name]!r}, must be a finite number above 0")
        for name in ("presence_slope", "presence_offset"):
            if not _is_finite(raw[name]):
                raise BundleError(path, f"{name} is {raw[name]!r}, must be a finite number")
        threshold = raw["presence_threshold"]
        if not (_is_finite(threshold) and 0 <= threshold <= 1):
            raise BundleError(path, f"presence_threshold is {threshold!r}, must be a number from 0 to 1")
        scale = raw["landmark_scale"]
        if not (isinstance(scale, list) and len(scale) == N_LANDMARKS and all(_is_finite(a) and a > 0 for a in scale)):
            raise BundleError(path, f"landmark_scale must hold {N_LANDMARKS} finite numbers above 0")
        if not isinstance(raw["card"], dict):
            raise BundleError(path, "card must be an object")
        return cls(**{**raw, "landmark_scale": tuple(scale)})


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def score_mass(scores: NDArray[np.float32]) -> float:
    """log Σ_k exp s_k: how much the K binary classifiers claim between them; low when none sees a face."""
    top = float(scores.max())
    return top + math.log(float(np.exp(scores - np.float32(top)).sum(dtype=np.float64)))
