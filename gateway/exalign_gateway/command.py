"""``exalign-gateway``: HTTP and JSON in front of an Exalign server, until a signal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from exalign.cli_support import OneLineParser, UsageError, run_command
from exalign_client.errors import ExalignClientError
from exalign_client.transport.channel import Encryption, Tls
from exalign_gateway.app import gateway
from exalign_gateway.bodies import Bounds
from exalign_gateway.listening.process import is_loopback, serve

PROGRAM = "exalign-gateway"

#: Bodies of the largest size that fit into the room for all.
_BODIES = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; None: those of this process.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    return run_command(PROGRAM, lambda: _run(argv), failures=(ExalignClientError,), extra="serve")


def _parser() -> OneLineParser:
    parser = OneLineParser(prog=PROGRAM, description="HTTP and JSON in front of an Exalign server.")
    parser.add_version()
    parser.add_argument("--server", default="localhost:50051", metavar="HOST:PORT", help="gRPC server (%(default)s)")
    parser.add_argument("--tls", action="store_true", help="to the server with TLS, the system's certificates")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="to the server with TLS, these authorities, PEM")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="this gateway's certificate to the server, PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (%(default)s); 0: a free one")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="certificate for callers, PEM; with --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument("--insecure", action="store_true", help="without TLS although --host is beyond this machine")
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="pages of it may call; may be given again"
    )
    parser.add_argument(
        "--max-body-bytes",
        type=int,
        default=Bounds.body_bytes,
        metavar="N",
        help=f"largest body (%(default)s); all together {_BODIES} times as much",
    )
    return parser


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check(arguments)
    most = arguments.max_body_bytes
    app = gateway(
        arguments.server,
        tls=_tls(arguments),
        bounds=Bounds(body_bytes=most, all_bytes=_BODIES * most),
        origins=arguments.allow_origin,
    )
    return serve(app, arguments.host, arguments.port, arguments.cert, arguments.key)


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.cert is None) != (arguments.key is None):
        raise UsageError("--cert and --key: both or none")
    if arguments.max_body_bytes < 1024:
        raise UsageError("--max-body-bytes: must be 1024 at least")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port: {arguments.port} is no port")
    if arguments.cert is None and not arguments.insecure and not is_loopback(arguments.host):
        raise UsageError(f"--host: {arguments.host} is beyond this machine; give --cert and --key, or --insecure")
    for origin in arguments.allow_origin:
        if origin == "*":
            raise UsageError("--allow-origin: name the origins; * would let every page call")


def _tls(arguments: argparse.Namespace) -> Encryption:
    files = (arguments.tls_ca, arguments.tls_cert, arguments.tls_key)
    if not any(path is not None for path in files):
        return bool(arguments.tls)
    found = Tls(*files)
    found.credentials()  # what cannot be read is said before anything listens
    return found


if __name__ == "__main__":
    sys.exit(main())
