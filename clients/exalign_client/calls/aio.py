"""The asyncio client. What its methods take, answer and raise is described at `exalign_client.Client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from grpc import aio

from exalign.v1 import admin_pb2_grpc, service_pb2_grpc, track_pb2
from exalign_client.calls import methods
from exalign_client.calls.fitting import fitted, needs_limits
from exalign_client.calls.tracking import Tracking
from exalign_client.calls.unary import UnaryCall, documented_as
from exalign_client.errors import UnavailableError, error_from_rpc
from exalign_client.requests.arguments import check_timeout
from exalign_client.results.model import Limits
from exalign_client.track.aio import AsyncTrackStream
from exalign_client.track.requests import FrameInput
from exalign_client.transport import health
from exalign_client.transport.channel import DEFAULT_TIMEOUT, Encryption, open_aio_channel
from exalign_client.transport.health import HealthStatus
from exalign_client.transport.retry import CallBudget
from exalign_client.transport.token import BearerToken, Headers, Token
from exalign_client.transport.trace_context import trace_headers

P = ParamSpec("P")
AnswerT = TypeVar("AnswerT")


def _awaitable(
    description: Callable[P, UnaryCall[AnswerT]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, AnswerT]]:
    """A coroutine method that makes the call that a function of `exalign_client.calls.methods` describes."""

    @documented_as(description, "AsyncClient")
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AnswerT:
        # In a thread: reading a file or copying a large picture must not hold up the event loop.
        return await client._perform(await asyncio.to_thread(description, *args, **kwargs))

    return method


class AsyncClient(Tracking[Iterable[FrameInput] | AsyncIterable[FrameInput], AsyncTrackStream]):
    """A connection to an Exalign server, for asyncio. Make it inside the event loop that uses it.

    Arguments and retries are those of `Client`; ``token`` may also be an asynchronous function. Frames of `track` may
    be asynchronous, and so are its events.

    Example:
        >>> async with AsyncClient("localhost:50051") as client:
        ...     faces = await client.predict("photo.jpg")
        ...     async with client.track(frames) as video:
        ...         async for event in video:
        ...             print(event.frame_index, [track.state for track in event.tracks])
    """

    _frames_may_be_asynchronous = True

    def __init__(
        self,
        address: str,
        *,
        tls: Encryption = False,
        token: Token | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self.address = address
        self._timeout = check_timeout(timeout)
        self._token = BearerToken(token, address, encrypted=tls is not False)
        self._limits: Limits | None = None
        self._channel: aio.Channel = open_aio_channel(address, tls)
        self._stub = service_pb2_grpc.FaceAlignmentServiceStub(self._channel)
        self._stubs = {"faces": self._stub, "admin": admin_pb2_grpc.ModelAdminServiceStub(self._channel)}
        self._check_health = self._channel.unary_unary(
            health.CHECK,
            request_serializer=health.encode_request,
            response_deserializer=health.decode_response,
        )

    def __repr__(self) -> str:
        return f"<AsyncClient {self.address}>"

    predict = _awaitable(methods.predict)
    heatmaps = _awaitable(methods.heatmaps)
    pose = _awaitable(methods.pose)
    condition = _awaitable(methods.condition)
    suggest = _awaitable(methods.suggest)
    exemplars = _awaitable(methods.exemplars)
    model = _awaitable(methods.model)
    swap_model = _awaitable(methods.swap_model)

    async def health(self, *, timeout: float | None = None) -> HealthStatus:
        """Check the health of the server, once; see `Client.health`."""
        return await self._health_once(check_timeout(self._timeout if timeout is None else timeout))

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server reports that it is serving; see `Client.wait_ready`."""
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            seen: HealthStatus | UnavailableError
            try:
                seen = await self._health_once(budget.remaining())
            except UnavailableError as error:
                seen = error
            if seen is HealthStatus.SERVING:
                return
            await asyncio.sleep(budget.pause_until_ready(seen, self.address))

    async def close(self) -> None:
        """Close the connection. Calls still under way are cancelled."""
        await self._channel.close(grace=None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, call: UnaryCall[AnswerT]) -> AnswerT:
        method = getattr(self._stubs[call.service], call.rpc)
        budget = CallBudget(self._timeout if call.timeout is None else call.timeout)
        if self._limits is None and needs_limits(call.request):
            self._limits = (await self._perform(methods.model(timeout=budget.remaining()))).limits
        # In a thread where there may be something to scale.
        request, scale = (
            await asyncio.to_thread(fitted, call.request, self._limits)
            if needs_limits(call.request)
            else fitted(call.request, None)
        )
        while True:
            try:
                metadata = (*await self._token.prepare(), *trace_headers())
                response: Any = await method(request, timeout=budget.remaining(), metadata=metadata)
                break
            except grpc.RpcError as error:
                ours = error_from_rpc(error, self.address)
                pause = budget.pause_after(ours)
                if pause is None:
                    raise ours from error
            await asyncio.sleep(pause)
        if scale is not None:
            scale.undo(response)
        return call.read(response)

    def _open_track(
        self,
        config: track_pb2.TrackConfig,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        window: int,
        timeout: float | None,
    ) -> AsyncTrackStream:
        silence = check_timeout(self._timeout if timeout is None else timeout)
        track, token, trace = self._stub.TrackVideo, self._token, trace_headers()

        def opened(request_iterator: Any, *, metadata: Headers | None = None) -> Any:
            return track(request_iterator, metadata=(*(metadata or ()), *token.latest, *trace))

        return AsyncTrackStream(
            opened, self.address, config, frames, window=window, timeout=silence, prepare=token.prepare
        )

    async def _health_once(self, timeout: float) -> HealthStatus:
        try:
            status: HealthStatus = await self._check_health("", timeout=timeout)
            return status
        except grpc.RpcError as error:
            raise error_from_rpc(error, self.address) from error
