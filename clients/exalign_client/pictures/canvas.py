"""What pictures of answers are laid out with: canvases beside and below each other. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from exalign.canvas import ACCENT, DARK, GREY, PANEL, WHITE, Canvas, Colour, Pixels, around, close_up

__all__ = [
    "ACCENT",
    "DARK",
    "GREY",
    "PANEL",
    "WHITE",
    "Canvas",
    "Colour",
    "Pixels",
    "around",
    "below",
    "beside",
    "blank",
    "close_up",
]


def blank(width: int, height: int, colour: Colour = PANEL) -> Canvas:
    """A canvas of one colour in its own pixels."""
    return Canvas(np.full((height, width, 3), colour, np.uint8))


def beside(panels: Sequence[Pixels], gap: int = 12) -> Pixels:
    """Panels from left to right, their upper edges level, on one ground."""
    height = max(panel.shape[0] for panel in panels)
    width = sum(panel.shape[1] for panel in panels) + gap * (len(panels) - 1)
    ground = np.full((height, width, 3), PANEL, np.uint8)
    left = 0
    for panel in panels:
        ground[: panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + gap
    return ground


def below(panels: Sequence[Pixels], gap: int = 0) -> Pixels:
    """Panels from top to bottom, their left edges level, on one ground."""
    turned = beside([panel.transpose(1, 0, 2) for panel in panels], gap)
    return np.ascontiguousarray(turned.transpose(1, 0, 2))
