"""Exemplars: distances, k-means, closure under mirroring and the spread of members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.exemplars.building import SHAPE_UNIT, build, k_means, member_variance
from exalign_engine.exemplars.exemplars import PRIOR_MEMBERS, Exemplars, squared_distances
from exalign_engine.geometry.landmarks import mirror_shapes

if TYPE_CHECKING:
    from toy_faces import MakeShapes

F64 = NDArray[np.float64]

TAU = 0.075


def distances_twin(a: F64, b: F64) -> F64:
    """(A, B) squared distances, one pair at a time in float64."""
    return np.array([[((p - q) ** 2).sum(axis=-1).mean() for q in b] for p in a])


def spread_within(shapes: F64, centres: F64) -> float:
    """Sum over shapes of the squared distance to their nearest centre."""
    return float(distances_twin(shapes, centres).min(axis=1).sum())


def test_squared_distances_agree_with_float64(make_shapes: MakeShapes) -> None:
    a, b = make_shapes(20, 0), make_shapes(30, 1)
    d = squared_distances(a, b)
    assert d.dtype == np.float32
    np.testing.assert_allclose(d, distances_twin(a, b), atol=1e-6)
    assert (squared_distances(a, a) >= 0).all()


def test_all_poses_and_their_mirrors_are_exemplars(make_shapes: MakeShapes) -> None:
    shapes, ids = make_shapes(7, 0), [f"f{i}" for i in range(7)]
    e = build(shapes, ids, TAU, variants=3)
    assert e.count == 2 * 7 * 3
    np.testing.assert_allclose(e.shapes[:7], shapes, atol=SHAPE_UNIT)
    np.testing.assert_allclose(e.shapes[21:28], mirror_shapes(shapes), atol=SHAPE_UNIT)
    assert [e.source_id(k) for k in range(e.count)] == ids * 6


@pytest.mark.parametrize("k", [None, 1, 2, 7, 10, 27, 28])
def test_the_exemplars_are_closed_under_mirroring_for_any_k(make_shapes: MakeShapes, k: int | None) -> None:
    e = build(make_shapes(7, 0), list("abcdefg"), TAU, variants=2, k=k)
    assert e.count == (k or 28)
    assert e.mirror_of[e.mirror_of].tolist() == list(range(e.count))
    np.testing.assert_allclose(e.shapes[e.mirror_of], mirror_shapes(e.shapes), atol=1e-6)
    np.testing.assert_allclose(e.variance[e.mirror_of], e.variance, rtol=1e-3)
    assert (e.variance > 0).all()
    if k not in (None, 28):
        assert {e.source_id(i) for i in range(e.count)} == {""}


@pytest.mark.parametrize("k", [None, 5])
def test_a_seed_gives_the_same_exemplars_and_another_seed_others(make_shapes: MakeShapes, k: int | None) -> None:
    shapes, ids = make_shapes(8, 0), list("abcdefgh")
    first, same, other = (build(shapes, ids, TAU, variants=2, k=k, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.shapes, same.shapes)
    np.testing.assert_array_equal(first.variance, same.variance)
    assert not np.array_equal(first.shapes, other.shapes)


@pytest.mark.parametrize("k", [-1, 0, 33])
def test_k_out_of_range_is_refused_with_the_limit(make_shapes: MakeShapes, k: int) -> None:
    with pytest.raises(ValueError, match=f"k = {k} is not between 1 and the 32"):
        build(make_shapes(8, 0), list("abcdefgh"), TAU, variants=2, k=k)


def test_member_variance_agrees_with_its_slow_twin(make_shapes: MakeShapes) -> None:
    pool = np.concatenate([make_shapes(40, 0), make_shapes(10, 1) * 0.8])
    centres = np.concatenate([pool[:15], make_shapes(5, 2)])
    total, count = np.zeros(20), np.zeros(20)
    for k, centre in enumerate(centres):
        for y in pool:
            d = ((centre - y) ** 2).sum(axis=-1).mean()
            if 0 < d <= TAU**2:  # a class's own face is no member
                total[k] += ((centre - y) ** 2).mean()
                count[k] += 1
    assert count.min() > 0 or count.max() > 5
    prior = total.sum() / count.sum()
    expected = (total + PRIOR_MEMBERS * prior) / (count + PRIOR_MEMBERS)
    np.testing.assert_allclose(member_variance(centres, pool, TAU, block=7), expected, rtol=2e-3)


def test_classes_without_members_borrow_a_spread_above_zero(make_shapes: MakeShapes) -> None:
    shapes = make_shapes(3, 0)
    assert (member_variance(shapes, shapes, 1e-3) > 0).all()


@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_k_means_beats_its_seeds_and_is_never_nan(make_shapes: MakeShapes, k: int) -> None:
    shapes = make_shapes(30, 0)
    seeds, after = (k_means(shapes, k, np.random.default_rng(4), iterations=i) for i in (0, 40))
    assert np.isfinite(after).all()
    assert spread_within(shapes, after) <= spread_within(shapes, seeds) + 1e-9
    if k == 1:
        np.testing.assert_allclose(after[0], shapes.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("distinct", [1, 3])
def test_k_means_survives_fewer_distinct_shapes_than_clusters(make_shapes: MakeShapes, distinct: int) -> None:
    shapes = np.repeat(make_shapes(distinct, 0), 6, axis=0)
    centres = k_means(shapes, 5, np.random.default_rng(0))
    assert np.isfinite(centres).all()
    assert spread_within(shapes, centres) == pytest.approx(0, abs=1e-9)


def test_a_part_has_its_classes_in_the_order_they_were_asked_for(toy_exemplars: Exemplars) -> None:
    chosen = np.array([5, 0, 5])
    part = toy_exemplars.part(chosen)
    assert part.count == 3
    assert (part.shapes == toy_exemplars.shapes[chosen]).all()
    assert (part.variance == toy_exemplars.variance[chosen]).all()
    assert [part.source_id(k) for k in range(3)] == [toy_exemplars.source_id(k) for k in (5, 0, 5)]
    assert part.recipe is None
