"""Steps of the filter and of max-product where too many classes matter, against dense float64 twins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.exemplars.spatial_order import SpatialOrder
from exalign_engine.hmm.chain import STRETCHES, Belief, Chain, ChainSettings, Emission, viterbi
from exalign_engine.hmm.neighbours import ENOUGH, Neighbours
from hmm_reference import adjacency, best_score, evidence, score_of, transition
from properties import examples

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
PLENTY = examples(40)
seeds = st.integers(0, 2**32 - 1)

#: Exemplars in the plane, about 60 of them near each.
K, TAU = 3000, 0.08


def plane(seed: int, count: int = K) -> F32:
    """(K, 2, 2) two landmarks of one place, anywhere in the unit square."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.uniform(0, 1, (count, 1, 2)), 2, axis=1).astype(np.float32)


def peak(shapes: F32, at: Sequence[float], width: float, stay: float = 0.0) -> Emission:
    squared = np.square(shapes[:, 0].astype(np.float64) - at).sum(axis=1)
    return Emission((-squared / (2 * width**2)).astype(np.float32), stay)


def dense_step(near: NDArray[np.bool_], settings: ChainSettings, before: F64, emission: Emission) -> F64:
    alpha = evidence(emission, len(near), settings.sharpness) * (before @ transition(near, settings, emission.stay))
    return np.asarray(alpha / alpha.sum())


@pytest.mark.parametrize("sight", ["none", "broad"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_wide_step_is_near_the_dense_one(seed: int, sight: str) -> None:
    """Total variation once both have moved on a step, and the mean shape, through six frames; seen: 0.040 and 0.007."""
    shapes = plane(seed)
    near, settings = adjacency(shapes, TAU), ChainSettings(exact=1, sampled=250, members=300)
    chain, free = Chain(shapes, TAU, settings), Emission(None)
    belief = chain.start(peak(shapes, (0.4, 0.5), 0.03))
    dense = evidence(peak(shapes, (0.4, 0.5), 0.03), K, 1.0)
    dense = dense / dense.sum()
    for t in range(6):
        emission = Emission(None, 0.9 - 0.15 * t) if sight == "none" else peak(shapes, (0.4 + 0.02 * t, 0.5), 0.25)
        belief, dense = chain.step(belief, emission), dense_step(near, settings, dense, emission)
        p = belief.probabilities(K).astype(np.float64)
        moved = [dense_step(near, settings, q, free) for q in (p, dense)]
        assert np.abs(moved[0] - moved[1]).sum() / 2 < 0.08
        assert np.linalg.norm((p - dense) @ shapes[:, 0]) < 0.014
        assert belief.cut <= 1
    assert belief.cut > 0.05


def test_a_step_into_few_classes_is_the_one_by_one_sum() -> None:
    shapes = plane(4)
    narrow, wide = peak(shapes, (0.4, 0.5), 0.02), peak(shapes, (0.6, 0.5), 1.0)
    exact = Chain(shapes, TAU, ChainSettings(exact=10**9, members=300))
    usual = Chain(shapes, TAU, ChainSettings(exact=50_000, members=300), SpatialOrder.of(shapes))
    one, other = (c.step(c.start(narrow), narrow) for c in (exact, usual))
    assert one.encode() == other.encode()
    assert exact.step(one, wide).encode() != usual.step(other, wide).encode()


def test_what_a_frame_rules_out_is_not_held_by_the_rest_either() -> None:
    shapes = plane(7)
    chain = Chain(shapes, TAU, ChainSettings(exact=100, sampled=200, members=300))
    belief = Belief(np.arange(0, K, 50, dtype=np.int32), np.full(60, 0.5 / 60, np.float32), 0.5, 0.0)
    after = chain.step(belief, peak(shapes, (0.4, 0.5), 0.1))
    assert after.rest < 0.05
    far = np.linalg.norm(shapes[:, 0] - np.array([0.4, 0.5]), axis=1) > 0.5
    assert after.probabilities(K)[far].sum() < 0.05


def test_what_stays_of_a_class_is_not_drawn_by_lot() -> None:
    shapes = plane(5)
    chain = Chain(shapes, TAU, ChainSettings(exact=100, sampled=20, members=300))
    belief = Belief(np.array([7, 900], np.int32), np.array([0.75, 0.25], np.float32), 0.0, 0.0)
    after = chain.step(belief, Emission(None, 0.9)).probabilities(K)
    assert after[7] == pytest.approx(0.9 * 0.75, abs=0.05)
    assert after[900] == pytest.approx(0.9 * 0.25, abs=0.05)


def test_a_class_that_is_left_over_where_stretches_end_is_drawn_as_others_are() -> None:
    # All stretches of the spatial order have eleven classes but the last, which has this one alone.
    count, alone = 270 * 11 + 1, 270 * 11
    assert -(-count // STRETCHES) == 11
    # Far away on one side or on the other it is the last one.
    both = (np.concatenate([plane(6, alone), np.full((1, 2, 2), far, np.float32)]) for far in (3.0, -3.0))
    shapes = next(each for each in both if SpatialOrder.of(each).along[-1] == alone)
    chain = Chain(shapes, TAU, ChainSettings(exact=100, sampled=20, members=300))
    belief = Belief(np.array([7, alone], np.int32), np.array([0.5, 0.5], np.float32), 0.0, 0.0)
    assert chain.step(belief, Emission(None)).probabilities(count)[alone] == pytest.approx(0.5, abs=0.1)


@PLENTY
@given(seeds, st.integers(1, 900))
def test_the_neighbours_that_are_known_are_neighbours_and_as_many_as_there_are(seed: int, count: int) -> None:
    shapes = plane(seed, count)
    near, found = adjacency(shapes, TAU), Neighbours(shapes, TAU)
    counts, some, held = found._census
    np.testing.assert_array_equal(counts, near.sum(axis=0))
    np.testing.assert_array_equal(held, np.minimum(counts - 1, ENOUGH))
    for k in range(count):
        mine = some[k, : held[k]]
        assert k not in mine
        assert len(set(mine.tolist())) == len(mine)
        assert near[k, mine].all()


@PLENTY
@given(seeds, st.integers(1, 900))
def test_spread_mass_has_the_sum_of_the_exact_one_and_lies_where_that_does(seed: int, count: int) -> None:
    shapes, rng = plane(seed, count), np.random.default_rng(seed)
    near, found = adjacency(shapes, TAU), Neighbours(shapes, TAU)
    sources = rng.permutation(count)[: 1 + count // 3].astype(np.int32)
    weights = rng.random(len(sources))
    spread, exact = found.spread(sources, weights), weights @ near[sources]
    assert spread.sum() == pytest.approx(exact.sum())
    assert (exact[spread > 0] > 0).all()
    if count <= ENOUGH:
        np.testing.assert_allclose(spread, exact)
    reached = found.reach(sources)
    for j in np.flatnonzero(reached >= 0):
        assert near[sources[reached[j]], j]
    np.testing.assert_array_equal(reached >= 0, spread > 0)


@PLENTY
@given(seeds, st.integers(5, 300), st.integers(1, 12), st.integers(1, 40), st.integers(1, 40))
def test_a_short_sighted_path_is_a_path_and_its_certificate_holds(
    seed: int, count: int, frames: int, exact: int, sampled: int
) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = plane(seed, count), []
    for _ in range(frames):
        log = np.round(rng.normal(0, rng.choice([0.3, 3.0]), count) * 4) / 4
        if rng.random() < 0.4:
            log[:] = 0
        if rng.random() < 0.3:
            log[rng.random(count) < 0.8] = -np.inf
            log[rng.integers(count)] = 0
        emissions.append(Emission(log.astype(np.float32)))
    settings = ChainSettings(beam=20, exact=exact, sampled=min(sampled, exact))
    near, found = adjacency(shapes, TAU), viterbi(Chain(shapes, TAU, settings), emissions)
    classes = [int(k) for k in found.classes]
    # Of two ways between the same classes the better one counts; the path's own may be the other.
    assert found.score <= score_of(near, settings, emissions, classes) + 1e-9
    best = best_score(near, settings, emissions)
    assert found.score <= best + 1e-9
    assert best <= found.score + found.gap + 1e-9


def test_while_nothing_is_seen_the_best_path_stays_exact() -> None:
    shapes = plane(6)
    chain = Chain(shapes, TAU, ChainSettings(exact=200, sampled=100))
    seen = peak(shapes, (0.4, 0.5), 0.02)
    assert viterbi(chain, [seen, *[Emission(None)] * 5]).gap == 0
