"""What answers, as metrics: the model, its measured calibration, and which bundles live.

A dashboard then shows how far the regions of the model can be trusted, next to how fast it answers.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

if TYPE_CHECKING:
    from exalign_engine.runtime.divergence import Divergence


#: How a swap may end: the new bundle answers; it was refused; there was no room for one more.
SWAP_RESULTS = ("used", "refused", "no_room")


class ModelMetrics:
    """What is said of the models of one server.

    Args:
        registry: of the server.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._build = Info("exalign_build", "What answers, once it is loaded.", registry=registry)
        self._sessions = Gauge(
            "exalign_bundle_sessions",
            "Video sessions of each bundle that lives, those included that are broken and may be resumed.",
            ("bundle",),
            registry=registry,
        )
        self._swaps = Counter(
            "exalign_swaps",
            "Swaps of the model, by what came of them: used, refused, or no room for one more bundle.",
            ("result",),
            registry=registry,
        )
        for result in SWAP_RESULTS:
            self._swaps.labels(result)
        #: The figures of the model that answers.
        self._figures: list[Gauge] = []

    def answers(self, build: dict[str, str], card: dict[str, Any], divergence: Divergence | None) -> None:
        """Another model answers.

        Args:
            build: version, bundle, runtime and precision.
            card: see `export_calibration`.
            divergence: see `export_divergence`; None: it was not measured.
        """
        for gauge in self._figures:
            self._registry.unregister(gauge)
        self._build.info(build)
        self._figures = export_calibration(card, self._registry)
        if divergence is not None:
            self._figures.append(export_divergence(divergence, self._registry))

    def sessions_changed(self, bundle_id: str, sessions: int | None) -> None:
        """A bundle has so many sessions; None: it lives no more."""
        if sessions is not None:
            self._sessions.labels(bundle_id).set(sessions)
        else:
            self._sessions.remove(bundle_id)

    def swap_ended(self, result: str) -> None:
        """A swap has ended: one of `SWAP_RESULTS`."""
        self._swaps.labels(result).inc()


class BatchMetrics:
    """See `BatchObserver`. Of one model; its batcher tells of its queue one change after the other.

    Args:
        sizes: of batches.
        depth: of the queues of all models together.
    """

    def __init__(self, sizes: Histogram, depth: Gauge) -> None:
        self._sizes, self._depth, self._last = sizes, depth, 0

    def batch_launched(self, size: int) -> None:
        """See `BatchObserver`."""
        self._sizes.observe(size)

    def queue_changed(self, depth: int) -> None:
        """See `BatchObserver`."""
        self._depth.inc(depth - self._last)
        self._last = depth


def export_calibration(card: dict[str, Any], registry: CollectorRegistry) -> list[Gauge]:
    """Register the figures of a calibration card; returns their metrics.

    Args:
        card: of the bundle's calibration. What it lacks is left out: one that was never calibrated has no figures.
        registry: of the server.
    """
    made = []
    if "nll" in card:
        nll = Gauge(
            "exalign_model_nll",
            "Mean negative log likelihood of a landmark's true place, nats, distances in box sides, by split.",
            ("split",),
            registry=registry,
        )
        nll.labels(card["split"]).set(card["nll"])
        made.append(nll)
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
        made.append(held)
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
        made.append(turned)
    return made


def export_divergence(divergence: Divergence, registry: CollectorRegistry) -> Gauge:
    """Register how far the runtime is from the reference, as measured when the model was loaded; returns the metric."""
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
    return gauge
