"""The port beside gRPC: /metrics for Prometheus, /healthz and /readyz for orchestrators.

It runs on the server's own event loop: /healthz answers only while that loop runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST

from exalign_service.rpc.lifecycle import Lifecycle

_TEXT = "text/plain; charset=utf-8"

#: A client has so long to send its request and to take the answer, seconds.
_TIMEOUT = 5.0


class MetricsPort:
    """A small HTTP/1.1 server: GET and HEAD on three paths, one request a connection.

    Args:
        metrics: makes the body of /metrics.
        lifecycle: /readyz is 200 only while it is serving.
    """

    def __init__(self, metrics: Callable[[], bytes], lifecycle: Lifecycle) -> None:
        self._metrics, self._lifecycle = metrics, lifecycle
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen.

        Args:
            host: name or address.
            port: 0 picks one.

        Returns:
            The port.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._server = await asyncio.start_server(self._connected, host, port, limit=16 * 1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening; answers under way are finished."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that does not speak HTTP, or has gone: it gets no answer
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        """The whole response to a request's head."""
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3:
            return _response(HTTPStatus.BAD_REQUEST, b"not an HTTP request\n")
        method, path = words[0], words[1].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET and HEAD only\n")
        status, body, kind = self._page(path)
        return _response(status, body, kind, body_wanted=method == "GET")

    def _page(self, path: str) -> tuple[HTTPStatus, bytes, str]:
        if path == "/metrics":
            return HTTPStatus.OK, self._metrics(), CONTENT_TYPE_LATEST
        if path == "/healthz":
            return HTTPStatus.OK, b"ok\n", _TEXT
        if path == "/readyz":
            status = HTTPStatus.OK if self._lifecycle.serving else HTTPStatus.SERVICE_UNAVAILABLE
            return status, f"{self._lifecycle.phase.value}\n".encode(), _TEXT
        return HTTPStatus.NOT_FOUND, b"/metrics, /healthz or /readyz\n", _TEXT


def _response(status: HTTPStatus, body: bytes, kind: str = _TEXT, *, body_wanted: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (body if body_wanted else b"")
