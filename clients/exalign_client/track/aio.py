"""A tracked video for asyncio; what it does is described at `exalign_client.track.sync`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import ExalignClientError
from exalign_client.track.requests import FrameInput, VideoMessages
from exalign_client.track.results import TrackClosed, TrackEvent
from exalign_client.track.resumable import OpenStream, ResumableStream
from exalign_client.track.session import TrackSession

Requests = AsyncIterator[service_pb2.TrackVideoRequest]


class AsyncTrackStream(AsyncIterator[TrackEvent]):
    """What `AsyncClient.track` returns: an asynchronous iterator over results and revisions, made by it alone.

    It ends when all frames are answered. Leaving earlier is by `aclose`, by the end of an ``async with`` block, or by
    dropping it. A wait for the next event may be cancelled, also by a timeout: the iterator goes on after that,
    and nothing is lost.
    """

    def __init__(
        self,
        open_stream: OpenStream[Requests],
        address: str,
        config: track_pb2.TrackConfig,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        *,
        window: int,
        timeout: float,
        prepare: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        session, messages = TrackSession(config, window, address), VideoMessages(config)
        self._resumable = _TaskStream(open_stream, address, session, messages, frames, timeout, prepare)
        # The tasks hold the resumable stream, not this object: when the caller drops it, they end.
        self._finalizer = weakref.finalize(self, self._resumable.stop)
        self._finalizer.atexit = False

    @property
    def closed(self) -> TrackClosed | None:
        """As `exalign_client.track.sync.TrackStream.closed`."""
        return self._resumable.session.closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TrackEvent:
        """The next event; raises as `exalign_client.track.sync.TrackStream` does."""
        event = await self._resumable.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop: nothing more is sent or read."""
        self._finalizer()
        await self._resumable.stopped()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _TaskStream(ResumableStream[Requests]):
    """A resumable stream that tasks share, all in one event loop."""

    _CHANNEL_CLOSED = aio.UsageError

    def __init__(
        self,
        open_stream: OpenStream[Requests],
        address: str,
        session: TrackSession,
        messages: VideoMessages,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        timeout: float,
        prepare: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(open_stream, address, session, timeout)
        self._prepare = prepare
        self._messages, self._frames = messages, frames
        self._changed = asyncio.Event()
        self._feeder: asyncio.Task[None] | None = None

    async def next_event(self) -> TrackEvent | None:
        """The next event; None: there are no more."""
        while True:
            if self._ended():
                return None
            if self._feeder is None:
                self._feeder = asyncio.create_task(self._feed(self._frames))
            if self._call is None and self._prepare is not None:
                await self._prepare()
            call = self._stream()
            self._silent_since = self._clock()
            event: TrackEvent | None = None
            error: ExalignClientError | None = None
            try:
                event = await self._read(call)
            except StopAsyncIteration:
                error = self._unavailable("the stream ended before the video did")
            except grpc.RpcError as rpc_error:
                error = self._stream_error(rpc_error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not call.cancelled() or (task is not None and task.cancelling()):
                    # The caller cancels. gRPC gives the stream up with the read, so the next event is from a new one.
                    self._cancel_stream()
                    raise
                error = self._unavailable("the stream was cancelled")
            finally:
                self._silent_since = None
            error = self._error_after(event, error)
            if error is not None:
                await asyncio.sleep(self._reconnect_pause(error))
            elif event is not None:
                return event

    def stop(self) -> None:
        """End everything; the tasks see it."""
        super().stop()
        if self._feeder is not None and not self._feeder.get_loop().is_closed():
            self._feeder.cancel()

    async def stopped(self) -> None:
        """Wait until the iterable of frames is dropped."""
        if self._feeder is not None:
            await asyncio.wait([self._feeder])

    def _wake(self) -> None:
        self._changed.set()

    async def _read(self, call: Any) -> TrackEvent | None:
        """Take one message in; None where it brings nothing new."""
        response = await call.read()
        if response is aio.EOF:  # type: ignore[attr-defined]  # absent from its stubs
            raise StopAsyncIteration
        event = self._receive(response)
        if self.session.over:
            # The status comes after the last message. Whatever it is, all that was wanted has come.
            with suppress(grpc.RpcError):
                await call.read()
        return event

    async def _wait(self, seconds: float | None = None) -> bool:
        """Wait for a change; returns whether there was one in time."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _feed(self, frames: Iterable[FrameInput] | AsyncIterable[FrameInput]) -> None:
        """Take frames from the caller's iterable, as fast as there is room for them."""
        try:
            async for given in _each(frames):
                # In a thread: a file may be read, and pixels are copied.
                message = await asyncio.to_thread(self._messages.message, given)
                while not self.session.room:
                    await self._wait()
                self.session.add(message)
                self._wake()
        except Exception as error:  # noqa: BLE001 - the caller's own, raised again where the caller reads
            self._fail_frames(error)
            return
        self.session.finish()
        self._wake()

    async def _requests(self, number: int, first: service_pb2.TrackVideoRequest) -> Requests:
        """What one stream sends; runs in a task of gRPC's."""
        message: service_pb2.TrackVideoRequest | None = first
        while message is not None:
            yield message
            message = await self._next_request(number)

    async def _next_request(self, number: int) -> service_pb2.TrackVideoRequest | None:
        """Wait for the next message of a stream; None: there are no more."""
        session = self.session
        while number == self._number and not session.may_half_close:
            message = session.next_message()
            if message is None and not await self._wait(session.next_keepalive):
                if number != self._number:
                    break
                message = session.keepalive_message()
                self._check_liveness()
            if message is not None:
                return message
        return None


async def _each(frames: Iterable[FrameInput] | AsyncIterable[FrameInput]) -> AsyncIterator[FrameInput]:
    """Frames one by one; a blocking iterable is read in a thread."""
    if isinstance(frames, AsyncIterable):
        async for frame in frames:
            yield frame
        return
    iterator: Iterator[FrameInput] = iter(frames)
    while True:
        frame_or_end: FrameInput | _End = await asyncio.to_thread(next, iterator, _END)
        if isinstance(frame_or_end, _End):
            return
        yield frame_or_end


class _End:
    """After the last frame."""


_END = _End()
