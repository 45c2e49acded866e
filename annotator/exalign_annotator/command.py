"""``exalign annotate``: a page on this machine, on which faces are labelled with clicks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from exalign_annotator.defaults import DEFAULT_FOLDER, PORT
from exalign_client.commands.connection import add_connection_options


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("annotate", help="label faces with clicks, in a browser", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="pictures, videos and directories of them")
    parser.add_argument(
        "--project",
        type=Path,
        metavar="FOLDER",
        help=f"folder of the annotations (default: {DEFAULT_FOLDER} beside the first input)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, help=f"port to listen on ({PORT}, or a free one where it is taken); 0: a free one"
    )
    parser.add_argument("--cert", type=Path, metavar="FILE", help="certificate of the page, PEM; with --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--insecure", action="store_true", help="without TLS although --host is beyond this machine")
    parser.add_argument("--with-token", action="store_true", help="ask for a token on this machine too")
    parser.add_argument("--no-browser", action="store_true", help="only print the address of the page")
    add_connection_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until a signal."""
    from exalign_annotator.serving import serve  # every other command would import a server of HTTP with it

    return serve(arguments)
