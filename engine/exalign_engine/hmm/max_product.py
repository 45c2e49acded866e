"""Max-product over the chain: the most probable path of exemplars (docs/decisions/max-product-pruning.md).

    δ_0(j) = γ ℓ_0(j)        δ_t(j) = γ ℓ_t(j) + max( max_{i ∈ N(j)} δ_{t−1}(i),  max_i δ_{t−1}(i) − λ )          (V1)

ℓ_t is the frame's log emission, N(j) the classes within τ, λ the price of a jump anywhere ("teleport").

Pruning is exact: a source with δ(i) ≤ max δ − λ can never win, and a target with γ ℓ_t(j) ≤ max γ ℓ_t − 2λ never
matters. At most ``beam`` live states are kept. u_t bounds the score of every path through a state that the cap dropped:

    u_t = max( u_{t−1} + max_j γ ℓ_t(j),  best δ_t that the cap drops ),   −∞ where that is ≤ max δ_t − λ          (V2)

No path scores more than max(0, u_t − max δ_t) above the one found: the certificate ``gap``.

Where more than ``exact`` pairs matter, as in a frame that shows nothing, the ``sampled`` best targets by γ ℓ_t are
looked at as in (V1). Of the others only those are that a live state is known to be near
(`exalign_engine.hmm.neighbours`), and from the first such state on. Every score is still that of a path; u_t is at
least max δ_{t−1} plus their best γ ℓ_t.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64, I32
from exalign_engine.hmm.neighbours import Neighbours

_HEAD = struct.Struct("<4sIIdI")
_MAGIC = b"XPT1"


@dataclass(frozen=True)
class PathLimits:
    """What a step may do.

    Attributes:
        penalty: λ.
        beam: most live states.
        exact: most pairs of a source and a target that are looked at.
        sampled: for how many targets all sources are looked at where there are more.
    """

    penalty: float
    beam: int
    exact: int
    sampled: int


@dataclass(frozen=True)
class BestPath:
    """The best path found.

    Attributes:
        classes: (W,) int32, class of each of the last frames, oldest first.
        score: Σ γ ℓ − λ · jumps since the path was opened, also over frames that left the window.
        gap: certificate: no path scores more than ``score + gap``.
    """

    classes: I32
    score: float
    gap: float


@dataclass(frozen=True)
class Column:
    """One frame of the window: the states that a live state descends from.

    Attributes:
        classes: (S,) int32 ascending.
        parents: (S,) int32, rows of the column before; 0 in the oldest.
    """

    classes: I32
    parents: I32


@dataclass(frozen=True)
class PathState:
    """What max-product keeps: live states with their scores, and their ancestors in the window.

    Attributes:
        window: most columns.
        columns: oldest first, at least one.
        scores: (S,) float64, δ of the last column's states.
        lost: u_t of Eq. V2.
    """

    window: int
    columns: tuple[Column, ...]
    scores: F64
    lost: float

    def encode(self) -> bytes:
        """At most 24 + 8 · beam + window · (4 + 8 · beam) bytes; in practice ancestors soon are few."""
        parts = [_HEAD.pack(_MAGIC, self.window, len(self.columns), self.lost, len(self.scores))]
        parts.append(self.scores.astype("<f8").tobytes())
        for column in self.columns:
            parts.append(struct.pack("<I", len(column.classes)))
            parts.append(column.classes.astype("<i4").tobytes() + column.parents.astype("<i4").tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, count: int) -> PathState:
        """Read what `encode` wrote, bit for bit.

        Raises:
            ValueError: not an encoded path over ``count`` classes.
        """
        try:
            magic, window, frames, lost, live = _HEAD.unpack_from(data)
            at = _HEAD.size
            scores = np.frombuffer(data, "<f8", live, at).astype(np.float64)
            at += 8 * live
            columns = []
            for _ in range(frames):
                (n,) = struct.unpack_from("<I", data, at)
                both = np.frombuffer(data, "<i4", 2 * n, at + 4).astype(np.int32)
                columns.append(Column(both[:n], both[n:]))
                at += 4 + 8 * n
        except (struct.error, ValueError) as e:
            raise ValueError(f"not an encoded path: {e}") from e
        state = cls(window, tuple(columns), scores, lost)
        if magic != _MAGIC or at != len(data) or not state._fits(count):
            raise ValueError(f"not an encoded path over {count} classes")
        return state

    def _fits(self, count: int) -> bool:
        if not 1 <= len(self.columns) <= self.window or len(self.columns[-1].classes) != len(self.scores):
            return False
        before = 1
        for c in self.columns:
            if not len(c.classes) or c.classes.min() < 0 or c.classes.max() >= count:
                return False
            if c.parents.min() < 0 or c.parents.max() >= before:
                return False
            before = len(c.classes)
        return True

    def repeated(self) -> PathState:
        """One frame longer, in which every path stays where it is: no evidence, no jump."""
        last = self.columns[-1].classes
        columns = (*self.columns, Column(last, np.arange(len(last), dtype=np.int32)))[-self.window :]
        return PathState(self.window, _ancestors(columns), self.scores, self.lost)

    def best(self) -> BestPath:
        """Follow the back-pointers of the best live state (of equals, the lowest class)."""
        row = int(np.argmax(self.scores))
        score = float(self.scores[row])
        classes = []
        for column in reversed(self.columns):
            classes.append(int(column.classes[row]))
            row = int(column.parents[row])
        return BestPath(np.array(classes[::-1], np.int32), score, max(self.lost - score, 0.0))


def open_path(log: F64, penalty: float, beam: int, window: int) -> PathState:
    """δ_0 of Eq. V1.

    Args:
        log: (K,) float64, γ ℓ_0.
        penalty: λ.
        beam: most live states.
        window: most frames that the path reaches back, ≥ 1.

    Raises:
        ValueError: the window is below 1.
    """
    if window < 1:
        raise ValueError(f"window is {window}, must be at least 1")
    live = np.flatnonzero(log > log.max() - penalty).astype(np.int32)
    kept, dropped = _best(log[live], beam)
    lost = _forget(dropped, float(log.max()), penalty)
    column = Column(live[kept], np.zeros(len(kept), np.int32))
    return PathState(window, (column,), log[live[kept]], lost)


def extend_path(path: PathState, log: F64, neighbours: Neighbours, limits: PathLimits) -> PathState:
    """Eq. V1 with the pruning above.

    Args:
        path: through the frame before.
        log: (K,) float64, γ ℓ_t.
        neighbours: N.
        limits: see there.
    """
    last, m, penalty = path.columns[-1], float(path.scores.max()), limits.penalty
    top = float(log.max())
    # Pruning 2: LB − m − λ = max γℓ − 2λ.
    targets = np.flatnonzero(log > top - 2 * penalty).astype(np.int32)
    # Best first, equals by class (classes ascend, and the sort is stable); pruning 1 was done when the column was made.
    order = np.argsort(-path.scores, kind="stable").astype(np.int32)
    sources = last.classes[order]
    if len(targets) <= limits.sampled or len(sources) * len(targets) <= limits.exact:
        first, passed = neighbours.first(sources, targets), -np.inf
    else:
        targets, first, passed = _first_of_few(sources, log, targets, neighbours, limits.sampled)
    near = np.where(first >= 0, path.scores[order[first]], -np.inf)
    jump = m - penalty
    scores = log[targets] + np.maximum(near, jump)
    parents = np.where(near >= jump, order[first], order[0]).astype(np.int32)
    best = float(scores.max())
    live = np.flatnonzero(scores > best - penalty)
    kept, dropped = _best(scores[live], limits.beam)
    lost = _forget(max(path.lost + top, dropped, m + passed), best, penalty)
    live = live[kept]
    columns = (*path.columns, Column(targets[live], parents[live]))[-path.window :]
    return PathState(path.window, _ancestors(columns), scores[live], lost)


def _first_of_few(sources: I32, log: F64, targets: I32, neighbours: Neighbours, count: int) -> tuple[I32, I32, float]:
    """What is looked at where there are too many targets.

    Args:
        sources: classes of the live states, best first.
        log: (K,) γ ℓ_t.
        targets: classes, ascending.
        neighbours: N.
        count: how many targets are looked at one by one, at most.

    Returns:
        The targets looked at, ascending; the first source of each, -1 where none is known; the best γ ℓ_t of a target
        that was passed over, or whose first source may be another.
    """
    values = log[targets]
    passed = float(np.partition(values, len(values) - count - 1)[len(values) - count - 1])
    # Of those that are all alike, none is better than the others.
    best = values > passed
    first = neighbours.reach(sources)
    first[targets[best]] = neighbours.first(sources, targets[best])
    looked = best | (first[targets] >= 0)
    looked[np.argmax(values)] = True
    return targets[looked], first[targets[looked]], passed


def _best(scores: F64, beam: int) -> tuple[NDArray[np.intp], float]:
    """Rows of the best scores, ascending (of equals the first), and the best of those left out."""
    if len(scores) <= beam:
        return np.arange(len(scores)), -np.inf
    order = np.argsort(-scores, kind="stable")
    return np.sort(order[:beam]), float(scores[order[beam]])


def _forget(lost: float, best: float, penalty: float) -> float:
    """Eq. V2: what cannot win any more is not lost."""
    return lost if lost > best - penalty else -np.inf


def _ancestors(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Drop what no live state descends from; the oldest column's parents are 0."""
    kept = [columns[-1]]
    for column in reversed(columns[:-1]):
        used, row = np.unique(kept[-1].parents, return_inverse=True)
        kept[-1] = Column(kept[-1].classes, row.astype(np.int32))
        kept.append(Column(column.classes[used], column.parents[used]))
        if len(used) == len(column.classes):
            # Nothing of this column went, so nothing before it does.
            kept.extend(reversed(columns[: len(columns) - len(kept)]))
            break
    kept[-1] = Column(kept[-1].classes, np.zeros(len(kept[-1].classes), np.int32))
    return tuple(reversed(kept))
