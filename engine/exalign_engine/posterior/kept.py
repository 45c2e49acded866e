"""Which exemplars of a posterior its views are made of (docs/decisions/hidden-faces.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.libraries.njit import njit
from exalign_engine.posterior.thinning import drawn

#: Moments leave out exemplars that together hold less than this probability.
MOMENT_CUT = 1e-3

#: Where more exemplars than the first are left, as of a face that is hidden, so many stand for all of them. A face in
#: view leaves fewer.
MAX_KEPT, STAND_INS = 4096, 1024


def supported(p: F32) -> NDArray[np.int32]:
    """(S,) ascending, every class with p_k ≥ cut/K, of (K,) probabilities: the others hold less than `MOMENT_CUT`."""
    return np.flatnonzero(p >= _least(p)).astype(np.int32)


def _least(p: F32) -> np.float32:
    return np.float32(MOMENT_CUT / p.shape[0])


@dataclass(frozen=True)
class Support:
    """The exemplars that views are made of: all that are `supported`, or few that stand for them.

    Attributes:
        index: (M,) int32 ascending.
        weights: (M,) float32, sum to 1.
        cut: probability of all others; below `MOMENT_CUT` where all are used that are supported. Else it is large, and
            those that are used stand for those next to them in the spatial order.
        whole: whether all are used that are supported.
    """

    index: NDArray[np.int32]
    weights: F32
    cut: float
    whole: bool = True

    @classmethod
    def of_all(cls, p: F32) -> Support:
        """All that are supported, however many, by (K,) float32 that sums to 1.

        Raises:
            ArithmeticError: it sums to 0, or is not a number.
        """
        return cls._of_rows(p, supported(p))

    @classmethod
    def _of_rows(cls, p: F32, index: NDArray[np.int32]) -> Support:
        weights = p[index]
        mass = float(weights.sum(dtype=np.float64))
        if not mass > 0:  # kernels would read beyond their arrays, and one that raises keeps what it has allocated
            raise ArithmeticError("no exemplar has a probability")
        return cls(index, (weights / np.float32(mass)).astype(np.float32), max(1.0 - mass, 0.0))

    @classmethod
    def of(cls, p: F32, exemplars: Exemplars, held: NDArray[np.int32] | None = None) -> Support:
        """Choose.

        Args:
            p: (K,) float32 that sums to 1.
            exemplars: the classes; their order is read where more than `MAX_KEPT` are supported.
            held: ascending, every class with a probability above 0, where they are known to be few.

        Raises:
            ArithmeticError: see `of_all`.
        """
        if held is not None:
            index = held[p[held] >= _least(p)]
            if len(index) <= MAX_KEPT:
                return cls._of_rows(p, index)
        elif np.count_nonzero(p >= _least(p)) <= MAX_KEPT:
            return cls.of_all(p)
        classes, drawn_weights, mass = _drawn(p, exemplars.order.along, _least(p), STAND_INS)
        sort = np.argsort(classes)
        return cls(classes[sort], drawn_weights[sort], max(1.0 - mass, 0.0), whole=False)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _drawn(p: F32, along: NDArray[np.int32], least: np.float32, count: int) -> tuple[NDArray[np.int32], F32, float]:
    """`thinned` over the classes with p_k ≥ least in an order of all: classes, weights that sum to 1, their Σ p_k."""
    classes, masses, size = np.empty(along.shape[0], np.int32), np.empty(along.shape[0]), 0
    for k in along:
        if p[k] >= least:
            classes[size], masses[size] = k, p[k]
            size += 1
    rows, weights = drawn(masses[:size], count)
    total, held = weights.sum(), 0.0
    for i in rows:
        held += masses[i]
    return classes[rows], (weights / total).astype(np.float32), held


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def entropy_of_many(p: F32) -> float:
    """−Σ p ln p, nats, of (K,) probabilities; in no time where most of them are the same."""
    total, last, log = 0.0, np.float32(0), 0.0
    for v in p:
        if v > 0:
            if v != last:
                last, log = v, math.log(v)
            total -= v * log
    return max(total, 0.0)
