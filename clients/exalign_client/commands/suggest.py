"""``exalign suggest``: which landmark a person should click next, and the expected gain."""

from __future__ import annotations

import argparse
from typing import Any

from exalign_client.commands.connection import connect
from exalign_client.commands.picture import (
    add_evidence_options,
    add_picture_options,
    evidence_of,
    present,
    read_picture,
)
from exalign_client.commands.tables import suggestion_table
from exalign_client.pictures.evidence import draw_suggestions


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("suggest", help="show which landmark to click next", description=__doc__)
    parser.add_argument("--number", type=int, default=5, metavar="N", help="how many, 1 to 68 (default %(default)s)")
    parser.add_argument(
        "--by",
        choices=("error", "entropy"),
        default="error",
        help="rank by the expected drop in error (default) or in entropy",
    )
    add_evidence_options(parser, required=False)
    add_picture_options(parser, several_faces=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Call, draw and print."""
    data, known = read_picture(arguments), evidence_of(arguments)
    with connect(arguments) as client:
        answer = client.suggest(
            data,
            known,
            box=arguments.box,
            box_moves=not arguments.fixed_box,
            max_suggestions=arguments.number,
            criterion=arguments.by,
        )
    text = suggestion_table(answer)
    present(arguments, answer.to_json(), text, data, lambda pixels: draw_suggestions(pixels, answer, known))
    return 0
