"""Spans drawn one below the other, as long as they took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.traces.collector import ReceivedSpan
from matplotlib.figure import Figure

#: By stage; the span of the call or frame itself is grey.
COLOURS = {
    "inbox": "#d6d2cf",
    "decode": "#4c78a8",
    "detect": "#72b7b2",
    "queue": "#bab0ac",
    "infer": "#f58518",
    "posterior": "#54a24b",
    "hmm": "#b279a2",
    "encode": "#e45756",
}

_TOP = "#888888"


def draw(panels: Sequence[tuple[ReceivedSpan, Sequence[ReceivedSpan]]], title: str, out: Path) -> None:
    """Write a PNG.

    Args:
        panels: the span of a call or of a frame, and those of its stages.
        title: on what machine they were made.
        out: the file.
    """
    rows = [1 + len(stages) for _, stages in panels]
    figure = Figure(figsize=(11, 1.6 + 0.32 * sum(rows)), layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(panels), 1, height_ratios=rows, squeeze=False)[:, 0]
    for axis, (top, stages) in zip(axes, panels, strict=True):
        total = (top.end - top.start) / 1e6
        for row, span in enumerate((top, *stages)):
            start, length = (span.start - top.start) / 1e6, (span.end - span.start) / 1e6
            axis.barh(row, length, left=start, color=COLOURS.get(span.name, _TOP), height=0.75)
            label = f"{length:.2f} ms" if span is top else f"{span.name} {length:.2f} ms"
            right = start + length > 0.8 * total and span is not top
            at = start - 0.005 * total if right else start + length + 0.005 * total
            axis.text(at, row, label, va="center", ha="right" if right else "left", fontsize=8)
        axis.set_title(top.name, loc="left", fontsize=10)
        axis.set_yticks([])
        axis.invert_yaxis()
        axis.set_xlim(-0.02 * total, 1.12 * total)
        axis.set_xlabel("milliseconds", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["left", "right", "top"]].set_visible(False)
    figure.savefig(out, dpi=110)
