"""Filter and smoother against dense float64 twins, and the states that a session keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.hmm.belief import BELIEF_BYTES, TINY, most_members, rounded
from exalign_engine.hmm.chain import Belief, Chain, ChainSettings, Emission, LowPass, forward_backward
from exalign_engine.posterior.thinning import thinned
from hmm_reference import adjacency, forward, smoothed
from properties import examples

F32 = NDArray[np.float32]
PLENTY = examples(40)
seeds = st.integers(0, 2**32 - 1)
TAU = 0.125


def random_shapes(rng: np.random.Generator, count: int) -> F32:
    """(K, 3, 2) in clumps on a coarse grid: many pairs are exactly τ apart, some shapes are equal."""
    centres = rng.normal(0.5, 0.15, (1 + count // 40, 3, 2))
    spread = rng.uniform(0.01, 0.12)
    shapes = centres[rng.integers(0, len(centres), count)] + rng.normal(0, spread, (count, 3, 2))
    return (np.round(shapes * 64) / 64).astype(np.float32)


def random_emissions(rng: np.random.Generator, count: int, frames: int) -> list[Emission]:
    """Peaked, broad, flat, tied, and with classes ruled out; a cut now and then."""
    found = []
    for _ in range(frames):
        log = np.round(rng.normal(0, rng.choice([0.3, 2.0, 8.0]), count) * rng.choice([1, 4])) / 4
        kind, stay = rng.integers(0, 6), float(rng.choice([0.0, 0.3, 0.95]))
        if kind == 0:
            found.append(Emission(None, stay))
            continue
        if kind == 1:
            log[rng.random(count) < 0.5] = -np.inf
            log[rng.integers(count)] = 0.0
        if kind == 2:
            log[:] = -7.0
        if kind == 3:
            log = np.where(np.arange(count) == rng.integers(count), 0.0, -np.inf)
        found.append(Emission(log.astype(np.float32), stay))
    return found


def filtered(chain: Chain, emissions: Sequence[Emission]) -> list[Belief]:
    """The filter's beliefs."""
    beliefs = [chain.start(emissions[0])]
    for emission in emissions[1:]:
        beliefs.append(chain.step(beliefs[-1], emission))
    return beliefs


@PLENTY
@given(seeds, st.one_of(st.integers(1, 5), st.integers(1, 2000)), st.integers(1, 8), st.floats(0.2, 3))
def test_filter_and_smoother_equal_dense_ones(seed: int, count: int, frames: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, frames)
    chosen = ChainSettings(sharpness=sharpness, restart=float(rng.choice([1e-3, 1.0])), members=2000)
    chain, near = Chain(shapes, TAU, chosen), adjacency(shapes, TAU)
    beliefs = filtered(chain, emissions)
    # Every frame rounds weights to 2⁻¹² and leaves out what is below 2⁻³¹.
    tolerance = 4e-4 * frames
    for belief, expected in zip(beliefs, forward(near, chosen, emissions), strict=True):
        np.testing.assert_allclose(belief.probabilities(count), expected, rtol=tolerance, atol=1e-5)
        assert belief.cut < 1e-5
    # A class below 2⁻³¹ that later frames raise is spread with the rest: it is missing here, little as it is.
    for belief, expected in zip(chain.smooth(beliefs), smoothed(near, chosen, emissions), strict=True):
        np.testing.assert_allclose(belief.probabilities(count), expected, rtol=2 * tolerance, atol=1e-4)


@PLENTY
@given(seeds, st.integers(20, 1500), st.floats(0.01, 0.9))
def test_a_truncated_step_misplaces_at_most_the_mass_that_it_states(seed: int, count: int, kept: float) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, 6)
    exact, short = (
        Chain(shapes, TAU, ChainSettings(members=2000)),
        Chain(shapes, TAU, ChainSettings(members=max(1, int(kept * count)))),
    )
    belief = short.start(emissions[0])
    for emission in emissions[1:]:
        after, untruncated = short.step(belief, emission), exact.step(belief, emission)
        assert len(after.index) <= short.members
        moved = np.abs(after.probabilities(count).astype(np.float64) - untruncated.probabilities(count)).sum()
        assert moved <= 2 * after.cut + 1e-3
        belief = after


@PLENTY
@given(seeds, st.integers(1, 400), st.integers(1, 400))
def test_truncated_beliefs_are_smoothed_to_beliefs_again(seed: int, count: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    shapes, emissions = random_shapes(rng, count), random_emissions(rng, count, 6)
    chain = Chain(shapes, TAU, ChainSettings(members=members))
    short = [e.truncated(members) for e in emissions]
    beliefs = filtered(chain, short)
    found = chain.smooth(beliefs)
    for belief in found:
        assert belief.probabilities(count).sum(dtype=np.float64) == pytest.approx(1, abs=1e-4)
        assert Belief.decode(belief.encode(), count).encode() == belief.encode()
    np.testing.assert_array_equal(found[-1].index, beliefs[-1].index)


@PLENTY
@given(seeds, st.integers(1, 600), st.integers(1, 600), st.integers(1, 6))
def test_a_chain_that_was_written_and_read_goes_on_bit_for_bit(seed: int, count: int, members: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = random_shapes(rng, count)
    emissions = [e.truncated(members) for e in random_emissions(rng, count, 7)]
    chain = Chain(shapes, TAU, ChainSettings(members=members))
    beliefs = filtered(chain, emissions)
    again = Chain(shapes, TAU, ChainSettings(members=members))
    resumed = [Belief.decode(b.encode(), count) for b in beliefs[:cut]]
    read = [Emission.decode(e.encode(), count) for e in emissions]
    for emission in read[cut:]:
        resumed.append(again.step(resumed[-1], emission))
    assert [b.encode() for b in resumed] == [b.encode() for b in beliefs]
    whole, later = chain.smooth(beliefs), again.smooth(resumed)
    assert [b.encode() for b in later] == [b.encode() for b in whole]


def test_of_a_flat_belief_nothing_need_be_kept() -> None:
    chain = Chain(random_shapes(np.random.default_rng(2), 300), TAU, ChainSettings(members=10))
    belief = chain.start(Emission(None))
    assert (len(belief.index), belief.rest) == (0, pytest.approx(1))
    np.testing.assert_allclose(belief.probabilities(300), 1 / 300, rtol=1e-6)


def test_truncation_changes_no_heavy_probability() -> None:
    shapes = random_shapes(np.random.default_rng(2), 300)
    emission = Emission(np.random.default_rng(3).normal(0, 1, 300).astype(np.float32))
    whole = Chain(shapes, TAU).start(emission).probabilities(300)
    belief = Chain(shapes, TAU, ChainSettings(members=50)).start(emission)
    assert len(belief.index) == 50
    heavy = np.flatnonzero(whole > 1.01 * belief.weights.min())
    assert len(heavy) >= 3
    np.testing.assert_allclose(belief.probabilities(300)[heavy], whole[heavy], rtol=2e-3)


@PLENTY
@given(seeds, st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_thinned_weights_stand_for_those_around_them(seed: int, size: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    masses = rng.gamma(0.3, size=size) * (rng.random(size) < 0.8)
    if ties:
        masses = np.ceil(2 * masses)
    found, moved = thinned(masses, count)
    assert np.count_nonzero(found) <= count
    assert found.sum() == pytest.approx(masses.sum())
    assert moved == pytest.approx(masses[found == 0].sum())
    if count >= np.count_nonzero(masses):
        np.testing.assert_array_equal(found, masses)
        return
    least = found[found > 0].min()
    heavy = masses > least * (1 + 1e-9)
    np.testing.assert_array_equal(found[heavy], masses[heavy])
    np.testing.assert_allclose(found[(found > 0) & ~heavy], least)
    assert np.abs(np.cumsum(found) - np.cumsum(masses)).max() <= least * (1 + 1e-9)


def test_a_thinned_belief_spreads_as_the_whole_one_does() -> None:
    grid = np.linspace(0, 1, 40, dtype=np.float32)
    x, y = (a.ravel() for a in np.meshgrid(grid, grid))
    shapes = np.repeat(np.stack([x, y], axis=1)[:, None], 3, axis=1)
    seen = Emission((-300 * ((x - 0.3) ** 2 + (y - 0.4) ** 2)).astype(np.float32))
    video = [seen, *[Emission(None)] * 6, Emission((-20 * x).astype(np.float32))]
    exact, short = Chain(shapes, TAU, ChainSettings(members=2000)), Chain(shapes, TAU, ChainSettings(members=100))

    def error(one: Belief, other: Belief) -> float:
        """Total variation once both have moved on a step."""
        spread = [exact.step(b, Emission(None)).probabilities(1600).astype(np.float64) for b in (one, other)]
        return float(np.abs(spread[0] - spread[1]).sum()) / 2

    whole, thin = filtered(exact, video), filtered(short, video)
    assert all(len(b.index) <= 100 for b in thin)
    assert max(error(a, b) for a, b in zip(whole, thin, strict=True)) < 0.1
    smooth = zip(exact.smooth(whole), short.smooth(thin), strict=True)
    assert max(error(a, b) for a, b in smooth) < 0.15


def test_a_chain_that_may_keep_every_class_leaves_out_none() -> None:
    rng = np.random.default_rng(6)
    shapes, emissions = random_shapes(rng, 90), random_emissions(rng, 90, 5)
    some, more = (filtered(Chain(shapes, TAU, ChainSettings(members=m)), emissions) for m in (90, 2000))
    assert [b.encode() for b in some] == [b.encode() for b in more]


@pytest.mark.parametrize("constant", [-1000.0, 64.0, 1000.0])
def test_a_constant_added_to_an_emission_changes_no_bit(constant: float) -> None:
    shapes, log = random_shapes(np.random.default_rng(8), 60), -np.arange(60, dtype=np.float32) / 4
    chain = Chain(shapes, TAU)
    here, there = (chain.start(Emission(log + np.float32(c))) for c in (0.0, constant))
    assert there.encode() == here.encode()


def test_forward_backward_is_filter_then_smoother() -> None:
    rng = np.random.default_rng(4)
    chain, emissions = Chain(random_shapes(rng, 90), TAU), random_emissions(rng, 90, 5)
    expected = chain.smooth(filtered(chain, emissions))
    assert [b.encode() for b in forward_backward(chain, emissions)] == [b.encode() for b in expected]
    assert forward_backward(chain, []) == []


def test_evidence_in_a_later_frame_changes_the_frames_before_it() -> None:
    x = np.linspace(0, 1, 41, dtype=np.float32)
    shapes = np.stack([np.stack([x, 0 * x], axis=1)] * 2, axis=1)
    chain = Chain(shapes, 0.06, ChainSettings(restart=1e-6))
    click = Emission(None).with_likelihood(np.where(np.arange(41) == 5, 0.0, -np.inf))
    before = forward_backward(chain, [Emission(None)] * 3)
    after = forward_backward(chain, [Emission(None), Emission(None), click])
    assert before[0].probabilities(41)[30] > 0.01
    assert after[0].probabilities(41)[30] < 1e-4
    assert after[0].probabilities(41)[3:8].sum() > 0.5


@PLENTY
@given(seeds, st.integers(1, 3000), st.integers(1, 3000))
def test_truncated_emissions_keep_the_best_and_the_total_and_stay(seed: int, count: int, members: int) -> None:
    (emission,) = random_emissions(np.random.default_rng(seed), count, 1)
    short = emission.truncated(members)
    if emission.log is None or short.log is None:
        assert emission.log is short.log is None
        return
    assert Emission.decode(short.encode(), count).encode() == short.encode()
    again = short.truncated(members).log
    assert again is not None
    np.testing.assert_array_equal(again, short.log)
    whole = np.exp(emission.log.astype(np.float64) - emission.log.max())
    kept = np.exp(short.log.astype(np.float64))
    assert kept.sum() == pytest.approx(whole.sum(), rel=0.02)
    best = np.argsort(-emission.log, kind="stable")[: max(members // 2, 1)]
    np.testing.assert_allclose(kept[best], whole[best], rtol=0.02, atol=1e-9)


@PLENTY
@given(seeds, st.integers(2, 3000), st.integers(1, 3000))
def test_an_emission_is_truncated_to_the_same_bits_as_number_by_number(seed: int, count: int, members: int) -> None:
    (emission,) = random_emissions(np.random.default_rng(seed), count, 1)
    short = emission.truncated(members).log
    if emission.log is None or short is None or members >= count:
        return
    log = emission.log - emission.log.max()
    best = np.sort(np.argsort(-log, kind="stable")[:members])
    low = np.delete(log, best)
    floor = np.float32(math.log(float(np.exp(low, dtype=np.float64).mean()) + TINY))
    floor = low[0] if low.max() == low.min() else floor
    expected = np.full(count, floor, np.float32)
    expected[best] = np.maximum(log[best], floor)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(short, expected.astype(np.float16).astype(np.float32))


@PLENTY
@given(seeds, st.integers(1, 500))
def test_any_emission_is_written_without_loss(seed: int, count: int) -> None:
    for emission in random_emissions(np.random.default_rng(seed), count, 4):
        read = Emission.decode(emission.encode(), count)
        assert read.stay == emission.stay
        if emission.log is None:
            assert read.log is None
        else:
            np.testing.assert_array_equal(read.log, emission.log)


@pytest.mark.parametrize("count", [1, 2000, 33_736, 140_000, 1_000_000])
def test_the_largest_belief_fits(count: int) -> None:
    most = min(most_members(count), count)
    spread = np.linspace(0, count - 1, most).astype(np.int32)
    belief = Belief(spread, np.full(most, 2.0**-20, np.float32), 0.5, 0.25, 0.1)
    assert len(belief.encode()) <= BELIEF_BYTES
    read = Belief.decode(belief.encode(), count)
    assert read.encode() == belief.encode()
    assert (read.rest, read.cut, read.stay) == (0.5, 0.25, 0.1)


def test_weights_are_rounded_to_the_nearest_of_twelve_bits() -> None:
    weights = np.random.default_rng(5).uniform(0, 1, 1000)
    short = rounded(weights)
    np.testing.assert_allclose(short, weights, rtol=2.0**-12 * (1 + 1e-6))
    np.testing.assert_array_equal(rounded(short.astype(np.float64)), short)


def test_the_longer_a_chain_stays_the_less_a_blind_frame_spreads_it() -> None:
    chain = Chain(random_shapes(np.random.default_rng(4), 400), TAU, ChainSettings(members=2000))
    belief = chain.start(Emission(np.where(np.arange(400) == 7, 0.0, -20.0).astype(np.float32)))
    kept = [chain.step(belief, Emission(None, stay)).probabilities(400)[7] for stay in (0.0, 0.5, 0.9)]
    assert kept[0] < kept[1] < kept[2]
    assert kept[1] == pytest.approx(0.5 + kept[0] / 2, abs=0.02)


def test_evidence_and_truncation_leave_stay_as_it_was() -> None:
    emission = Emission(np.linspace(-3, 0, 30, dtype=np.float32), 0.4)
    assert emission.with_likelihood(np.linspace(0, 1, 30)).stay == 0.4
    assert emission.truncated(9).stay == 0.4
    assert Emission.of_probabilities(np.ones(3, np.float32), 0.0, 0.3).stay == 0.3


def test_impossible_evidence_leaves_an_emission_as_it_was() -> None:
    emission = Emission(np.array([0.0, -np.inf], np.float32))
    assert emission.with_likelihood(np.array([-np.inf, 0.0])) is emission
    assert Emission(None).with_likelihood(np.full(2, -np.inf)).log is None


def test_a_probability_of_zero_is_floored_and_the_exponent_tempers() -> None:
    log = Emission.of_probabilities(np.array([1.0, 0.25, 0.0], np.float32), 0.5).log
    assert log is not None
    np.testing.assert_allclose(log, [0, np.log(0.5), -10], rtol=1e-5)
    assert Emission.of_probabilities(np.array([1.0, 0.0], np.float32), 0.0).log is None


def test_wrong_emissions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"exponent is 1\.5"):
        Emission.of_probabilities(np.ones(2, np.float32), 1.5)
    for bad in ([0.0, 0.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match="probability"):
            Emission.of_probabilities(np.array(bad, np.float32))
    for log in ([-np.inf, -np.inf], [0.0, np.nan], [0.0, np.inf]):
        with pytest.raises(ValueError, match="finite"):
            Emission(np.array(log, np.float32))
    for stay in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match="stay is"):
            Emission(None, stay)
    chain = Chain(random_shapes(np.random.default_rng(0), 9), TAU)
    with pytest.raises(ValueError, match=r"\(8,\).*K = 9"):
        chain.start(Emission(np.zeros(8, np.float32)))


def test_settings_name_every_field_that_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"teleport is -1.*restart is nan.*beam is 0"):
        ChainSettings(teleport=-1, restart=float("nan"), beam=0)


def test_damaged_states_are_refused() -> None:
    chain = Chain(random_shapes(np.random.default_rng(0), 30), TAU)
    belief = chain.start(Emission(np.linspace(0, 1, 30, dtype=np.float32)))
    emission = Emission(np.linspace(0, 1, 30, dtype=np.float32)).truncated(9)
    for data in (b"", belief.encode()[:-1], belief.encode() + b"\0", b"x" + belief.encode()[1:], emission.encode()):
        with pytest.raises(ValueError, match=r"belief|bytes|classes"):
            Belief.decode(data, 30)
    for data in (b"", emission.encode()[:-1], emission.encode() + b"\0", belief.encode()):
        with pytest.raises(ValueError, match=r"emission|bytes|classes"):
            Emission.decode(data, 30)
    for count in (5, 29):  # its last class is 29
        with pytest.raises(ValueError, match=f"below {count}"):
            Belief.decode(belief.encode(), count)
    assert belief.index[-1] == 29
    twice = Belief(np.full(2, 1000, np.int32), np.full(2, 0.25, np.float32), 0.5, 0.0)
    with pytest.raises(ValueError, match="not 2 ascending classes"):
        Belief.decode(twice.encode(), 2000)


def test_classes_are_written_as_bits_or_as_a_list_whichever_is_shorter() -> None:
    sizes = [
        len(Belief(np.linspace(0, last, 10).astype(np.int32), np.full(10, 0.1, np.float32), 0.0, 0.0).encode())
        for last in (9, 200, 280, 360, 100_000)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_a_belief_keeps_as_many_members_as_the_settings_say_and_fit() -> None:
    shapes = random_shapes(np.random.default_rng(0), 30)
    assert Chain(shapes, TAU).members == 1200
    assert Chain(shapes, TAU, ChainSettings(members=3)).members == 3


def test_low_pass_is_the_mean_of_the_last_three_frames() -> None:
    frames = np.random.default_rng(1).normal(0, 100, (5, 68, 2))
    state = LowPass.empty()
    for t, points in enumerate(frames):
        state = state.push(points)
        np.testing.assert_allclose(state.points, frames[max(t - 2, 0) : t + 1].mean(axis=0))
    with pytest.raises(ValueError, match=r"frames have shape \(4, 68, 2\)"):
        LowPass(frames[:4])
