"""The regression behind the refiner: ridge on boxes of all sources together, its inputs and penalty chosen on ``val``.

Every source has geometry of its own (A of Eq. B2), W is shared. W is found among the embedding and the principal
components of the features, and put down in the features themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.refiner.refiner import GEOMETRY, BoxObservation, Round, answer_geometry, network_inputs

#: Inputs that are tried, each alone and together.
TRIED = (
    ("box",),
    ("embedding",),
    ("features",),
    ("box", "embedding"),
    ("box", "features"),
    ("box", "embedding", "features"),
)

#: Candidate penalties of standardised inputs, shares of the number of crops. Geometry has none.
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)

#: Principal components of the features that are fitted with, and rows that these are taken from.
COMPONENTS, COMPONENT_ROWS = 256, 1024

#: A move's error counts as that of the four edges: half a change of ln scale moves each of them.
IMPORTANCE = np.array([1.0, 1.0, 0.25])


@dataclass(frozen=True)
class ScoredBoxes:
    """What the network answered about B boxes, and the truth.

    Attributes:
        observations: one a box; ``outputs.scores`` are left out.
        moves: (B, 3) to the true box.
        errors: NRMSE of the answers.
    """

    observations: list[BoxObservation]
    moves: F64
    errors: list[float]

    def subset(self, source: str) -> NDArray[np.intp]:
        """Indices of the boxes of one source."""
        return np.flatnonzero([seen.source == source for seen in self.observations])


def choose_round(train: ScoredBoxes, val: ScoredBoxes, sources: Sequence[str]) -> tuple[Round, dict[str, Any]]:
    """Fit all of `TRIED` with all `PENALTIES` and take what is best on ``val``.

    Args:
        train: what is fitted on.
        val: what chooses: the mean square error of moves, weighed by `IMPORTANCE`, averaged over the sources.
        sources: of the boxes, in the order of the result.

    Returns:
        The round, and a card: ``tried`` with the root of that error in box sides, ``inputs`` and ``penalty`` chosen.
    """
    system, (b, x) = _System.of(train, sources), _design(val, sources)
    tried: list[tuple[float, dict[str, Any], Round]] = []
    for inputs in TRIED:
        for penalty in PENALTIES if inputs != ("box",) else PENALTIES[:1]:
            fitted = system.solve(inputs, penalty)
            geometry = fitted.geometry.transpose(0, 2, 1).reshape(-1, 3)
            off = (b @ geometry + x @ fitted.weight.T - val.moves) ** 2 @ IMPORTANCE
            error = float(np.sqrt(np.mean([off[val.subset(source)].mean() for source in sources])))
            row = {"inputs": "+".join(inputs), "penalty": penalty, "val_error": round(error, 6)}
            tried.append((error, row, fitted))
    _, row, fitted = min(tried, key=lambda t: t[0])
    best = {t["inputs"]: min(o["val_error"] for _, o, _ in tried if o["inputs"] == t["inputs"]) for _, t, _ in tried}
    return fitted, {"inputs": row["inputs"], "penalty": row["penalty"], "val_error": row["val_error"], "tried": best}


def fit_geometry(seen: ScoredBoxes, weight: F32) -> F32:
    """A of Eq. B2 for boxes of one more source, where W stays as it is.

    Args:
        seen: boxes of that source alone.
        weight: W of the round.

    Returns:
        (3, 4) float32.
    """
    b = np.stack([answer_geometry(look.answer) for look in seen.observations])
    said = np.stack([weight @ network_inputs(look.outputs) for look in seen.observations])
    geometry = np.zeros((3, 4), np.float32)
    for row, allowed in enumerate(GEOMETRY):
        # As in a fit of all sources: the mean of what the network says has to be taken off dx too.
        terms = np.flatnonzero(allowed | (np.array([False, False, False, True]) & bool(weight.any())))
        geometry[row, terms] = np.linalg.lstsq(b[:, terms], seen.moves[:, row] - said[:, row], rcond=None)[0]
    return geometry


@dataclass(frozen=True)
class _System:
    """Normal equations of Eq. B2 over [geometry of each source | embedding | components of the features].

    Attributes:
        gram: of these inputs.
        cross: of them and the moves.
        centre: mean of what the network says.
        basis: (V, D + P) from what the network says, less that mean, to the embedding and the components.
        count: of boxes.
        sources: S.
        embedding: D.
    """

    gram: F64
    cross: F64
    centre: F64
    basis: F64
    count: int
    sources: int
    embedding: int

    @classmethod
    def of(cls, seen: ScoredBoxes, sources: Sequence[str]) -> _System:
        b, x = _design(seen, sources)
        embedding = seen.observations[0].outputs.embedding.size
        centre, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        # What never varies says nothing; dividing by its spread would.
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
        part = (x[:: -(-len(x) // COMPONENT_ROWS), embedding:] - centre[embedding:]) * scale[embedding:]
        components = _components(part)
        basis = np.zeros((len(centre), embedding + components.shape[1]))
        basis[:embedding, :embedding] = np.diag(scale[:embedding])
        basis[embedding:, embedding:] = scale[embedding:, None] * components
        z = np.concatenate([b, (x - centre) @ basis], axis=1)
        return cls(z.T @ z, z.T @ seen.moves, centre, basis, len(z), len(sources), embedding)

    def solve(self, inputs: Sequence[str], penalty: float) -> Round:
        """Ridge regression from some of the inputs of `TRIED`."""
        s, v = self.sources, self.basis.shape[1]
        read = np.zeros(v, dtype=bool)
        read[: self.embedding] = "embedding" in inputs
        read[self.embedding :] = "features" in inputs
        solution = np.zeros((4 * s + v, 3))
        # A trace of a penalty where there is none, for a source whose boxes cannot tell all its terms apart.
        ridge = np.concatenate([np.full(4 * s, 1e-9), np.full(v, penalty)]) * self.count
        constant = np.array([False, False, False, True])
        for allowed, columns in ((GEOMETRY[0], slice(0, 1)), (GEOMETRY[1], slice(1, 3))):
            terms = allowed if "box" in inputs else allowed & constant
            # A mean of what the network says, which is not zero, has to be taken off dx too.
            terms = terms | constant if read.any() else terms
            used = np.flatnonzero(np.concatenate([np.tile(terms, s), read]))
            if len(used):
                matrix = self.gram[np.ix_(used, used)] + np.diag(ridge[used])
                solution[used, columns] = np.linalg.solve(matrix, self.cross[used, columns])
        weight = (self.basis @ solution[4 * s :]).T
        geometry = solution[: 4 * s].reshape(s, 4, 3).transpose(0, 2, 1).copy()
        geometry[:, :, 3] -= weight @ self.centre
        return Round(geometry.astype(np.float32), weight.astype(np.float32))


def _components(x: F64) -> F64:
    """(F, P) orthonormal directions in which (R, F) rows vary most, P ≤ `COMPONENTS`."""
    values, rows = np.linalg.eigh(x @ x.T)
    kept = np.flatnonzero(values > 1e-6 * max(values[-1], 1e-12))[-COMPONENTS:]
    return np.asarray(x.T @ (rows[:, kept] / np.sqrt(values[kept])), dtype=np.float64)


def _design(seen: ScoredBoxes, sources: Sequence[str]) -> tuple[F64, F32]:
    """(B, 4·S) Eq. B1 in the columns of each one's source, and (B, V) what the network says."""
    b = np.zeros((len(seen.observations), len(sources), 4))
    for row, look in zip(b, seen.observations, strict=True):
        row[list(sources).index(look.source)] = answer_geometry(look.answer)
    return b.reshape(len(b), -1), np.stack([network_inputs(look.outputs) for look in seen.observations])
