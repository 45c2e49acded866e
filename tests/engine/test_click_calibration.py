"""What clicks really buy: the line through them, and what suggestions make of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.calibration import Calibration
from exalign_engine.click_calibration import _line, _normal_equations
from exalign_engine.exemplars import Exemplars
from exalign_engine.posterior import Posterior, PosteriorModel
from exalign_engine.stress.policies import Case, simulated_clicks
from exalign_engine.suggestion import suggest

SIGMA = 0.0135


def equations(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([[(x * x).sum(), x.sum(), (x * y).sum()], [x.sum(), len(x), y.sum()]])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 200))
def test_the_line_is_that_of_least_squares(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 0.3, n)
    y = 0.8 * x + 0.02 + rng.normal(0, 0.01, n)
    slope, offset = np.polyfit(x, y, 1)
    found = _line(*equations(x, y))
    if slope < 0:
        slope, offset = 0.0, y.mean()
    assert found == pytest.approx((slope, offset), rel=1e-5, abs=1e-7)


def test_clicks_that_buy_less_where_more_is_expected_have_no_gain_but_their_mean() -> None:
    x = np.array([0.1, 0.2, 0.3])
    assert _line(*equations(x, 0.1 - 0.1 * x)) == pytest.approx((0.0, 0.08))


def test_clicks_of_which_the_same_is_always_expected_have_their_mean() -> None:
    x = np.full(5, 0.25)
    assert sum(np.array(_line(*equations(x, np.arange(5.0)))) * (0.25, 1)) == pytest.approx(2.0)


@pytest.fixture
def case(toy_exemplars: Exemplars) -> Case:
    rng = np.random.default_rng(3)
    model = PosteriorModel(toy_exemplars, Calibration())
    truth = toy_exemplars.shapes[2].astype(np.float64)
    posterior = model.posterior(rng.normal(0, 1, toy_exemplars.count).astype(np.float32))
    return Case(posterior, truth, simulated_clicks(truth, SIGMA, "a"), SIGMA, "a")


def test_a_case_counts_what_its_clicks_bought_in_units_of_the_expected_error(case: Case) -> None:
    found = _normal_equations(case)
    assert found.shape == (68, 2, 3)
    seen = found[:, 1, 1]
    # One landmark was clicked first, and is no candidate for the second click.
    assert sorted(seen) == [1.0] + [2.0] * 67
    (once,) = np.flatnonzero(seen == 1)
    unit = case.posterior.expected_error
    bought = (case.error(case.posterior.mean) - case.error(case.answer([int(once)]).mean)) / unit
    expected = {s.landmark: s.error_reduction for s in suggest(case.posterior, SIGMA).ranked}[int(once)] / unit
    assert found[once, :, 2] == pytest.approx((bought * expected, bought), rel=1e-4)
    assert found[once, 0, :2] == pytest.approx((expected**2, expected), rel=1e-4)


def test_a_suggestion_promises_gain_times_expectation_plus_offset_times_error(case: Case) -> None:
    rng = np.random.default_rng(0)
    gain, offset = rng.uniform(0, 2, 68), rng.normal(0, 0.1, 68)
    learnt = replace(case.posterior.model.calibration, click_gain=tuple(gain), click_offset=tuple(offset))
    model = PosteriorModel(case.posterior.model.exemplars, learnt)
    before = suggest(case.posterior, SIGMA)
    after = suggest(replace_model(case, model), SIGMA)
    plain = {s.landmark: s.error_reduction for s in before.ranked}
    for s in after.ranked:
        promised = gain[s.landmark] * plain[s.landmark] + offset[s.landmark] * before.expected_error
        assert s.error_reduction == pytest.approx(promised, rel=1e-4, abs=1e-7)
    assert [s.error_reduction for s in after.ranked] == sorted((s.error_reduction for s in after.ranked), reverse=True)


def replace_model(case: Case, model: PosteriorModel) -> Posterior:
    posterior = case.posterior
    return Posterior(model, posterior.probabilities, posterior.presence)
