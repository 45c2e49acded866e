"""What the blocking and the asyncio stream of a video share: their state, and every decision that waits for nothing.

`exalign_client.track.session` holds what is sent and answered; here is what happens to the streams that carry it: when
one is opened, given up or opened again, and when a silent server is left.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import grpc

from exalign.v1 import service_pb2
from exalign_client.errors import DeadlineError, ExalignClientError, UnavailableError, error_from_rpc
from exalign_client.track.results import TrackEvent
from exalign_client.track.session import GO_AWAY_TIMEOUT, TrackSession
from exalign_client.transport.retry import Clock, ReconnectBudget

RequestsT = TypeVar("RequestsT")
_SentT = TypeVar("_SentT", contravariant=True)


class OpenStream(Protocol[_SentT]):
    """The method of the stub that opens a stream."""

    def __call__(self, request_iterator: _SentT, *, metadata: tuple[tuple[str, str], ...] | None = None) -> Any:
        """Open a stream that sends these requests."""


class ResumableStream(ABC, Generic[RequestsT]):
    """The streams of one video, one after the other. Not thread-safe: the subclasses see to that.

    Args:
        open_stream: opens a stream.
        address: the server, for messages.
        session: what is sent and answered.
        timeout: seconds of silence after which the server is left, and seconds for which it is then tried again.
        clock: the time.
    """

    #: What gRPC raises where the channel is closed.
    _CHANNEL_CLOSED: ClassVar[type[Exception]]

    def __init__(
        self,
        open_stream: OpenStream[RequestsT],
        address: str,
        session: TrackSession,
        timeout: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self.session = session
        self._open_stream, self._address, self._timeout, self._clock = open_stream, address, timeout, clock
        self._budget = ReconnectBudget(timeout, clock=clock)
        self._call: Any = None
        #: Counts the streams; the generator of an earlier one ends when it sees a later number.
        self._number = 0
        self._stopped = False
        #: What the iterable of frames raised.
        self._failure: Exception | None = None
        #: Why we cancelled the stream ourselves.
        self._cause: ExalignClientError | None = None
        #: Since when the reader has received nothing; None while nobody reads.
        self._silent_since: float | None = None

    @abstractmethod
    def _wake(self) -> None:
        """Wake everything that waits for a change."""

    @abstractmethod
    def _requests(self, number: int, first: service_pb2.TrackVideoRequest) -> RequestsT:
        """What one stream sends."""

    def stop(self) -> None:
        """End everything."""
        self._stopped = True
        self._cancel_stream()

    def _ended(self) -> bool:
        """Whether there are no more events; then everything is ended.

        Raises:
            Exception: what the iterable of frames raised, when all frames before that are answered.
        """
        if self._stopped or self.session.over:
            self.stop()
            return True
        if self._failure is not None and self._frames_failed():
            self.stop()
            raise self._failure
        return False

    def _frames_failed(self) -> bool:
        return self._failure is not None and not self.session.unanswered

    def _stream(self) -> Any:
        """The stream; a new one where there is none.

        Raises:
            UnavailableError: the client is closed.
        """
        if self._call is None:
            first, metadata = self.session.begin()
            self._number += 1
            try:
                self._call = self._open_stream(self._requests(self._number, first), metadata=metadata)
            except self._CHANNEL_CLOSED as error:
                self.stop()
                raise UnavailableError(f"{self._address}: the client is closed") from error
        return self._call

    def _cancel_stream(self) -> None:
        """Cancel the stream. Its generator may only end after that: at its end gRPC half-closes the stream."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._number += 1
        self._wake()

    def _receive(self, response: service_pb2.TrackVideoResponse) -> TrackEvent | None:
        """Take one message in; None where it brings nothing new.

        Raises:
            InternalServerError: it does not keep to the contract.
        """
        try:
            event = self.session.receive(response)
        except ExalignClientError:
            self.stop()
            raise
        self._wake()
        return event

    def _fail_frames(self, error: Exception) -> None:
        """The iterable of frames has raised; what it gave before is still answered."""
        self._failure = error
        if self._frames_failed() and self._call is not None:
            self._call.cancel()  # wakes the reader, for whom nothing more will come

    def _unavailable(self, what: str) -> UnavailableError:
        return UnavailableError(f"{self._address}: {what}")

    def _stream_error(self, error: grpc.RpcError) -> ExalignClientError:
        ours = error_from_rpc(error, self._address)
        ours.__cause__ = error
        return ours

    def _error_after(self, event: TrackEvent | None, error: ExalignClientError | None) -> ExalignClientError | None:
        """Why the stream must be opened again after a read; None: it goes on."""
        if event is not None:
            self._budget.progressed()
            return None
        if error is None and self.session.should_reconnect:
            return self._unavailable("the server asked to move on")
        return error

    def _reconnect_pause(self, error: ExalignClientError) -> float:
        """Give the stream up; returns the seconds to wait before a new one is opened.

        Raises:
            ExalignClientError: none should be.
        """
        if self._cause is not None:
            error, self._cause = self._cause, None
        self._cancel_stream()
        if self._stopped or self._frames_failed():
            return 0.0
        try:
            if self.session.start_again(error):
                return 0.0
            pause = self._budget.pause_after(error, opened=self.session.ever_opened)
            if pause is None:
                raise self.session.given_up(error)
        except ExalignClientError:
            self.stop()
            raise
        return pause

    def _check_liveness(self) -> None:
        """Cancel the stream where the server has been silent for too long."""
        if self._call is None or self._silent_since is None:
            return
        silent = self._clock() - self._silent_since
        if silent > self._timeout:
            self._cause = DeadlineError(f"{self._address}: not a word from the server for {silent:.0f} s")
            self._call.cancel()
        elif self.session.going_away and silent > GO_AWAY_TIMEOUT:
            self._cause = self._unavailable("the server asked to move on")
            self._call.cancel()
