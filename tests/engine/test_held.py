"""Sums over few of many classes, and passes over all of them: the same bits as NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from exalign_engine.arrays import F64
from exalign_engine.evidence.suggestion import systematic
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.hmm.passes import most_mass, without
from exalign_engine.posterior.held import BLOCK, LANES, entropy, sparse_sum, sum_of_squares
from exalign_engine.posterior.kept import MAX_KEPT, Support
from exalign_engine.posterior.thinning import heaviest_rows

#: Around every place where the order of a sum changes, and K of the default bundle.
COUNTS = sorted(
    {1, 2, LANES - 1, LANES, LANES + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3, 1000}
    | {8191, 8192, 8193, 17_161, 143_378}
)


def magnitudes(rng: np.random.Generator, count: int) -> F64:
    """Numbers of very different size: added in another order they have another sum."""
    return np.exp(rng.normal(-10, 6, count))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 1.0])
def test_zeros_may_be_left_out_of_a_sum(count: int, share: float) -> None:
    rng = np.random.default_rng(count)
    p = (magnitudes(rng, count) * (rng.random(count) < share)).astype(np.float32)
    held = np.flatnonzero(p).astype(np.int32)
    squares = np.square(p, dtype=np.float64)
    assert sparse_sum(squares[held], held, count) == squares.sum() == sum_of_squares(p, None)
    assert sum_of_squares(p, held) == squares.sum()


@pytest.mark.parametrize("places", [[], [0], [1, 2, 3, 40], [0, 49], list(range(50))])
def test_what_is_taken_out_leaves_the_rest_in_order(places: list[int]) -> None:
    values, out = np.random.default_rng(1).random(50).astype(np.float32), np.array(places, np.int32)
    np.testing.assert_array_equal(without(values, out), np.delete(values, places))


def test_the_most_that_a_class_may_hold_is_rounded_as_in_numpy() -> None:
    rng, count = np.random.default_rng(2), 20_000
    evidence, counts = magnitudes(rng, count).astype(np.float32), np.floor(np.exp(rng.normal(5, 2, count))) + 1
    index = np.sort(rng.choice(count, 150, replace=False)).astype(np.int32)
    alpha, scale, even = rng.random(150) / 75, 1 / np.sqrt(counts), 1.3e-8
    sources = 0.7 * alpha * scale[index]
    stays = np.zeros(count)
    stays[index] = 0.3 * alpha
    near = np.minimum(sources.sum(), counts * sources.max()) * scale + stays
    found = most_mass(evidence, counts, scale, float(sources.sum()), float(sources.max()), even, index, 0.3 * alpha)
    np.testing.assert_array_equal(found, evidence * (near + even).astype(np.float32))


@pytest.mark.parametrize("members", [1, 40, MAX_KEPT + 500])
def test_what_is_known_to_hold_everything_changes_no_bit(members: int) -> None:
    rng, count = np.random.default_rng(members), 9000
    shapes, nothing = rng.normal(0.5, 0.1, (count, 68, 2)).astype(np.float32), np.full(count, -1, np.int32)
    exemplars = Exemplars(shapes, np.ones(count, np.float32), nothing, nothing, ())
    p = np.zeros(count, np.float32)
    held = np.sort(rng.choice(count, members, replace=False)).astype(np.int32)
    p[held] = rng.random(members) ** 3 + 1e-3
    p /= p.sum()
    assert entropy(p, held) == entropy(p, None)
    known, plain = Support.of(p, exemplars, held), Support.of(p, exemplars)
    assert (known.cut, known.whole) == (plain.cut, plain.whole)
    np.testing.assert_array_equal(known.index, plain.index)
    np.testing.assert_array_equal(known.weights, plain.weights)
    for drawn, expected in zip(systematic(p, 64, held), systematic(p, 64), strict=True):
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("count", [1, 5, 40, 399])
def test_of_many_that_are_equal_the_first_are_heaviest(count: int) -> None:
    rng = np.random.default_rng(count)
    for values in (np.zeros(400), np.round(rng.random(400), 1), np.maximum(rng.normal(0, 1, 400), 1.0)):
        expected = np.sort(np.argsort(-values, kind="stable")[:count])
        np.testing.assert_array_equal(heaviest_rows(values, count), expected)
