"""What ``exalign annotate`` does: the page, served until a signal."""

from __future__ import annotations

import argparse
import getpass
import json
import secrets
import signal
import socket
import webbrowser
from collections.abc import Callable

import uvicorn

from exalign.cli_support import DONE, FAILED, UsageError, report
from exalign_annotator.app import annotator
from exalign_annotator.defaults import PORT
from exalign_annotator.project.folder import ProjectFolder
from exalign_annotator.project.inputs import project_folder
from exalign_annotator.project.leases import Leases
from exalign_annotator.project.project import Project
from exalign_annotator.solving.link import ModelLink
from exalign_client.commands.connection import tls_of, token_of
from exalign_client.transport.local_server import require_server
from exalign_gateway.listening.process import is_loopback


def serve(arguments: argparse.Namespace) -> int:
    """Serve the page until a signal."""
    _check(arguments)
    folder = project_folder(arguments.paths, arguments.project)
    project = Project(arguments.paths, ProjectFolder(folder, Leases(folder, _user())))
    token = None
    if arguments.with_token or not is_loopback(arguments.host):
        token = secrets.token_urlsafe(24)
    link = ModelLink(
        arguments.server,
        tls=tls_of(arguments),
        token=token_of(arguments),
        say=lambda doing: report(f"exalign: {doing}"),
    )
    app = annotator(project, link, token=token, any_host=not is_loopback(arguments.host))
    config = uvicorn.Config(
        app,
        host=arguments.host,
        ssl_certfile=arguments.cert,
        ssl_keyfile=arguments.key,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    # uvicorn drains, then raises the signal that it caught once more: that is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)
    report(f"exalign: annotations are kept in {folder}")
    server = _Announced(config, "https" if arguments.cert else "http", token, None if arguments.no_browser else _open)
    server.run(sockets=[_listening(arguments.host, arguments.port)])
    return DONE if server.started else FAILED


class _Announced(uvicorn.Server):
    """A server that says where the page is when it answers, and opens it in a browser."""

    def __init__(
        self, config: uvicorn.Config, scheme: str, token: str | None, opens: Callable[[str], object] | None
    ) -> None:
        super().__init__(config)
        self._scheme, self._token, self._opens = scheme, token, opens

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        if not self.started or not sockets:
            return
        host, port = sockets[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        url = f"{self._scheme}://{name}:{port}/" + (f"?token={self._token}" if self._token else "")
        print(json.dumps({"event": "serving", "url": url}), flush=True)
        if self._opens is not None:
            self._opens(url)


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens; where no port is asked for and the usual one is taken, a free one.

    Raises:
        OSError: the port that is asked for is taken, or there is no such address.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (PORT, 0) if port is None else (port,):
        one = socket.socket(kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, wanted))
        except OSError as error:
            one.close()
            if port is None and wanted:
                continue
            raise OSError(error.errno, error.strerror, f"{host}:{wanted}") from None
        return one
    raise AssertionError("a free port is always found, or an error raised")


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.cert is None) != (arguments.key is None):
        raise UsageError("--cert and --key: both or none")
    if arguments.port is not None and not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port: {arguments.port} is no port")
    if arguments.cert is None and not arguments.insecure and not is_loopback(arguments.host):
        raise UsageError(f"--host: {arguments.host} is beyond this machine; give --cert and --key, or --insecure")
    if arguments.server is None:
        require_server("answering without --server")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _open(url: str) -> None:
    """Show the page where there is a browser with a screen; the address was printed anyway."""
    try:
        webbrowser.get()
    except webbrowser.Error:
        report(f"exalign: open {url}")
        return
    webbrowser.open(url)
