"""What a report is made of, before it is Markdown or HTML."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class Text:
    """One paragraph; `code` between backticks."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells, all of the length of the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: of its file, without the ending.
        caption: one or two sentences.
        size: inches.
        draw: draws on an empty canvas.
    """

    name: str
    caption: str
    size: tuple[float, float]
    draw: Callable[[Canvas], None]


Block = Text | Table | Figure


@dataclass(frozen=True)
class Section:
    """One figure or table of the paper.

    Attributes:
        anchor: its name in links.
        title: for people.
        blocks: in order.
        summary: the outcome in one sentence; empty where nothing was measured.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    summary: str = ""


def missing(file: str, only: str) -> Text:
    """Says that a CSV file is not there, and what makes it."""
    return Text(
        f"Not measured here: `{file}` is not there. `exalign-model reproduce --from-scratch --data FACES --only "
        f"{only}` makes it."
    )


def number(value: float | None, digits: int) -> str:
    """A cell; a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 2) -> str:
    """A share as a cell in %."""
    return number(None if value is None else 100 * value, digits)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds; a single seed without the latter."""
    mean = number(statistics.fmean(values), digits)
    return f"{mean} ± {number(statistics.stdev(values), digits)}" if len(values) > 1 else mean
