"""Calibration: fits that recover what the data was drawn with, and the file that keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Baseline
from exalign_engine.calibration.mixture import (
    FACTORS,
    TEMPERATURES,
    fit_baseline,
    fit_coverage,
    fit_kernels,
    flat_features,
)
from exalign_engine.calibration.presence import fit_presence
from exalign_engine.errors import BundleError
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import MIRROR
from exalign_engine.posterior.calibration import Calibration, score_mass

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


def drawn_from_the_model(
    exemplars: Exemplars, scale: F64, temperature: float, faces: int, spread: float
) -> tuple[F32, F64]:
    """Scores, and true shapes drawn from the mixture that they state: (B, K), (B, 68, 2)."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, spread, (faces, exemplars.count)).astype(np.float32)
    z = scores.astype(np.float64) / temperature
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    k = np.array([rng.choice(exemplars.count, p=row) for row in p])
    sigma = np.sqrt(exemplars.variance[k][:, None] * scale)[..., None]
    return scores, exemplars.shapes[k] + sigma * rng.standard_normal((faces, 68, 2))


def test_the_fit_recovers_the_kernels_that_the_faces_were_drawn_with(toy_exemplars: Exemplars) -> None:
    a = np.where(np.arange(68) < 17, 1.6, 0.8)
    a /= a.mean()
    scores, truth = drawn_from_the_model(toy_exemplars, 0.4 * a, 0.5, 300, spread=40.0)
    fit = fit_kernels(scores, truth, toy_exemplars)
    assert fit.kernel_scale == pytest.approx(0.4, rel=0.05)
    assert fit.landmark_scale.mean() == pytest.approx(1)
    assert np.abs(np.log(fit.landmark_scale / a)).max() < 0.35
    assert np.abs(np.log(fit.landmark_scale / a)).mean() < 0.1
    variance = float((toy_exemplars.variance).mean()) * 0.4 * a
    entropy_of_kernels = float(np.log(2 * np.pi * math.e * variance).mean())
    assert fit.nll == pytest.approx(entropy_of_kernels, abs=0.05)  # the classes are all but known


@pytest.mark.parametrize("temperature", [0.25, 0.6])
def test_the_fit_recovers_the_temperature_that_the_classes_were_drawn_with(
    toy_exemplars: Exemplars, temperature: float
) -> None:
    scores, truth = drawn_from_the_model(toy_exemplars, np.full(68, 0.3), temperature, 450, spread=0.7)
    fit = fit_kernels(scores, truth, toy_exemplars)
    near = TEMPERATURES.index(temperature)
    assert fit.temperature in TEMPERATURES[near - 1 : near + 2]
    assert set(fit.curve) == set(TEMPERATURES)
    assert fit.curve[fit.temperature] == min(fit.curve.values())


def test_mirrored_landmarks_share_their_kernels(toy_exemplars: Exemplars) -> None:
    scores, truth = drawn_from_the_model(toy_exemplars, np.linspace(0.2, 0.6, 68), 0.5, 60, spread=40.0)
    scale = fit_kernels(scores, truth, toy_exemplars).landmark_scale
    np.testing.assert_array_equal(scale[MIRROR], scale)
    assert np.ptp(scale) > 0.1


def coverage_of_errors(exemplars: Exemplars, draw: Callable[[np.random.Generator], F64]) -> tuple[float, F64, F64]:
    """Factor, coverage at c and coverage at the factor, for certain posteriors with errors drawn in kernel widths."""
    rng, faces = np.random.default_rng(6), 40
    k = rng.integers(0, exemplars.count, faces)
    scores = np.zeros((faces, exemplars.count), np.float32)
    scores[np.arange(faces), k] = 100.0
    sigma = np.sqrt(0.1 * exemplars.variance[k])[:, None, None]
    truth = exemplars.shapes[k] + sigma * np.stack([draw(rng) for _ in range(faces)])
    calibration = Calibration(kernel_scale=0.1)
    fit = fit_coverage(calibration, scores, truth, exemplars)
    narrowed = replace(calibration, kernel_scale=0.1 * fit.factor)
    again = fit_coverage(narrowed, scores, truth, exemplars)
    one = FACTORS.index(1.0)
    assert fit.nll.shape == (len(FACTORS),)
    return fit.factor, fit.coverage[one], again.coverage[one]


def test_kernels_that_hold_what_they_state_stay(toy_exemplars: Exemplars) -> None:
    factor, before, after = coverage_of_errors(toy_exemplars, lambda rng: rng.standard_normal((68, 2)))
    assert factor == pytest.approx(1, abs=0.06)
    np.testing.assert_allclose(before, [0.5, 0.8, 0.9, 0.95], atol=0.03)
    np.testing.assert_allclose(after, [0.5, 0.8, 0.9, 0.95], atol=0.03)


def test_kernels_that_are_wide_for_the_sake_of_tails_are_narrowed(toy_exemplars: Exemplars) -> None:
    def draw(rng: np.random.Generator) -> F64:
        """Student's t, scaled to the variance of the kernels: a middle that is narrower, and tails."""
        tail = np.sqrt(4 / rng.chisquare(4, (68, 1)))
        return np.asarray(rng.standard_normal((68, 2)) * tail / np.sqrt(2))

    factor, before, after = coverage_of_errors(toy_exemplars, draw)
    assert 0.5 < factor < 0.85
    assert before[0] > 0.57
    assert after[0] < before[0] - 0.04
    assert np.abs(after - [0.5, 0.8, 0.9, 0.95]).sum() < np.abs(before - [0.5, 0.8, 0.9, 0.95]).sum()


def test_presence_of_overlapping_kinds_is_the_optimal_logistic() -> None:
    rng = np.random.default_rng(0)
    faces, others = rng.normal(3, 1, 4000), rng.normal(1, 1, 400)  # unequal counts weigh the same
    fit = fit_presence(faces, others)
    slope, offset = fit.slope, fit.offset
    assert slope == pytest.approx(2, rel=0.15)  # (3 − 1) / 1²
    assert -offset / slope == pytest.approx(2, abs=0.1)  # half way


def test_presence_of_separable_kinds_stays_finite_and_sure() -> None:
    fit = fit_presence(np.linspace(4, 6, 50), np.linspace(-6, -4, 50))
    assert math.isfinite(fit.slope)
    assert math.isfinite(fit.offset)
    calibration = Calibration(presence_slope=fit.slope, presence_offset=fit.offset)
    assert calibration.presence(np.array([4.0], np.float32)) > 0.98
    assert calibration.presence(np.array([-4.0], np.float32)) < 0.02


def test_presence_of_equal_kinds_is_undecided() -> None:
    mass = np.linspace(-1, 1, 20)
    fit = fit_presence(mass, mass)
    assert fit.slope == pytest.approx(0, abs=1e-6)
    assert fit.offset == pytest.approx(0, abs=1e-6)


def test_presence_of_one_and_the_same_mass_does_not_fail() -> None:
    fit = fit_presence(np.ones(5), np.ones(5))
    assert math.isfinite(fit.slope)
    assert math.isfinite(fit.offset)


@pytest.mark.parametrize("shift", [-1000.0, 0.0, 1000.0])
def test_the_mass_of_scores_is_their_log_sum_exp(shift: float) -> None:
    scores = np.random.default_rng(0).normal(0, 3, 500).astype(np.float32)
    expected = shift + math.log(np.exp(scores.astype(np.float64)).sum())
    assert score_mass(scores + np.float32(shift)) == pytest.approx(expected, abs=1e-3)


def test_the_baseline_recovers_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    weight, offset = rng.normal(0, 0.02, (12, 136)), rng.uniform(0, 1, 136)
    features = rng.normal(3, 4, (600, 12)).astype(np.float32)
    shapes = (features @ weight + offset).reshape(-1, 68, 2).astype(np.float32)
    baseline, card = fit_baseline(features[:400], shapes[:400], features[400:], shapes[400:])
    np.testing.assert_allclose(baseline.weight, weight, atol=1e-3)
    np.testing.assert_allclose(baseline.offset, offset, atol=3e-3)
    assert card["val_rmse"] < 2e-3
    assert card["ridge"] == 10.0


def test_the_baseline_regularises_where_features_are_noise() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (120, 80)).astype(np.float32)
    shapes = rng.normal(0.5, 0.05, (120, 68, 2)).astype(np.float32)
    _, card = fit_baseline(features[:90], shapes[:90], features[90:], shapes[90:])
    assert card["ridge"] == 1e5


def test_the_baseline_answers_from_the_same_features_as_it_was_fitted_on() -> None:
    rng = np.random.default_rng(0)
    features, embedding = rng.normal(size=(3, 4, 2, 2)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
    baseline = Baseline(rng.normal(size=(21, 136)).astype(np.float32), rng.normal(size=136).astype(np.float32))
    expected = flat_features(features, embedding) @ baseline.weight + baseline.offset
    np.testing.assert_allclose(baseline.predict(features, embedding), expected.reshape(3, 68, 2), atol=1e-5)


def test_calibration_survives_its_file(tmp_path: Path) -> None:
    calibration = Calibration(
        temperature=0.3,
        kernel_scale=0.123456789,
        landmark_scale=tuple(float(a) for a in np.linspace(0.5, 1.5, 68)),
        presence_slope=1.7,
        presence_offset=-2.5,
        presence_threshold=0.4,
        pose_scale=(0.1, 0.2, 0.3),
        pose_excess=(0.0, 1.5, 2.0),
        pose_yaw=(1.2, 0.1, 0.0, -0.2),
        pose_pitch=(0.5, 1.4, 0.1, 0.0, 0.2, 1.0),
        pose_turned=tuple(float(s) for s in range(15)),
        presence_embedding=(0.5, 0.1, -0.25, 3.0),
        card={"split": "val", "presence": {"roc_auc": 0.99}},
    )
    calibration.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == calibration


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw.update({name: value})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        *((put("temperature", v), "temperature") for v in (0, -1.0, None, "1", True, math.nan, math.inf, [1])),
        *((put("kernel_scale", v), "kernel_scale") for v in (0, "c", math.inf)),
        *((put("presence_slope", v), "presence_slope") for v in (None, "1", math.nan)),
        *((put("presence_offset", v), "presence_offset") for v in (None, math.inf)),
        *((put("presence_threshold", v), "presence_threshold") for v in (-0.1, 1.1, "0.5", math.nan)),
        *(
            (put("landmark_scale", v), "landmark_scale")
            for v in (None, 3, [1.0] * 67, [0.0] * 68, ["1"] * 68, [math.inf] * 68, [math.nan] * 68)
        ),
        *((put("pose_scale", v), "pose_scale") for v in (None, 0.1, [0.1, 0.1], [0.1, 0.0, 0.1], [0.1, math.nan, 1])),
        *((put("pose_excess", v), "pose_excess") for v in (None, [1.0] * 4, [0.0, -1.0, 0.0], ["0", "0", "0"])),
        *((put("pose_yaw", v), "pose_yaw") for v in (None, [1.0] * 3, [1.0, 0.0, 0.0, math.nan])),
        *((put("pose_pitch", v), "pose_pitch") for v in ([1.0] * 5, "b")),
        *((put("pose_turned", v), "pose_turned") for v in ([1.0] * 14, [-1.0] * 15)),
        *((put("presence_embedding", v), "presence_embedding") for v in (None, [1.0], [1.0, 2.0], ["1"] * 3)),
        (put("card", []), "card"),
        (put("temprature", 1.0), "temprature"),
        (lambda raw: raw.pop("kernel_scale"), "kernel_scale"),
    ],
)
def test_damage_in_calibration_is_one_error_that_names_file_and_field(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], says: str
) -> None:
    path = tmp_path / "calibration.json"
    Calibration().write(path)
    raw = json.loads(path.read_text())
    damage(raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(BundleError) as caught:
        Calibration.read(path)
    assert caught.value.path == path
    assert says in caught.value.problem


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_calibration_that_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "calibration.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"calibration\.json"):
        Calibration.read(tmp_path / "calibration.json")


def test_a_missing_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"calibration\.json: cannot be read"):
        Calibration.read(tmp_path / "calibration.json")
