"""Which files of a folder belong to a data set; what does not is counted and named."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

#: Where a zip made on a Mac keeps what its file system knows about every file.
_MAC_FOLDER = "__MACOSX"

#: Most files named in one line.
_MOST_NAMED = 3


@dataclass(frozen=True)
class LeftOut:
    """Files that were not read.

    Attributes:
        reason: what they are, in the plural: "hidden files".
        files: all of them.
    """

    reason: str
    files: tuple[Path, ...]

    def __str__(self) -> str:
        named = ", ".join(file.name for file in self.files[:_MOST_NAMED])
        more = f" and {len(self.files) - _MOST_NAMED} more" if len(self.files) > _MOST_NAMED else ""
        return f"{self.reason}: {len(self.files)} ({named}{more})"


def is_hidden(path: Path, root: Path) -> bool:
    """Whether a file or one of its folders below ``root`` is hidden, or what a Mac leaves beside (``._name.pts``)."""
    return any(part.startswith(".") or part == _MAC_FOLDER for part in path.relative_to(root).parts)


def files_below(root: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Files with one of some suffixes (lower case; however they are spelled) below a folder.

    Returns:
        Those that are to be read, and the hidden ones, each sorted by path.
    """
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    hidden = [path for path in found if is_hidden(path, root)]
    return [path for path in found if not is_hidden(path, root)], hidden


def report_left_out(root: Path, groups: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Say in one line of the log what was left out of a folder, where anything was.

    Returns:
        The groups that hold files.
    """
    found = tuple(group for group in groups if group.files)
    if found:
        _log.warning("%s: left out: %s", root, "; ".join(map(str, found)))
    return found
