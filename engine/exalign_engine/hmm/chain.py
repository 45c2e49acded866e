"""A hidden Markov model over the exemplars (paper §3.4; docs/architecture.md#hmm; docs/decisions/hmm-filter.md).

States are the K exemplars, transitions lead to those within τ (`exalign_engine.hmm.neighbours`). e_t is the emission of
frame t, N(j) the exemplars within τ of j, j among them, and n_j their number. s is the emission's ``stay``. The filter:

    p_t(j) = s α_{t−1}(j) + (1 − s) Σ_{i ∈ N(j)} α_{t−1}(i) / √(n_i n_j) + ε Σ_i α_{t−1}(i) / K
    α_t(j) ∝ e_t(j)^γ p_t(j)                                                                                      (F1)

**Truncation.** A belief is M classes with weights a(i), and a rest r that is spread evenly over all K classes; total
mass Σ a + r = 1. With a(j) = 0 where j is not kept, p_t of (F1) becomes

    p_t(j) = s a_{t−1}(j) + (1 − s) Σ_{i kept, ∈ N(j)} a_{t−1}(i) / √(n_i n_j) + (r_{t−1} + ε) / K                (F2)

Then min_j e_t(j)^γ times the last term of (F2) goes to the rest. So do the lightest classes, as many as together hold
at most `MASS_CUT`. If more than M are left, they are thinned (`exalign_engine.posterior.thinning.thinned`). With M ≥ K
only weights below 2⁻³¹ are left out, and (F2) is (F1).

**Wide steps.** Where the sum of (F2) would be taken for too many classes, as in a frame that shows nothing, it is taken
for ``sampled`` of them (docs/decisions/hidden-faces.md). With S(j) that sum and Q(j) a guess of
e_t(j)^γ S(j), the thinned Q' is above 0 for so many classes. There S(j) Q'(j)/Q(j) takes the place of S(j), and stands
for the classes around as well; elsewhere it is 0. All other terms of (F2) are taken for all classes. What stands for
others is part of the belief's ``cut``.

**Smoothing** returns the mass γ_t of each class to where (F2) had it from, starting at γ_T = a_T:

    g(j) = γ_t(j) / p_t(j)
    γ_{t−1}(i) = a_{t−1}(i) [ s g(i) + (1 − s) Σ_{j ∈ N(i), kept} g(j) / √(n_i n_j) + ε/K Σ_{kept} g(j) + γ_t(r) ]
    γ_{t−1}(r) = r_{t−1}    [                                         (1 + ε)/K Σ_{kept} g(j) + γ_t(r) ]          (S1)

It sums to 1 as it stands. Without truncation γ is α β of the forward-backward recursion. With it, a sum of e_t β_t over
the kept classes would be wrong: the classes of a thinned belief stand for those around them.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from exalign_engine.arrays import F32, F64, I32
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.spatial_order import SpatialOrder
from exalign_engine.heatmaps.kernels import mass_floor
from exalign_engine.hmm.belief import LEAST_WEIGHT, Belief, Emission, LowPass, most_members, rounded, shares, values_at
from exalign_engine.hmm.max_product import BestPath, PathLimits, PathState, extend_path, open_path
from exalign_engine.hmm.neighbours import Neighbours, Sources
from exalign_engine.hmm.passes import most_mass, without
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.posterior.thinning import drawn, thinned
from exalign_engine.tables.store import Tables

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


#: Mass that a belief may leave out even where it could keep more (docs/decisions/hmm-filter.md).
MASS_CUT = 2e-3

#: Stretches of the spatial order along which the guess of a wide step is even, and what it has everywhere at least, as
#: a share of its mean (docs/decisions/hidden-faces.md).
STRETCHES, FLOOR = 280, 0.05


@dataclass(frozen=True)
class ChainSettings:
    """How states follow each other.

    Attributes:
        teleport: λ > 0, nats: the price of a jump in max-product.
        sharpness: γ > 0: the power of the evidence in the filter and in max-product.
        restart: ε > 0: rank-one term of the filter.
        beam: most states that max-product keeps, ≥ 1.
        members: most classes that a belief keeps, ≥ 1; fewer where they would not fit 64 kB.
        exact: most pairs of a class that has mass and one that may get some which a step looks at; so in max-product.
        sampled: for how many it is taken where there are more, ≥ 1 (see "Wide steps").
        wide_members: most classes that a belief keeps after such a step, ≥ 1.

    Raises:
        ValueError: naming every field that is out of range.
    """

    # docs/decisions/hmm-filter.md
    teleport: float = 4.0
    sharpness: float = 1.0
    restart: float = 1e-3
    beam: int = 2048
    members: int = 1200
    # docs/decisions/hidden-faces.md
    exact: int = 5_000_000
    sampled: int = 1024
    wide_members: int = 512

    def __post_init__(self) -> None:
        wrong = [
            f"{f.name} is {value!r}, must be a finite number above 0"
            for f in fields(self)
            if not (math.isfinite(value := getattr(self, f.name)) and value > 0)
        ]
        if wrong:
            raise ValueError("; ".join(wrong))


class _Known:
    """What a chain has found out about a belief.

    Attributes:
        sources: its classes, to compare others with.
        before: the belief that it came from, which may be gone.
        came: (M,) what (F2) gave its classes from those of ``before``.
        near: which of its classes are near which of those of ``before``.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources, self.came, self.near = sources, np.zeros(0), np.zeros((0, 0), np.uint64)
        self.before: Callable[[], Belief | None] = lambda: None


class Chain:
    """Transitions between the exemplars of one bundle, and the filter. Built once; threads may share it.

    Args:
        shapes: (K, 68, 2) float32, box frame.
        tau: radius, box sides.
        settings: see there.
        order: of the same shapes, where it is at hand.
        tables: where what follows from shapes and radius is kept; None: nowhere.

    Attributes:
        count: K.
        neighbours: which class is near which, and n_k.
        members: most classes that a belief keeps, here.

    Raises:
        ValueError: shapes or radius are wrong.
    """

    def __init__(
        self,
        shapes: F32,
        tau: float,
        settings: ChainSettings | None = None,
        order: SpatialOrder | None = None,
        tables: Tables | None = None,
    ) -> None:
        self.neighbours, self.settings = Neighbours(shapes, tau, order, tables), settings or ChainSettings()
        self.count = self.neighbours.count
        self._scale = 1 / np.sqrt(self.neighbours.counts)  # n_k^-½
        self.members = min(self.settings.members, most_members(self.count))

    @classmethod
    def of_exemplars(cls, exemplars: Exemplars, tau: float) -> Chain:
        """That of a bundle's exemplars, with what is known of them already."""
        return cls(exemplars.shapes, tau, order=exemplars.order, tables=exemplars.tables)

    def start(self, emission: Emission) -> Belief:
        """The belief after a first frame: before it, all classes are alike."""
        return self.step(Belief(np.zeros(0, np.int32), np.zeros(0, np.float32), 1.0, 0.0), emission)

    def step(self, belief: Belief, emission: Emission) -> Belief:
        """One frame of the filter (Eq. F2), truncated.

        Raises:
            ValueError: the emission is over another number of classes.
        """
        evidence = self._evidence(emission)
        alpha, rest = shares(belief)
        moves, stays = 1 - emission.stay, emission.stay * alpha
        sources = moves * alpha * self._scale[belief.index]
        even = (rest + self.settings.restart) / self.count
        total, peak = float(sources.sum()), float(sources.max(initial=0.0))
        most = most_mass(evidence, self.neighbours.counts, self._scale, total, peak, even, belief.index, stays)
        exact = self.members >= self.count
        share, above = 0.0 if exact else MASS_CUT / 4, np.inf
        index, mass = np.zeros(0, np.int32), np.zeros(0)
        while True:
            floor = mass_floor(most, share)
            added = np.flatnonzero(most >= floor if above == np.inf else (most >= floor) & (most < above)).astype(
                np.int32
            )
            if not exact and len(sources) * (len(index) + len(added)) > self.settings.exact:
                everywhere = np.zeros(self.count)
                everywhere[belief.index] = stays
                return self._wide_step(belief, sources, evidence, everywhere, even, emission.stay)
            near = self.neighbours.mass(self._known(belief).sources, sources, added) * self._scale[added]
            prior = near + values_at(belief.index, stays, added) + even
            index, mass = np.concatenate([index, added]), np.concatenate([mass, evidence[added] * prior])
            found = float(mass.sum())
            # Rounded to float32, a bound may be too low by as much. A later floor is no higher.
            unseen = (1 + 2.0**-22) * float(without(most, np.sort(index)).sum(dtype=np.float64))
            if unseen <= MASS_CUT / 2 * found or exact:
                break
            # The next round ends: the mass found only grows.
            share, above = 0.9 * MASS_CUT / 2 * found / float(most.sum(dtype=np.float64)), floor
        return self._kept(index, mass, unseen, 0.0 if exact else even * float(evidence.min()), emission.stay)

    def _wide_step(self, belief: Belief, sources: F64, evidence: F32, stays: F64, even: float, stay: float) -> Belief:
        """`step` where the sum of (F2) is taken for a part of the classes.

        Args:
            belief: before it.
            sources: (M,) what each of its classes hands on.
            evidence: (K,) e^γ.
            stays: (K,) mass that stays.
            even: what every class gets.
            stay: of the emission.
        """
        targets, counts = self._sampled(belief.index, sources, evidence)
        sums = self.neighbours.mass(self._known(belief).sources, sources, targets) * self._scale[targets]
        near = stays.copy()
        near[targets] += counts * sums
        mass, level = evidence * (near + even), even * float(evidence.min())
        chosen = np.flatnonzero(mass > level).astype(np.int32)
        others = float((evidence[targets] * (np.maximum(counts - 1, 0) * sums)).sum())
        return self._kept(chosen, mass[chosen], level * (self.count - len(chosen)), level, stay, others)

    def _sampled(self, index: I32, sources: F64, evidence: F32) -> tuple[I32, F64]:
        """Classes for which the sum of (F2) is taken in a wide step, and for how many each counts.

        The guess is even along stretches of the spatial order: what `Neighbours.spread` finds there, and `FLOOR`.
        """
        along = self.neighbours.order.along
        guess = (self.neighbours.spread(index, sources) * self._scale)[along]
        length = -(-self.count // STRETCHES)
        starts = np.arange(0, self.count, length)
        sizes = np.diff(starts, append=self.count)
        guess = np.repeat(np.add.reduceat(guess, starts) / sizes, sizes)
        guess = (guess + FLOOR * guess.mean()) * evidence[along]
        chosen, weights = drawn(guess, self.settings.sampled)
        return along[chosen], weights / guess[chosen]

    def _kept(
        self, index: I32, mass: F64, unseen: float, even: float, stay: float, others: float | None = None
    ) -> Belief:
        """Truncate.

        Args:
            index: classes that were evaluated, in any order.
            mass: (len(index),) their α, in any unit.
            unseen: α of all others, or a bound, in that unit.
            even: what of every class's α is for the rest, in that unit.
            stay: of the emission.
            others: of a wide step, α that these classes hold for others, in that unit.
        """
        total = float(mass.sum()) + unseen
        members = self.members if others is None else min(self.members, self.settings.wide_members)
        p, level = np.maximum(mass - even, 0.0) / total, even / total
        floor = LEAST_WEIGHT
        if self.members < self.count:
            floor = max(floor, mass_floor(p.astype(np.float32), MASS_CUT / 2))
        chosen = np.flatnonzero(p >= floor)
        index, kept, moved = index[chosen], p[chosen], 0.0
        dropped = max(1.0 - level * self.count - float(kept.sum()), 0.0)
        if len(index) > members:
            # In spatial order a class that is left out leaves its mass to one close by.
            order = np.argsort(self.neighbours.rank[index])
            index = index[order]
            kept, moved = thinned(kept[order], members)
        rest = level * self.count + dropped
        chosen = np.flatnonzero(kept)
        chosen = chosen[np.argsort(index[chosen])]
        cut = min(dropped + moved + (others or 0.0) / total, 1.0)
        return Belief(index[chosen], rounded(kept[chosen]), rest, cut, stay)

    def smooth(self, beliefs: Sequence[Belief], check: Check = unchecked) -> list[Belief]:
        """Each frame's posterior given all of these frames (Eq. S1).

        Args:
            beliefs: the filter's, frame by frame; they hold all that the frames contributed.
            check: called before each frame.

        Returns:
            One belief a frame; ``cut`` and ``stay`` are the filter's.
        """
        found: list[Belief] = []
        for t in range(len(beliefs) - 1, -1, -1):
            check()
            belief = beliefs[t]
            if t == len(beliefs) - 1:
                mass, rest = shares(belief)
            chosen = mass >= LEAST_WEIGHT
            found.append(Belief(belief.index[chosen], rounded(mass[chosen]), rest, belief.cut, belief.stay))
            if t:
                mass, rest = self._backwards(beliefs[t - 1], belief, mass, rest)
        return found[::-1]

    def _backwards(self, before: Belief, belief: Belief, mass: F64, rest: float) -> tuple[F64, float]:
        """Eq. S1: γ_{t−1} of the classes that ``before`` keeps and of its rest, from γ_t of ``belief``."""
        alpha, before_rest = shares(before)
        e, stay, known = self.settings.restart, belief.stay, self._known_after(before, belief, alpha)
        given = mass / (known.came + (before_rest + e) / self.count)
        others, own = self._scale[belief.index], self._scale[before.index]
        back = (1 - stay) * self.neighbours.mass_of(known.near, known.sources, given * others) * own
        back += stay * values_at(belief.index, given, before.index)
        even = float(given.sum()) / self.count
        return alpha * (back + e * even + rest), before_rest * ((1 + e) * even + rest)

    def _known_after(self, before: Belief, belief: Belief, alpha: F64) -> _Known:
        """What is known about a belief and the one before it; found out once.

        Within a lag every pair of frames is smoothed as often as there are frames after it.
        """
        known = self._known(belief)
        if known.before() is not before:
            own, others = self._scale[before.index], self._scale[belief.index]
            sums = self.neighbours.mass(self._known(before).sources, alpha * own, belief.index)
            known.came = (1 - belief.stay) * sums * others
            known.came += belief.stay * values_at(before.index, alpha, belief.index)
            known.near = self.neighbours.near(known.sources, before.index)
            known.before = weakref.ref(before)
        return known

    def _known(self, belief: Belief) -> _Known:
        """What this chain has found out about a belief."""
        known: _Known | None = belief.known.get(self)
        if known is None:
            known = belief.known[self] = _Known(self.neighbours.sources(belief.index))
        return known

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
        chosen = self.settings
        limits = PathLimits(chosen.teleport, chosen.beam, chosen.exact, chosen.sampled)
        return extend_path(path, self._log(emission), self.neighbours, limits)

    def best_path(self, path: PathState) -> BestPath:
        """The best path found through the last frames."""
        return path.best()

    def _evidence(self, emission: Emission) -> F32:
        """(K,) float32, e_j^γ, largest 1; a copy."""
        log = self._checked(emission)
        if log is None:
            return np.ones(self.count, np.float32)
        top = log.max()
        shifted: F32 = log - top if top else log  # a crop's has 0
        if self.settings.sharpness != 1:
            shifted = shifted * np.float32(self.settings.sharpness)
        return np.exp(shifted)

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
