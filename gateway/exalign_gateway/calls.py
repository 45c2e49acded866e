"""One call: a body read as a message, the call itself, and its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from exalign.v1 import service_pb2
from exalign_gateway.bodies import Bodies, Bounds, RefusedError
from exalign_gateway.errors import failure, failure_of

JSON, BINARY = "application/json", "application/proto"

SERVICE = service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"]

#: The calls that there are; TrackVideo, which streams both ways, is none of them.
METHODS: tuple[MethodDescriptor, ...] = tuple(
    method for method in SERVICE.methods if not (method.client_streaming or method.server_streaming)
)

#: Headers that go on to the server as they are.
PASSED = ("authorization", "traceparent", "tracestate")

#: What the JSON reader raises where a value is of a kind that it does not expect.
_NOT_A_REQUEST = (json_format.Error, ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


def path_of(method: MethodDescriptor) -> str:
    """The path of a call, in gRPC and here."""
    return f"/{SERVICE.full_name}/{method.name}"


@dataclass(frozen=True)
class Call:
    """One method, as an endpoint.

    Attributes:
        method: which.
        channel: to the server.
        bodies: that are here.
        bounds: what callers may take.
    """

    method: MethodDescriptor
    channel: grpc.aio.Channel
    bodies: Bodies
    bounds: Bounds

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (JSON, BINARY):
            text = f"content-type must be {JSON} or {BINARY}"
            return failure("invalid_argument", text, status=415, headers={"Accept-Post": f"{JSON}, {BINARY}"})
        if request.headers.get("content-encoding", "identity") != "identity":
            return failure("unimplemented", "content-encoding must be identity", status=415)
        try:
            timeout, metadata = self._timeout(request), _metadata(request)
            async with self.bodies.of(request) as body:
                message = await run_in_threadpool(_read, self.method, body, kind)
                del body
                return await self._answered(request, message, kind, timeout, metadata)
        except RefusedError as refused:
            return refused.response
        except grpc.aio.AioRpcError as error:
            return failure_of(error)

    async def _answered(
        self, request: Request, message: Message, kind: str, timeout: float, metadata: list[tuple[str, str]]
    ) -> Response:
        answer_type = message_factory.GetMessageClass(self.method.output_type)
        multi: Any = self.channel.unary_unary(
            path_of(self.method),
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=answer_type.FromString,
        )
        call = asyncio.ensure_future(multi(message, timeout=timeout, metadata=metadata))
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise RefusedError(failure("canceled", "the caller has gone"))
            answer = call.result()
        finally:
            call.cancel()
            gone.cancel()
        written = answer.SerializeToString() if kind == BINARY else await run_in_threadpool(_json, answer)
        return Response(written, media_type=kind)

    def _timeout(self, request: Request) -> float:
        given = request.headers.get("connect-timeout-ms")
        if given is None:
            return self.bounds.call_seconds
        if not (given.isascii() and given.isdigit() and len(given) <= 10):
            raise RefusedError(
                failure("invalid_argument", f"connect-timeout-ms is {given[:40]!r}, must be up to 10 digits")
            )
        return min(int(given) / 1e3, self.bounds.call_seconds)


def _metadata(request: Request) -> list[tuple[str, str]]:
    found = [(name, value) for name in PASSED if (value := request.headers.get(name)) is not None]
    for name, value in found:
        if not (value.isascii() and value.isprintable()):
            raise RefusedError(failure("invalid_argument", f"the header {name} must be printable ASCII"))
    return found


def _read(method: MethodDescriptor, body: bytes, kind: str) -> Message:
    message = message_factory.GetMessageClass(method.input_type)()
    try:
        if kind == BINARY:
            message.ParseFromString(body)
        else:
            json_format.Parse(body, message)
    except (DecodeError, *_NOT_A_REQUEST) as error:
        reason = " ".join(str(error).split())[:500] or type(error).__name__
        text = f"the body is no {method.input_type.full_name}: {reason}"
        raise RefusedError(failure("invalid_argument", text)) from None
    return message


def _json(answer: Message) -> bytes:
    return json_format.MessageToJson(answer, indent=None).encode()


async def _gone(request: Request) -> None:
    """Returns when the caller has hung up; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
