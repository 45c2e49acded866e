"""Spans as a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

pytest.importorskip("matplotlib", reason="needs matplotlib (extra 'train')")
pytest.importorskip("opentelemetry.proto", reason="needs OpenTelemetry (extra 'otel')")

from benchmarks.traces.collector import Collector, ReceivedSpan
from benchmarks.traces.waterfall import COLOURS, draw

from exalign_service.observability.metrics import STAGES


def span(name: str, id_: str, parent: str, start: int, end: int) -> ReceivedSpan:
    return ReceivedSpan(
        name, "t", id_, parent, start * 10**6, end * 10**6, False, {} if parent else {"rpc.method": name}
    )


def test_every_stage_has_a_colour() -> None:
    assert set(COLOURS) == {*STAGES, "inbox"}


def test_a_bar_is_as_long_as_its_span(tmp_path: Path) -> None:
    """In the same picture a stage of half the call is half as long as the call."""
    seen = Collector(
        "", [span("infer", "b", "a", 0, 50), span("Predict", "a", "", 0, 100), span("hmm", "c", "x", 0, 9)]
    )
    (top,) = seen.tops
    assert [stage.name for stage in seen.below(top)] == ["infer"]
    draw([(top, seen.below(top))], "title", tmp_path / "spans.png")
    image = cv2.imread(str(tmp_path / "spans.png"))
    assert image is not None
    widths = []
    for colour in ("#888888", COLOURS["infer"]):
        bgr = [int(colour[i : i + 2], 16) for i in (5, 3, 1)]
        rows = (image == bgr).all(axis=2).sum(axis=1)
        widths.append(rows.max())
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.02)
