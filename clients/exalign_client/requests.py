"""From a caller's arguments to request messages; what can be seen to be wrong here never reaches the wire."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import face_pb2, geometry_pb2, image_pb2, service_pb2
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.layout import N_LANDMARKS

#: A file's path, the bytes of an image file, or pixels: (H, W, 3) uint8 RGB or (H, W) uint8 grey.
ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]"

GroupName: TypeAlias = Literal["jaw", "brows", "nose", "eyes", "mouth", "all"]

#: A named group of landmarks, or 0-based landmarks one by one.
Group: TypeAlias = GroupName | Sequence[int]

_GROUPS: dict[str, geometry_pb2.LandmarkGroup.ValueType] = {
    "jaw": geometry_pb2.LANDMARK_GROUP_JAW,
    "brows": geometry_pb2.LANDMARK_GROUP_BROWS,
    "nose": geometry_pb2.LANDMARK_GROUP_NOSE,
    "eyes": geometry_pb2.LANDMARK_GROUP_EYES,
    "mouth": geometry_pb2.LANDMARK_GROUP_MOUTH,
    "all": geometry_pb2.LANDMARK_GROUP_ALL,
}
_MAX_INT32 = 2**31 - 1
_MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Box:
    """An axis-aligned box around one face, image frame, pixels.

    Args:
        x0: left edge.
        y0: top edge.
        x1: right edge, > ``x0``.
        y1: bottom edge, > ``y0``.
        detector: whose convention the box follows: empty for the tight box of the 68 landmarks, or the name
            of a detector in ``Model.detectors``, whose boxes the server then maps to that.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    detector: str = ""


#: A box as four numbers x0, y0, x1, y1 (image frame, pixels), or a `Box`.
BoxInput: TypeAlias = "Box | Sequence[float] | NDArray[np.floating] | NDArray[np.integer]"


def predict_request(
    image: ImageInput,
    boxes: Iterable[BoxInput] | None = None,
    *,
    detector: str | None = None,
    max_faces: int | None = None,
    top_exemplars: int | None = None,
    groups: Iterable[Group] = (),
) -> service_pb2.PredictLandmarksRequest:
    """Build the request of `Client.predict`; its arguments are described there.

    Raises:
        InvalidRequestError: naming every argument that is wrong.
        OSError: the image file cannot be read.
    """
    wrong: list[Violation] = []
    request = service_pb2.PredictLandmarksRequest(
        image=_image(image, wrong),
        boxes=_boxes(() if boxes is None else boxes, wrong),
        detection=face_pb2.DetectionOptions(
            detector=detector or "", max_faces=_count("max_faces", max_faces, 1, wrong)
        ),
        landmarks=face_pb2.LandmarkOptions(
            top_exemplars=_count("top_exemplars", top_exemplars, 0, wrong), groups=_groups(groups, wrong)
        ),
    )
    if wrong:
        raise InvalidRequestError(wrong)
    return request


def check_timeout(timeout: float) -> float:
    """Return a timeout in seconds as it is.

    Raises:
        InvalidRequestError: it is not a finite number > 0.
    """
    if not (isinstance(timeout, (int, float)) and math.isfinite(timeout) and timeout > 0):
        raise InvalidRequestError([Violation("timeout", f"{timeout!r} is not a number of seconds > 0")])
    return timeout


def _image(image: ImageInput, wrong: list[Violation]) -> image_pb2.Image | None:
    match image:
        case str() | os.PathLike():
            encoded = Path(image).read_bytes()
            if not encoded:
                wrong.append(Violation("image", f"the file {os.fspath(image)} is empty"))
            return image_pb2.Image(encoded=encoded)
        case bytes() | bytearray() | memoryview():
            if not len(image):
                wrong.append(Violation("image", "no bytes; give a JPEG, PNG, WebP or BMP file"))
            return image_pb2.Image(encoded=bytes(image))
        case np.ndarray():
            problem = _pixels_problem(image)
            if problem is None:
                return image_pb2.Image(raw=_raw(image))
            wrong.append(Violation("image", problem))
        case _:
            kind = type(image).__name__
            wrong.append(Violation("image", f"a {kind} is no path, bytes of an image file, or uint8 array"))
    return None


def _pixels_problem(pixels: NDArray[np.uint8]) -> str | None:
    shape = "×".join(str(n) for n in pixels.shape)
    if pixels.dtype != np.uint8:
        return f"an array of dtype {pixels.dtype}; pixels must be uint8, 0 to 255"
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] == 3):
        return f"an array of shape {shape}; must be height×width×3 (RGB) or height×width (grey)"
    if pixels.size == 0:
        return f"an array of shape {shape} has no pixels"
    return None


def _raw(pixels: NDArray[np.uint8]) -> image_pb2.RawImage:
    colour = pixels.ndim == 3
    return image_pb2.RawImage(
        data=pixels.tobytes(),  # in C order, rows without gaps, whatever the array's own strides
        pixel_format=image_pb2.PIXEL_FORMAT_RGB8 if colour else image_pb2.PIXEL_FORMAT_GRAY8,
        width=pixels.shape[1],
        height=pixels.shape[0],
    )


def _boxes(boxes: Iterable[BoxInput], wrong: list[Violation]) -> list[geometry_pb2.Box]:
    messages = []
    for index, box in enumerate(boxes):
        path = f"boxes[{index}]"
        detector = box.detector if isinstance(box, Box) else ""
        corners = (box.x0, box.y0, box.x1, box.y1) if isinstance(box, Box) else box
        try:
            x0, y0, x1, y1 = (float(v) for v in corners)
        except (TypeError, ValueError):
            wrong.append(Violation(path, f"{box!r} is not four numbers x0, y0, x1, y1"))
            continue
        before = len(wrong)
        for name, value in (("x0", x0), ("y0", y0), ("x1", x1), ("y1", y1)):
            if not abs(value) <= _MAX_FLOAT32:  # also true of NaN
                wrong.append(Violation(f"{path}.{name}", f"{value} is not a finite number"))
        if len(wrong) == before:
            if x1 <= x0:
                wrong.append(Violation(f"{path}.x1", f"{x1:g} must be greater than x0 = {x0:g}"))
            if y1 <= y0:
                wrong.append(Violation(f"{path}.y1", f"{y1:g} must be greater than y0 = {y0:g}"))
        if len(wrong) == before:
            messages.append(geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1, detector=detector))
    return messages


def _count(name: str, value: int | None, least: int, wrong: list[Violation]) -> int | None:
    if value is None:
        return None
    number = _whole(value)
    if number is None or not least <= number <= _MAX_INT32:
        wrong.append(Violation(name, f"{value!r} is not a whole number ≥ {least}"))
        return None
    return number


def _groups(groups: Iterable[Group], wrong: list[Violation]) -> list[geometry_pb2.LandmarkSelection]:
    if isinstance(groups, str):
        wrong.append(Violation("groups", f"{groups!r} is one group; give a list of them"))
        return []
    messages = []
    for position, group in enumerate(groups):
        path = f"groups[{position}]"
        if isinstance(group, str):
            if group in _GROUPS:
                messages.append(geometry_pb2.LandmarkSelection(group=_GROUPS[group]))
            else:
                wrong.append(Violation(path, f"{group!r} is none of {', '.join(_GROUPS)}"))
            continue
        indices = [_whole(n) for n in group] if isinstance(group, Iterable) else []
        known = [n for n in indices if n is not None and 0 <= n < N_LANDMARKS]
        if not indices or len(known) != len(indices) or len(set(known)) != len(known):
            limit = f"different landmarks, each 0 to {N_LANDMARKS - 1}, at least one"
            wrong.append(Violation(path, f"{group!r} must be {limit}"))
        else:
            selected = geometry_pb2.LandmarkIndices(indices=known)
            messages.append(geometry_pb2.LandmarkSelection(landmarks=selected))
    return messages


def _whole(value: object) -> int | None:
    """A whole number of Python's or NumPy's as int; None for anything else."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # finding out is the point
    except TypeError:
        return None
