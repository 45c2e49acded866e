"""The options by which every subcommand finds its server."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from exalign.cli_support import report
from exalign_client.calls.sync import Client
from exalign_client.commands.terminal import Waiting
from exalign_client.transport.channel import DEFAULT_TIMEOUT, Tls
from exalign_client.transport.in_process import answered_here

#: Seconds for a call in this process: no limit that anybody meets. What it does is on standard error.
_AS_LONG_AS_IT_TAKES = 3600.0


def add_connection_options(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add ``--server``, ``--timeout``, and those about TLS and tokens.

    Args:
        parser: of the subcommand.
        required: there must be a server; otherwise this process may answer itself.
    """
    group = parser.add_argument_group("server")
    without = "" if required else "; without it, this command itself answers"
    group.add_argument(
        "--server",
        required=required,
        metavar="HOST:PORT",
        help=f"address of the server, also unix:/path/of/socket{without}",
    )
    group.add_argument("--tls", action="store_true", help="use TLS with the system's certificates")
    group.add_argument("--tls-ca", type=Path, metavar="FILE", help="use TLS with these authorities, PEM")
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate of this caller, PEM; with --tls-key")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token for the server")
    group.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="longest time for one call, retries included "
        f"(default {DEFAULT_TIMEOUT:g}; without --server as long as it takes)",
    )


@contextmanager
def connect(arguments: argparse.Namespace, *, shows_progress: bool = False) -> Iterator[Client]:
    """A client for the server of these options; where none is named, what is installed here answers.

    Args:
        arguments: parsed.
        shows_progress: whether the block itself says how far it is; otherwise lines about waiting go on in it.
    """
    if arguments.server is not None:
        with Client(
            arguments.server,
            tls=tls_of(arguments),
            token=token_of(arguments),
            timeout=arguments.timeout or DEFAULT_TIMEOUT,
        ) as client:
            yield client
        return
    report("exalign: no --server: this process answers itself")
    with ExitStack() as stack:
        waiting = Waiting("exalign")
        stack.callback(waiting.end)
        address = stack.enter_context(answered_here(waiting.at))
        if shows_progress:
            waiting.end()
        else:
            waiting.at("computing")
        client = stack.enter_context(Client(address, timeout=arguments.timeout or _AS_LONG_AS_IT_TAKES))
        yield client


def tls_of(arguments: argparse.Namespace) -> bool | Tls:
    """How the connection is encrypted, by these options."""
    files = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key)
    return Tls(*files) if any(path is not None for path in files) else bool(arguments.tls)


def token_of(arguments: argparse.Namespace) -> Callable[[], str] | None:
    """What says the token for the server, by these options; None: none is sent."""
    return None if arguments.token_file is None else partial(_token, arguments.token_file)


def _token(path: Path) -> str:
    """What a file holds now: it may be replaced while a video goes on."""
    return path.read_text("ascii", errors="replace").strip()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds > 0")
    return seconds
