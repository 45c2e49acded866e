"""Evidence as text and back: JSON, every number exact."""

from __future__ import annotations

import json
from typing import Any

from exalign_engine.evidence.evidence import (
    BoxMotion,
    Click,
    Disc,
    Evidence,
    HardClick,
    Polygon,
    PoseRange,
    Rectangle,
    Region,
    RegionConstraint,
    SoftClick,
)


def write_evidence(evidence: Evidence) -> str:
    """One line of JSON; equal evidence gives equal text."""
    return json.dumps(
        {
            "clicks": [_click(c) for c in evidence.clicks],
            "regions": [[c.landmark, c.inside, _region(c.region)] for c in evidence.regions],
            "poses": [[_interval(i) for i in (p.yaw, p.pitch, p.roll)] for p in evidence.poses],
            "box_motion": evidence.box_motion.value,
        },
        separators=(",", ":"),
    )


def read_evidence(text: str) -> Evidence:
    """What `write_evidence` wrote; all numbers are plain Python's."""
    raw = json.loads(text)
    return Evidence(
        tuple(_read_click(c) for c in raw["clicks"]),
        tuple(RegionConstraint(n, _read_region(r), inside) for n, inside, r in raw["regions"]),
        tuple(PoseRange(*(None if i is None else (i[0], i[1]) for i in p)) for p in raw["poses"]),
        BoxMotion(raw["box_motion"]),
    )


def _click(click: Click) -> list[Any]:
    kind, length = ("hard", click.radius) if isinstance(click, HardClick) else ("soft", click.sigma)
    return [kind, int(click.landmark), float(click.x), float(click.y), float(length)]


def _read_click(raw: list[Any]) -> Click:
    kind, landmark, x, y, length = raw
    return HardClick(landmark, x, y, length) if kind == "hard" else SoftClick(landmark, x, y, length)


def _region(region: Region) -> list[Any]:
    if isinstance(region, Rectangle):
        return ["rectangle", float(region.x0), float(region.y0), float(region.x1), float(region.y1)]
    if isinstance(region, Disc):
        return ["disc", float(region.x), float(region.y), float(region.radius)]
    return ["polygon", *([float(x), float(y)] for x, y in region.vertices)]


def _read_region(raw: list[Any]) -> Region:
    kind, *numbers = raw
    if kind == "rectangle":
        return Rectangle(*numbers)
    if kind == "disc":
        return Disc(*numbers)
    return Polygon(tuple((x, y) for x, y in numbers))


def _interval(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [float(interval[0]), float(interval[1])]
