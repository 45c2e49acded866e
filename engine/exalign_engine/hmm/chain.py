"""A hidden Markov model over the exemplars: what a video says about one face (paper §3.4, design §4).

States are the K exemplars, transitions lead to those within τ (`exalign_engine.hmm.neighbours`). With e_t the evidence
of frame t, N(j) the exemplars within τ of j and n_j their number, j among them, the filter is

    p_t(j) = s α_{t−1}(j) + (1 − s) Σ_{i ∈ N(j)} α_{t−1}(i) / √(n_i n_j) + ε Σ_i α_{t−1}(i) / K
    α_t(j) ∝ e_t(j)^γ p_t(j)                                                                                      (F1)

s is the emission's ``stay``: how much keeps its place where there is reason to believe that little has moved.

**Why 1/√(n_i n_j).** Design §4 has one common 1/n̄ for all, so that rare poses are not favoured, as rows that sum to 1
would do. But then a belief that sees no evidence turns into the leading eigenvector of the neighbour graph, which sits
on its densest pile of exemplars: near the mean face, whatever was seen before. On the ``val`` clips (dense reference,
γ 0.6, hidden phase) the filter's error was .0695 and the smoother's 90 % yaw intervals held the truth in 33 % of
frames; with the symmetric weights they are .0566 and 94 %. Their leading eigenvalue is exactly 1, with √n_j as its
vector: dense places are favoured, but no longer exponentially. They are symmetric, so the smoother uses them as well.

**Truncation.** A belief is M classes with weights a(i) and one more state, ``rest`` r, which is spread evenly over all
K classes and from where every class is alike. What is computed is (F1) with

    p_t(j) = s a_{t−1}(j) + (1 − s) Σ_{i kept, ∈ N(j)} a_{t−1}(i) / √(n_i n_j) + (r_{t−1} + ε) / K                (F2)

(a(j) = 0 where j is not kept; total mass Σ a + r = 1).
After each frame, what all classes have in common, min_j e_t(j)^γ times the last term of (F2), goes to the rest; so do
the lightest classes, as many as together hold at most `MASS_CUT`. If more than M are left, as after frames without
evidence, they are *thinned* (`hmm_state.thinned`): heavy ones keep what they hold, of the others a few stand for those
around them. To keep the M heaviest and forget the places of the others would forget everything in a few hidden frames:
of K = 140k classes, 10,000 can be near one. With M ≥ K only what is below 2⁻³¹ is left out, and (F2) is (F1).

Through six hidden frames at K = 33,736, against the dense filter and smoother: once moved on by (F1), a belief of 1,000
classes is off by a total variation of at most .051 (1,500: .043; 2,000: .036; 6,000: .017), its mean shape by at most
.0023 box sides a landmark (.0018; .0010; .0009).

Classes with little evidence are not even evaluated: with w_i = (1 − s) a(i)/√n_i, the sum of (F2) is at most
min(Σ_i w_i, n_j max_i w_i) / √n_j, as N(j) holds n_j classes, so that a class holds no more than α̂_t(j) = e_t(j)^γ
times that, s a(j) and (r + ε)/K. What α̂ sums to over the classes not evaluated counts as held by the rest.

**Smoothing** gives the mass γ_t of each class back to where (F2) had it from, p_t(j) being what it had, and what the
rest holds to all in proportion, from γ_T = a_T:

    g(j) = γ_t(j) / p_t(j)
    γ_{t−1}(i) = a_{t−1}(i) [ s g(i) + (1 − s) Σ_{j ∈ N(i), kept} g(j) / √(n_i n_j) + ε/K Σ_{kept} g(j) + γ_t(r) ]
    γ_{t−1}(r) = r_{t−1}    [                                         (1 + ε)/K Σ_{kept} g(j) + γ_t(r) ]          (S1)

It sums to 1 as it stands. Without truncation γ is α β of the forward-backward recursion; the classes of a thinned
belief stand for those around them here as well, which a sum of e_t β_t over the kept ones alone would get wrong.

**Max-product** is `exalign_engine.hmm.max_product`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from exalign_engine.heatmaps.kernels import mass_floor
from exalign_engine.hmm.belief import LEAST_WEIGHT, Belief, Emission, LowPass, most_members, rounded, thinned
from exalign_engine.hmm.max_product import BestPath, PathState, extend_path, open_path
from exalign_engine.hmm.neighbours import Neighbours

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
    """How states follow each other.

    teleport, sharpness and restart were tried on ``val``, where little depends on them near these values; beam and
    members were chosen by what a hidden frame costs.

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
    beam: int = 2048
    members: int = 1200

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
        neighbours: which class is near which, and n_k.
        members: most classes that a belief keeps, here.

    Raises:
        ValueError: shapes or radius are wrong.
    """

    def __init__(self, shapes: F32, tau: float, settings: ChainSettings | None = None) -> None:
        self._build(Neighbours(shapes, tau), settings or ChainSettings())

    def _build(self, neighbours: Neighbours, settings: ChainSettings) -> None:
        self.neighbours, self.settings = neighbours, settings
        self.count = neighbours.count
        self._scale = 1 / np.sqrt(neighbours.counts)  # n_k^-½
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
        alpha, rest = _shares(belief)
        moves, stays = 1 - emission.stay, emission.stay * self._spread(belief.index, alpha)
        sources = moves * alpha * self._scale[belief.index]
        even = (rest + self.settings.restart) / self.count
        near = np.minimum(sources.sum(), self.neighbours.counts * sources.max(initial=0.0)) * self._scale + stays
        most = evidence * (near + even).astype(np.float32)  # α̂
        exact = self.members >= self.count
        everything = float(most.sum(dtype=np.float64))
        share, above = 0.0 if exact else MASS_CUT / 4, np.inf
        index, mass = np.zeros(0, np.int32), np.zeros(0)
        while True:
            floor = mass_floor(most, share)
            added = np.flatnonzero((most >= floor) & (most < above)).astype(np.int32)
            prior = self.neighbours.mass(belief.index, sources, added) * self._scale[added] + stays[added] + even
            index, mass = np.concatenate([index, added]), np.concatenate([mass, evidence[added] * prior])
            found = float(mass.sum())
            # Rounded to float32, a bound may be too low by as much.
            unseen = (1 + 2.0**-22) * float(most[most < floor].sum(dtype=np.float64))
            if unseen <= MASS_CUT / 2 * found or exact:
                break
            # What is unseen then is surely little enough, as what is found only grows.
            share, above = 0.9 * MASS_CUT / 2 * found / everything, floor
        return self._kept(index, mass, unseen, 0.0 if exact else even * float(evidence.min()), emission.stay)

    def _kept(self, index: I32, mass: F64, unseen: float, even: float, stay: float) -> Belief:
        """Truncate.

        Args:
            index: classes that were evaluated, in any order.
            mass: (len(index),) their α, in any unit.
            unseen: α of all others, or a bound, in that unit.
            even: what of every class's α is for the rest, in that unit.
            stay: of the emission.
        """
        total = float(mass.sum()) + unseen
        p, level = np.maximum(mass - even, 0.0) / total, even / total
        floor = LEAST_WEIGHT
        if self.members < self.count:
            floor = max(floor, mass_floor(p.astype(np.float32), MASS_CUT / 2))
        chosen = np.flatnonzero(p >= floor)
        index, kept, moved = index[chosen], p[chosen], 0.0
        dropped = max(1.0 - level * self.count - float(kept.sum()), 0.0)
        if len(index) > self.members:
            # In spatial order a class that is left out leaves its mass to one close by.
            order = np.argsort(self.neighbours.rank[index])
            index = index[order]
            kept, moved = thinned(kept[order], self.members)
        rest = level * self.count + dropped
        chosen = np.flatnonzero(kept)
        chosen = chosen[np.argsort(index[chosen])]
        return Belief(index[chosen], rounded(kept[chosen]), rest, min(dropped + moved, 1.0), stay)

    def smooth(self, beliefs: Sequence[Belief]) -> list[Belief]:
        """Each frame's posterior given all of these frames (Eq. S1).

        Args:
            beliefs: the filter's, frame by frame; what the frames said is in them.

        Returns:
            One belief a frame; ``cut`` and ``stay`` are the filter's.
        """
        found: list[Belief] = []
        for t in range(len(beliefs) - 1, -1, -1):
            belief = beliefs[t]
            if t == len(beliefs) - 1:
                mass, rest = _shares(belief)
            chosen = mass >= LEAST_WEIGHT
            found.append(Belief(belief.index[chosen], rounded(mass[chosen]), rest, belief.cut, belief.stay))
            if t:
                mass, rest = self._backwards(beliefs[t - 1], belief, mass, rest)
        return found[::-1]

    def _backwards(self, before: Belief, belief: Belief, mass: F64, rest: float) -> tuple[F64, float]:
        """Eq. S1: γ_{t−1} of the classes that ``before`` keeps and of its rest, from γ_t of ``belief``."""
        alpha, before_rest = _shares(before)
        own, others, e = self._scale[before.index], self._scale[belief.index], self.settings.restart
        stay, moves = belief.stay, 1 - belief.stay
        came = moves * self.neighbours.mass(before.index, alpha * own, belief.index) * others
        came += stay * self._spread(before.index, alpha)[belief.index]
        given = mass / (came + (before_rest + e) / self.count)
        back = moves * self.neighbours.mass(belief.index, given * others, before.index) * own
        back += stay * self._spread(belief.index, given)[before.index]
        even = float(given.sum()) / self.count
        return alpha * (back + e * even + rest), before_rest * ((1 + e) * even + rest)

    def _spread(self, index: I32, values: F64) -> F64:
        """(K,) the values at their classes, 0 elsewhere."""
        found = np.zeros(self.count)
        found[index] = values
        return found

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


def _shares(belief: Belief) -> tuple[F64, float]:
    """What a belief's classes hold and its rest, of a total of 1."""
    total = float(belief.weights.sum(dtype=np.float64)) + belief.rest
    return belief.weights.astype(np.float64) / total, belief.rest / total


def forward_backward(chain: Chain, emissions: Sequence[Emission]) -> list[Belief]:
    """Every frame's posterior given the whole video."""
    beliefs: list[Belief] = []
    for emission in emissions:
        beliefs.append(chain.step(beliefs[-1], emission) if beliefs else chain.start(emission))
    return chain.smooth(beliefs)


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
