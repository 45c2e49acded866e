"""A tracked video for blocking code: an iterator that sends, acknowledges, reconnects and resumes by itself.

Three threads meet here: the caller's, which reads answers; one that takes frames from the caller's iterable; and
gRPC's own, which takes messages to send from a generator. All they share is the session, under one lock.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import grpc

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import DeadlineError, ExalignClientError, UnavailableError, error_from_rpc
from exalign_client.track.requests import FrameInput, VideoMessages
from exalign_client.track.results import TrackClosed, TrackEvent
from exalign_client.track.session import FAREWELL, TrackSession
from exalign_client.transport.retry import ReconnectBudget


class _OpenStream(Protocol):
    """The method of the stub."""

    def __call__(
        self,
        request_iterator: Iterator[service_pb2.TrackVideoRequest],
        *,
        metadata: tuple[tuple[str, str], ...] | None = None,
    ) -> Any: ...


class TrackStream(Iterator[TrackEvent]):
    """What `Client.track` returns: an iterator over results and revisions, made by it alone.

    It ends when all frames are answered. Leaving earlier is by `close`, by the end of a ``with`` block, or by letting
    go of it; the server then forgets the video after a while.
    """

    def __init__(
        self,
        open_stream: _OpenStream,
        address: str,
        config: track_pb2.TrackConfig,
        frames: Iterable[FrameInput],
        *,
        window: int,
        timeout: float,
    ) -> None:
        session = TrackSession(config, window, address)
        self._conversation = _Conversation(open_stream, address, session, VideoMessages(config), frames, timeout)
        # The threads know the conversation, not this object: when the caller lets go of it, they end.
        self._finalizer = weakref.finalize(self, self._conversation.stop)

    @property
    def closed(self) -> TrackClosed | None:
        """Summary, paths and suggestions; None until the iterator has ended.

        It stays None where the iterator was closed early, and where the connection broke after the last answer and
        the server had forgotten the video: then only the counts are missing.
        """
        return self._conversation.session.closed

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TrackEvent:
        """The next event.

        Raises:
            InvalidRequestError: a frame is wrong, here or by the server's judgement.
            SessionLostError: the video cannot be followed to its end; the message says what is missing.
            ExalignClientError: the call failed otherwise.
            Exception: whatever the iterable of frames raised, after all frames before that were answered.
        """
        event = self._conversation.next_event()
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Stop: nothing more is sent or read."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Conversation:
    """The threads' common ground. ``_changed`` guards all of it."""

    def __init__(
        self,
        open_stream: _OpenStream,
        address: str,
        session: TrackSession,
        messages: VideoMessages,
        frames: Iterable[FrameInput],
        timeout: float,
    ) -> None:
        self.session, self._messages = session, messages
        self._open_stream, self._address, self._timeout = open_stream, address, timeout
        self._frames: Iterable[FrameInput] | None = frames
        self._budget = ReconnectBudget(timeout)
        self._changed = threading.Condition()
        self._call: Any = None
        #: Counts the streams; the generator of an earlier one ends when it sees a later number.
        self._number = 0
        self._stopped = False
        #: What the iterable of frames raised.
        self._failure: Exception | None = None
        #: Why we cancelled the stream ourselves.
        self._cause: ExalignClientError | None = None
        #: Since when the reader has heard nothing; None while nobody reads.
        self._listening_since: float | None = None

    def next_event(self) -> TrackEvent | None:
        """The next event; None: there are no more. Blocks."""
        while True:
            with self._changed:
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
                event = self._read(call)
            except StopIteration:
                error = UnavailableError(f"{self._address}: the stream ended before the video did")
            except grpc.RpcError as rpc_error:
                error = error_from_rpc(rpc_error, self._address)
                error.__cause__ = rpc_error
            finally:
                with self._changed:
                    self._listening_since = None
            if event is not None:
                self._budget.progressed()
                return event
            if error is None and self.session.should_move:
                error = UnavailableError(f"{self._address}: the server asked to move on")
            if error is not None:
                self._reconnect(error)

    def stop(self) -> None:
        """End everything; the threads see it."""
        with self._changed:
            self._stopped = True
            self._hang_up()

    def _connected(self) -> Any:
        """The stream; a new one where there is none."""
        if self._frames is not None:
            frames, self._frames = self._frames, None
            threading.Thread(target=self._feed, args=(frames,), name="exalign-track-frames", daemon=True).start()
        if self._call is None:
            first, metadata = self.session.begin()
            self._number += 1
            try:
                self._call = self._open_stream(self._requests(self._number, first), metadata=metadata)
            except ValueError as error:  # gRPC's way to say it
                self._stopped = True
                raise UnavailableError(f"{self._address}: the client is closed") from error
        return self._call

    def _read(self, call: Any) -> TrackEvent | None:
        """Take one message in; None where it brings nothing new. Blocks."""
        response: service_pb2.TrackVideoResponse = next(call)
        with self._changed:
            try:
                event = self.session.receive(response)
            except ExalignClientError:
                self.stop()
                raise
            self._changed.notify_all()
        if self.session.over:
            # The status comes after the last message. Whatever it is, all that was wanted has come.
            with suppress(StopIteration, grpc.RpcError):
                next(call)
        return event

    def _reconnect(self, error: ExalignClientError) -> None:
        """Wait until the stream should be opened again.

        Raises:
            ExalignClientError: it should not.
        """
        with self._changed:
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
            self._changed.wait_for(lambda: self._stopped, pause)

    def _hang_up(self) -> None:
        """Cancel the stream. Its generator may only end after that: at its end gRPC tells the server "no more"."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._number += 1
        self._changed.notify_all()

    def _feed(self, frames: Iterable[FrameInput]) -> None:
        """Take frames from the caller's iterable, as fast as there is room for them."""
        try:
            for given in frames:
                message = self._messages.message(given)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or self.session.room)
                    if self._stopped:
                        return
                    self.session.add(message)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - the caller's own, raised again where the caller reads
            with self._changed:
                self._failure = error
                if not self.session.unanswered and self._call is not None:
                    self._call.cancel()  # wakes the reader, who has nothing to wait for
            return
        with self._changed:
            self.session.finish()
            self._changed.notify_all()

    def _requests(self, number: int, first: service_pb2.TrackVideoRequest) -> Iterator[service_pb2.TrackVideoRequest]:
        """What one stream sends; runs in a thread of gRPC's."""
        message: service_pb2.TrackVideoRequest | None = first
        while message is not None:
            yield message
            message = self._next_request(number)

    def _next_request(self, number: int) -> service_pb2.TrackVideoRequest | None:
        """Wait for the next message of a stream; None: there are no more."""
        session = self.session
        with self._changed:
            while number == self._number and not session.may_half_close:
                message = session.next_message()
                if message is None and not self._changed.wait(session.patience):
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
