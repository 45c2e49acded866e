"""The gateway as an ASGI application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources

import grpc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exalign_client.transport.channel import Encryption, open_aio_channel
from exalign_client.transport.health import CHECK, HealthStatus, decode_response, encode_request
from exalign_gateway.bodies import Bodies, Bounds
from exalign_gateway.calls import METHODS, Call, path_of
from exalign_gateway.errors import failure

#: Seconds for asking the server whether it serves.
_HEALTH_SECONDS = 5.0


def gateway(
    server: str, *, tls: Encryption = False, bounds: Bounds | None = None, origins: Sequence[str] = ()
) -> Starlette:
    """The application. The connection to the server is made when it starts, and closed when it ends.

    Args:
        server: address of the gRPC server.
        tls: how that connection is encrypted; see `exalign_client.Client`.
        bounds: what callers may take.
        origins: whose pages may call from a browser; none: CORS is off.

    Raises:
        OSError: a file of ``tls`` cannot be read; when it starts.
    """
    chosen = bounds or Bounds()
    bodies = Bodies(chosen)
    channels: list[grpc.aio.Channel] = []

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        channels.append(open_aio_channel(server, tls))
        try:
            yield
        finally:
            await channels.pop().close(None)

    def endpoint(place: int) -> Callable[[Request], object]:
        async def answer(request: Request) -> Response:
            return await Call(METHODS[place], channels[-1], bodies, chosen)(request)

        return answer

    async def ready(request: Request) -> Response:
        return await _readiness(channels[-1])

    described = json.loads(resources.files("exalign_gateway").joinpath("openapi.json").read_text("utf-8"))

    async def describe(request: Request) -> Response:
        return JSONResponse(described)

    routes = [Route(path_of(method), endpoint(place), methods=["POST"]) for place, method in enumerate(METHODS)]
    routes += [
        Route(path, to) for path, to in (("/healthz", _healthy), ("/readyz", ready), ("/openapi.json", describe))
    ]
    middleware = [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["POST"],
            allow_headers=["authorization", "content-type", "connect-protocol-version", "connect-timeout-ms"],
            expose_headers=["retry-after"],
        )
    ]
    return Starlette(
        routes=routes,
        lifespan=connected,
        middleware=middleware if origins else [],
        exception_handlers={HTTPException: _no_route},
    )


async def _healthy(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _readiness(channel: grpc.aio.Channel) -> Response:
    """Whether the server behind serves."""
    try:
        status = decode_response(
            await channel.unary_unary(CHECK, None, None)(encode_request(""), timeout=_HEALTH_SECONDS)
        )
    except grpc.aio.AioRpcError as error:
        return failure("unavailable", error.details() or error.code().name)
    if status is not HealthStatus.SERVING:
        return failure("unavailable", f"the server is {status.value}")
    return JSONResponse({"status": "SERVING"})


async def _no_route(request: Request, error: Exception) -> Response:
    """Nothing is at this path, or it is asked for otherwise."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return failure("unimplemented", f"there is no {request.method} {request.url.path}", status=status, headers=headers)
