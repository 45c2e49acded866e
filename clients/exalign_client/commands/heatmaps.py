"""``exalign heatmaps``: where each landmark may be, as probability mass on a grid, drawn over the face."""

from __future__ import annotations

import argparse
from typing import Any

from exalign_client.commands.connection import connect
from exalign_client.commands.picture import add_picture_options, landmark_of, present, read_picture
from exalign_client.commands.tables import heatmap_table
from exalign_client.landmarks import GROUPS
from exalign_client.pictures.heatmaps import draw_heatmaps
from exalign_client.requests.views import HeatmapOptions


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("heatmaps", help="show where each landmark may be", description=__doc__)
    parser.add_argument(
        "--landmarks",
        type=_landmarks,
        default=[],
        metavar="A,B,...",
        help="names, numbers from 0 to 67, and groups (jaw, brows, nose, eyes, mouth); default: all",
    )
    parser.add_argument(
        "--size", type=int, default=64, metavar="CELLS", help="cells a side, 1 to 256 (default %(default)s)"
    )
    add_picture_options(parser, several_faces=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Call, draw and print."""
    data = read_picture(arguments)
    options = HeatmapOptions(arguments.landmarks, width=arguments.size, height=arguments.size)
    with connect(arguments) as client:
        faces = client.heatmaps(data, arguments.box, options=options)
    draw = (lambda pixels: draw_heatmaps(pixels, faces)) if faces else None
    text = "\n\n".join(heatmap_table(face) for face in faces) or "no face found"
    present(arguments, faces.to_json(), text, data, draw)
    return 0


def _landmarks(text: str) -> list[str | int]:
    return [part if part in GROUPS or part == "all" else landmark_of(part) for part in text.split(",")]
