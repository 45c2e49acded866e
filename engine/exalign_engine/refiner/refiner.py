"""The refiner: from what the network saw about one box to a better box (paper §3.4, Fig. 6).

Exemplars cannot translate, so a box that is off costs accuracy that no posterior brings back.

    b = (c_x − ½, c_y − ½, ln s, 1) of the square about the answer's tight box                              (B1)
    (dx, dy, ln scale) = A_source b + W [embedding | features]                                               (B2)

A is fitted for each detector and for noise, W on all of them together. Then the network sees the box so moved.

Geometry is exactly symmetric: A lets dx read c_x alone, and dy and ln scale everything else; only where W takes part
dx has a constant, which takes the mean of W's share off. W was fitted on faces and their mirror images alike, but the
network does not promise mirrored features for a mirrored crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior

#: Source of boxes that are off at random: what a refiner does about boxes of which no more is known.
NOISE = "noise"

#: Smallest moves (`BoxMove.size`) that are made: of detected boxes, of boxes that a detector's points told, and of
#: boxes that a caller gave.
# docs/decisions/refiner-min-moves.md
MIN_MOVE_DETECTED, MIN_MOVE_POINTS, MIN_MOVE_GIVEN = 0.03, 0.08, 0.06

#: No refiner was fitted on boxes that were off by more: box sides, and ln of the scale.
MAX_SHIFT, MAX_LOG_SCALE = 0.3, 0.4

#: Which terms of B1 dx, dy and ln scale read: a mirrored answer gets the mirrored move.
GEOMETRY = np.array([[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]], dtype=bool)


class BoxMove(NamedTuple):
    """How a square box is moved: first shifted by shares of its own side, then enlarged about its centre.

    Attributes:
        dx: to the right, sides of the box before the move.
        dy: downwards, likewise.
        log_scale: ln(side after ÷ side before).
    """

    dx: float
    dy: float
    log_scale: float

    @classmethod
    def between(cls, start: BoxFrame, end: BoxFrame) -> BoxMove:
        """The move that takes one box to another."""
        return cls((end.cx - start.cx) / start.side, (end.cy - start.cy) / start.side, math.log(end.side / start.side))

    def apply(self, frame: BoxFrame) -> BoxFrame:
        """The box after the move."""
        return frame.moved(self.dx, self.dy, math.exp(self.log_scale))

    @property
    def inverse(self) -> BoxMove:
        """The move back."""
        scale = math.exp(-self.log_scale)
        return BoxMove(-self.dx * scale, -self.dy * scale, -self.log_scale)

    @property
    def size(self) -> float:
        """How far an edge of the box goes at most, sides of the box before the move."""
        return max(abs(self.dx), abs(self.dy)) + abs(math.expm1(self.log_scale)) / 2


@dataclass(frozen=True)
class Round:
    """Eq. B2 for boxes that were moved equally often.

    Attributes:
        geometry: (S, 3, 4) float32, A of each source.
        weight: (3, D + C·h·w) float32, W.
    """

    geometry: F32
    weight: F32


@dataclass(frozen=True)
class Refiner:
    """Linear regressions from one look at a face to a better box.

    Attributes:
        sources: of boxes: the detectors that it was fitted for, and `NOISE`.
        rounds: one for each time that a box is moved.

    Raises:
        ValueError: there is no round or no source, a name occurs twice, or shapes do not fit together.
    """

    sources: tuple[str, ...]
    rounds: tuple[Round, ...]

    def __post_init__(self) -> None:
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources are {list(self.sources)}, must be at least one, each once")
        if not self.rounds:
            raise ValueError("there is no round")
        for i, each in enumerate(self.rounds):
            for name, shape in (("geometry", (len(self.sources), 3, 4)), ("weight", (3, self.inputs))):
                found = getattr(each, name).shape
                if found != shape:
                    raise ValueError(f"{name} of round {i} has shape {found}, must have {shape}")

    @property
    def inputs(self) -> int:
        """D + C·h·w: how many numbers of the network are read."""
        return int(self.rounds[0].weight.shape[-1])

    def check(self, outputs: FaceOutputs) -> None:
        """Compare the network's sizes with those that the refiner was fitted with.

        Raises:
            ValueError: they are others.
        """
        d, f = outputs.embedding.size, outputs.features.size
        if d + f != self.inputs:
            raise ValueError(f"an embedding of {d} and {f} features do not make {self.inputs} inputs")

    def refine(self, source: str, outputs: FaceOutputs, answer: F64, round_: int = 0) -> BoxMove:
        """Where the face box is, seen from the box that was looked at.

        Args:
            source: one of ``sources``: where the box came from before it was first moved.
            outputs: of the crop about the box.
            answer: (68, 2) of `seen_shape`, in the box's own frame.
            round_: how often the box was moved already; the last round serves all later ones.

        Returns:
            The move, within `MAX_SHIFT` and `MAX_LOG_SCALE`.

        Raises:
            ValueError: unknown source, a negative round, an answer that is not (68, 2), finite and with an extent, or
                outputs of sizes or values that no network of this bundle has.
        """
        if source not in self.sources:
            raise ValueError(f"source is {source!r}, must be one of {', '.join(self.sources)}")
        if round_ < 0:
            raise ValueError(f"round is {round_}, must be at least 0")
        self.check(outputs)
        each = self.rounds[min(round_, len(self.rounds) - 1)]
        geometry = each.geometry[self.sources.index(source)]
        seen = network_inputs(outputs)
        if not np.isfinite(seen).all():
            raise ValueError("the network's embedding or features are not finite")
        raw = geometry @ answer_geometry(answer) + each.weight @ seen
        dx, dy = np.clip(raw[:2], -MAX_SHIFT, MAX_SHIFT)
        return BoxMove(float(dx), float(dy), float(np.clip(raw[2], -MAX_LOG_SCALE, MAX_LOG_SCALE)))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What refiner.npz holds; the weights in half precision."""
        return {
            "sources": np.array(self.sources, dtype=np.str_),
            "geometry": np.stack([r.geometry for r in self.rounds]),
            "weight": np.stack([r.weight for r in self.rounds]).astype(np.float16),
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Refiner:
        """The inverse of `to_arrays`.

        Raises:
            ValueError: see `Refiner`, or the arrays hold different numbers of rounds.
        """
        geometry, weight = arrays["geometry"], arrays["weight"]
        if len(geometry) != len(weight):
            raise ValueError(f"geometry has {len(geometry)} rounds, weight has {len(weight)}")
        rounds = (Round(g.astype(np.float32), w.astype(np.float32)) for g, w in zip(geometry, weight, strict=True))
        return cls(tuple(str(s) for s in arrays["sources"]), tuple(rounds))


@dataclass(frozen=True)
class BoxObservation:
    """What the network answered about one box.

    Attributes:
        source: where the box came from: a detector's name, or any other word for who gave it.
        frame: the box that was looked at.
        outputs: of the network.
        answer: (68, 2) of `seen_shape`, frame of ``frame``.
    """

    source: str
    frame: BoxFrame
    outputs: FaceOutputs
    answer: F64


def next_frames(
    refiner: Refiner,
    observations: Sequence[BoxObservation],
    round_: int = 0,
    min_move: float = 0.0,
    min_move_given: float = math.inf,
) -> list[BoxFrame | None]:
    """The boxes that the network should see next: everything about a round but the network itself.

    Args:
        refiner: of the bundle.
        observations: the last one of each face.
        round_: how often their boxes were moved before.
        min_move: a box that would move by no more (`BoxMove.size`) stays.
        min_move_given: the same for boxes of sources that the refiner was not fitted for, which move as `NOISE`; by
            default none of them moves.

    Returns:
        A box for each face; None where it stays.
    """
    frames: list[BoxFrame | None] = []
    for seen in observations:
        known = seen.source in refiner.sources
        least = min_move if known else min_move_given
        frame = None
        if least < math.inf:
            move = refiner.refine(seen.source if known else NOISE, seen.outputs, seen.answer, round_)
            frame = move.apply(seen.frame) if move.size > least else None
        frames.append(frame)
    return frames


def seen_shape(posterior: Posterior) -> F64:
    """Where the picture shows the landmarks: the answer that the refiner reads, (68, 2) box frame.

    It is where the residual ends, y₀ + r, not the posterior's mean: exemplars far from y₀ take less of r, and about a
    box that is far off, most of them are far.
    """
    return posterior.mixture_mean + posterior.displacement


def answer_geometry(answer: F64) -> F64:
    """Eq. B1: (68, 2) box frame → (4,) c_x − ½, c_y − ½, ln s, 1.

    Raises:
        ValueError: it is not a (68, 2) shape of finite numbers, or all its points are one.
    """
    points = np.asarray(answer, dtype=np.float64)
    if points.shape != (N_LANDMARKS, 2):
        raise ValueError(f"answer has shape {points.shape}, must have ({N_LANDMARKS}, 2)")
    frame = BoxFrame.from_box(tight_box(points))
    return np.array([frame.cx - 0.5, frame.cy - 0.5, math.log(frame.side), 1.0])


def network_inputs(outputs: FaceOutputs) -> F32:
    """(D + C·h·w,) float32: the embedding, then the features."""
    return np.concatenate([outputs.embedding, outputs.features.reshape(-1)])
