"""Requests by the grammar of the contract, each with what the contract says is wrong with it.

A `Writer` decides at every field whether it is right or wrong, and notes the paths of those that are wrong: a server
must name exactly these. What is random follows from one seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2
from service_fakes import encoded, picture

T = TypeVar("T")

#: (width, height) of most pictures.
SIZE = (48, 40)

#: What the server is started with, see `fuzzed_server`.
MAX_FACES, MAX_GROUPS, MAX_TOP, MAX_EXEMPLARS = 8, 4, 20, 50

_PICTURES = [encoded(picture(*SIZE, seed=i), kind) for i, kind in enumerate((".jpg", ".png", ".webp", ".jpg"))]

_PIXELS = picture(*SIZE).tobytes()

#: A picture of another size.
OTHER_PICTURE = encoded(picture(40, 48, seed=9))

_NAN, _INF = math.nan, math.inf

#: Boxes that are right in pictures of `SIZE`.
BOXES = ((8.0, 6.0, 38.0, 36.0), (5.5, 5.5, 30.0, 32.0), (-4.0, -4.0, 20.0, 20.0), (12.0, 10.0, 47.0, 39.0))


class Writer:
    """Decides what is written.

    Args:
        random: decides.
        share: of fields that are wrong.

    Attributes:
        wrong: paths of fields that are.
    """

    def __init__(self, random: Random, share: float) -> None:
        self.random, self.share = random, share
        self.wrong: set[str] = set()

    def wrongly(self) -> bool:
        """Whether the next field is wrong."""
        return self.random.random() < self.share

    def pick(self, path: str, right: Sequence[T], wrong: Sequence[T]) -> T:
        """A value of a field."""
        if wrong and self.wrongly():
            self.wrong.add(path)
            return self.random.choice(wrong)
        return self.random.choice(right)

    def perhaps(self, share: float = 0.5) -> bool:
        """Whether something that may be left out is there."""
        return self.random.random() < share


def image(w: Writer, path: str = "image") -> image_pb2.Image:
    """A picture; where it is wrong nothing that depends on its pixels is looked at."""
    if w.wrongly():
        return _wrong_image(w, path)
    if w.perhaps(0.2):
        return image_pb2.Image(raw=_raw())
    return image_pb2.Image(encoded=w.random.choice(_PICTURES))


def _raw(**changes: Any) -> image_pb2.RawImage:
    fields = {
        "data": _PIXELS,
        "pixel_format": image_pb2.PIXEL_FORMAT_RGB8,
        "width": SIZE[0],
        "height": SIZE[1],
        **changes,
    }
    return image_pb2.RawImage(**fields)


def _wrong_image(w: Writer, path: str) -> image_pb2.Image:
    file = w.random.choice(_PICTURES)
    wrong: list[tuple[str, image_pb2.Image]] = [
        (path, image_pb2.Image()),
        (f"{path}.encoded", image_pb2.Image(encoded=b"")),
        (f"{path}.encoded", image_pb2.Image(encoded=b"no picture")),
        (f"{path}.encoded", image_pb2.Image(encoded=file[: len(file) // 2])),
        (f"{path}.raw.data", image_pb2.Image(raw=_raw(data=bytes(7)))),
        (f"{path}.raw.width", image_pb2.Image(raw=_raw(width=0))),
        (f"{path}.raw.height", image_pb2.Image(raw=_raw(height=-3))),
        (f"{path}.raw.pixel_format", image_pb2.Image(raw=_raw(pixel_format=0))),
        (f"{path}.raw.row_stride", image_pb2.Image(raw=_raw(row_stride=5))),
    ]
    where, found = w.random.choice(wrong)
    w.wrong.add(where)
    return found


def box(w: Writer, path: str, *, seen: bool) -> geometry_pb2.Box:
    """A box about a face.

    Args:
        w: decides.
        path: of the box.
        seen: whether it is compared with a picture: else its place is not looked at.
    """
    corners = w.random.choice(BOXES)
    wrong: list[tuple[str, tuple[float, float, float, float], str]] = [
        (f"{path}.x1", (20, 5, 20, 30), ""),
        (f"{path}.y1", (5, 20, 30, 10), ""),
        (f"{path}.x0", (_NAN, 5, 30, 30), ""),
        (f"{path}.y1", (5, 5, 30, _INF), ""),
        (f"{path}.detector", corners, "nobody"),
    ]
    if seen:
        wrong += [(path, (500, 500, 540, 540), ""), (path, (5, 5, 5.5, 30), "")]
    if w.wrongly():
        where, corners, detector = w.random.choice(wrong)
        w.wrong.add(where)
    else:
        detector = w.random.choice(("", "", "blazeface"))
    x0, y0, x1, y1 = corners
    return geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1, detector=detector)


def detection(w: Writer, *, one_face: bool = False) -> face_pb2.DetectionOptions:
    """How faces are detected, where no box says where they are."""
    found = face_pb2.DetectionOptions(detector=w.pick("detection.detector", ("", "blazeface"), ("nobody", "x" * 80)))
    if w.perhaps() and not one_face:
        found.max_faces = w.pick("detection.max_faces", (1, MAX_FACES), (0, -1, MAX_FACES + 1))
    if w.perhaps():
        found.min_score = w.pick("detection.min_score", (0.0, 0.5, 1.0), (-0.1, 1.5, _NAN))
    return found


def landmark_options(w: Writer) -> face_pb2.LandmarkOptions:
    """What is said about landmarks."""
    found = face_pb2.LandmarkOptions()
    if w.perhaps():
        found.top_exemplars = w.pick("landmarks.top_exemplars", (0, 3, MAX_TOP), (-1, MAX_TOP + 1))
    if w.share and w.perhaps(0.05):
        w.wrong.add("landmarks.groups")
        found.groups.extend([geometry_pb2.LandmarkSelection(group=1)] * (MAX_GROUPS + 1))
        return found
    for i in range(w.random.choice((0, 0, 1, 2))):
        found.groups.append(_selection(w, f"landmarks.groups[{i}]"))
    return found


def _selection(w: Writer, path: str) -> geometry_pb2.LandmarkSelection:
    if not w.wrongly():
        indices = geometry_pb2.LandmarkIndices(indices=w.random.sample(range(68), w.random.randint(1, 5)))
        right: list[dict[str, Any]] = [{"group": w.random.randint(1, 6)}, {"landmarks": indices}]
        return geometry_pb2.LandmarkSelection(**w.random.choice(right))
    wrong: list[tuple[str, dict[str, Any]]] = [
        (path, {}),
        (f"{path}.group", {"group": 0}),
        (f"{path}.group", {"group": 77}),
        (f"{path}.landmarks.indices", {"landmarks": {}}),
        (f"{path}.landmarks.indices[1]", {"landmarks": {"indices": [3, 68]}}),
        (f"{path}.landmarks.indices[1]", {"landmarks": {"indices": [3, 3]}}),
    ]
    where, fields = w.random.choice(wrong)
    w.wrong.add(where)
    return geometry_pb2.LandmarkSelection(**fields)


def heatmap_options(w: Writer) -> heatmap_pb2.HeatmapOptions:
    """Heatmaps of a few cells."""
    found = heatmap_pb2.HeatmapOptions(landmarks=w.random.sample(range(68), 2))
    if w.wrongly():
        w.wrong.add("heatmaps.landmarks[2]")
        found.landmarks.append(w.random.choice((-1, 68, found.landmarks[0])))
    found.width = w.pick("heatmaps.width", (1, 5, 8), (0, -1, 257))
    found.height = w.pick("heatmaps.height", (1, 4, 9), (0, 257))
    found.encoding = w.pick("heatmaps.encoding", (0, 1, 2, 3), (9,))  # type: ignore[assignment]
    if w.perhaps(0.3):
        sparse = found.encoding == heatmap_pb2.HEATMAP_ENCODING_SPARSE
        found.sparse_mass = w.pick("heatmaps.sparse_mass", (0.5, 1.0), (0.0, 1.5, _NAN) if sparse else ())
    if w.perhaps(0.4):
        found.rectangle.CopyFrom(rectangle(w, "heatmaps.rectangle"))
    return found


def rectangle(w: Writer, path: str) -> geometry_pb2.Rectangle:
    """A part of the picture."""
    right = ((0, 0, 40, 40), (-10, -10, 5, 60), (1, 1, 2, 2))
    x0, y0, x1, y1 = w.random.choice(right)
    if w.wrongly():
        wrong = [("x1", (3, 0, 3, 9)), ("y1", (0, 9, 5, 2)), ("x0", (_NAN, 0, 5, 5)), ("x1", (0, 0, 2e6, 5))]
        name, (x0, y0, x1, y1) = w.random.choice(wrong)
        w.wrong.add(f"{path}.{name}")
    return geometry_pb2.Rectangle(x0=x0, y0=y0, x1=x1, y1=y1)


def pose_options(w: Writer) -> pose_pb2.PoseOptions:
    """The pose, with its histogram or without."""
    found = pose_pb2.PoseOptions()
    for i in range(w.random.choice((0, 1, 2))):
        found.interval_masses.append(w.pick(f"pose.interval_masses[{i}]", (0.5, 0.9), (0.0, 1.0, -1.0, _NAN)))
    if w.perhaps():
        grid = found.histogram
        grid.yaw_bins = w.pick("pose.histogram.yaw_bins", (0, 1, 6), (-1, 181))
        grid.roll_bins = w.pick("pose.histogram.roll_bins", (0, 3), (-5, 181))
        if w.perhaps():
            grid.yaw_range.CopyFrom(angles(w, "pose.histogram.yaw_range", empty=False))
    return found


def angles(w: Writer, path: str, *, empty: bool = True) -> geometry_pb2.Interval:
    """An interval of degrees; one of no width is right where it may be ``empty``."""
    lower, upper = w.random.choice(((-60, 60), (-180, 180), (0.5, 90)))
    if w.wrongly():
        wrong = [("lower", 50, 20), ("lower", -200, 20), ("upper", 0, _NAN)]
        if not empty:
            wrong.append(("", 10, 10))
        name, lower, upper = w.random.choice(wrong)
        w.wrong.add(f"{path}.{name}" if name else path)
    return geometry_pb2.Interval(lower=lower, upper=upper)


def evidence(w: Writer, path: str = "evidence") -> evidence_pb2.Evidence:
    """Constraints on one face, at most one click a landmark."""
    found = evidence_pb2.Evidence()
    for i, landmark in enumerate(w.random.sample(range(68), w.random.choice((0, 1, 1, 2)))):
        found.clicks.append(_click(w, f"{path}.clicks[{i}]", landmark))
    for i in range(w.random.choice((0, 0, 0, 1))):
        found.regions.append(_region(w, f"{path}.regions[{i}]"))
    if w.perhaps(0.2):
        pose = found.poses.add()
        pose.yaw.CopyFrom(angles(w, f"{path}.poses[0].yaw"))
    found.box_motion = w.pick(f"{path}.box_motion", (0, 1, 2), (7,))  # type: ignore[assignment]
    return found


def _click(w: Writer, path: str, landmark: int) -> evidence_pb2.Click:
    trust: list[dict[str, float]] = [{}, {"radius": 12.0}, {"sigma": 2.0}]
    fields: dict[str, Any] = {
        "landmark": landmark,
        "position": {"x": 10.0 + landmark % 20, "y": 12.0 + landmark % 17},
        **w.random.choice(trust),
    }
    if w.wrongly():
        wrong: list[tuple[str, str, Any]] = [
            ("landmark", "landmark", 68),
            ("landmark", "landmark", -1),
            ("position.x", "position", {"x": _NAN, "y": 1}),
            ("position.y", "position", {"x": 1, "y": 2e6}),
            ("position", "position", None),
        ]
        name, field, value = w.random.choice(wrong)
        w.wrong.add(f"{path}.{name}")
        fields[field] = value
    return evidence_pb2.Click(**{k: v for k, v in fields.items() if v is not None})


def _region(w: Writer, path: str) -> evidence_pb2.RegionConstraint:
    corners = [{"x": 0, "y": 0}, {"x": 60, "y": 0}, {"x": 30, "y": 50}]
    shapes: list[dict[str, Any]] = [
        {"rectangle": {"x0": 0, "y0": 0, "x1": 60, "y1": 60}},
        {"circle": {"center": {"x": 20, "y": 20}, "radius": 30}},
        {"polygon": {"vertices": corners}},
    ]
    fields: dict[str, Any] = {"landmark": w.random.randrange(68), "region": w.random.choice(shapes), "side": 1}
    if w.wrongly():
        wrong: list[tuple[str, str, Any]] = [
            ("landmark", "landmark", 70),
            ("region", "region", {}),
            ("side", "side", 5),
            ("region.circle.radius", "region", {"circle": {"center": {"x": 1, "y": 1}, "radius": 0}}),
            ("region.circle.center", "region", {"circle": {"radius": 3}}),
            ("region.polygon.vertices", "region", {"polygon": {"vertices": corners[:2]}}),
        ]
        name, field, value = w.random.choice(wrong)
        w.wrong.add(f"{path}.{name}")
        fields[field] = value
    return evidence_pb2.RegionConstraint(**fields)


def suggestion(w: Writer) -> evidence_pb2.SuggestionOptions:
    """What to suggest."""
    found = evidence_pb2.SuggestionOptions(landmarks=w.random.sample(range(68), w.random.choice((2, 3))))
    if w.wrongly():
        w.wrong.add(f"suggestion.landmarks[{len(found.landmarks)}]")
        found.landmarks.append(w.random.choice((68, -2, found.landmarks[0])))
    if w.perhaps():
        found.max_suggestions = w.pick("suggestion.max_suggestions", (1, 3, 68), (0, 69))
    found.criterion = w.pick("suggestion.criterion", (0, 1, 2), (8,))  # type: ignore[assignment]
    if w.perhaps(0.3):
        found.click_sigma = w.pick("suggestion.click_sigma", (1.0, 5.0), (0.0, -1.0, _NAN, 1e7))
    return found


def views(w: Writer) -> dict[str, Any]:
    """Views beside the one that a method always gives; each is there or not."""
    kinds: dict[str, Callable[[Writer], Any]] = {
        "landmarks": landmark_options,
        "heatmaps": heatmap_options,
        "pose": pose_options,
    }
    return {name: make(w) for name, make in kinds.items() if w.perhaps(0.3)}
