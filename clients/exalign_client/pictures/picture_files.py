"""Which files of a directory are pictures, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exalign_client.pictures.decode import READABLE_SUFFIXES

#: Names that a message lists; of the rest it gives the number.
_NAMED = 4


@dataclass(frozen=True)
class PictureDirectory:
    """The entries of a directory.

    Attributes:
        path: the directory.
        pictures: its pictures in natural order: 1, 2, 10.
        hidden: names that begin with a dot, which are no pictures of anybody's.
        others: names of what has no picture's ending, directories among them.
    """

    path: Path
    pictures: tuple[Path, ...]
    hidden: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def left_out(self) -> str:
        """What is not taken, in a sentence; empty where everything is."""
        parts = []
        if self.hidden:
            parts.append(f"{len(self.hidden)} hidden ({_some(self.hidden)})")
        if self.others:
            parts.append(f"{len(self.others)} without a picture's ending ({_some(self.others)})")
        return f"left out {' and '.join(parts)}" if parts else ""


def read_directory(path: Path) -> PictureDirectory:
    """List a directory; what lies in directories below it is not looked at.

    Raises:
        OSError: it cannot be listed.
    """
    entries = sorted(path.iterdir(), key=lambda entry: natural_order(entry.name))
    hidden = [entry for entry in entries if entry.name.startswith(".")]
    seen = [entry for entry in entries if not entry.name.startswith(".")]
    pictures = [entry for entry in seen if entry.suffix.lower() in READABLE_SUFFIXES and not entry.is_dir()]
    others = [entry for entry in seen if entry not in pictures]
    return PictureDirectory(path, tuple(pictures), _names(hidden), _names(others))


def natural_order(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A key that sorts names as people count: numbers in them by value, letters without regard to their case."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    key = tuple((0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts)
    return key, name  # names that differ in case or in leading zeros keep one order


def _names(entries: Iterable[Path]) -> tuple[str, ...]:
    return tuple(entry.name for entry in entries)


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
