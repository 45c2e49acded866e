"""A tracked video for blocking code: an iterator that sends, acknowledges, reconnects and resumes by itself.

Three threads meet here: the caller's, which reads answers; one that takes frames from the caller's iterable; and
gRPC's own, which takes messages to send from a generator. All they share is the session, under one lock.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import ExalignClientError
from exalign_client.track.requests import FrameInput, VideoMessages
from exalign_client.track.results import TrackClosed, TrackEvent
from exalign_client.track.resumable import OpenStream, ResumableStream
from exalign_client.track.session import TrackSession

Requests = Iterator[service_pb2.TrackVideoRequest]


class TrackStream(Iterator[TrackEvent]):
    """What `Client.track` returns: an iterator over results and revisions, made by it alone.

    It ends when all frames are answered. Leaving earlier is by `close`, by the end of a ``with`` block, or by letting
    go of it; the server then forgets the video after a while.
    """

    def __init__(
        self,
        open_stream: OpenStream[Requests],
        address: str,
        config: track_pb2.TrackConfig,
        frames: Iterable[FrameInput],
        *,
        window: int,
        timeout: float,
    ) -> None:
        session = TrackSession(config, window, address)
        self._resumable = _ThreadedStream(open_stream, address, session, VideoMessages(config), frames, timeout)
        # The threads hold the resumable stream, not this object: when the caller drops it, they end.
        self._finalizer = weakref.finalize(self, self._resumable.stop)

    @property
    def closed(self) -> TrackClosed | None:
        """Summary, paths and suggestions; None until the iterator has ended.

        It stays None where the iterator was closed early, and where the connection broke after the last answer and
        the server had forgotten the video: then only the counts are missing.
        """
        return self._resumable.session.closed

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
        event = self._resumable.next_event()
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


class _ThreadedStream(ResumableStream[Requests]):
    """A resumable stream that threads share. ``_changed`` guards all of it."""

    _CHANNEL_CLOSED = ValueError

    def __init__(
        self,
        open_stream: OpenStream[Requests],
        address: str,
        session: TrackSession,
        messages: VideoMessages,
        frames: Iterable[FrameInput],
        timeout: float,
    ) -> None:
        super().__init__(open_stream, address, session, timeout)
        self._messages = messages
        self._frames: Iterable[FrameInput] | None = frames
        self._changed = threading.Condition()

    def next_event(self) -> TrackEvent | None:
        """The next event; None: there are no more. Blocks."""
        while True:
            with self._changed:
                if self._ended():
                    return None
                self._start_feeding()
                call = self._stream()
                self._silent_since = self._clock()
            event: TrackEvent | None = None
            error: ExalignClientError | None = None
            try:
                event = self._read(call)
            except StopIteration:
                error = self._unavailable("the stream ended before the video did")
            except grpc.RpcError as rpc_error:
                error = self._stream_error(rpc_error)
            finally:
                with self._changed:
                    self._silent_since = None
            error = self._error_after(event, error)
            if error is not None:
                with self._changed:
                    pause = self._reconnect_pause(error)
                    self._changed.wait_for(lambda: self._stopped, pause)
            elif event is not None:
                return event

    def stop(self) -> None:
        """End everything; the threads see it."""
        with self._changed:
            super().stop()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _read(self, call: Any) -> TrackEvent | None:
        """Take one message in; None where it brings nothing new. Blocks."""
        response: service_pb2.TrackVideoResponse = next(call)
        with self._changed:
            event = self._receive(response)
        if self.session.over:
            # The status comes after the last message. Whatever it is, all that was wanted has come.
            with suppress(StopIteration, grpc.RpcError):
                next(call)
        return event

    def _start_feeding(self) -> None:
        """Start to take frames, once."""
        if self._frames is not None:
            frames, self._frames = self._frames, None
            threading.Thread(target=self._feed, args=(frames,), name="exalign-track-frames", daemon=True).start()

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
                    self._wake()
        except Exception as error:  # noqa: BLE001 - the caller's own, raised again where the caller reads
            with self._changed:
                self._fail_frames(error)
            return
        with self._changed:
            self.session.finish()
            self._wake()

    def _requests(self, number: int, first: service_pb2.TrackVideoRequest) -> Requests:
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
                if message is None and not self._changed.wait(session.next_keepalive):
                    message = session.keepalive_message()
                    self._check_liveness()
                if message is not None:
                    return message
            return None
