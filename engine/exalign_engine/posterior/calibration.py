"""What turns scores into calibrated answers: temperature, kernels and presence."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import BundleError
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.geometry.pose_map import PoseMap


@dataclass(frozen=True)
class Calibration:
    """Fitted on ``val``; kept in the bundle as calibration.json.

    Attributes:
        temperature: T of p = softmax(s/T), > 0.
        kernel_scale: c of σ²_kn = c · a_n · v_k, > 0.
        landmark_scale: 68 values a_n > 0 with mean 1.
        presence_slope: presence = logistic(slope · (log Σ exp s_k) + offset), where there is no embedding to read.
        presence_offset: see ``presence_slope``.
        presence_threshold: presence from which a crop counts as a face.
        pose_scale: 3 factors > 0 of the pose's kernel variances, for yaw, pitch and roll.
        pose_yaw: a₀ … a₃ of Eq. C2 (`exalign_engine.geometry.pose_map`).
        pose_pitch: b₀ … b₅ of it.
        pose_turned: 3 × 5 standard deviations ≥ 0, degrees: what a head's yaw, pitch and roll have beside, by how far
            it is turned; see `exalign_engine.posterior.pose_calibrated.TURNS`.
        presence_embedding: slope, offset and w of presence = logistic(slope · (log Σ exp s_k) + offset + w · e), e the
            embedding, the mean of both looks; empty: it is not read. See `exalign_engine.calibration.presence`.
        pose_excess: ν ≥ 0 of yaw, pitch and roll, square degrees: how much the poses of exemplars that share a face
            spread beyond what is unknown of the face's pose; see `exalign_engine.calibration.pose`.
        click_slopes: 2 factors α, β ≥ 0 of the error and the entropy that a click is expected to take; see
            `exalign_engine.calibration.clicks`.
        click_offset: 68 values o_n: what a click buys beside, in units of the expected error.
        card: figures measured on the split it was fitted on, as a JSON object; empty before calibration.
    """

    temperature: float = 1.0
    kernel_scale: float = 1.0
    landmark_scale: tuple[float, ...] = (1.0,) * N_LANDMARKS
    presence_slope: float = 1.0
    presence_offset: float = 0.0
    presence_threshold: float = 0.5
    pose_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pose_excess: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pose_yaw: tuple[float, ...] = PoseMap().yaw
    pose_pitch: tuple[float, ...] = PoseMap().pitch
    pose_turned: tuple[float, ...] = (0.0,) * 15
    presence_embedding: tuple[float, ...] = ()
    click_slopes: tuple[float, float] = (1.0, 0.0)
    click_offset: tuple[float, ...] = (0.0,) * N_LANDMARKS
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def pose_map(self) -> PoseMap:
        """Eq. C2."""
        return PoseMap(self.pose_yaw, self.pose_pitch)

    def presence(self, scores: NDArray[np.float32], embedding: NDArray[np.float32] | None = None) -> float:
        """Probability that a crop shows a face.

        Args:
            scores: (K,) unnormalised.
            embedding: (D,) or, of a network that looks twice, (2 D,); None where there is none: by the scores alone.

        Raises:
            ValueError: the embedding is of another size than ``presence_embedding`` reads.
        """
        return self.presence_of(score_mass(scores), embedding)

    def presence_of(self, mass: float, embedding: NDArray[np.float32] | None = None) -> float:
        """The same from log Σ exp s."""
        slope, offset, z = self.presence_slope, self.presence_offset, 0.0
        if self.presence_embedding and embedding is not None and embedding.size:
            slope, offset, *weights = self.presence_embedding
            if not self.reads(embedding):
                raise ValueError(f"presence reads an embedding of {len(weights)} numbers, there are {embedding.size}")
            z = float(weights @ embedding.reshape(-1, len(weights)).mean(axis=0, dtype=np.float64))
        z += slope * mass + offset
        return 1.0 / (1.0 + math.exp(-min(max(z, -60.0), 60.0)))

    def reads(self, embedding: NDArray[np.float32]) -> bool:
        """Whether presence can read an embedding, of one look or of two."""
        read = len(self.presence_embedding) - 2
        return not self.presence_embedding or embedding.size in (read, 2 * read)

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
        except (OSError, ValueError, RecursionError) as e:
            raise BundleError(path, f"cannot be read: {e}") from e
        names = set(cls.__dataclass_fields__)
        if not isinstance(raw, dict) or not names - LATER <= set(raw) <= names:
            odd = sorted((names - LATER).symmetric_difference(raw if isinstance(raw, dict) else ()) - LATER)
            raise BundleError(path, f"fields missing or unknown: {', '.join(odd)}")
        for name, least, strict in _NUMBERS:
            value = raw[name]
            if not (_is_finite(value) and (value > least if strict else value >= least)):
                raise BundleError(path, f"{name} is {value!r}, must be a finite number{_limit(least, strict)}")
        threshold = raw["presence_threshold"]
        if not (_is_finite(threshold) and 0 <= threshold <= 1):
            raise BundleError(path, f"presence_threshold is {threshold!r}, must be a number from 0 to 1")
        for name, length, least, strict in _LISTS:
            if name not in raw and name in LATER:
                continue
            values = raw[name]
            right = isinstance(values, list) and len(values) == (length if length is not None else len(values))
            if not (right and all(_is_finite(v) and (v > least if strict else v >= least) for v in values)):
                count = "" if length is None else f"{length} "
                raise BundleError(path, f"{name} must hold {count}finite numbers{_limit(least, strict)}")
        if len(raw.get("presence_embedding", ())) in (1, 2):
            raise BundleError(path, "presence_embedding must hold a slope, an offset and a weight at least, or nothing")
        if not isinstance(raw["card"], dict):
            raise BundleError(path, "card must be an object")
        return cls(**raw | {name: tuple(raw[name]) for name, *_ in _LISTS if name in raw})


#: Fields that are a number: the least value, and whether it is excluded.
_NUMBERS = (
    ("temperature", 0.0, True),
    ("kernel_scale", 0.0, True),
    ("presence_slope", -math.inf, False),
    ("presence_offset", -math.inf, False),
)

#: Fields that a bundle from before them is without: it answers as it did.
LATER = frozenset({"pose_yaw", "pose_pitch", "pose_turned", "presence_embedding"})

#: Fields that are a list of numbers: its length (None: any), the least value, and whether it is excluded.
_LISTS: tuple[tuple[str, int | None, float, bool], ...] = (
    ("landmark_scale", N_LANDMARKS, 0.0, True),
    ("pose_scale", 3, 0.0, True),
    ("pose_excess", 3, 0.0, False),
    ("pose_yaw", 4, -math.inf, False),
    ("pose_pitch", 6, -math.inf, False),
    ("pose_turned", 15, 0.0, False),
    ("presence_embedding", None, -math.inf, False),
    ("click_slopes", 2, 0.0, False),
    ("click_offset", N_LANDMARKS, -math.inf, False),
)


def _limit(least: float, strict: bool) -> str:
    return "" if least == -math.inf else f" {'above' if strict else 'of at least'} {least:g}"


def _is_finite(value: object) -> bool:
    # Not by math.isfinite: of a whole number that no float can hold, it raises OverflowError.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def score_mass(scores: NDArray[np.float32]) -> float:
    """log Σ_k exp s_k: how much the K binary classifiers claim between them; low when none sees a face."""
    top = float(scores.max())
    shares = scores - np.float32(top)
    return log_mass(top, np.exp(shares, out=shares))


def log_mass(top: float, shares: NDArray[np.float32]) -> float:
    """log Σ exp s, from the largest score and (K,) exp(s − top)."""
    return top + math.log(float(shares.sum(dtype=np.float64)))
