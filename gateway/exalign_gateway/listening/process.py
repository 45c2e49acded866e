"""What every HTTP process of ours does: listen, say where on one line, and serve until a signal."""

from __future__ import annotations

import ipaddress
import json
import signal
import socket
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from exalign.cli_support import DONE, FAILED


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(app: ASGIApp, host: str, port: int, cert: Path | None, key: Path | None) -> int:
    """Serve an application until a signal.

    Args:
        app: what answers.
        host: address to listen on.
        port: 0 takes a free one.
        cert: PEM file for TLS; None: without.
        key: its private key.

    Returns:
        The exit code of the process.
    """
    config = uvicorn.Config(
        app, host=host, port=port, ssl_certfile=cert, ssl_keyfile=key, server_header=False, log_level="info"
    )
    # uvicorn drains, then raises the signal that it caught once more: that is no failure.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    server = _Announced(config)
    server.run()
    return DONE if server.started else FAILED


class _Announced(uvicorn.Server):
    """A server that writes one line to standard output when it answers, as `exalign-server` does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            print(json.dumps({"event": "serving", "address": f"{host}:{port}"}), flush=True)
