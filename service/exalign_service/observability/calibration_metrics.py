"""The measured calibration of the model, as metrics beside those of the server.

A dashboard then shows how far the regions of the model can be trusted, next to how fast it answers.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge

if TYPE_CHECKING:
    from exalign_engine.runtime.divergence import Divergence


def export_calibration(card: dict[str, Any], registry: CollectorRegistry) -> None:
    """Register the figures of a calibration card; they do not change while the server runs.

    Args:
        card: of the bundle's calibration. What it lacks is left out: one that was never calibrated has no figures.
        registry: of the server.
    """
    if "nll" in card:
        nll = Gauge(
            "exalign_model_nll",
            "Mean negative log likelihood of a landmark's true place, nats, distances in box sides, by split.",
            ("split",),
            registry=registry,
        )
        nll.labels(card["split"]).set(card["nll"])
    whole = [row for row in card.get("coverage", ()) if row["yaw"] is None]
    if whole:
        held = Gauge(
            "exalign_model_coverage_ratio",
            "Share of true landmarks inside the region that states to hold the share `nominal`, by landmark group.",
            ("group", "nominal"),
            registry=registry,
        )
        for row in whole:
            held.labels(row["group"], f"{row['nominal']:g}").set(row["observed"])
    intervals = card.get("pose", {}).get("intervals", ())
    if intervals:
        turned = Gauge(
            "exalign_model_pose_coverage_ratio",
            "Share of true head poses inside the interval that states to hold the share `nominal`, by angle.",
            ("angle", "nominal"),
            registry=registry,
        )
        for row in intervals:
            turned.labels(row["angle"], f"{row['nominal']:g}").set(row["observed"])


def export_divergence(divergence: Divergence, registry: CollectorRegistry) -> None:
    """Register how far the runtime is from the reference, as measured when the model was loaded."""
    gauge = Gauge(
        "exalign_engine_divergence",
        "Worst difference of the runtime from ONNX Runtime on the bundle's probe batch, by measure: kl, nats; "
        "landmarks, share of the face box's diagonal; coverage, of the claimed confidence; sums, of moments that its "
        "graph summed from the host's of the same scores, box sides.",
        ("measure",),
        registry=registry,
    )
    for name, value in asdict(divergence).items():
        gauge.labels(name).set(value)
