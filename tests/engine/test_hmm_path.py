"""Max-product against a dense float64 twin: exact without a cap, within its certificate with one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.hmm.chain import Chain, ChainSettings, Emission, PathState, viterbi
from exalign_engine.hmm.max_product import Column
from hmm_reference import adjacency, best_score, score_of
from properties import examples
from test_hmm import TAU, random_emissions, random_shapes

PLENTY = examples(40)
seeds = st.integers(0, 2**32 - 1)
counts = st.one_of(st.integers(1, 5), st.integers(1, 2000))
penalties = st.sampled_from([0.25, 1.0, 4.0, 50.0])


def in_a_row(*places: float) -> np.ndarray:
    """Shapes of three points that all lie at one place each."""
    return np.array(places, np.float32)[:, None, None] * np.ones((1, 3, 2), np.float32)


@PLENTY
@given(seeds, counts, st.integers(1, 8), penalties)
def test_the_path_has_the_best_score_there_is(seed: int, count: int, frames: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, frames)
    chosen = ChainSettings(teleport=penalty, sharpness=0.5, beam=2000)
    near, found = adjacency(shapes, TAU), viterbi(Chain(shapes, TAU, chosen), emissions)
    assert found.gap == 0
    assert found.score == best_score(near, chosen, emissions)
    assert score_of(near, chosen, emissions, found.classes.tolist()) == pytest.approx(found.score, abs=1e-9)


@PLENTY
@given(seeds, counts, st.integers(1, 8), penalties, st.integers(1, 40))
def test_a_capped_path_is_within_its_certificate(seed: int, count: int, frames: int, penalty: float, beam: int) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, frames)
    chosen = ChainSettings(teleport=penalty, beam=beam)
    near, found = adjacency(shapes, TAU), viterbi(Chain(shapes, TAU, chosen), emissions)
    assert 0 <= best_score(near, chosen, emissions) - found.score <= found.gap + 1e-9
    assert score_of(near, chosen, emissions, found.classes.tolist()) == pytest.approx(found.score, abs=1e-9)


def test_a_cap_that_costs_says_so() -> None:
    # Three states in a row; the best of the first frame is far from the best of the second.
    shapes = in_a_row(0.0, 1.0, 1.1)
    emissions = [Emission(np.array(e, np.float32)) for e in ([0.5, 0.0, -9.0], [-9.0, -9.0, 0.0])]
    whole = viterbi(Chain(shapes, 0.2, ChainSettings(teleport=4)), emissions)
    short = viterbi(Chain(shapes, 0.2, ChainSettings(teleport=4, beam=1)), emissions)
    assert (whole.classes.tolist(), whole.score, whole.gap) == ([1, 2], 0.0, 0.0)
    assert (short.classes.tolist(), short.score, short.gap) == ([0, 2], -3.5, 3.5)


def test_where_all_are_alike_and_none_is_near_one_is_taken_and_says_what_it_may_cost() -> None:
    count = 40
    first, second = np.full((2, count), -100.0, np.float32)
    first[0], second[1:] = 0.0, 0.0
    chain = Chain(in_a_row(*range(count)), 0.2, ChainSettings(teleport=4, sampled=4, exact=8))
    found = viterbi(chain, [Emission(first), Emission(second)])
    assert (found.classes.tolist(), found.score, found.gap) == ([0, 1], -4.0, 4.0)


@PLENTY
@given(seeds, st.integers(1, 500), st.integers(1, 12), st.integers(1, 12))
def test_a_window_is_the_end_of_the_whole_path(seed: int, count: int, frames: int, window: int) -> None:
    rng = np.random.default_rng(seed)
    chain, emissions = Chain(random_shapes(rng, count), TAU), random_emissions(rng, count, frames)
    path = chain.open_path(emissions[0], window)
    for emission in emissions[1:]:
        path = chain.extend_path(path, emission)
    found, whole = chain.best_path(path), viterbi(chain, emissions)
    assert found.score == whole.score
    assert found.classes.tolist() == whole.classes[-window:].tolist()


@PLENTY
@given(seeds, st.integers(1, 500), st.integers(1, 7), st.integers(1, 8), st.integers(1, 300))
def test_a_path_that_was_written_and_read_goes_on_bit_for_bit(
    seed: int, count: int, cut: int, window: int, beam: int
) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, 8)
    chain = Chain(shapes, TAU, ChainSettings(beam=beam))
    one = chain.open_path(emissions[0], window)
    two = one
    for t, emission in enumerate(emissions[1:], 1):
        if t == cut:
            two = PathState.decode(two.encode(), count)
        one, two = chain.extend_path(one, emission), chain.extend_path(two, emission)
    assert one.encode() == two.encode()
    assert len(one.encode()) <= 24 + 8 * beam + window * (4 + 8 * beam)


def test_only_ancestors_of_live_states_are_kept() -> None:
    chain = Chain(np.zeros((50, 3, 2), np.float32), TAU)
    path = chain.open_path(Emission(None), 5)
    for _ in range(4):
        path = chain.extend_path(path, Emission(None))
    assert [len(c.classes) for c in path.columns] == [1, 1, 1, 1, 50]


def test_of_equal_paths_the_lowest_classes_win() -> None:
    chain = Chain(np.zeros((50, 3, 2), np.float32), TAU)
    assert viterbi(chain, [Emission(None)] * 3).classes.tolist() == [0, 0, 0]


def test_a_path_needs_a_frame_and_a_window() -> None:
    chain = Chain(np.zeros((5, 3, 2), np.float32), TAU)
    with pytest.raises(ValueError, match="one frame"):
        viterbi(chain, [])
    with pytest.raises(ValueError, match="window is 0"):
        chain.open_path(Emission(None), 0)


def test_damaged_paths_are_refused() -> None:
    chain = Chain(np.zeros((5, 3, 2), np.float32), TAU)
    data = chain.extend_path(chain.open_path(Emission(None), 3), Emission(None)).encode()
    for bad in (b"", data[:-1], data + b"\0", b"x" + data[1:]):
        with pytest.raises(ValueError, match="not an encoded path"):
            PathState.decode(bad, 5)
    with pytest.raises(ValueError, match="over 4 classes"):
        PathState.decode(data, 4)
    two, below = Column(np.array([1, 2], np.int32), np.zeros(2, np.int32)), np.array([-1, 2], np.int32)
    for window, columns in ((1, (two, two)), (3, (Column(below, np.zeros(2, np.int32)),))):
        with pytest.raises(ValueError, match="over 5 classes"):
            PathState.decode(PathState(window, columns, np.zeros(2), 0.0).encode(), 5)
