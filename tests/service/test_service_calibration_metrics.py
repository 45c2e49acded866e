"""The calibration card as metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram

from exalign_engine.runtime.divergence import Divergence
from exalign_service.observability.model_metrics import BatchMetrics, ModelMetrics, export_calibration
from service_fakes import Running

CARD: dict[str, Any] = {
    "split": "val",
    "nll": -4.7,
    "coverage": [
        {"group": "all", "yaw": None, "nominal": 0.5, "observed": 0.49, "landmarks": 680},
        {"group": "all", "yaw": None, "nominal": 0.9, "observed": 0.91, "landmarks": 680},
        {"group": "all", "yaw": [-10.0, 10.0], "nominal": 0.5, "observed": 0.1, "landmarks": 68},
        {"group": "jaw", "yaw": None, "nominal": 0.9, "observed": 0.88, "landmarks": 170},
    ],
    "pose": {"intervals": [{"angle": "roll", "nominal": 0.9, "observed": 0.93, "width": 4.0, "faces": 10}]},
}


def exported(card: dict[str, Any]) -> dict[tuple[str, ...], float]:
    """(name, label values) → value."""
    registry = CollectorRegistry()
    export_calibration(card, registry)
    samples = [s for family in registry.collect() for s in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples}


def test_every_group_and_angle_over_all_poses_has_its_share() -> None:
    assert exported(CARD) == {
        ("exalign_model_nll", "val"): -4.7,
        ("exalign_model_coverage_ratio", "all", "0.5"): 0.49,
        ("exalign_model_coverage_ratio", "all", "0.9"): 0.91,
        ("exalign_model_coverage_ratio", "jaw", "0.9"): 0.88,
        ("exalign_model_pose_coverage_ratio", "roll", "0.9"): 0.93,
    }


def test_what_was_not_measured_is_not_exported() -> None:
    assert exported({}) == {}
    assert exported({"split": "val", "nll": -4.7}) == {("exalign_model_nll", "val"): -4.7}


async def test_a_server_whose_model_was_never_calibrated_has_none(live: Running) -> None:
    assert b"exalign_model_" not in live.server.metrics.expose()


def test_the_figures_are_those_of_the_model_that_answers() -> None:
    registry = CollectorRegistry()
    metrics = ModelMetrics(registry)
    metrics.answers({"bundle": "a"}, CARD, Divergence(0.1, 0.2, 0.3, 0.4))
    metrics.answers({"bundle": "b"}, {"split": "val", "nll": -3.0}, None)
    samples = {(s.name, *s.labels.values()): s.value for family in registry.collect() for s in family.samples}
    assert {key: value for key, value in samples.items() if key[0] != "exalign_swaps_total"} == {
        ("exalign_build_info", "b"): 1.0,
        ("exalign_model_nll", "val"): -3.0,
    }


def test_the_queues_of_several_models_are_added() -> None:
    registry = CollectorRegistry()
    sizes = Histogram("sizes", "Sizes.", registry=registry)
    depth = Gauge("depth", "Depth.", registry=registry)
    first, second = BatchMetrics(sizes, depth), BatchMetrics(sizes, depth)
    for batches, waiting in ((first, 3), (second, 2), (first, 1), (second, 0)):
        batches.queue_changed(waiting)
    assert registry.get_sample_value("depth") == 1
