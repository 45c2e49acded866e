"""A tracked video for asyncio; what it does is described at `exalign_client.track.sync`."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
from grpc import aio

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import DeadlineError, ExalignClientError, UnavailableError, error_from_rpc
from exalign_client.track.requests import FrameInput, VideoMessages
from exalign_client.track.results import TrackClosed, TrackEvent
from exalign_client.track.session import FAREWELL, TrackSession
from exalign_client.transport.retry import ReconnectBudget


class _OpenStream(Protocol):
    def __call__(
        self,
        request_iterator: AsyncIterator[service_pb2.TrackVideoRequest],
        *,
        metadata: tuple[tuple[str, str], ...] | None = None,
    ) -> Any: ...


class AsyncTrackStream(AsyncIterator[TrackEvent]):
    """What `AsyncClient.track` returns: an asynchronous iterator over results and revisions, made by it alone.

    It ends when all frames are answered. Leaving earlier is by `aclose`, by the end of an ``async with`` block, or by
    letting go of it. A wait for the next event may be cancelled, also by a timeout: the iterator goes on after that,
    and nothing is lost.
    """

    def __init__(
        self,
        open_stream: _OpenStream,
        address: str,
        config: track_pb2.TrackConfig,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        *,
        window: int,
        timeout: float,
    ) -> None:
        session = TrackSession(config, window, address)
        self._conversation = _Conversation(open_stream, address, session, VideoMessages(config), frames, timeout)
        # The tasks know the conversation, not this object: when the caller lets go of it, they end.
        self._finalizer = weakref.finalize(self, self._conversation.stop)
        self._finalizer.atexit = False

    @property
    def closed(self) -> TrackClosed | None:
        """As `exalign_client.track.sync.TrackStream.closed`."""
        return self._conversation.session.closed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TrackEvent:
        """The next event; raises as `exalign_client.track.sync.TrackStream` does."""
        event = await self._conversation.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        """Stop: nothing more is sent or read."""
        self._finalizer()
        await self._conversation.stopped()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Conversation:
    """The tasks' common ground. All of it in one event loop."""

    def __init__(
        self,
        open_stream: _OpenStream,
        address: str,
        session: TrackSession,
        messages: VideoMessages,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        timeout: float,
    ) -> None:
        self.session, self._messages = session, messages
        self._open_stream, self._address, self._timeout = open_stream, address, timeout
        self._frames = frames
        self._budget = ReconnectBudget(timeout)
        self._changed = asyncio.Event()
        self._call: Any = None
        #: Counts the streams; the generator of an earlier one ends when it sees a later number.
        self._number = 0
        self._stopped = False
        self._feeder: asyncio.Task[None] | None = None
        #: What the iterable of frames raised.
        self._failure: Exception | None = None
        #: Why we cancelled the stream ourselves.
        self._cause: ExalignClientError | None = None
        #: Since when the reader has heard nothing; None while nobody reads.
        self._listening_since: float | None = None

    async def next_event(self) -> TrackEvent | None:
        """The next event; None: there are no more."""
        while True:
            if self._stopped or self.session.over:
                self.stop()
                return None
            if self._failure is not None and not self.session.unanswered:
                self.stop()
                raise self._failure
            call = self._connected()
            self._listening_since = time.monotonic()
            event: TrackEvent | None = None
            error: ExalignClientError | None = None
            try:
                event = await self._read(call)
            except StopAsyncIteration:
                error = UnavailableError(f"{self._address}: the stream ended before the video did")
            except grpc.RpcError as rpc_error:
                error = error_from_rpc(rpc_error, self._address)
                error.__cause__ = rpc_error
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not call.cancelled() or (task is not None and task.cancelling()):
                    # Our caller's wish. gRPC gives the stream up with the read, so the next event is from a new one.
                    self._hang_up()
                    raise
                error = UnavailableError(f"{self._address}: the stream was cancelled")
            finally:
                self._listening_since = None
            if event is not None:
                self._budget.progressed()
                return event
            if error is None and self.session.should_move:
                error = UnavailableError(f"{self._address}: the server asked to move on")
            if error is not None:
                await self._reconnect(error)

    def stop(self) -> None:
        """End everything; the tasks see it."""
        self._stopped = True
        self._hang_up()
        if self._feeder is not None and not self._feeder.get_loop().is_closed():
            self._feeder.cancel()

    async def stopped(self) -> None:
        """Wait until the frames are let go of."""
        if self._feeder is not None:
            await asyncio.wait([self._feeder])

    def _connected(self) -> Any:
        """The stream; a new one where there is none."""
        if self._feeder is None:
            self._feeder = asyncio.create_task(self._feed(self._frames))
        if self._call is None:
            first, metadata = self.session.begin()
            self._number += 1
            try:
                self._call = self._open_stream(self._requests(self._number, first), metadata=metadata)
            except aio.UsageError as error:
                self.stop()
                raise UnavailableError(f"{self._address}: the client is closed") from error
        return self._call

    async def _read(self, call: Any) -> TrackEvent | None:
        """Take one message in; None where it brings nothing new."""
        response = await call.read()
        if response is aio.EOF:  # type: ignore[attr-defined]  # its stubs do not know it
            raise StopAsyncIteration
        try:
            event = self.session.receive(response)
        except ExalignClientError:
            self.stop()
            raise
        self._changed.set()
        if self.session.over:
            # The status comes after the last message. Whatever it is, all that was wanted has come.
            with suppress(grpc.RpcError):
                await call.read()
        return event

    async def _reconnect(self, error: ExalignClientError) -> None:
        """Wait until the stream should be opened again.

        Raises:
            ExalignClientError: it should not.
        """
        if self._cause is not None:
            error, self._cause = self._cause, None
        self._hang_up()
        if self._stopped or (self._failure is not None and not self.session.unanswered):
            return
        try:
            if self.session.start_again(error):
                return
            pause = self._budget.pause_after(error, opened=self.session.ever_opened)
            if pause is None:
                raise self.session.given_up(error)
        except ExalignClientError:
            self.stop()
            raise
        await asyncio.sleep(pause)

    def _hang_up(self) -> None:
        """Cancel the stream. Its generator may only end after that: at its end gRPC tells the server "no more"."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._number += 1
        self._changed.set()

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
                self._changed.set()
        except Exception as error:  # noqa: BLE001 - the caller's own, raised again where the caller reads
            self._failure = error
            if not self.session.unanswered and self._call is not None:
                self._call.cancel()  # wakes the reader, who has nothing to wait for
            return
        self.session.finish()
        self._changed.set()

    async def _requests(
        self, number: int, first: service_pb2.TrackVideoRequest
    ) -> AsyncIterator[service_pb2.TrackVideoRequest]:
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
            if message is None and not await self._wait(session.patience):
                if number != self._number:
                    break
                message = session.nudge()
                self._look_after()
            if message is not None:
                return message
        return None

    def _look_after(self) -> None:
        """Nothing has happened for a while: end the stream where nothing more is to be expected of it."""
        since = self._listening_since
        if self._call is None or since is None:
            return
        silent = time.monotonic() - since
        if silent > self._timeout:
            self._cause = DeadlineError(f"{self._address}: not a word from the server for {silent:.0f} s")
            self._call.cancel()
        elif self.session.going and silent > FAREWELL:
            self._cause = UnavailableError(f"{self._address}: the server asked to move on")
            self._call.cancel()


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
