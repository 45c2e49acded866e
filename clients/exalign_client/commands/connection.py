"""The options by which every subcommand finds its server."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager

from exalign.cli_support import report
from exalign_client.calls.sync import Client
from exalign_client.transport.channel import DEFAULT_TIMEOUT
from exalign_client.transport.local_server import local_server


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--server``, ``--tls`` and ``--timeout``."""
    group = parser.add_argument_group("server")
    group.add_argument(
        "--server",
        metavar="HOST:PORT",
        help="address of the server, also unix:/path/of/socket; without it, one is started for this command",
    )
    group.add_argument("--tls", action="store_true", help="use TLS with the system's certificates")
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="longest time for one call, retries included (default %(default)g)",
    )


@contextmanager
def connect(arguments: argparse.Namespace) -> Iterator[Client]:
    """A client for the server of these options; where none is named, of one as short-lived as the block."""
    if arguments.server is not None:
        with Client(arguments.server, tls=arguments.tls, timeout=arguments.timeout) as client:
            yield client
        return
    report("exalign: starting a server for this command (--server asks one that is running)")
    with local_server() as server, Client(server.address, timeout=arguments.timeout) as client:
        yield client


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds > 0")
    return seconds
