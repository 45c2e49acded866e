"""Every figure, read from registry.toml. A new one is an entry there; its numbers in pages are in `shown`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from benchmarks.figures.figure import Figure
from benchmarks.figures.shown import SHOWN


def _figure(entry: dict[str, Any]) -> Figure:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
    return Figure(**fields, shown=SHOWN.get(entry["name"], ()))


FIGURES = tuple(
    _figure(entry) for entry in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["figure"]
)
