"""The ``exalign`` command. Each subcommand is one module in `exalign_client.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from exalign.cli_support import OneLineParser
from exalign_client.commands import condition, convert, heatmaps, model, pose, predict, suggest, swap, track
from exalign_client.commands.terminal import run_client_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``exalign``.

    Args:
        argv: arguments without the program's name; None: those of this process.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    parser = OneLineParser(prog="exalign", description="Landmarks of faces, with their uncertainty.")
    parser.add_version()
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (predict, heatmaps, pose, condition, suggest, track, convert, model, swap):
        command.add_parser(commands)
    # Of other distributions, such as `annotate` of exalign-annotator.
    for entry in entry_points(group="exalign.commands"):
        entry.load()(commands)

    def run() -> int:
        arguments = parser.parse_args(argv)
        return int(arguments.run(arguments))

    return run_client_command("exalign", run)


if __name__ == "__main__":
    sys.exit(main())
