"""300-W: one ``.pts`` file a face. The centre of the top-left pixel is (1, 1), as in Matlab; no visibility, no size.

menpo takes 1 off again, and holds points as (y, x).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exalign.output_files import write_file
from exalign_client.formats.faces import FormatError, LabelledPicture, checked_face
from exalign_client.formats.format import Format, text_of


def files_of(pictures: Sequence[LabelledPicture], out: Path) -> list[Path]:
    """The files that `write` makes, a face each: ``out`` itself for one face, otherwise in that directory."""
    if out.suffix.lower() == ".pts":
        return [out]
    return [
        out / (_stem(picture) + (f"_{number}" if len(picture.faces) > 1 else "") + ".pts")
        for picture in pictures
        for number in range(len(picture.faces))
    ]


def write(pictures: Sequence[LabelledPicture], out: Path) -> None:
    """Write a file a face.

    Raises:
        FormatError: one file is to hold more or less than one face, or two faces would have one file.
    """
    faces, files = [face for picture in pictures for face in picture.faces], files_of(pictures, out)
    if len(files) != len(faces):
        raise FormatError(f"{out} holds one face and there are {len(faces)}; name a directory")
    if len(set(files)) != len(files):
        raise FormatError(f"two pictures have the same name: {max(files, key=files.count).name}")
    if out not in files:
        out.mkdir(parents=True, exist_ok=True)
    for face, file in zip(faces, files, strict=True):
        lines = [f"{x:.3f} {y:.3f}" for x, y in face.points + 1]
        write_file(file, "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""]))


def read(path: Path) -> list[LabelledPicture]:
    """Read a file, or all of a directory in the order of their names.

    Raises:
        FormatError: one is no such file.
    """
    files = sorted(path.rglob("*.pts")) if path.is_dir() else [path]
    if not files:
        raise FormatError(f"{path}: there is no .pts file in it")
    return [_read_one(file) for file in files]


def _read_one(file: Path) -> LabelledPicture:
    head, brace, rest = text_of(file).partition("{")
    inside, end, _ = rest.partition("}")
    if not (brace and end and "n_points" in head):
        raise FormatError(f"{file}: is no .pts file: no n_points, or no braces")
    try:
        points = [[float(word) - 1 for word in line.split()] for line in inside.splitlines() if line.strip()]
        return LabelledPicture(file.with_suffix("").name, None, (checked_face(points),))
    except (ValueError, FormatError) as error:
        raise FormatError(f"{file}: {error}") from None


def _stem(picture: LabelledPicture) -> str:
    stem = Path(picture.name).stem
    return stem if picture.frame is None else f"{stem}_{picture.frame:06d}"


FORMAT = Format(
    "pts", (".pts",), "300-W, a file a face, in a directory", write, read, lambda head: b"n_points" in head, files_of
)
