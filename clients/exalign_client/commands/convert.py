"""``exalign convert``: annotations of faces from one tool's format into another's. Asks no server."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from exalign_client.commands.export import Export, add_points_option
from exalign_client.formats import FORMATS, format_for, format_of


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("convert", help="turn annotations into another tool's format", description=__doc__)
    parser.add_argument("input", type=Path, metavar="IN", help="a file, or a directory of .pts files")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to make; a directory for .pts files")
    parser.add_argument("--from", dest="source", choices=FORMATS, help="format of IN (default: what it looks like)")
    parser.add_argument("--to", choices=FORMATS, help="format of OUT (default: what its ending says)")
    add_points_option(parser)
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="width and height of the pictures where IN does not say"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, and write."""
    target = FORMATS[arguments.to] if arguments.to else format_for(arguments.output)
    export = Export(target.name, arguments.points, arguments.output, [arguments.input])
    source = FORMATS[arguments.source] if arguments.source else format_of(arguments.input)
    for picture in source.read(arguments.input):
        export.add(replace(picture, size=picture.size or arguments.size))
    export.write()
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (
        width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and int(width) and int(height)
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not WxH, such as 640x480")
    return int(width), int(height)
