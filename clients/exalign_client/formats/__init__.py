"""Files that other tools read and write. Where each puts its half pixel and its visibility: docs/formats.md.

Example:
    >>> from exalign_client import Client
    >>> from exalign_client.formats import FORMATS, picture_from
    >>> with Client("localhost:50051") as client:
    ...     FORMATS["coco"].write([picture_from("photo.jpg", client.predict("photo.jpg"))], Path("faces.json"))
"""

from __future__ import annotations

from pathlib import Path

from exalign_client.formats import coco, cvat, label_studio, openface, parquet, pts
from exalign_client.formats.coco import oks_sigmas
from exalign_client.formats.faces import (
    LAYOUTS,
    FormatError,
    LabelledFace,
    LabelledPicture,
    checked_face,
    frame_from,
    in_layout,
    labelled_face,
    picture_from,
    point_names,
)
from exalign_client.formats.format import Format
from exalign_client.formats.label_studio import labeling_config

#: Every format by its name. One of your own: a file with a `Format`, and its place here.
FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        pts.FORMAT, coco.FORMAT, cvat.IMAGES, cvat.VIDEO, label_studio.FORMAT, openface.FORMAT, parquet.FORMAT
    )
}  # fmt: skip

#: Bytes of a file by which its format is told.
_HEAD = 2**16


def format_of(path: Path) -> Format:
    """The format of a file that is there, by its ending and its first bytes; of a directory, that of ``.pts`` files.

    Raises:
        FormatError: it is none that is known.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return pts.FORMAT
    with path.open("rb") as file:
        head = file.read(_HEAD)
    for one in FORMATS.values():
        if path.suffix.lower() in one.suffixes and one.tells(head):
            return one
    raise FormatError(f"{path}: is of no known format ({', '.join(FORMATS)})")


def format_for(path: Path) -> Format:
    """The format that a file's ending names.

    Raises:
        FormatError: none, or several.
    """
    found = [one for one in FORMATS.values() if path.suffix.lower() in one.suffixes]
    if len(found) != 1:
        names = " or ".join(one.name for one in found) or ", ".join(FORMATS)
        raise FormatError(f"{path}: its ending does not say which format: {names}")
    return found[0]


__all__ = [
    "FORMATS",
    "LAYOUTS",
    "Format",
    "FormatError",
    "LabelledFace",
    "LabelledPicture",
    "checked_face",
    "format_for",
    "format_of",
    "frame_from",
    "in_layout",
    "labeling_config",
    "labelled_face",
    "oks_sigmas",
    "picture_from",
    "point_names",
]
