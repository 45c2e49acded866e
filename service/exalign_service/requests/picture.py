"""Pictures, boxes, detection and landmark options of a request, as checked values.

Each reader adds what is wrong to a collection, so that one answer names every wrong field. What does not depend on the
pixels is checked while reading. The pixels, and the boxes against them, are checked by `Picture`'s methods, which
report both kinds together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import face_pb2, geometry_pb2, image_pb2
from exalign_engine import FACE_BOX
from exalign_engine.errors import InvalidInputError, Violation, Violations
from exalign_engine.geometry.boxes import box_misplacement
from exalign_engine.geometry.image import ExaminedPicture
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_engine.geometry.levels import Pixels
from exalign_service.config.schema import LimitsConfig
from exalign_service.requests.enums import add_unknown_enum
from exalign_service.requests.image import ExaminedRaw, examine_image

T = TypeVar("T")

#: Most probable exemplars named where the request does not say how many.
DEFAULT_TOP_EXEMPLARS = 5

_GROUPS: dict[int, tuple[int, ...]] = {
    geometry_pb2.LANDMARK_GROUP_JAW: tuple(GROUPS["jaw"]),
    geometry_pb2.LANDMARK_GROUP_BROWS: tuple(GROUPS["brows"]),
    geometry_pb2.LANDMARK_GROUP_NOSE: tuple(GROUPS["nose"]),
    geometry_pb2.LANDMARK_GROUP_EYES: tuple(GROUPS["eyes"]),
    geometry_pb2.LANDMARK_GROUP_MOUTH: tuple(GROUPS["mouth"]),
    geometry_pb2.LANDMARK_GROUP_ALL: tuple(range(N_LANDMARKS)),
}


@dataclass(frozen=True)
class RequestLimits:
    """What a request is checked against.

    Attributes:
        config: the limits of this server.
        box_conventions: detectors whose boxes are understood.
        detectors: detectors that can be run here.
        default_detector: the one used when none is named.
    """

    config: LimitsConfig
    box_conventions: Collection[str]
    detectors: Collection[str]
    default_detector: str


def image_limits(config: LimitsConfig) -> ImageLimits:
    """What is accepted of a picture, as the engine takes it."""
    return ImageLimits(config.max_encoded_bytes, config.max_pixels, max_seconds=config.max_decode_seconds)


@dataclass(frozen=True, eq=False)
class GivenBox:
    """A box of the caller's.

    Attributes:
        corners: (4,) float64 x0 < x1, y0 < y1, finite, image frame, pixels.
        source: `FACE_BOX` or the name of a detector.
    """

    corners: NDArray[np.float64]
    source: str


@dataclass(frozen=True)
class DetectionOptions:
    """How to find faces.

    Attributes:
        detector: its name.
        max_faces: at most so many.
        min_score: drop what is below; None: the detector's own threshold.
    """

    detector: str
    max_faces: int
    min_score: float | None


@dataclass(frozen=True)
class LandmarkGroup:
    """Landmarks whose joint uncertainty is requested.

    Attributes:
        landmarks: 0-based indices.
        selection: as it was sent.
    """

    landmarks: tuple[int, ...]
    selection: geometry_pb2.LandmarkSelection


@dataclass(frozen=True)
class LandmarkOptions:
    """How landmarks are answered."""

    top_exemplars: int = DEFAULT_TOP_EXEMPLARS
    groups: tuple[LandmarkGroup, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture with faces, of a request of which everything but the picture has been read.

    Attributes:
        image: as it was sent.
        boxes: those that are boxes, by their path in the request; empty: detect.
        detection: how.
        violations: what is wrong with the request so far.
    """

    image: image_pb2.Image
    boxes: dict[str, GivenBox]
    detection: DetectionOptions
    violations: tuple[Violation, ...] = field(default=())

    def examine(self, limits: ImageLimits) -> ExaminedPicture | ExaminedRaw:
        """Read the picture as far as can be done without its pixels. Slow: for a thread.

        Raises:
            InvalidInputError: every violation of the request, as far as it can be told.
        """
        return self.complete(lambda: examine_image(self.image, limits))

    def complete(self, work: Callable[[], T]) -> T:
        """Do something with the picture; what it finds wrong is reported with what was found before.

        Raises:
            InvalidInputError: every violation of the request.
        """
        try:
            return work()
        except InvalidInputError as e:
            raise InvalidInputError([*self.violations, *e.violations]) from None

    def check(self, image: Pixels) -> None:
        """Check the boxes against the decoded picture.

        Raises:
            InvalidInputError: every violation of the request.
        """
        violations = Violations()
        violations.extend(self.violations)
        add_misplaced(violations, self.boxes, image.shape)
        violations.raise_if_any()


def add_misplaced(violations: Violations, boxes: Mapping[str, GivenBox], shape: Sequence[int]) -> None:
    """Add what is wrong with the size or place of boxes, by path, in an image of shape (H, W, ...)."""
    for path, box in boxes.items():
        fault = box_misplacement(box.corners, shape[1], shape[0])
        if fault is not None:
            violations.add(path, fault)


def read_boxes(given: Sequence[geometry_pb2.Box], limits: RequestLimits, violations: Violations) -> dict[str, GivenBox]:
    """The boxes that are boxes, by path."""
    most = limits.config.max_faces
    if len(given) > most:
        violations.add("boxes", f"has {len(given)} boxes, at most {most} are accepted")
    found = ((f"boxes[{i}]", read_box(box, limits, violations.at(f"boxes[{i}]"))) for i, box in enumerate(given[:most]))
    return {path: box for path, box in found if box is not None}


def read_box(box: geometry_pb2.Box, limits: RequestLimits, violations: Violations) -> GivenBox | None:
    """One box; None where it is none."""
    before = len(violations)
    check_corners(box, violations)
    if box.detector and box.detector not in limits.box_conventions:
        _add_unknown_name(violations, "detector", box.detector, limits.box_conventions)
    if len(violations) > before:
        return None
    return GivenBox(np.array((box.x0, box.y0, box.x1, box.y1), dtype=np.float64), box.detector or FACE_BOX)


def check_corners(box: geometry_pb2.Box | geometry_pb2.Rectangle, violations: Violations) -> bool:
    """Check the corners of a box or rectangle, but not its place; whether they are right."""
    before = len(violations)
    for name, value in (("x0", box.x0), ("y0", box.y0), ("x1", box.x1), ("y1", box.y1)):
        if not math.isfinite(value):
            violations.add(name, f"is {value}, must be finite")
    if len(violations) == before:
        for low, a, high, b in (("x0", box.x0, "x1", box.x1), ("y0", box.y0, "y1", box.y1)):
            if b <= a:
                violations.add(high, f"is {b:g}, must be greater than {low} = {a:g}")
    return len(violations) == before


def read_detection(
    options: face_pb2.DetectionOptions,
    limits: RequestLimits,
    violations: Violations,
    *,
    ignored: bool,
    one_face: bool = False,
) -> DetectionOptions:
    """How to find faces. ``ignored``: boxes win, nothing is checked; ``one_face``: nor is max_faces."""
    most = limits.config.max_faces
    result = DetectionOptions(
        options.detector or limits.default_detector,
        options.max_faces if options.HasField("max_faces") and not one_face else most,
        options.min_score if options.HasField("min_score") else None,
    )
    if ignored:
        return result
    violations = violations.at("detection")
    if result.detector not in limits.detectors:
        _add_unknown_name(violations, "detector", result.detector, limits.detectors)
    if not 1 <= result.max_faces <= most:
        violations.add("max_faces", f"is {result.max_faces}, must be 1 to {most}")
    if result.min_score is not None and not 0 <= result.min_score <= 1:
        violations.add("min_score", f"is {result.min_score:g}, must be 0 to 1")
    return result


def read_landmark_options(
    options: face_pb2.LandmarkOptions, limits: LimitsConfig, violations: Violations
) -> LandmarkOptions:
    """How landmarks are answered, from a field ``landmarks``."""
    violations = violations.at("landmarks")
    top = options.top_exemplars if options.HasField("top_exemplars") else DEFAULT_TOP_EXEMPLARS
    if options.HasField("top_exemplars") and not 0 <= top <= limits.max_top_exemplars:
        violations.add("top_exemplars", f"is {top}, must be 0 to {limits.max_top_exemplars}")
    most = limits.max_landmark_groups
    if len(options.groups) > most:
        violations.add("groups", f"has {len(options.groups)} groups, at most {most} are accepted")
    groups = (
        LandmarkGroup(_selected(selection, violations.at(f"groups[{i}]")), selection)
        for i, selection in enumerate(options.groups[:most])
    )
    return LandmarkOptions(top, tuple(groups))


def _selected(selection: geometry_pb2.LandmarkSelection, violations: Violations) -> tuple[int, ...]:
    """The indices of a selection."""
    which = selection.WhichOneof("selection")
    if which is None:
        violations.add("", "is empty, must hold a group or landmarks")
        return ()
    if which == "group":
        if selection.group not in _GROUPS:
            add_unknown_enum(violations, "group", selection.group, geometry_pb2.LandmarkGroup.DESCRIPTOR)
        return _GROUPS.get(selection.group, ())
    indices = tuple(selection.landmarks.indices)
    violations = violations.at("landmarks.indices")
    if not 1 <= len(indices) <= N_LANDMARKS:
        violations.add("", f"has {len(indices)} landmarks, must have 1 to {N_LANDMARKS}")
        return ()
    check_indices(indices, violations)
    return indices


def check_indices(indices: Sequence[int], violations: Violations) -> None:
    """Every landmark must be one of the 68, and there only once."""
    seen: set[int] = set()
    for position, n in enumerate(indices):
        if not 0 <= n < N_LANDMARKS:
            violations.add(f"[{position}]", f"is {n}, must be 0 to {N_LANDMARKS - 1}")
        elif n in seen:
            violations.add(f"[{position}]", f"is {n} once more, must be there only once")
        seen.add(n)


def _add_unknown_name(violations: Violations, field: str, name: str, known: Collection[str]) -> None:
    shown = name if len(name) <= 64 else f"{name[:64]}…"
    violations.add(field, f"is {shown!r}, must be one of {', '.join(sorted(known)) or '(none here)'}")
