"""Latency histograms: read from the text that Prometheus scrapes, and drawn with characters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exalign_client.errors import MissingExtraError

_BAR = 40


@dataclass(frozen=True)
class Histogram:
    """One labelled histogram of seconds.

    Attributes:
        labels: its labels, without ``le``.
        bounds: upper bounds of the buckets, seconds, ascending; the last is infinite.
        counts: observations in each bucket alone.
    """

    labels: Mapping[str, str]
    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The q-quantile in seconds, interpolated in its bucket as Prometheus does; NaN when empty.

        Args:
            q: 0 to 1.
        """
        rank, below = q * self.count, 0
        for index, (bound, inside) in enumerate(zip(self.bounds, self.counts, strict=True)):
            if inside and below + inside >= rank:
                lower = self.bounds[index - 1] if index else 0.0
                if math.isinf(bound):
                    return lower
                return lower + (bound - lower) * (rank - below) / inside
            below += inside
        return math.nan


def parse_histograms(text: str, name: str) -> list[Histogram]:
    """Read the histograms of one name.

    Args:
        text: body of a ``/metrics`` page.
        name: of the histogram, without ``_bucket``.

    Returns:
        One for each set of labels, in the order of the page.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise MissingExtraError("reading the latencies of a server", "demo") from None
    found: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"{name}_bucket":
                labels = dict(sample.labels)
                bound = float(labels.pop("le"))
                found.setdefault(tuple(labels.items()), []).append((bound, sample.value))
    histograms = []
    for labels_key, buckets in found.items():
        bounds = tuple(bound for bound, _ in buckets)
        totals = [total for _, total in buckets]
        counts = tuple(round(b - a) for a, b in zip([0.0, *totals[:-1]], totals, strict=True))
        histograms.append(Histogram(dict(labels_key), bounds, counts))
    return histograms


def draw_histogram(title: str, histogram: Histogram) -> str:
    """A line with count, p50 and p95, then a bar for each bucket from the first used to the last."""
    p50, p95 = (_duration(histogram.quantile(q)) for q in (0.5, 0.95))
    lines = [f"{title}: {histogram.count} observed, p50 {p50}, p95 {p95}"]
    used = [index for index, inside in enumerate(histogram.counts) if inside]
    if not used:
        return lines[0]
    most = max(histogram.counts)
    for index in range(used[0], used[-1] + 1):
        inside, bound = histogram.counts[index], histogram.bounds[index]
        beyond = math.isinf(bound)
        label = f"> {_duration(histogram.bounds[index - 1])}" if beyond else f"≤ {_duration(bound)}"
        bar = "█" * math.ceil(_BAR * inside / most)
        lines.append(f"  {label:>10}  {bar} {inside}" if inside else f"  {label:>10}")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
