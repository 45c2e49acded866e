"""The pictures and videos of a project, each under a name that is no path.

A browser asks for an item by that name, which is looked up in a table: no path is ever made of what it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exalign.cli_support import UsageError
from exalign_annotator.defaults import DEFAULT_FOLDER
from exalign_client.pictures.decode import READABLE_SUFFIXES
from exalign_client.pictures.picture_files import natural_order, read_directory

#: Endings of files that are opened as videos.
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")

#: Folder of a project for pictures that were dropped onto the page.
DROPPED = "pictures"

#: A picture that is dropped is never larger, bytes.
MOST_BYTES = 2**26


@dataclass(frozen=True)
class Item:
    """One picture or video.

    Attributes:
        name: unique in its project; also the stem of its annotation file.
        path: the file.
        video: whether it is one.
    """

    name: str
    path: Path
    video: bool


def project_folder(paths: Sequence[Path], given: Path | None) -> Path:
    """The folder that annotations go to: as given, or beside the first input (in it, where it is a directory)."""
    if given is not None:
        return given
    if not paths:
        return Path(DEFAULT_FOLDER)
    first = paths[0]
    return (first if first.is_dir() else first.parent) / DEFAULT_FOLDER


def items_of(paths: Iterable[Path], folder: Path) -> list[Item]:
    """The items of a project, in order: those given, then pictures that were dropped onto the page before.

    Raises:
        UsageError: a path is neither a picture, a video nor a directory of pictures.
        OSError: a directory cannot be listed.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _of_directory(path)
        elif not path.exists():
            raise UsageError(f"{path}: no such file")
        elif path.suffix.lower() in (*READABLE_SUFFIXES, *VIDEO_SUFFIXES):
            files.append(path)
        else:
            raise UsageError(f"{path}: is neither a picture ({', '.join(READABLE_SUFFIXES)}) nor a video")
    dropped = folder / DROPPED
    if dropped.is_dir():
        files += read_directory(dropped).pictures
    found: dict[str, Item] = {}
    for file in dict.fromkeys(file.absolute() for file in files):
        item = item_of(file, found)
        found[item.name] = item
    return list(found.values())


def item_of(file: Path, taken: Iterable[str]) -> Item:
    """A file as an item, its name made unique."""
    taken, name, number = set(taken), file.name, 2
    if name in taken:
        name = f"{file.parent.name}-{file.name}"
    while name in taken:
        name, number = f"{file.stem}-{number}{file.suffix}", number + 1
    return Item(name, file, file.suffix.lower() in VIDEO_SUFFIXES)


def _of_directory(path: Path) -> list[Path]:
    listed = read_directory(path)
    videos = [path / name for name in listed.others if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    return sorted((*listed.pictures, *videos), key=lambda file: natural_order(file.name))
