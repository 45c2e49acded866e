"""Fitting the cascade: it learns, treats mirrored faces alike, and chooses what it is told to choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.cascade.cascade import Cascade
from benchmarks.cascade.examples import Examples
from benchmarks.cascade.fitting import CascadeOptions, auc_of, fit_cascade
from numpy.typing import NDArray

from exalign_engine.geometry.landmarks import GROUPS, mirror_shapes
from exalign_engine.metrics.accuracy import nrmse
from exalign_engine.posterior.residual import ImageFeatures

if TYPE_CHECKING:
    from toy_faces import MakeShapes

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

N, MARGIN, SIDE = 68, 1.3, 16
#: Few enough that a test takes a second.
SMALL = CascadeOptions(
    levels=2, inputs=10, outputs=20, serves=3, from_centre=False, shared_penalties=(0.01, 0.1), own_penalties=(0.1, 1e6)
)


def seen(shapes: F64) -> ImageFeatures:
    """What a network would see that draws each group of landmarks softly: its mirror image for a mirrored shape."""
    cells = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) * MARGIN + 0.5
    near = np.exp(-((shapes[:, None, :] - cells[None, :, None]) ** 2) / (2 * 0.07**2))  # (68, SIDE, 2)
    spots = np.einsum("nj,ni->nij", near[:, :, 0], near[:, :, 1])
    local = np.stack([spots[list(group)].sum(axis=0) for group in GROUPS.values()])
    return ImageFeatures(np.ptp(shapes, axis=0).astype(np.float32), local.astype(np.float32))


def examples(truths: F64, seed: int, flips: bool = True) -> Examples:
    """Starts that are off by what the classes' shapes are made of, each followed by its mirror image."""
    rng = np.random.default_rng([seed, 5])
    starts = truths + 0.5 * (truths[rng.permutation(len(truths))] - truths)
    pairs = list(zip(truths, starts, strict=True))
    if flips:
        pairs = [p for t, s in pairs for p in ((t, s), (mirror_shapes(t), mirror_shapes(s)))]
    images = [seen(t) for t, _ in pairs]
    return Examples(
        np.stack([i.local for i in images]).astype(np.float16),
        np.stack([i.embedding for i in images]),
        np.stack([s for _, s in pairs]).astype(np.float32),
        np.stack([t for t, _ in pairs]).astype(np.float32),
    )


@pytest.fixture(scope="module")
def centres(make_shapes: MakeShapes) -> F32:
    half = make_shapes(3, 8)
    return np.concatenate([half, mirror_shapes(half)]).astype(np.float32)


@pytest.fixture(scope="module")
def train(make_shapes: MakeShapes) -> Examples:
    return examples(make_shapes(120, 1), 1)


@pytest.fixture(scope="module")
def val(make_shapes: MakeShapes) -> Examples:
    return examples(make_shapes(30, 2), 2, flips=False)


def answers(c: Cascade, of: Examples) -> F64:
    rows = zip(of.embedding, of.local.astype(np.float32), of.starts.astype(np.float64), strict=True)
    return np.stack([start + c.displacement(ImageFeatures(e, m), start) for e, m, start in rows])


@pytest.mark.parametrize("from_centre", [False, True])
def test_each_level_brings_faces_that_it_has_not_seen_nearer(
    train: Examples, val: Examples, centres: F32, from_centre: bool
) -> None:
    progress: list[int] = []
    options = replace(SMALL, from_centre=from_centre)
    c, fits = fit_cascade(train, val, centres, MARGIN, options, progress.append)
    assert c.from_centre == from_centre
    assert progress == [1, 2]
    aucs = [auc_of(val.starts, val.truths), *(fit.auc for fit in fits)]
    assert aucs[1] > aucs[0] + 0.1
    assert aucs[2] > aucs[1]
    # What is stored does what the fit saw.
    assert auc_of(answers(c, val), val.truths) == pytest.approx(aucs[2], abs=1e-4)


@pytest.mark.parametrize("from_centre", [False, True])
def test_a_mirrored_picture_has_the_mirrored_displacement(
    train: Examples, val: Examples, centres: F32, from_centre: bool
) -> None:
    c, _ = fit_cascade(train, val, centres, MARGIN, replace(SMALL, from_centre=from_centre))
    flipped = [seen(mirror_shapes(t)) for t in val.truths.astype(np.float64)]
    mirrored = replace(
        val,
        local=np.stack([i.local for i in flipped]).astype(np.float16),
        starts=mirror_shapes(val.starts).astype(np.float32),
    )
    np.testing.assert_allclose(answers(c, mirrored), mirror_shapes(answers(c, val)), atol=1e-3)
    # The bound means something: the displacements are much larger.
    assert np.abs(answers(c, val) - val.starts).mean() > 5e-3


def test_a_level_does_without_its_own_part_where_that_helps_no_one(
    train: Examples, val: Examples, centres: F32
) -> None:
    # With labels drawn by lot there is nothing that a class could know.
    rng = np.random.default_rng(1)
    lot = replace(train, truths=train.starts + rng.normal(0, 0.02, train.starts.shape).astype(np.float32))
    options = replace(SMALL, levels=1, shared_penalties=(1e4,), own_penalties=(1e-4,))
    c, (fit,) = fit_cascade(lot, val, centres, MARGIN, options)
    assert fit.own_penalty == np.inf
    assert not c.own.any()
    np.testing.assert_array_equal(c.offset[0], np.tile(c.offset[0, 0], (len(centres), 1)))


def test_the_penalty_is_the_one_that_is_best_on_val(train: Examples, val: Examples, centres: F32) -> None:
    options = replace(SMALL, levels=1, own_penalties=(1e6,))
    fits = {}
    for penalty in (0.1, 1e5):
        _, (fits[penalty],) = fit_cascade(train, val, centres, MARGIN, replace(options, shared_penalties=(penalty,)))
    _, (both,) = fit_cascade(train, val, centres, MARGIN, replace(options, shared_penalties=(1e5, 0.1)))
    assert fits[0.1].auc > fits[1e5].auc
    assert both.shared_penalty == 0.1


def test_all_wrong_options_are_named_at_once(train: Examples, val: Examples, centres: F32) -> None:
    options = CascadeOptions(levels=0, inputs=10_000, outputs=137, serves=7, shared_penalties=(), own_penalties=(0.0,))
    with pytest.raises(
        ValueError, match=r"levels is 0, must be at least 1; inputs is 10000, must be from 1 to the 478"
    ):
        fit_cascade(train, val, centres, MARGIN, options)
    with pytest.raises(ValueError, match=r"outputs is 137.*serves is 7.*shared_pen.*own_penalties is"):
        fit_cascade(train, val, centres, MARGIN, options)


def test_the_auc_is_that_of_the_metrics(val: Examples) -> None:
    errors = [nrmse(a, b) for a, b in zip(val.starts, val.truths, strict=True)]
    assert auc_of(val.starts, val.truths) == pytest.approx(np.maximum(0, 1 - np.array(errors) / 0.08).mean())
