"""A project's labeling configuration: where its picture is, and what its rectangles and points are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from exalign_client.formats import LAYOUTS, point_names

#: Largest configuration, characters.
_LARGEST = 1_000_000

_VARIABLE = re.compile(r"\$(\w+)")


class LabelingError(Exception):
    """A configuration has no place for what is predicted."""


@dataclass(frozen=True)
class Labeling:
    """What a project asks for.

    Attributes:
        image: name of its picture's tag.
        value: key of a task's data that has the picture.
        points: how many points a face has; one of `LAYOUTS`.
        landmarks: name of the tag of the points.
        faces: name of the tag of the faces' rectangles; None: there is none.
        face: label of a rectangle.
    """

    image: str
    value: str
    points: int
    landmarks: str
    faces: str | None
    face: str


def labeling_of(config: object) -> Labeling:
    """Read a configuration.

    Raises:
        LabelingError: it is none, or has no picture or no points that are known.
    """
    if not isinstance(config, str) or len(config) > _LARGEST:
        raise LabelingError(f"the labeling configuration must be a text of at most {_LARGEST} characters")
    if "<!DOCTYPE" in config or "<!ENTITY" in config:
        raise LabelingError("the labeling configuration must have no DOCTYPE and no entities")
    try:
        root = ET.fromstring(config.encode("utf-8", "replace"))  # noqa: S314 - no entities, and expat bounds the rest
    except ET.ParseError as error:
        raise LabelingError(f"the labeling configuration is no XML: {error}") from None
    for tag in root.iter("Image"):
        variable = _VARIABLE.fullmatch(tag.get("value", ""))
        if not variable:
            continue
        image = tag.get("name", "")
        named = [one for one in _labels(root, "KeyPointLabels", image) if one[1]]
        # The largest layout that the project has a label for each point of.
        known = [
            (points, name) for points in LAYOUTS for name, labels in named if labels.issuperset(point_names(points))
        ]
        if not known:
            continue
        points, landmarks = max(known)
        faces, labels = next(_labels(root, "RectangleLabels", image), (None, set[str]()))
        label = "face" if "face" in labels else min(labels, default="face")
        return Labeling(image, variable[1], points, landmarks, faces, label)
    raise LabelingError(
        'the labeling configuration needs an <Image value="$…"> and KeyPointLabels of it with a label for each of'
        f" {', '.join(map(str, sorted(LAYOUTS)))} points, called as in exalign_client.formats.labeling_config"
    )


def _labels(root: ET.Element, kind: str, image: str) -> Iterator[tuple[str, set[str]]]:
    """Name and labels of each tag of a kind that belongs to a picture."""
    for tag in root.iter(kind):
        if tag.get("toName") == image and tag.get("name"):
            labels = (one.get("alias") or one.get("value") or "" for one in tag.iter("Label"))
            yield tag.get("name", ""), {label for label in labels if label}
