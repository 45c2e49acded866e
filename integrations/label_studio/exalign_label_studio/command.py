"""``exalign-label-studio``: an ML backend between Label Studio and an Exalign server, until a signal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from exalign.cli_support import OneLineParser, UsageError, run_command
from exalign_client import AsyncClient, Tls
from exalign_client.errors import ExalignClientError
from exalign_client.transport.channel import Encryption
from exalign_gateway.listening.process import is_loopback, serve
from exalign_label_studio.app import backend
from exalign_label_studio.pictures import LabelStudio

PROGRAM = "exalign-label-studio"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; None: those of this process.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    return run_command(PROGRAM, lambda: _run(argv), failures=(ExalignClientError,), extra="serve")


def _parser() -> OneLineParser:
    parser = OneLineParser(prog=PROGRAM, description="An ML backend for Label Studio, in front of an Exalign server.")
    parser.add_version()
    parser.add_argument(
        "--label-studio", default="http://localhost:8080", metavar="URL", help="whose tasks (%(default)s)"
    )
    parser.add_argument("--label-studio-token-file", type=Path, metavar="FILE", help="token that fetches its pictures")
    parser.add_argument("--server", default="localhost:50051", metavar="HOST:PORT", help="gRPC server (%(default)s)")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token for the gRPC server")
    parser.add_argument("--tls", action="store_true", help="to the server with TLS, the system's certificates")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="to the server with TLS, these authorities, PEM")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=9090, help="port to listen on (%(default)s); 0: a free one")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="user:password that Label Studio must show")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="certificate for Label Studio, PEM; with --key")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key, PEM")
    parser.add_argument(
        "--insecure", action="store_true", help="without TLS or password although --host is beyond this machine"
    )
    parser.add_argument(
        "--max-picture-bytes", type=int, default=LabelStudio.picture_bytes, metavar="N", help="largest (%(default)s)"
    )
    return parser


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    _check(arguments)
    tls: Encryption = Tls(arguments.tls_ca) if arguments.tls_ca is not None else bool(arguments.tls)
    if isinstance(tls, Tls):
        tls.credentials()  # what cannot be read is said before anything listens
    token = _secret(arguments.token_file) or None
    place = LabelStudio(arguments.label_studio, _secret(arguments.label_studio_token_file), arguments.max_picture_bytes)
    try:
        app = backend(
            lambda: AsyncClient(arguments.server, tls=tls, token=token),
            place,
            password=_secret(arguments.password_file),
        )
    except ValueError as error:
        raise UsageError(f"--label-studio: {error}") from None
    return serve(app, arguments.host, arguments.port, arguments.cert, arguments.key)


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.cert is None) != (arguments.key is None):
        raise UsageError("--cert and --key: both or none")
    if arguments.max_picture_bytes < 1024:
        raise UsageError("--max-picture-bytes: must be 1024 at least")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port: {arguments.port} is no port")
    guarded = arguments.cert is not None and arguments.password_file is not None
    if not guarded and not arguments.insecure and not is_loopback(arguments.host):
        text = "is beyond this machine; give --cert, --key and --password-file, or --insecure"
        raise UsageError(f"--host: {arguments.host} {text}")


def _secret(path: Path | None) -> str:
    """What a file holds; empty: no file was named.

    Raises:
        UsageError: it cannot be read, or holds nothing that can be sent.
    """
    if path is None:
        return ""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    if not text or not text.isprintable():
        raise UsageError(f"{path}: must hold one line of ASCII")
    return text


if __name__ == "__main__":
    sys.exit(main())
