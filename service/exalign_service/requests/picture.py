"""The parts of a request that speak of pictures, boxes, detection and landmarks, as checked values.

Each reader adds what is wrong to a list, so that one answer names every wrong field. What can be judged without the
picture is judged at once; the picture, and boxes against it, by `Picture.open_image`, which then reports both kinds
of faults together.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from google.protobuf.descriptor import EnumDescriptor
from numpy.typing import NDArray

from exalign.v1 import face_pb2, geometry_pb2, image_pb2
from exalign_engine import FACE_BOX
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.geometry.boxes import box_misplacement
from exalign_engine.geometry.image import ImageLimits, PixelFormat, decode, from_raw
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS
from exalign_service.config.schema import LimitsConfig

U8 = NDArray[np.uint8]

#: Most probable exemplars named where the request does not say how many.
DEFAULT_TOP_EXEMPLARS = 5

_PIXEL_FORMATS: dict[int, PixelFormat] = {
    image_pb2.PIXEL_FORMAT_RGB8: "RGB8",
    image_pb2.PIXEL_FORMAT_BGR8: "BGR8",
    image_pb2.PIXEL_FORMAT_GRAY8: "GRAY8",
}

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

    @cached_property
    def image_limits(self) -> ImageLimits:
        """As the engine takes them."""
        return ImageLimits(max_bytes=self.config.max_encoded_bytes, max_pixels=self.config.max_pixels)


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
    """Landmarks whose uncertainty as a whole is wanted.

    Attributes:
        landmarks: 0-based indices.
        selection: as it was asked for.
    """

    landmarks: tuple[int, ...]
    selection: geometry_pb2.LandmarkSelection


@dataclass(frozen=True)
class LandmarkOptions:
    """What to say about landmarks."""

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

    def open_image(self, limits: ImageLimits) -> U8:
        """Decode the picture and finish the checks. Slow: for an executor.

        Returns:
            (H, W, 3) uint8 RGB, in the image frame.

        Raises:
            InvalidInputError: every violation of the request.
        """
        wrong, image = list(self.violations), None
        try:
            image = _open(self.image, limits)
        except InvalidInputError as e:
            wrong += e.violations
        if image is not None:
            wrong += misplaced(self.boxes, image.shape)
        if image is None or wrong:
            raise InvalidInputError(wrong)
        return image


def _open(image: image_pb2.Image, limits: ImageLimits) -> U8:
    """The pixels of an Image message."""
    source = image.WhichOneof("source")
    if source == "encoded":
        return decode(image.encoded, limits, field="image.encoded")
    if source == "raw":
        raw = image.raw
        known = _PIXEL_FORMATS.get(raw.pixel_format)
        if known is not None:
            return from_raw(raw.data, raw.width, raw.height, known, raw.row_stride or None, limits, field="image.raw")
        wrong = [unknown_enum("image.raw.pixel_format", raw.pixel_format, image_pb2.PixelFormat.DESCRIPTOR)]
        try:  # the other fields are judged as if the format were the commonest one, all but the bytes
            from_raw(b"", raw.width, raw.height, "RGB8", None, limits, field="image.raw")
        except InvalidInputError as e:
            wrong += [v for v in e.violations if v.field != "image.raw.data"]
        raise InvalidInputError(wrong)
    raise InvalidInputError.of("image", "is not set, must hold an encoded or a raw image")


def read_boxes(given: Sequence[geometry_pb2.Box], limits: RequestLimits, wrong: list[Violation]) -> dict[str, GivenBox]:
    """The boxes that are boxes, by path."""
    most = limits.config.max_faces
    if len(given) > most:
        wrong.append(Violation("boxes", f"has {len(given)} boxes, at most {most} are accepted"))
    found = ((f"boxes[{i}]", read_box(box, f"boxes[{i}]", limits, wrong)) for i, box in enumerate(given[:most]))
    return {path: box for path, box in found if box is not None}


def read_box(box: geometry_pb2.Box, path: str, limits: RequestLimits, wrong: list[Violation]) -> GivenBox | None:
    """One box; None where it is none."""
    faults = wrong_corners(box, path)
    if box.detector and box.detector not in limits.box_conventions:
        faults.append(_unknown_name(f"{path}.detector", box.detector, limits.box_conventions))
    wrong += faults
    if faults:
        return None
    return GivenBox(np.array((box.x0, box.y0, box.x1, box.y1), dtype=np.float64), box.detector or FACE_BOX)


def misplaced(boxes: Mapping[str, GivenBox], shape: Sequence[int]) -> list[Violation]:
    """What is wrong with the size or place of boxes, by path, in an image of shape (H, W, ...)."""
    found = ((path, box_misplacement(box.corners, shape[1], shape[0])) for path, box in boxes.items())
    return [Violation(path, fault) for path, fault in found if fault is not None]


def wrong_corners(box: geometry_pb2.Box | geometry_pb2.Rectangle, path: str) -> list[Violation]:
    """What is wrong with the corners of a box or rectangle, its place apart."""
    corners = (box.x0, box.y0, box.x1, box.y1)
    faults = [
        Violation(f"{path}.{name}", f"is {value}, must be finite")
        for name, value in zip(("x0", "y0", "x1", "y1"), corners, strict=True)
        if not math.isfinite(value)
    ]
    if not faults:
        faults = [
            Violation(f"{path}.{high}", f"is {b:g}, must be greater than {low} = {a:g}")
            for low, a, high, b in (("x0", box.x0, "x1", box.x1), ("y0", box.y0, "y1", box.y1))
            if b <= a
        ]
    return faults


def read_detection(
    options: face_pb2.DetectionOptions,
    limits: RequestLimits,
    wrong: list[Violation],
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
    if result.detector not in limits.detectors:
        wrong.append(_unknown_name("detection.detector", result.detector, limits.detectors))
    if not 1 <= result.max_faces <= most:
        wrong.append(Violation("detection.max_faces", f"is {result.max_faces}, must be 1 to {most}"))
    if result.min_score is not None and not 0 <= result.min_score <= 1:
        wrong.append(Violation("detection.min_score", f"is {result.min_score:g}, must be 0 to 1"))
    return result


def read_landmark_options(
    options: face_pb2.LandmarkOptions, limits: LimitsConfig, wrong: list[Violation]
) -> LandmarkOptions:
    """What to say about landmarks."""
    top = options.top_exemplars if options.HasField("top_exemplars") else DEFAULT_TOP_EXEMPLARS
    if options.HasField("top_exemplars") and not 0 <= top <= limits.max_top_exemplars:
        wrong.append(Violation("landmarks.top_exemplars", f"is {top}, must be 0 to {limits.max_top_exemplars}"))
    most = limits.max_landmark_groups
    if len(options.groups) > most:
        wrong.append(Violation("landmarks.groups", f"has {len(options.groups)} groups, at most {most} are accepted"))
    groups = []
    for index, selection in enumerate(options.groups[:most]):
        landmarks = _landmarks(selection, f"landmarks.groups[{index}]", wrong)
        groups.append(LandmarkGroup(landmarks, selection))
    return LandmarkOptions(top, tuple(groups))


def _landmarks(selection: geometry_pb2.LandmarkSelection, path: str, wrong: list[Violation]) -> tuple[int, ...]:
    """The indices of a selection; what is wrong with it is added to ``wrong``."""
    which = selection.WhichOneof("selection")
    if which is None:
        wrong.append(Violation(path, "is empty, must hold a group or landmarks"))
        return ()
    if which == "group":
        if selection.group not in _GROUPS:
            wrong.append(unknown_enum(f"{path}.group", selection.group, geometry_pb2.LandmarkGroup.DESCRIPTOR))
        return _GROUPS.get(selection.group, ())
    path, indices = f"{path}.landmarks.indices", tuple(selection.landmarks.indices)
    if not 1 <= len(indices) <= N_LANDMARKS:
        wrong.append(Violation(path, f"has {len(indices)} landmarks, must have 1 to {N_LANDMARKS}"))
        return ()
    check_indices(indices, path, wrong)
    return indices


def check_indices(indices: Sequence[int], path: str, wrong: list[Violation]) -> None:
    """Every landmark must be one of the 68, and there only once."""
    seen: set[int] = set()
    for position, n in enumerate(indices):
        if not 0 <= n < N_LANDMARKS:
            wrong.append(Violation(f"{path}[{position}]", f"is {n}, must be 0 to {N_LANDMARKS - 1}"))
        elif n in seen:
            wrong.append(Violation(f"{path}[{position}]", f"is {n} once more, must be there only once"))
        seen.add(n)


def unknown_enum(path: str, value: int, enum: EnumDescriptor) -> Violation:
    """A number that the enum has not, or that may not be sent."""
    names = enum.values_by_number
    shown = f"{names[value].name} ({value})" if value in names else str(value)
    wanted = ", ".join(entry.name for entry in enum.values if entry.number)
    return Violation(path, f"is {shown}, must be one of {wanted}")


def _unknown_name(path: str, name: str, known: Collection[str]) -> Violation:
    shown = name if len(name) <= 64 else f"{name[:64]}…"
    return Violation(path, f"is {shown!r}, must be one of {', '.join(sorted(known)) or '(none here)'}")
