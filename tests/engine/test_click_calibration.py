"""What clicks really buy: least squares, and what suggestions make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from exalign_engine.calibration.clicks import _moments, solved
from exalign_engine.evidence.suggestion import suggest
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.face.click_policies import Case, simulated_clicks
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from properties import examples

SIGMA = 0.0135


def moments(clicks: Sequence[tuple[int, float, float, float]]) -> NDArray[np.float64]:
    gathered = np.zeros((68, 4, 4))
    for n, *rest in clicks:
        v = np.array([1.0, *rest])
        gathered[n] += np.outer(v, v)
    return gathered


@examples(50)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(0.8, 0.1), (0.0, 0.2), (-0.5, 0.1), (0.6, -0.3)]))
def test_the_fit_is_that_of_least_squares(seed: int, slopes: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    n = np.concatenate([np.arange(68), rng.integers(0, 68, 300)])
    x = rng.uniform(0, 0.3, (len(n), 2))
    offset = rng.normal(0, 0.05, 68)
    y = x @ slopes + offset[n] + rng.normal(0, 0.01, len(n))
    found = solved(moments([(i, *row, v) for i, row, v in zip(n.tolist(), x.tolist(), y.tolist(), strict=True)]))
    # A column a landmark, whose offset may have either sign, and the two slopes, which may not.
    columns = np.eye(68)[n]
    dense = lsq_linear(np.hstack([x, columns]), y, ([0.0, 0.0, *[-np.inf] * 68], np.inf))
    np.testing.assert_allclose([*found.slopes, *found.offset], dense.x, atol=1e-5)


def test_clicks_of_which_the_same_is_always_expected_have_their_mean() -> None:
    found = solved(moments([(n, 0.25, 1.5, a) for n in range(68) for a in (0.0, 0.1)]))
    assert found.slopes == pytest.approx((0.0, 0.0), abs=1e-6)
    assert found.offset == pytest.approx(0.05)


@pytest.fixture
def case(toy_exemplars: Exemplars) -> Case:
    rng = np.random.default_rng(3)
    model = PosteriorModel(toy_exemplars, Calibration())
    truth = toy_exemplars.shapes[2].astype(np.float64)
    posterior = model.posterior(rng.normal(0, 1, toy_exemplars.count).astype(np.float32))
    return Case(posterior, truth, simulated_clicks(truth, SIGMA, "a"), SIGMA, "a")


def test_a_case_counts_what_its_clicks_bought_in_units_of_the_expected_error(case: Case) -> None:
    found = _moments(case)
    seen = found[:, 0, 0]
    # Two landmarks were clicked, and are no candidates for the clicks after.
    assert sorted(seen) == [1.0, 2.0] + [3.0] * 66
    (once,) = np.flatnonzero(seen == 1)
    unit = case.posterior.expected_error
    bought = (case.error(case.posterior.mean) - case.error(case.answer([int(once)]).mean)) / unit
    suggestion = next(s for s in suggest(case.posterior, SIGMA).ranked if s.landmark == once)
    v = (1.0, suggestion.error_reduction / unit, suggestion.entropy_reduction, bought)
    np.testing.assert_allclose(found[once], np.outer(v, v), rtol=1e-4)


def test_a_suggestion_promises_what_its_slopes_and_offset_make_of_it(case: Case) -> None:
    rng = np.random.default_rng(0)
    offset = rng.normal(0, 0.1, 68)
    learnt = replace(case.posterior.model.calibration, click_slopes=(0.7, 0.2), click_offset=tuple(offset))
    model = PosteriorModel(case.posterior.model.exemplars, learnt)
    before = suggest(case.posterior, SIGMA)
    after = suggest(replace_model(case, model), SIGMA)
    plain = {s.landmark: s for s in before.ranked}
    for s in after.ranked:
        was = plain[s.landmark]
        assert s.entropy_reduction == was.entropy_reduction
        promised = (
            0.7 * was.error_reduction + (0.2 * was.entropy_reduction + offset[s.landmark]) * before.expected_error
        )
        assert s.error_reduction == pytest.approx(promised, rel=1e-4, abs=1e-7)
    assert [s.error_reduction for s in after.ranked] == sorted((s.error_reduction for s in after.ranked), reverse=True)


def replace_model(case: Case, model: PosteriorModel) -> Posterior:
    posterior = case.posterior
    return Posterior(model, posterior.probabilities, posterior.presence)
