"""Single arguments as messages. Each function adds what is wrong to a collector, whose path names the argument."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import geometry_pb2, image_pb2
from exalign_client.errors import InvalidRequestError, Violation, Violations
from exalign_client.landmarks import GROUPS, N_LANDMARKS, NAMES

#: A file's path, the bytes of an image file, or pixels: (H, W, 3) uint8 RGB or (H, W) uint8 grey.
ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]"

GroupName: TypeAlias = Literal["jaw", "brows", "nose", "eyes", "mouth", "all"]

#: A named group of landmarks, or 0-based landmarks one by one.
Group: TypeAlias = GroupName | Sequence[int]

#: A landmark's name (`exalign_client.landmarks.NAMES`) or 0-based index.
Landmark: TypeAlias = str | int

#: A landmark, or the name of a group of them.
LandmarkOrGroup: TypeAlias = Landmark | GroupName

_GROUPS: dict[str, geometry_pb2.LandmarkGroup.ValueType] = {
    "jaw": geometry_pb2.LANDMARK_GROUP_JAW,
    "brows": geometry_pb2.LANDMARK_GROUP_BROWS,
    "nose": geometry_pb2.LANDMARK_GROUP_NOSE,
    "eyes": geometry_pb2.LANDMARK_GROUP_EYES,
    "mouth": geometry_pb2.LANDMARK_GROUP_MOUTH,
    "all": geometry_pb2.LANDMARK_GROUP_ALL,
}
KindT = TypeVar("KindT")
MAX_INT32 = 2**31 - 1
MAX_FLOAT32 = float(np.finfo(np.float32).max)


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


def items(value: object, wrong: Violations) -> tuple[Any, ...]:
    """What is in a list, an array or another iterable; nothing, and a violation, where it is none."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        try:
            return tuple(value)
        except TypeError:  # an array without dimensions says that it can be iterated
            pass
    wrong.add(f"{value!r} is no list")
    return ()


def text(value: str | None, wrong: Violations) -> str:
    """A text, empty for None; a violation where it is none."""
    if value is None or isinstance(value, str):
        return value or ""
    wrong.add(f"{value!r} is no text")
    return ""


def kind_of(value: object, kind: type[KindT], wrong: Violations, hint: str = "") -> KindT | None:
    """The value where it is of a kind; None, and a violation, where it is not."""
    if isinstance(value, kind):
        return value
    wrong.add(f"{value!r} is no {kind.__name__}{hint}")
    return None


def check_timeout(timeout: float) -> float:
    """Return a timeout in seconds as it is.

    Raises:
        InvalidRequestError: it is not a finite number > 0.
    """
    if not (isinstance(timeout, (int, float)) and math.isfinite(timeout) and timeout > 0):
        raise InvalidRequestError([Violation("timeout", f"{timeout!r} is not a number of seconds > 0")])
    return timeout


def image_message(image: ImageInput, wrong: Violations) -> image_pb2.Image | None:
    """The image as a message; None when it is wrong.

    Raises:
        OSError: the image file cannot be read.
    """
    match image:
        case str() | os.PathLike():
            try:
                encoded = Path(image).read_bytes()
            except ValueError as error:  # a zero byte in the name
                wrong.add(f"{image!r} is no path: {error}")
                return None
            if not encoded:
                wrong.add(f"the file {os.fspath(image)} is empty")
            return image_pb2.Image(encoded=encoded)
        case bytes() | bytearray() | memoryview():
            if not len(image):
                wrong.add("no bytes; give a JPEG, PNG, WebP or BMP file")
            return image_pb2.Image(encoded=bytes(image))
        case np.ndarray():
            problem = _pixels_problem(image)
            if problem is None:
                return image_pb2.Image(raw=_raw(image))
            wrong.add(problem)
        case _:
            kind = type(image).__name__
            wrong.add(f"a {kind} is no path, bytes of an image file, or uint8 array")
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


def box_messages(boxes: Iterable[BoxInput], wrong: Violations) -> list[geometry_pb2.Box]:
    """One message a box that is right."""
    messages = (box_message(box, wrong.at(index)) for index, box in enumerate(items(boxes, wrong)))
    return [message for message in messages if message is not None]


def box_message(box: BoxInput, wrong: Violations) -> geometry_pb2.Box | None:
    """The box, or None when it is wrong."""
    detector = box.detector if isinstance(box, Box) else ""
    edges = rectangle_edges((box.x0, box.y0, box.x1, box.y1) if isinstance(box, Box) else box, wrong)
    if edges is None:
        return None
    x0, y0, x1, y1 = edges
    return geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1, detector=detector)


def rectangle_edges(edges: object, wrong: Violations) -> tuple[float, float, float, float] | None:
    """Four numbers x0 < x1, y0 < y1, or None when they are wrong."""
    try:
        x0, y0, x1, y1 = (float(v) for v in edges)  # type: ignore[attr-defined]  # finding out is the point
    except (TypeError, ValueError):
        wrong.add(f"{edges!r} is not four numbers x0, y0, x1, y1")
        return None
    before = len(wrong)
    for name, value in (("x0", x0), ("y0", y0), ("x1", x1), ("y1", y1)):
        finite_number(value, wrong.at(name))
    if len(wrong) == before:
        if x1 <= x0:
            wrong.at("x1").add(f"{x1:g} must be greater than x0 = {x0:g}")
        if y1 <= y0:
            wrong.at("y1").add(f"{y1:g} must be greater than y0 = {y0:g}")
    return (x0, y0, x1, y1) if len(wrong) == before else None


def finite_number(value: object, wrong: Violations) -> float:
    """A number that a 32-bit float can hold; 0.0 when it is wrong."""
    try:
        number = float(value)  # type: ignore[arg-type]  # finding out is the point
    except (TypeError, ValueError):
        wrong.add(f"{value!r} is not a number")
        return 0.0
    if not abs(number) <= MAX_FLOAT32:  # also true of NaN
        wrong.add(f"{number} is not a finite number")
        return 0.0
    return number


def positive_number(value: float | None, wrong: Violations) -> float | None:
    """A finite number > 0; None where it is absent or wrong."""
    if value is None:
        return None
    before = len(wrong)
    number = finite_number(value, wrong)
    if len(wrong) == before and number <= 0:
        wrong.add(f"{number:g} must be > 0")
    return number if len(wrong) == before else None


def interval_message(
    bounds: tuple[float, float] | None, wrong: Violations, *, empty: bool = True
) -> geometry_pb2.Interval | None:
    """An interval of degrees within [−180, 180]; None where it is absent or wrong.

    Args:
        bounds: lower and upper end.
        wrong: collects what is wrong.
        empty: whether both ends may be the same.
    """
    if bounds is None:
        return None
    try:
        lower, upper = (float(v) for v in bounds)
    except (TypeError, ValueError):
        wrong.add(f"{bounds!r} is not two numbers: lower, upper")
        return None
    if not (-180 <= lower <= 180 and -180 <= upper <= 180):  # also of NaN
        wrong.add(f"{lower:g} to {upper:g} is not within -180 to 180 degrees")
    elif lower > upper or (lower == upper and not empty):
        wrong.add(f"the lower end {lower:g} must be below the upper end {upper:g}")
    else:
        return geometry_pb2.Interval(lower=lower, upper=upper)
    return None


def whole_in(value: int | None, least: int, wrong: Violations, most: int = MAX_INT32) -> int | None:
    """A whole number between two limits, both allowed; None where it is absent or wrong."""
    if value is None:
        return None
    number = whole(value)
    if number is None or not least <= number <= most:
        limit = f"≥ {least}" if most == MAX_INT32 else f"from {least} to {most}"
        wrong.add(f"{value!r} is not a whole number {limit}")
        return None
    return number


def landmark_index(landmark: object, wrong: Violations) -> int:
    """The index of a landmark given by name or index; 0 when it is wrong."""
    number = NAMES.index(landmark) if landmark in NAMES else whole(landmark)
    if number is None or not 0 <= number < N_LANDMARKS:
        limit = f"neither a landmark's name, such as 'nose_tip', nor 0 to {N_LANDMARKS - 1}"
        wrong.add(f"{landmark!r} is {limit}")
        return 0
    return number


def landmark_indices(landmarks: Iterable[LandmarkOrGroup], wrong: Violations) -> list[int]:
    """Indices of landmarks and groups, in the order first named, each once."""
    if isinstance(landmarks, str):
        wrong.add(f"{landmarks!r} is one name; give a list of them")
        return []
    indices: dict[int, None] = {}
    for position, landmark in enumerate(items(landmarks, wrong)):
        if landmark == "all":
            indices.update(dict.fromkeys(range(N_LANDMARKS)))
        elif isinstance(landmark, str) and landmark in GROUPS:
            indices.update(dict.fromkeys(GROUPS[landmark]))
        else:
            indices[landmark_index(landmark, wrong.at(position))] = None
    return list(indices)


def group_messages(groups: Iterable[Group], wrong: Violations) -> list[geometry_pb2.LandmarkSelection]:
    """One message a group that is right."""
    if isinstance(groups, str):
        wrong.add(f"{groups!r} is one group; give a list of them")
        return []
    messages = []
    for position, group in enumerate(items(groups, wrong)):
        if isinstance(group, str):
            if group in _GROUPS:
                messages.append(geometry_pb2.LandmarkSelection(group=_GROUPS[group]))
            else:
                wrong.at(position).add(f"{group!r} is none of {', '.join(_GROUPS)}")
            continue
        indices = [whole(n) for n in group] if isinstance(group, Iterable) else []
        known = [n for n in indices if n is not None and 0 <= n < N_LANDMARKS]
        if not indices or len(known) != len(indices) or len(set(known)) != len(known):
            limit = f"different landmarks, each 0 to {N_LANDMARKS - 1}, at least one"
            wrong.at(position).add(f"{group!r} must be {limit}")
        else:
            selected = geometry_pb2.LandmarkIndices(indices=known)
            messages.append(geometry_pb2.LandmarkSelection(landmarks=selected))
    return messages


def whole(value: object) -> int | None:
    """A whole number of Python's or NumPy's as int; None for anything else."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # finding out is the point
    except TypeError:
        return None
