"""``exalign swap``: put another bundle in the place of the one that answers."""

from __future__ import annotations

import argparse
from typing import Any

from exalign.cli_support import json_text
from exalign_client.commands.connection import add_connection_options, connect


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("swap", help="let another bundle answer", description=__doc__)
    parser.add_argument("bundle", help="its name in the server's directory of bundles")
    parser.add_argument("--json", action="store_true", help="print the answer as one JSON object")
    add_connection_options(parser, required=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Call and print."""
    with connect(arguments) as client:
        done = client.swap_model(arguments.bundle)
    if arguments.json:
        print(json_text(done.to_json()))
    elif done.bundle_id == done.previous_bundle_id:
        print(f"bundle {done.bundle_id[:12]} answers already")
    else:
        before = done.previous_bundle_id[:12]
        print(f"bundle {done.bundle_id[:12]} answers in the place of {before}, after {done.elapsed:.1f} s")
    return 0
