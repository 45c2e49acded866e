"""The port beside gRPC: /metrics for Prometheus, /healthz and /readyz for orchestrators.

It runs on the server's own event loop: /healthz answers only while that loop runs. It answers also where the process
has no descriptor left. Format and compression of /metrics are as the caller accepts them, which prometheus_client
decides.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest, make_asgi_app

from exalign_service.observability.listener import Listener
from exalign_service.rpc.lifecycle import Lifecycle

_log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"

#: A client has so long to send its request and to take the answer, seconds.
_TIMEOUT = 5.0

#: Where a request's head ends, and how long it may be, bytes.
_HEAD_ENDS, _LONGEST_HEAD = b"\r\n\r\n", 16 * 1024

#: What prometheus_client reads of a request's headers.
_NEGOTIATED = ("accept", "accept-encoding")

Headers = tuple[tuple[str, str], ...]


class MetricsPort:
    """A small HTTP/1.1 server: GET and HEAD on three paths, one request a connection.

    Args:
        registry: what /metrics shows.
        lifecycle: /readyz is 200 only while it is serving; its body says in which state it is.
        exhausted: called for each connection for which no descriptor is left.
    """

    def __init__(
        self, registry: CollectorRegistry, lifecycle: Lifecycle, exhausted: Callable[[], object] = lambda: None
    ) -> None:
        self._registry, self._lifecycle = registry, lifecycle
        self._metrics = make_asgi_app(registry)
        self._listener = Listener(self._connected, exhausted)

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
        return await self._listener.start(host, port)

    async def close(self) -> None:
        """Stop listening; answers under way are finished."""
        await self._listener.close()

    async def _connected(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = b""
                while _HEAD_ENDS not in head:
                    more = await loop.sock_recv(connection, 4096)
                    if not more or len(head) > _LONGEST_HEAD:
                        return  # a client that does not speak HTTP, or has gone: it gets no answer
                    head += more
                answer = await self._answer(head.partition(_HEAD_ENDS)[0].decode("latin-1"))
                await loop.sock_sendall(connection, answer)
        except (TimeoutError, OSError):
            pass  # the same

    async def _answer(self, head: str) -> bytes:
        """The whole response to a request's head."""
        first, *lines = head.split("\r\n")
        words = first.split(" ")
        if len(words) != 3:
            return _response(HTTPStatus.BAD_REQUEST, b"not an HTTP request\n")
        method, path, query = words[0], *words[1].partition("?")[::2]
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET and HEAD only\n")
        whole = method == "GET"
        if path == "/metrics":
            headers, body = await self._exposition(query, lines)
            return _response(HTTPStatus.OK, body, headers, body_wanted=whole)
        status, body = self._page(path)
        return _response(status, body, body_wanted=whole)

    async def _exposition(self, query: str, lines: list[str]) -> tuple[Headers, bytes]:
        """The headers and the body of /metrics, as the caller accepts it."""
        pairs = (line.partition(":")[::2] for line in lines)
        scope = {
            "type": "http",
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.strip().lower().encode("latin-1"), value.strip().encode("latin-1"))
                for name, value in pairs
                if name.strip().lower() in _NEGOTIATED
            ],
        }
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, str]:
            return {"type": "http.request"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        try:
            await self._metrics(scope, receive, send)
        except Exception:  # noqa: BLE001  # headers that prometheus_client cannot read: then it is the plain format
            _log.debug("metrics cannot be negotiated", exc_info=True)
            return (("Content-Type", CONTENT_TYPE_PLAIN_0_0_4),), generate_latest(self._registry)
        start, body = sent
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"])
        return headers, body["body"]

    def _page(self, path: str) -> tuple[HTTPStatus, bytes]:
        if path == "/healthz":
            return HTTPStatus.OK, b"ok\n"
        if path == "/readyz":
            status = HTTPStatus.OK if self._lifecycle.serving else HTTPStatus.SERVICE_UNAVAILABLE
            return status, f"{self._lifecycle.state}\n".encode()
        return HTTPStatus.NOT_FOUND, b"/metrics, /healthz or /readyz\n"


def _response(
    status: HTTPStatus, body: bytes, headers: Headers = (("Content-Type", _TEXT),), *, body_wanted: bool = True
) -> bytes:
    lines = (*headers, ("Content-Length", str(len(body))), ("Connection", "close"))
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"{head}\r\n".encode("latin-1") + (body if body_wanted else b"")
