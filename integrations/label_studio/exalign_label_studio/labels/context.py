"""What a person has drawn: the points and rectangles of an interactive request's context."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exalign_client.formats import LAYOUTS, point_names
from exalign_client.formats.faces import F64
from exalign_label_studio.labels.labeling import Labeling

#: Most regions of one context: those of a crowd.
_MOST_REGIONS = 10_000

#: What Label Studio calls a region that nobody has touched since it was predicted.
_UNTOUCHED = "prediction"


class ContextError(Exception):
    """A context is not what Label Studio sends."""


@dataclass(frozen=True)
class PlacedPoint:
    """A point that a person has set or moved.

    Attributes:
        name: its label.
        landmarks: those, 0 to 67, that it is the mean of.
        place: (2,) of the picture's width and height, 0 to 1.
        rectangle: id of the rectangle that it names as its own; empty: none.
    """

    name: str
    landmarks: tuple[int, ...]
    place: F64
    rectangle: str


@dataclass(frozen=True)
class Drawn:
    """What there is in a context.

    Attributes:
        points: in the order of the context.
        rectangles: id -> (4,) x0, y0, x1, y1 of the picture's width and height, 0 to 1.
    """

    points: list[PlacedPoint] = field(default_factory=list)
    rectangles: dict[str, F64] = field(default_factory=dict)


def drawn_in(context: Mapping[str, Any], labeling: Labeling) -> Drawn:
    """Read a context; what belongs to other tags of the project is left out.

    Raises:
        ContextError: a region has no numbers where they should be, or there are too many.
    """
    found, regions = Drawn(), context.get("result") or []
    if not isinstance(regions, list) or len(regions) > _MOST_REGIONS:
        raise ContextError(f"context.result must be a list of at most {_MOST_REGIONS} regions")
    names = point_names(labeling.points)
    for place, region in enumerate(regions):
        try:
            value, key = region["value"], str(region.get("id", place))
            if region.get("from_name") == labeling.faces and "rectanglelabels" in value:
                found.rectangles[key] = _corners(value)
            elif region.get("from_name") == labeling.landmarks and region.get("origin") != _UNTOUCHED:
                label = value["keypointlabels"][0]
                if label in names:
                    part = LAYOUTS[labeling.points][names.index(label)]
                    parent = str(region.get("parentID") or "")
                    found.points.append(PlacedPoint(label, part, _numbers(value, "x", "y") / 100, parent))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            text = f"context.result[{place}] is no region: {type(error).__name__} {error}"
            raise ContextError(text) from None
    return found


def _numbers(value: Mapping[str, Any], *names: str) -> F64:
    numbers = np.array([float(value[name]) for name in names])
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > 1000:
        raise ValueError(f"{', '.join(names)} must be percent")
    return numbers


def _corners(value: Mapping[str, Any]) -> F64:
    """The upright rectangle about one that may be turned about its first corner, in percent of the picture.

    The turn is taken in percent: of a picture that is not square, the result is a little off.
    """
    x, y, width, height = _numbers(value, "x", "y", "width", "height")
    turn = math.radians(float(value.get("rotation") or 0))
    across = np.array([math.cos(turn), math.sin(turn)]) * width
    down = np.array([-math.sin(turn), math.cos(turn)]) * height
    corners = np.array([x, y]) + np.stack([0 * across, across, down, across + down])
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)]) / 100
