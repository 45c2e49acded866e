"""The figures of accuracy, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_engine.metrics.accuracy import FAILURE, nrmse, reliability, roc_auc, summarise


def test_nrmse_is_the_mean_distance_over_the_diagonal_of_the_true_box() -> None:
    truth = np.zeros((68, 2))
    truth[0], truth[1] = (30, 0), (0, 40)  # box 30 × 40, diagonal 50
    answer = truth + np.array([3, 4])
    assert nrmse(answer, truth) == pytest.approx(0.1)
    answer[:34] = truth[:34]
    assert nrmse(answer, truth) == pytest.approx(0.05)
    assert nrmse(truth.astype(np.float32), truth.astype(np.float32)) == 0


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([0.0], (1, 0.0, 1.0, 0.0, 0.0)),
        ([0.04, 0.02], (2, 0.03, 0.625, 0.0, 0.0)),
        ([0.08], (1, 0.08, 0.0, 0.0, 0.0)),  # not above the limit
        ([0.02, 0.16], (2, 0.09, 0.375, 50.0, 0.0)),
        ([0.02, math.inf], (2, 0.02, 0.375, 50.0, 50.0)),
        ([0.02, 0.16, math.inf, math.inf], (4, 0.09, 0.1875, 75.0, 50.0)),
        ([math.inf], (1, None, 0.0, 100.0, 100.0)),
        ([], (0, None, None, None, None)),
    ],
)
def test_a_set_of_errors_is_summed_up_as_defined(errors: list[float], expected: tuple[Any, ...]) -> None:
    assert FAILURE == 0.08
    got = summarise(errors)
    assert list(got) == ["n", "nrmse_mean", "auc", "failure_rate", "missed"]
    assert tuple(got.values()) == pytest.approx(expected)


few_values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(few_values, few_values)
def test_roc_auc_counts_pairs_and_half_of_the_ties(positive: list[float], negative: list[float]) -> None:
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert roc_auc(np.array(positive), np.array(negative)) == pytest.approx(sum(pairs) / len(pairs))


def test_reliability_compares_stated_with_observed_in_equal_bins() -> None:
    stated = np.array([0.0, 0.05, 0.15, 0.95, 1.0, 1.0])
    observed = np.array([False, True, False, True, True, False])
    assert reliability(stated, observed) == [
        {"stated": 0.025, "observed": 0.5, "count": 2},
        {"stated": 0.15, "observed": 0.0, "count": 1},
        {"stated": pytest.approx(0.983333), "observed": pytest.approx(0.666667), "count": 3},
    ]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 20))
def test_reliability_counts_every_statement_once(stated: list[float], bins: int) -> None:
    rows = reliability(np.array(stated), np.ones(len(stated), bool), bins)
    assert sum(r["count"] for r in rows) == len(stated)
    assert all(r["observed"] == 1 for r in rows)
    assert len(rows) <= bins
