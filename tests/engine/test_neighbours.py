"""Nearness without lists: exactly the rule ‖µ_i − µ_j‖ ≤ τ, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.hmm.neighbours import ENOUGH, Neighbours
from hmm_reference import adjacency
from properties import examples

F32 = NDArray[np.float32]
PLENTY = examples(40)
seeds = st.integers(0, 2**32 - 1)


def cloud(seed: int, count: int, landmarks: int, grid: bool) -> F32:
    """(K, N, 2) shapes in a few clumps; on a grid many distances are equal, and many are τ exactly."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.5, 0.1, (1 + count // 50, landmarks, 2))
    shapes = centres[rng.integers(0, len(centres), count)] + rng.normal(
        0, rng.uniform(0.01, 0.1), (count, landmarks, 2)
    )
    return (np.round(shapes * 16) / 16 if grid else shapes).astype(np.float32)


@PLENTY
@given(seeds, st.integers(1, 400), st.sampled_from([1, 2, 3, 68]), st.booleans(), st.sampled_from([0.0625, 0.1, 0.125]))
def test_nearness_is_the_exact_rule_on_every_pair(
    seed: int, count: int, landmarks: int, grid: bool, tau: float
) -> None:
    shapes = cloud(seed, count, landmarks, grid)
    near, found = adjacency(shapes, tau), Neighbours(shapes, tau)
    rng = np.random.default_rng(seed)
    sources = rng.permutation(count)[: 1 + count // 2].astype(np.int32)
    targets = np.arange(count, dtype=np.int32)
    # Powers of two in float64 add up without rounding: a sum names the set.
    for start in range(0, len(sources), 50):
        some = sources[start : start + 50]
        powers = 2.0 ** np.arange(len(some))
        np.testing.assert_array_equal(found.mass(found.sources(some), powers, targets), powers @ near[some])
        again = found.mass_of(found.near(found.sources(some), targets), found.sources(some), powers[::-1])
        np.testing.assert_array_equal(again, powers[::-1] @ near[some])
    first = [next((s for s, i in enumerate(sources) if near[i, j]), -1) for j in targets]
    np.testing.assert_array_equal(found.first(sources, targets), first)


@PLENTY
@given(seeds, st.integers(1, 2000))
def test_mass_is_the_dense_sum(seed: int, count: int) -> None:
    shapes = cloud(seed, count, 4, False)
    weights = np.random.default_rng(seed).random(count)
    everyone = np.arange(count, dtype=np.int32)
    expected = weights @ adjacency(shapes, 0.08)
    found = Neighbours(shapes, 0.08)
    np.testing.assert_allclose(found.mass(found.sources(everyone), weights, everyone), expected, rtol=1e-12)


def test_far_from_the_origin_nearness_is_as_exact() -> None:
    shapes = cloud(3, 300, 2, True) + np.float32(1000)
    everyone = np.arange(300, dtype=np.int32)
    near = Neighbours(shapes, 0.125)
    found = near.mass(near.sources(everyone), np.ones(300), everyone)
    np.testing.assert_array_equal(found, adjacency(shapes, 0.125).sum(axis=0))


@PLENTY
@given(seeds, st.integers(1, 500), st.booleans())
def test_counts_of_few_classes_are_exact(seed: int, count: int, grid: bool) -> None:
    shapes = cloud(seed, count, 3, grid)
    np.testing.assert_array_equal(Neighbours(shapes, 0.125).counts, adjacency(shapes, 0.125).sum(axis=0))


def test_counts_of_many_classes_are_near_the_truth_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exalign_engine.hmm.neighbours.COUNTED", 1000)
    monkeypatch.setattr("exalign_engine.hmm.neighbours.SAMPLED", 256)
    shapes = cloud(6, 5000, 2, False)
    one, two = (Neighbours(shapes, 0.05).counts for _ in range(2))
    np.testing.assert_array_equal(one, two)
    truth = adjacency(shapes, 0.05).sum(axis=0)
    off = np.log(one / truth)
    assert np.sqrt((off**2).mean()) < ENOUGH**-0.5
    assert np.abs(off).max() < 5 * ENOUGH**-0.5
    assert abs(off.mean()) < 0.03
    rare = truth <= ENOUGH
    assert rare.any()
    np.testing.assert_array_equal(one[rare], truth[rare])
    assert (one >= 1).all()


def test_a_class_that_is_not_in_the_part_counted_is_not_taken_off_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exalign_engine.hmm.neighbours.COUNTED", 100)
    monkeypatch.setattr("exalign_engine.hmm.neighbours.SAMPLED", 40)
    # All are near each other: each part says so, whoever is in it.
    counts = Neighbours(np.full((300, 5, 2), 0.5, np.float32), 0.1).counts
    np.testing.assert_allclose(counts, 300, rtol=1e-12)


def test_without_sources_nothing_is_near() -> None:
    found = Neighbours(cloud(1, 9, 2, False), 0.1)
    none, some = np.zeros(0, np.int32), np.arange(9, dtype=np.int32)
    np.testing.assert_array_equal(found.mass(found.sources(none), np.zeros(0), some), np.zeros(9))
    np.testing.assert_array_equal(found.first(none, some), np.full(9, -1))
    assert len(found.mass(found.sources(some), np.ones(9), none)) == len(found.first(some, none)) == 0


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), float("inf")])
def test_a_radius_must_be_finite_and_above_zero(tau: float) -> None:
    with pytest.raises(ValueError, match="tau"):
        Neighbours(cloud(1, 9, 2, False), tau)


def test_shapes_must_be_points_and_finite() -> None:
    with pytest.raises(ValueError, match=r"\(0, 68, 2\)"):
        Neighbours(np.zeros((0, 68, 2), np.float32), 0.1)
    with pytest.raises(ValueError, match="not finite"):
        Neighbours(np.full((2, 68, 2), np.nan, np.float32), 0.1)
