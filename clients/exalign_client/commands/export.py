"""Answers in files of other tools: the options ``--format`` and ``--points``, and what is written at the end."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from exalign.output_files import FileOrDescriptor, refuse_overwriting, report_written
from exalign_client.formats import FORMATS, LAYOUTS, LabelledPicture, in_layout


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--format`` and ``--points``."""
    names = "; ".join(f"{one.name}: {one.about}" for one in FORMATS.values())
    parser.add_argument(
        "--format", choices=FORMATS, help=f"write --out in a format of other tools instead of drawing. {names}"
    )
    add_points_option(parser)


def add_points_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--points``."""
    parser.add_argument(
        "--points",
        type=int,
        choices=sorted(LAYOUTS, reverse=True),
        metavar="N",
        help="points of a face: 68, 66 (without the mouth's inner corners), 51 (without the jaw) or 5 "
        "(eyes, nose tip, corners of the mouth)",
    )


class Export:
    """What is to be written when all is answered.

    Args:
        name: of the format.
        points: of a face; None: as they are.
        out: the file, or the directory of ``.pts`` files.
        inputs: files that must not be written over.

    Raises:
        UsageError: the file is one of them.
    """

    def __init__(self, name: str, points: int | None, out: Path, inputs: Iterable[FileOrDescriptor]) -> None:
        self._format, self._points, self._out, self._inputs = FORMATS[name], points, out, list(inputs)
        refuse_overwriting([out], self._inputs)
        self._pictures: list[LabelledPicture] = []

    def add(self, picture: LabelledPicture) -> None:
        """One more picture."""
        self._pictures.append(picture if self._points is None else in_layout(picture, self._points))

    def write(self) -> None:
        """Write all, and say so. Pictures are called by their file names alone where those differ.

        Raises:
            FormatError: the format cannot hold them.
            UsageError: a file is one of the inputs.
            OSError: a file cannot be written.
        """
        short = {picture.name: Path(picture.name).name for picture in self._pictures}
        if len(set(short.values())) == len(short):
            self._pictures = [replace(picture, name=short[picture.name]) for picture in self._pictures]
        refuse_overwriting(set(self._format.files(self._pictures, self._out)), self._inputs)
        self._format.write(self._pictures, self._out)
        report_written("exalign", self._out)


def export_of(
    arguments: argparse.Namespace, inputs: Iterable[FileOrDescriptor], parser: argparse.ArgumentParser
) -> Export | None:
    """What these options ask to write; None without ``--format``. Wrong usage ends the program."""
    if arguments.format is None:
        if arguments.points is not None:
            parser.error("--points: only with --format")
        return None
    if arguments.out is None:
        parser.error("--format: only with --out")
    return Export(arguments.format, arguments.points, arguments.out, inputs)
