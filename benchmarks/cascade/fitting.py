"""Fitting the cascade (`benchmarks.cascade.cascade`) to what a trained network says about training faces.

Level by level, for all examples at once: one ridge regression of what is left to do, shared by all classes; then for
each class a ridge regression of what that leaves, on the examples near the class. An example serves the classes whose
centres are nearest to its start, so that a class has many more examples than are its own (the paper's shared examples);
its mirror image serves the mirrored classes. The penalties are those with the highest AUC on faces that the network has
not seen, chosen level by level.

Measured on ``val`` with a network of K = 143,378 that looks once (AUC of the mixture .754), two crops of each training
face: .790 from the classes' centres, .788 from the mixture's mean. From there the classes' own parts without the shared
one reach .785 at best; beside it they are all but penalised away. No level after the third gains anything.

    train = collect(runtime, model, disturbed_crops(faces, augmenter, 2, seed), flips=True)
    val = collect(runtime, model, plain_crops(others, augmenter))
    cascade, levels = fit_cascade(train, val, pose_classes(bundle.exemplars), bundle.manifest.margin)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.cascade.cascade import COORDINATES, Cascade
from benchmarks.cascade.examples import Examples
from numpy.typing import NDArray

from exalign_engine.exemplars.exemplars import squared_distances
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.metrics.accuracy import FAILURE, nrmse
from exalign_engine.progress import Progress

F32 = NDArray[np.float32]
Floats = NDArray[np.floating]

#: Examples from which principal components are taken.
MAX_COMPONENT_EXAMPLES = 6_000

#: Inputs that vary less than this do not take part.
SMALLEST_DEVIATION = 1e-5


@dataclass(frozen=True)
class CascadeOptions:
    """How large a cascade is, and what it may try.

    Attributes:
        levels: L.
        inputs: p, principal components of the inputs, which a class's own part reads.
        outputs: R, principal components of the outputs.
        serves: classes that an example serves.
        from_centre: the cascade starts from the centre of the class rather than from the start that it is given.
        shared_penalties: of the shared regression, per example; the one for ``val`` is taken.
        own_penalties: of a class's own part, per example of the class, likewise; a level may also do without.
    """

    levels: int = 7
    inputs: int = 32
    outputs: int = 40
    serves: int = 8
    from_centre: bool = True
    shared_penalties: Sequence[float] = (1.0, 3.0, 9.0)
    own_penalties: Sequence[float] = (10.0, 40.0, 160.0, 640.0)


@dataclass(frozen=True)
class LevelFit:
    """The penalties that were chosen for a level, infinite for no own part, and the AUC on ``val`` after it."""

    shared_penalty: float
    own_penalty: float
    auc: float


# Long: its documentation; the levels are fitted in one loop, each from the one before.
def fit_cascade(
    train: Examples,
    val: Examples,
    centres: F32,
    margin: float,
    options: CascadeOptions | None = None,
    progress: Progress | None = None,
) -> tuple[Cascade, list[LevelFit]]:
    """Fit all levels.

    Args:
        train: examples to learn from, best with their mirror images.
        val: examples of other faces, by which the penalties are chosen.
        centres: (K, 68, 2) float32 of `pose_classes`.
        margin: crop side ÷ box side.
        options: sizes and penalties.
        progress: told how many levels are done.

    Returns:
        The cascade, its large matrices rounded as cascade.npz keeps them, and one `LevelFit` a level.

    Raises:
        ValueError: names every option that does not fit the examples.
    """
    o = options or CascadeOptions()
    _check(o, len(centres), train)
    nearest = np.argsort(squared_distances(train.starts, centres), axis=1, kind="stable")[:, : o.serves]
    members = [np.flatnonzero((nearest == k).any(axis=1)) for k in range(len(centres))]
    val_class = squared_distances(val.starts, centres).argmin(axis=1)
    if o.from_centre:
        train, val = replace(train, starts=centres[nearest[:, 0]]), replace(val, starts=centres[val_class])
    mean, scale, projection = _input_components(train, margin, o.inputs)

    shapes, val_shapes, basis = train.starts, val.starts, np.empty((0, COORDINATES), np.float32)
    regressions: list[_Regression] = []
    fits: list[LevelFit] = []
    for level in range(o.levels):
        here = _Place(shapes, (train.inputs(shapes, margin) - mean) * scale, nearest[:, 0])
        there = _Place(val_shapes, (val.inputs(val_shapes, margin) - mean) * scale, val_class)
        left = (train.truths - shapes).reshape(len(train), -1)
        if not level:
            basis = _output_components(here.x, left, o)
        tried = _shared_regressions(here.x, left, basis, projection, len(centres), o)
        best, _ = _best(tried, there, val.truths)
        best, auc = _best([best, *_with_own_part(best, here.x, left, members, o)], there, val.truths)
        regressions.append(best)
        fits.append(LevelFit(*best.penalties, auc))
        shapes, val_shapes = best.moved(here), best.moved(there)
        if progress:
            progress(level + 1)
    cascade = Cascade(
        centres=centres,
        mean=mean,
        scale=scale,
        projection=projection,
        shared=np.stack([r.shared for r in regressions]),
        own=np.stack([r.own for r in regressions]),
        offset=np.stack([r.offset for r in regressions]),
        basis=basis,
        from_centre=o.from_centre,
        margin=margin,
    )
    return cascade, fits


@dataclass(frozen=True)
class _Place:
    """Where examples are before a level: shapes (N, 68, 2), x of Eq. C1 (N, V) and classes (N,)."""

    shapes: Floats
    x: Floats
    classes: NDArray[np.intp]


@dataclass(frozen=True)
class _Regression:
    """One level, by the names of `Cascade`; penalties of the shared part and of the classes' own."""

    projection: F32
    basis: F32
    shared: F32
    own: F32
    offset: F32
    penalties: tuple[float, float]

    def moved(self, at: _Place) -> F32:
        """(N, 68, 2): Eq. C2."""
        answers, z = at.x @ self.shared.T + self.offset[at.classes], at.x @ self.projection.T
        for k in np.unique(at.classes):
            rows = at.classes == k
            answers[rows] += z[rows] @ self.own[k].T
        return np.asarray(at.shapes + (answers @ self.basis).reshape(at.shapes.shape), dtype=np.float32)


def _shared_regressions(
    x: Floats, left: Floats, basis: F32, projection: F32, classes: int, o: CascadeOptions
) -> list[_Regression]:
    """One without own parts for each penalty: inputs (N, V), what is left to do (N, 136)."""
    none = np.zeros((classes, o.outputs, o.inputs), np.float32)
    found = _ridges(x, left @ np.linalg.pinv(basis), o.shared_penalties)
    return [
        _Regression(projection, basis, shared, none, np.tile(constant, (classes, 1)), (penalty, np.inf))
        for penalty, (shared, constant) in zip(o.shared_penalties, found, strict=True)
    ]


def _with_own_part(
    shared: _Regression, x: Floats, left: Floats, members: Sequence[NDArray[np.intp]], o: CascadeOptions
) -> list[_Regression]:
    """For each penalty the regression, and what each class adds to it; nothing where it has no members."""
    z, rest = x @ shared.projection.T, left @ np.linalg.pinv(shared.basis) - x @ shared.shared.T
    parts = [_ridges(z[rows], rest[rows], o.own_penalties) if len(rows) else None for rows in members]
    found = []
    for i, penalty in enumerate(o.own_penalties):
        own, offset = shared.own.copy(), shared.offset.copy()
        for k, part in enumerate(parts):
            if part is not None:
                own[k], offset[k] = part[i]
        found.append(replace(shared, own=own, offset=offset, penalties=(shared.penalties[0], penalty)))
    return found


def _best(tried: Sequence[_Regression], at: _Place, truths: F32) -> tuple[_Regression, float]:
    """The regression after which the AUC is highest, the first of equals; and that AUC."""
    aucs = [auc_of(r.moved(at), truths) for r in tried]
    i = int(np.argmax(aucs))
    return tried[i], aucs[i]


def auc_of(shapes: NDArray[np.floating], truths: NDArray[np.floating]) -> float:
    """AUC of shapes (N, 68, 2) in any frames of their own."""
    errors = [nrmse(shape, truth) for shape, truth in zip(shapes, truths, strict=True)]
    return float(np.maximum(0.0, 1.0 - np.array(errors) / FAILURE).mean())


def _ridges(x: Floats, targets: Floats, penalties: Sequence[float]) -> list[tuple[F32, F32]]:
    """For each penalty the weight (R, V), rounded to half precision, and the constant (R,) of ridge regression.

    Args:
        x: (N, V).
        targets: (N, R).
        penalties: per example; the constant is free of it.
    """
    centre, mean = x.mean(axis=0), targets.mean(axis=0)
    centred = x - centre
    gram, moment = centred.T @ centred, centred.T @ (targets - mean)
    found = []
    for penalty in penalties:
        weight = _half(
            np.linalg.solve(gram + np.float32(penalty * len(x)) * np.eye(len(gram), dtype=x.dtype), moment).T
        )
        found.append((weight, np.asarray(mean - weight @ centre, dtype=np.float32)))
    return found


def _input_components(train: Examples, margin: float, count: int) -> tuple[F32, F32, F32]:
    """m (V,), s (V,) and P (count, V): of the inputs at the starts and at the truths, for levels look in between."""
    rows = np.unique(np.linspace(0, len(train) - 1, MAX_COMPONENT_EXAMPLES).astype(np.intp))
    values = np.concatenate([train.inputs(shapes[rows], margin, rows) for shapes in (train.starts, train.truths)])
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # An input that never changes says nothing, and its rounding errors must not be blown up.
    safe = np.maximum(deviation, SMALLEST_DEVIATION)
    scale = np.where(deviation > SMALLEST_DEVIATION, 1 / safe, 0).astype(np.float32)
    values = (values - mean) * scale
    _, vectors = np.linalg.eigh(values.T @ values)
    return mean, scale, _half(vectors[:, ::-1][:, :count].T)


def _output_components(x: Floats, left: Floats, options: CascadeOptions) -> F32:
    """B (R, 136): principal components of what there is to do before and after the first shared step.

    Later levels have finer work than the first, which would hide it: both count alike. Each component is scaled so
    that targets are of order one.
    """
    ((weight, constant),) = _ridges(x, left, options.shared_penalties[-1:])
    after = left - x @ weight.T - constant
    values = np.concatenate([a / a.std() for a in (left - left.mean(axis=0), after)]) * left.std()
    _, scales, vectors = np.linalg.svd(values, full_matrices=False)
    kept = slice(options.outputs)
    return np.asarray(vectors[kept] * (scales[kept, None] / np.sqrt(len(values))), dtype=np.float32)


def _half(values: NDArray[np.floating]) -> F32:
    """Rounded as cascade.npz keeps them."""
    return values.astype(np.float16).astype(np.float32)


def _check(o: CascadeOptions, classes: int, train: Examples) -> None:
    v = train.local.shape[1] * N_LANDMARKS + train.embedding.shape[1] + COORDINATES
    rules = [
        ("levels", o.levels, o.levels >= 1, "at least 1"),
        ("inputs", o.inputs, 1 <= o.inputs <= v, f"from 1 to the {v} inputs"),
        ("outputs", o.outputs, 1 <= o.outputs <= min(COORDINATES, len(train)), f"from 1 to {COORDINATES} and examples"),
        ("serves", o.serves, 1 <= o.serves <= classes, f"from 1 to the {classes} classes"),
        ("shared_penalties", list(o.shared_penalties), _positive(o.shared_penalties), "one or more above 0"),
        ("own_penalties", list(o.own_penalties), _positive(o.own_penalties), "one or more above 0"),
    ]
    wrong = [f"{name} is {value}, must be {limit}" for name, value, ok, limit in rules if not ok]
    if wrong:
        raise ValueError("; ".join(wrong))


def _positive(values: Sequence[float]) -> bool:
    return bool(values) and all(0 < value < np.inf for value in values)
