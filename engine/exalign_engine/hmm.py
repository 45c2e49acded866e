"""A hidden Markov model over the exemplars: what a video says about one face (paper §3.4, design §4).

States are the K exemplars, transitions lead to those within τ (`exalign_engine.neighbours`). With e_t the evidence of
frame t, N(j) the exemplars within τ of j and n̄ their mean number, the filter is

    p_t(j) = Σ_{i ∈ N(j)} α_{t−1}(i) / n̄  +  ε Σ_i α_{t−1}(i) / K           α_t(j) ∝ e_t(j)^γ p_t(j)             (F1)

n̄ for all, because rows that sum to 1 would favour rare poses. The second term lets a cut or a re-detection happen
anywhere; it has rank one, so it costs nothing.

**Truncation.** After each frame a belief keeps its M heaviest classes. The others hold the mass c; they are taken to
hold their mean ℓ each. That is carried as one more state, ``rest`` r = Kℓ, spread evenly over all K classes, from where
every class is alike, and the classes that are kept carry what they hold above ℓ. So no kept probability changes, at
most c is misplaced, and what is computed is (F1) with

    p_t(j) = Σ_{i kept, ∈ N(j)} (α_{t−1}(i) − ℓ_{t−1}) / n̄  +  (r_{t−1} + ε) / K         (total mass 1)            (F2)

Kept is the smallest set of the heaviest α_t that leaves out at most `MASS_CUT`, or M of them; with M ≥ K nothing above
2⁻³¹ is left out and (F2) is (F1). Classes with little evidence are not even evaluated: as p_t(j) is at most
p̂ = (1 − r)/n̄ + (r + ε)/K, they hold no more than p̂ Σ e_t(j)^γ, which counts as mass left out.

**Smoothing** runs the same chain backwards, β_T = 1, over what beliefs kept, B_t(j) = e_t(j)^γ β_t(j):

    β_{t−1}(i) = Σ_{j ∈ N(i), kept} B_t(j) / n̄  +  ε/K Σ_{kept} B_t(j)  +  (1 + ε)/K β_t(r) Σ_{left out} e_t(j)^γ
    β_{t−1}(r) =                           (1 + ε)/K [Σ_{kept} B_t(j)  +  β_t(r) Σ_{left out} e_t(j)^γ]             (S1)

and the smoothed belief is α_t β_t over the kept classes and the rest. It reads beliefs and emissions as they were
truncated, nothing else, and is exact where nothing was left out.

**Max-product** is `exalign_engine.hmm_path`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from exalign_engine.heatmap_kernels import mass_floor
from exalign_engine.hmm_path import BestPath, PathState, extend_path, open_path
from exalign_engine.hmm_state import LEAST_WEIGHT, Belief, Emission, LowPass, heaviest_rows, most_members, rounded
from exalign_engine.neighbours import Neighbours

__all__ = [
    "Belief",
    "BestPath",
    "Chain",
    "ChainSettings",
    "Emission",
    "LowPass",
    "PathState",
    "forward_backward",
    "viterbi",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

#: Mass that a belief may leave out even where it could keep more.
MASS_CUT = 2e-3


@dataclass(frozen=True)
class ChainSettings:
    """How states follow each other; chosen on ``val``.

    Attributes:
        teleport: λ > 0, nats: what a jump costs in max-product.
        sharpness: γ > 0: the power of the evidence in the filter and in max-product.
        restart: ε > 0: rank-one term of the filter.
        beam: most states that max-product keeps, ≥ 1.
        members: most classes that a belief keeps, ≥ 1; fewer where they would not fit 64 kB.

    Raises:
        ValueError: naming every field that is out of range.
    """

    teleport: float = 4.0
    sharpness: float = 1.0
    restart: float = 1e-3
    beam: int = 8192
    members: int = 6000

    def __post_init__(self) -> None:
        wrong = [
            f"{f.name} is {value!r}, must be a finite number above 0"
            for f in fields(self)
            if not (math.isfinite(value := getattr(self, f.name)) and value > 0)
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


class Chain:
    """Transitions between the exemplars of one bundle, and the filter. Built once; threads may share it.

    Args:
        shapes: (K, 68, 2) float32, box frame.
        tau: radius, box sides.
        settings: see there.

    Attributes:
        count: K.
        mean_neighbours: n̄, see `exalign_engine.neighbours`.
        members: most classes that a belief keeps, here.

    Raises:
        ValueError: shapes or radius are wrong.
    """

    def __init__(self, shapes: F32, tau: float, settings: ChainSettings | None = None) -> None:
        self._build(Neighbours(shapes, tau), settings or ChainSettings())

    def _build(self, neighbours: Neighbours, settings: ChainSettings) -> None:
        self.neighbours, self.settings = neighbours, settings
        self.count, self.mean_neighbours = neighbours.count, neighbours.mean_count
        self.members = min(settings.members, most_members(self.count))

    def with_settings(self, settings: ChainSettings) -> Chain:
        """The same transitions under other settings; nothing is built anew."""
        other = Chain.__new__(Chain)
        other._build(self.neighbours, settings)
        return other

    def start(self, emission: Emission) -> Belief:
        """The belief after a first frame: before it, all classes are alike."""
        return self.step(Belief(np.zeros(0, np.int32), np.zeros(0, np.float32), 1.0, 0.0), emission)

    def step(self, belief: Belief, emission: Emission) -> Belief:
        """One frame of the filter (Eq. F2), truncated.

        Raises:
            ValueError: the emission is over another number of classes.
        """
        evidence = self._evidence(emission)
        total = float(belief.weights.sum(dtype=np.float64)) + belief.rest
        sources = belief.weights.astype(np.float64) / (total * self.mean_neighbours)
        even = (belief.rest / total + self.settings.restart) / self.count
        most = float(sources.sum()) + even  # p̂
        exact = self.members >= self.count
        everything = float(evidence.sum(dtype=np.float64))
        share, above = 0.0 if exact else MASS_CUT / 4, np.inf
        index, mass = np.zeros(0, np.int32), np.zeros(0)
        while True:
            floor = mass_floor(evidence, share)
            added = np.flatnonzero((evidence >= floor) & (evidence < above)).astype(np.int32)
            prior = self.neighbours.mass(belief.index, sources, added) + even
            index, mass = np.concatenate([index, added]), np.concatenate([mass, evidence[added] * prior])
            found = float(mass.sum())
            unseen = most * float(evidence[evidence < floor].sum(dtype=np.float64))
            if unseen <= MASS_CUT / 2 * found or exact:
                break
            # What is unseen then is surely little enough, as what is found only grows.
            share, above = 0.9 * MASS_CUT / 2 * found / (most * everything), floor
        return self._kept(index, mass, unseen)

    def _kept(self, index: I32, mass: F64, rest: float) -> Belief:
        """Truncate; ``index`` in any order, ``rest`` in the unit of ``mass``."""
        total = float(mass.sum()) + rest
        p = mass / total
        floor = LEAST_WEIGHT
        if self.members < self.count:
            floor = max(floor, mass_floor(p.astype(np.float32), MASS_CUT / 2))
        chosen = np.flatnonzero(p >= floor)
        if len(chosen) > self.members:
            chosen = chosen[heaviest_rows(p[chosen], self.members)]
        chosen = chosen[np.argsort(index[chosen], kind="stable")]
        spare = self.count - len(chosen)
        cut = max(1.0 - float(p[chosen].sum()), 0.0) if spare else 0.0
        level = cut / spare if spare else 0.0
        above = p[chosen] - level
        chosen, above = chosen[above >= LEAST_WEIGHT], above[above >= LEAST_WEIGHT]
        return Belief(index[chosen], rounded(above), level * self.count, cut)

    def smooth(self, beliefs: Sequence[Belief], emissions: Sequence[Emission]) -> list[Belief]:
        """Each frame's posterior given all of these frames (Eq. S1).

        Args:
            beliefs: the filter's, frame by frame.
            emissions: of the same frames; the first one's is not read, it is in the belief.

        Returns:
            One belief a frame; ``cut`` is the filter's.

        Raises:
            ValueError: not as many emissions as beliefs, or one over another number of classes.
        """
        if len(beliefs) != len(emissions):
            raise ValueError(f"{len(beliefs)} beliefs, {len(emissions)} emissions: must be as many")
        found: list[Belief] = []
        after: F64 = np.ones(len(beliefs[-1].index)) if beliefs else np.zeros(0)
        after_rest = 1.0
        for t in range(len(beliefs) - 1, -1, -1):
            belief = beliefs[t]
            joint, rest = belief.weights * after, belief.rest * after_rest
            total = float(joint.sum()) + rest
            p = joint / total
            chosen = p >= LEAST_WEIGHT
            found.append(Belief(belief.index[chosen], rounded(p[chosen]), rest / total, belief.cut))
            if t:
                after, after_rest = self._backwards(beliefs[t - 1], belief, emissions[t], after, after_rest)
        return found[::-1]

    def _backwards(
        self, before: Belief, belief: Belief, emission: Emission, after: F64, after_rest: float
    ) -> tuple[F64, float]:
        """Eq. S1: β_{t−1} over the classes that ``before`` keeps and its rest, up to a common factor."""
        evidence = self._evidence(emission)
        message = evidence[belief.index] * after
        evidence[belief.index] = 0
        left_out = after_rest * float(evidence.sum(dtype=np.float64))
        near = self.neighbours.mass(belief.index, message, before.index) / self.mean_neighbours
        held, e = float(message.sum()), self.settings.restart
        beta = near + (e * held + (1 + e) * left_out) / self.count
        rest = (1 + e) * (held + left_out) / self.count
        scale = max(float(beta.max(initial=0.0)), rest)
        return beta / scale, rest / scale

    def open_path(self, emission: Emission, window: int) -> PathState:
        """Max-product's state after a first frame.

        Args:
            emission: of the frame.
            window: how many frames a path reaches back, ≥ 1.

        Raises:
            ValueError: the window is below 1, or the emission over another number of classes.
        """
        return open_path(self._log(emission), self.settings.teleport, self.settings.beam, window)

    def extend_path(self, path: PathState, emission: Emission) -> PathState:
        """One frame of max-product.

        Raises:
            ValueError: the emission is over another number of classes.
        """
        return extend_path(path, self._log(emission), self.neighbours, self.settings.teleport, self.settings.beam)

    def best_path(self, path: PathState) -> BestPath:
        """The best path found through the last frames."""
        return path.best()

    def _evidence(self, emission: Emission) -> F32:
        """(K,) float32, e_j^γ, largest 1; a copy."""
        log = self._checked(emission)
        if log is None:
            return np.ones(self.count, np.float32)
        return np.asarray(np.exp((log - log.max()) * np.float32(self.settings.sharpness)), dtype=np.float32)

    def _log(self, emission: Emission) -> F64:
        """(K,) float64, γ log e_j."""
        log = self._checked(emission)
        return np.zeros(self.count) if log is None else log.astype(np.float64) * self.settings.sharpness

    def _checked(self, emission: Emission) -> F32 | None:
        if emission.log is not None and emission.log.shape != (self.count,):
            raise ValueError(f"the emission has shape {emission.log.shape}, the chain K = {self.count}")
        return emission.log


def forward_backward(chain: Chain, emissions: Sequence[Emission]) -> list[Belief]:
    """Every frame's posterior given the whole video."""
    beliefs: list[Belief] = []
    for emission in emissions:
        beliefs.append(chain.step(beliefs[-1], emission) if beliefs else chain.start(emission))
    return chain.smooth(beliefs, emissions)


def viterbi(chain: Chain, emissions: Sequence[Emission]) -> BestPath:
    """The best path through a whole video.

    Raises:
        ValueError: the video has no frame.
    """
    if not emissions:
        raise ValueError("a path needs at least one frame")
    path = chain.open_path(emissions[0], len(emissions))
    for emission in emissions[1:]:
        path = chain.extend_path(path, emission)
    return chain.best_path(path)
