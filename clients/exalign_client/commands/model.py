"""``exalign model``: which model answers, how it is run, and what is accepted."""

from __future__ import annotations

import argparse
from typing import Any

from exalign.cli_support import json_text
from exalign_client.commands.connection import add_connection_options, connect
from exalign_client.commands.tables import model_summary


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("model", help="show which model answers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    add_connection_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Call and print."""
    with connect(arguments) as client:
        model = client.model()
    if arguments.json:
        print(json_text(model.to_json()))
    else:
        print(model_summary(model))
    return 0
