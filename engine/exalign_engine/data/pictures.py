"""Image files of data sets: finding the one beside an annotation, and decoding it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import DataError, InvalidInputError
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_header import stored_size
from exalign_engine.geometry.image_limits import ImageLimits

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".avif", ".heic")


def image_beside(path: Path) -> Path:
    """The image of the same name as an annotation file, however its suffix is spelled.

    Raises:
        DataError: there is none.
    """
    for suffix in IMAGE_SUFFIXES:
        for candidate in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if candidate.is_file():
                return candidate
    # A spelling such as .Jpg, which only a look into the folder finds.
    spelled = sorted(
        file
        for file in path.parent.iterdir()
        if file.stem == path.stem and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if spelled:
        return spelled[0]
    raise DataError(path, f"no image beside it ({', '.join(IMAGE_SUFFIXES)})")


def check_place(image: Path, points: NDArray[np.floating], annotation: Path, line: int | None = None) -> None:
    """Refuse points that cannot lie in their picture, however it is turned; only its header is read.

    Args:
        image: the picture's file; one whose header cannot be read is left to `read_image`.
        points: (68, 2), image frame.
        annotation: named in the error.
        line: of the annotation.

    Raises:
        DataError: all points are outside.
    """
    size = stored_size(image)
    if size is not None and _outside(points, *size) and _outside(points, *size[::-1]):
        raise DataError(annotation, _misplaced(points, *size, image.name), line)


def _outside(points: NDArray[np.floating], width: int, height: int) -> bool:
    """Whether no point lies on a picture's pixels."""
    return not ((points > -0.5) & (points < (width - 0.5, height - 0.5))).all(axis=1).any()


def _misplaced(points: NDArray[np.floating], width: int, height: int, name: str) -> str:
    low, high = points.min(axis=0), points.max(axis=0)
    return (
        f"all points (x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g}) lie outside their picture {name}, "
        f"{width} × {height} pixels"
    )


def read_annotated(path: Path, points: NDArray[np.floating], annotation: Path) -> NDArray[np.uint8]:
    """`read_image` of a picture whose points, image frame, must not all lie outside of it.

    Raises:
        DataError: the file cannot be read or decoded, or all points are outside.
    """
    image = read_image(path)
    check_inside(image, points, annotation, path.name)
    return image


def check_inside(image: NDArray[np.uint8], points: NDArray[np.floating], annotation: Path, name: str) -> None:
    """Refuse points, image frame, that all lie outside an upright picture of this name.

    Raises:
        DataError: all are outside; it names the annotation.
    """
    height, width = image.shape[:2]
    if _outside(points, width, height):
        raise DataError(annotation, _misplaced(points, width, height, name))


def read_image(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, upright, by the decoder of the server.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise DataError(path, f"cannot be read: {e.strerror}") from e
    return decode_file(data, path)


def decode_file(data: bytes, path: Path, name: str = "") -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, upright, of a file's bytes.

    Args:
        data: the image file.
        path: named in errors: the file, or the one that holds it.
        name: begins the problem, where ``path`` holds several images; empty: it is the image.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        return decode(data, ImageLimits.widest(), field="image")
    except InvalidInputError as e:
        problem = "; ".join(violation.description for violation in e.violations)
        raise DataError(path, f"{name + ' ' if name else ''}cannot be decoded: {problem}") from e
