"""Few weights that stand for many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.libraries.njit import njit


def heaviest_rows(values: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Rows of the largest values, ascending; of equals, the first. Fast where most are as small as the smallest."""
    if count >= len(values):
        return np.arange(len(values))
    limit = values.min()
    others = values[values > limit]
    if len(others) >= count:  # of many that are equal, a partition takes ten times as long
        limit = np.partition(others, len(others) - count)[len(others) - count]
    above = np.flatnonzero(values > limit)
    equal, reach = np.zeros(0, np.intp), count
    while len(equal) < count - len(above):
        reach *= 4
        equal = np.flatnonzero(values[:reach] == limit)
    return np.sort(np.concatenate([above, equal[: count - len(above)]]))


def thinned(masses: F64, count: int) -> tuple[F64, float]:
    """Leave at most ``count`` of many weights, so that sums over stretches of them stay (Fearnhead & Clifford 2003).

    With c so that Σ_i min(m_i/c, 1) = ``count``, what weighs more than c stays as it is. Along the others, laid end to
    end, every c-th place is marked from c/2 on: what is marked weighs c, what is not nothing. So the sum of any stretch
    changes by less than c at either end.

    Args:
        masses: (N,) float64 ≥ 0, in an order in which neighbours may stand for each other.
        count: ≥ 1.

    Returns:
        (N,) float64 of the same sum, at most ``count`` above 0; and the mass of those that are 0 now.
    """
    if np.count_nonzero(masses) <= count:
        return masses, 0.0
    top = heaviest_rows(masses, count)
    top = top[np.argsort(-masses[top], kind="stable")]
    heavy = masses[top]
    others = masses.sum() - (np.cumsum(heavy) - heavy)
    # How many stay: the next one would weigh no more than c. One place at least is left for the others.
    kept = int(np.argmax(heavy * np.arange(count, 0, -1) <= others))
    found, light = np.zeros(len(masses)), masses.copy()
    light[top[:kept]] = 0
    along, marks = np.cumsum(light), count - kept
    marked = np.searchsorted(along, (np.arange(marks) + 0.5) * (along[-1] / marks))
    np.add.at(found, marked, along[-1] / marks)
    moved = float(light[found == 0].sum())
    found[top[:kept]] = heavy[:kept]
    return found, moved


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _lighter(masses: F64, most: float) -> tuple[int, float]:
    """How many weights are above 0 and at most ``most``, and their sum."""
    count, total = 0, 0.0
    for m in masses:
        taken = (m > 0.0) & (m <= most)
        count += taken
        total += m if taken else 0.0
    return count, total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def drawn(masses: F64, count: int) -> tuple[NDArray[np.intp], F64]:
    """What `thinned` leaves, but for rounding: compiled, without a sort, for very many weights.

    Args:
        masses: (N,) float64 ≥ 0, some above 0, in an order in which neighbours may stand for each other.
        count: ≥ 1.

    Returns:
        Rows, ascending, at most ``count``, and their weights, of the same sum within 1e-9 of it.
    """
    held, total = _lighter(masses, np.inf)
    # c falls with what is heavier than it, until nothing more is. One place at least is left for the others.
    places, step = count, total / count
    if held <= count:
        places, step = 0, 0.0
    while places:
        lighter, rest = _lighter(masses, step)
        left = count - (held - lighter)
        if left == places or left < 1:
            break
        places, step = left, rest / left
    rows, weights = np.empty(min(held, count), np.intp), np.empty(min(held, count))
    size, along, marked = 0, 0.0, 0
    for i in range(masses.shape[0]):
        m = masses[i]
        if m > step:
            rows[size], weights[size] = i, m
            size += 1
            continue
        along += m
        if marked < places and (marked + 0.5) * step < along:
            marked += 1
            rows[size], weights[size] = i, step
            size += 1
    return rows[:size], weights[:size]
