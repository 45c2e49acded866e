"""Coverage: calibrated posteriors hold what they state, and too wide or too narrow ones show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import GROUPS
from exalign_engine.metrics.coverage import MASSES, Levels, coverage_report, coverage_rows, measure
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel


def levels(exemplars: Exemplars, stated: float, faces: int = 120) -> Levels:
    """Truths drawn from the model itself with c = 1; the model states c = ``stated``."""
    rng = np.random.default_rng(4)
    scores = rng.standard_normal((faces, exemplars.count)).astype(np.float32)
    true = PosteriorModel(exemplars, Calibration())
    said = PosteriorModel(exemplars, replace(Calibration(), kernel_scale=stated))
    truth = []
    for row in scores:
        # Landmarks are drawn one by one: coverage is about marginals, and so they count as independent.
        p = true.posterior(row).probabilities.astype(np.float64)
        chosen = rng.choice(exemplars.count, 68, p=p / p.sum())
        spread = np.sqrt(exemplars.variance[chosen])[:, None]
        truth.append(exemplars.shapes[chosen, np.arange(68)] + spread * rng.standard_normal((68, 2)))
    poses = np.zeros((exemplars.count, 3), np.float32)
    return measure([said.posterior(s) for s in scores], np.stack(truth), poses)


def test_truths_from_the_model_are_covered_as_stated(toy_exemplars: Exemplars) -> None:
    report = coverage_report(levels(toy_exemplars, 1.0))
    for mass in MASSES:
        # 8,160 independent draws: a standard error of at most 0.6 points.
        assert report["coverage"][str(mass)] == pytest.approx(mass, abs=2.0)
    assert set(report["coverage_by_group"]) == set(GROUPS)


def test_kernels_too_wide_cover_too_much_and_too_narrow_too_little(toy_exemplars: Exemplars) -> None:
    assert coverage_report(levels(toy_exemplars, 8.0))["coverage"]["50"] > 60
    assert coverage_report(levels(toy_exemplars, 0.1))["coverage"]["50"] < 45


def test_rows_count_every_landmark_once_in_each_partition() -> None:
    rng = np.random.default_rng(1)
    found = Levels(rng.random((40, 68)), rng.random((40, 68)), np.linspace(-60, 60, 40))
    rows = [r for r in coverage_rows(found) if r["nominal"] == 0.9]
    whole = [r for r in rows if r["yaw"] is None]
    assert whole[0]["group"] == "all"
    assert whole[0]["landmarks"] == sum(r["landmarks"] for r in whole[1:]) == 40 * 68
    assert sum(r["landmarks"] for r in rows if r["yaw"] and r["group"] == "all") == 40 * 68
    assert whole[0]["observed"] == pytest.approx((found.level <= 0.9).mean(), abs=1e-6)
