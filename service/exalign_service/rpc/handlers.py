"""How gRPC's method handlers are made, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

if TYPE_CHECKING:  # generic in the stubs only
    MethodHandler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


def serializer(handler: MethodHandler) -> Callable[[Any], bytes]:
    """What gRPC writes a response with, on the event loop; one that is in its wire format already stays as it is."""
    serialize: Callable[[Any], bytes] | None = handler.response_serializer

    def written(response: Any) -> bytes:
        return response if isinstance(response, bytes) or serialize is None else serialize(response)

    return written


def forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error and its causes came through, and of the request in them.

    gRPC keeps the error of a handler in a cycle: a megabyte of a refused request would stay until that is collected.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


async def read(context: Context) -> Any:
    """The next message of a stream as it came, or `grpc.aio.EOF`.

    gRPC 1.85.3 never frees what belongs to a read that is cancelled, a hundred bytes with each stream that a client
    cancels (grpc/grpc#43360). So the read goes on without its handler, and ends with the call.
    """
    reading = asyncio.ensure_future(context.read())
    reading.add_done_callback(_retrieve_error)
    return await asyncio.shield(reading)


def _retrieve_error(reading: asyncio.Future[Any]) -> None:
    """Nobody waits any more: an error of the read is no news."""
    if not reading.cancelled():
        reading.exception()


def refusing(error: Exception) -> MethodHandler:
    """A method of any kind, refused before its message is read: a stream reads nothing by itself."""

    async def refuse(requests: object, context: object) -> NoReturn:
        raise error

    handler: MethodHandler = grpc.stream_stream_rpc_method_handler(refuse)
    return handler


def status_of_handler(context: Context) -> grpc.StatusCode:
    """The status that a handler has set; OK where it has set none."""
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return next((c for c in grpc.StatusCode if c.value[0] == code), grpc.StatusCode.OK)
