"""The fit: the residual's last level, changed for some faces and held still for all that trained it.

    Δ = argmin  mean ‖t − (W + Δ) ĥ‖²  over the user's rows  +  λ tr(Δ C Δᵀ)                                (F3)

W, t, ĥ and C are those of `exalign_engine.calibration.last_level`. The second term is what Δ would cost on the faces
that trained the bundle if each was to be answered as before: so it is the fit to both, without the latter. λ weighs
them; it is the one with the least error on faces that were left out, of those that move others by `MOST_MOVED` at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.calibration.last_level import LastLevel, moved_rms
from exalign_engine.metrics.accuracy import FAILURE, nrmse

#: λ that are tried, from the boldest.
STRENGTHS = tuple(2.0**k for k in range(-4, 10))

#: Parts that the faces are divided into; each in turn is left out.
FOLDS = 6

#: By how much landmarks of other faces may move where nothing else is asked for, box sides, root mean square.
# docs/decisions/fine-tuning.md
MOST_MOVED = 0.005

#: Added to C, as a share of its mean diagonal: directions that no training face has are not free.
RIDGE = 1e-3


@dataclass(frozen=True)
class Sums:
    """What Eq. F3 needs of some rows; sums of parts are sums of the whole.

    Attributes:
        gram: (H + 1, H + 1) Σ ĥ ĥᵀ.
        cross: (136, H + 1) Σ t ĥᵀ.
        rows: how many.
    """

    gram: F64
    cross: F64
    rows: int

    @classmethod
    def of(cls, seen: LastLevel) -> Sums:
        """Of all rows of some crops."""
        h = seen.hidden.reshape(-1, seen.hidden.shape[-1]).astype(np.float64)
        t = seen.target.reshape(len(h), -1)
        return cls(h.T @ h, t.T @ h, len(h))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.gram + other.gram, self.cross + other.cross, self.rows + other.rows)


def fit(sums: Sums, weight: F64, moments: F64, strength: float) -> F64:
    """Δ of Eq. F3, (136, H + 1).

    Args:
        sums: of the user's rows.
        weight: W, (136, H + 1).
        moments: C, (H + 1, H + 1).
        strength: λ.
    """
    gram = sums.gram / sums.rows
    wrong = sums.cross / sums.rows - weight @ gram
    still = moments + RIDGE * np.trace(moments) / len(moments) * np.eye(len(moments))
    return np.asarray(np.linalg.solve(gram + strength * still, wrong.T).T)


def errors(seen: LastLevel, weight: F64) -> F64:
    """(B,) NRMSE of crops about true boxes with another last level."""
    return np.array([nrmse(mean, truth) for mean, truth in zip(seen.means(weight), seen.truth, strict=True)])


def auc(found: F64) -> float:
    """The figure that all accuracy is given in."""
    return float(np.maximum(0.0, 1.0 - found / FAILURE).mean())


def folds(faces: int) -> list[range]:
    """Neighbours stay together: frames of one clip, or pictures of one person, are named alike."""
    edges = np.linspace(0, faces, min(FOLDS, faces) + 1).round().astype(int)
    return [range(a, b) for a, b in pairwise(edges.tolist())]


@dataclass(frozen=True)
class Tried:
    """One strength.

    Attributes:
        strength: λ.
        change: (136, H + 1) Δ, fitted to all faces.
        moved: `moved_rms` of it elsewhere.
        errors: (F,) of each face, by a fit that had not seen it.
        left_out: of each fold, the fit that had not seen it.
    """

    strength: float
    change: F64
    moved: float
    errors: F64
    left_out: Sequence[F64]


def try_strengths(parts: Sequence[LastLevel], plain: LastLevel, weight: F64, moments: F64) -> list[Tried]:
    """Every strength, judged by faces that its fits had not seen.

    Args:
        parts: of each fold (`folds`), its disturbed crops.
        plain: the faces about their true boxes, in order.
        weight: W.
        moments: C.
    """
    sums = [Sums.of(part) for part in parts]
    whole = sum(sums[1:], sums[0])
    held = folds(len(plain))
    tried = []
    for strength in STRENGTHS:
        left_out, found = [], []
        for i, faces in enumerate(held):
            others = [s for j, s in enumerate(sums) if j != i]
            change = fit(sum(others[1:], others[0]), weight, moments, strength)
            left_out.append(change)
            found.append(errors(plain.part(faces), weight + change))
        change = fit(whole, weight, moments, strength)
        tried.append(Tried(strength, change, moved_rms(change, moments), np.concatenate(found), left_out))
    return tried


def best(tried: Sequence[Tried], most_moved: float, faces: Sequence[int] | None = None) -> Tried:
    """The least error on some faces (None: all) of those that move others little; where none does, the kindest."""
    kind = [one for one in tried if one.moved <= most_moved] or [min(tried, key=lambda one: one.moved)]
    return min(kind, key=lambda one: float((one.errors if faces is None else one.errors[list(faces)]).mean()))


@dataclass(frozen=True)
class Chosen:
    """The strength that is taken, and how the faces are answered that took no part in anything.

    Attributes:
        taken: fitted to all faces.
        errors: (F,) of each face, by a fit and a strength that had not seen it.
        left_out: of each fold, that fit.
    """

    taken: Tried
    errors: F64
    left_out: Sequence[F64]


def choose(tried: Sequence[Tried], most_moved: float = MOST_MOVED) -> Chosen:
    """Take a strength by all faces; judge by strengths that are taken without the fold that they answer."""
    held = folds(len(tried[0].errors))
    found, fits = [], []
    for i, fold in enumerate(held):
        one = best(tried, most_moved, [face for j, other in enumerate(held) if j != i for face in other])
        found.append(one.errors[fold.start : fold.stop])
        fits.append(one.left_out[i])
    return Chosen(best(tried, most_moved), np.concatenate(found), fits)
