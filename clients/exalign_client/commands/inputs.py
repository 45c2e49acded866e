"""The pictures that a command was given: files, directories of them, and standard input."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exalign.cli_support import UsageError, describe, report
from exalign.output_files import FileOrDescriptor
from exalign_client.pictures.picture_files import read_directory

#: The name that stands for standard input.
STDIN = Path("-")

#: A picture file is never larger, bytes; of what is, such as a device, no more is read.
_MOST_BYTES = 2**29


@dataclass(frozen=True)
class PictureInput:
    """One picture that a command was given.

    Attributes:
        path: its file; `STDIN` is standard input.
    """

    path: Path

    @property
    def name(self) -> str:
        """For messages and answers."""
        return str(self.path)

    @property
    def stem(self) -> str:
        """For the name of an output."""
        return "stdin" if self.path == STDIN else self.path.stem

    @property
    def identity(self) -> FileOrDescriptor:
        """For `exalign.output_files.refuse_overwriting`."""
        if self.path != STDIN:
            return self.path
        try:
            return sys.stdin.fileno()
        except (AttributeError, OSError, ValueError):  # there is none, or it is no file
            return os.devnull

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: it cannot be read, or is larger than any picture.
        """
        if self.path == STDIN:
            if sys.stdin is None:
                raise OSError(errno.EBADF, "standard input is closed", self.name)
            if sys.stdin.isatty():
                report("exalign: reading a picture from standard input")
            return self._bounded(sys.stdin.buffer)
        with self.path.open("rb") as file:
            return self._bounded(file)

    def _bounded(self, file: BinaryIO) -> bytes:
        data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise OSError(errno.EFBIG, f"is larger than {_MOST_BYTES >> 20} MiB, which no picture is", self.name)
        return data


@dataclass(frozen=True)
class GivenPictures:
    """What the arguments of a command amount to.

    Attributes:
        pictures: in order.
        from_directory: whether a directory was among them.
        failures: arguments that hold no picture; each was reported.
    """

    pictures: tuple[PictureInput, ...]
    from_directory: bool
    failures: int


def given_pictures(paths: Iterable[Path]) -> GivenPictures:
    """Files as they are, the pictures of directories in natural order, and standard input. Opens no file.

    What a directory has that is no picture is named on standard error.

    Raises:
        UsageError: standard input is named twice.
    """
    paths = list(paths)
    if paths.count(STDIN) > 1:
        raise UsageError("- is standard input, which can be read once only")
    pictures: list[PictureInput] = []
    from_directory, failures = False, 0
    for path in paths:
        if path == STDIN or not _is_directory(path):
            pictures.append(PictureInput(path))
            continue
        from_directory = True
        try:
            found = read_directory(path)
        except OSError as error:
            report(f"exalign: {describe(error)}")
            failures += 1
            continue
        if found.left_out:
            report(f"exalign: {path}: {found.left_out}")
        if not found.pictures:
            report(f"exalign: {path}: there is no picture in it")
            failures += 1
        pictures += map(PictureInput, found.pictures)
    return GivenPictures(tuple(pictures), from_directory, failures)


def is_there(picture: PictureInput) -> bool:
    """Whether there is something to open; a line says where there is not."""
    if picture.path == STDIN:
        return True
    try:
        picture.path.stat()
    except FileNotFoundError:
        report(f"exalign: {picture.name}: no such file")
    except (OSError, ValueError) as error:
        reason = describe(error)
        report(f"exalign: {reason if picture.name in reason else f'{picture.name}: {reason}'}")
    else:
        return True
    return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
