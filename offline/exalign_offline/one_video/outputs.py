"""What is left of a video when it is done: each result appears as a whole, by being renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from exalign_client.formats import FORMATS, LabelledPicture, in_layout, parquet, pts
from exalign_offline.one_video.answers import pictures_in
from exalign_offline.one_video.place import Done, Place
from exalign_offline.one_video.settings import RunSettings

Pictures = Callable[[], Iterator[LabelledPicture]]


def result_of(out: Path, name: str, kind: str) -> Path:
    """Where a result of a video is: a file, or of ``.pts`` files the directory, a file a face.

    Args:
        out: directory of all results.
        name: of the video's.
        kind: name of a format.
    """
    if kind == pts.FORMAT.name:
        return out / f"{name}-pts"
    suffix = FORMATS[kind].suffixes[0]
    return out / (f"{name}{suffix}" if suffix == f".{kind}" else f"{name}.{kind}{suffix}")


def completed(place: Place, done: Done, settings: RunSettings) -> Done:
    """Write what is wanted of a video that has been tracked to its end, and is not there yet; then it is done.

    Raises:
        OSError: it cannot be written.
        FormatError: a format cannot hold it.
    """
    out, lines = place.out, place.result
    lines.parent.mkdir(parents=True, exist_ok=True)
    if place.lines.exists():
        _linked(place.lines, lines)
    kept = done.formats if done.points == settings.points else ()
    for kind in settings.formats:
        if kind not in kept or not result_of(out, place.name, kind).exists():
            _write(place, lines, done.size, kind, settings.points)
    formats = tuple(dict.fromkeys((*kept, *settings.formats)))
    done = replace(done, formats=formats, points=settings.points)
    place.write_done(done)
    return done


def _linked(source: Path, target: Path) -> None:
    """A file's second name, or its copy, in the place of another."""
    partial = target.with_name(f".exalign-{secrets.token_hex(8)}")
    try:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _write(place: Place, lines: Path, size: tuple[int, int] | None, kind: str, points: int | None) -> None:
    """One format, of the lines."""
    video, target = PurePosixPath(place.name).name, result_of(place.out, place.name, kind)

    def pictures() -> Iterator[LabelledPicture]:
        for picture in pictures_in(lines, video, size):
            yield picture if points is None else in_layout(picture, points)

    if kind == pts.FORMAT.name:
        _write_points(pictures, target, place.folder)
    elif kind == parquet.FORMAT.name:
        parquet.write(pictures(), target)
    else:
        FORMATS[kind].write(list(pictures()), target)


def _write_points(pictures: Pictures, target: Path, folder: Path) -> None:
    """A file a face; the directory appears when it is whole."""
    partial = folder / f"pts-{secrets.token_hex(8)}"
    for left in folder.glob("pts-*"):
        shutil.rmtree(left)
    partial.mkdir()
    for picture in pictures():
        if picture.faces:
            pts.write([picture], partial)
    if target.exists():
        shutil.rmtree(target)
    partial.replace(target)
