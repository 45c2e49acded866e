"""When a stream is left because its server is silent, with a clock that the test sets."""

from __future__ import annotations

from typing import Any

import pytest

from exalign.v1 import service_pb2, track_pb2
from exalign_client import DeadlineError, ExalignClientError, SessionLostError, UnavailableError
from exalign_client.track.requests import frame_message
from exalign_client.track.resumable import ResumableStream
from exalign_client.track.session import GO_AWAY_TIMEOUT, TrackSession

OPENED = service_pb2.TrackVideoResponse(opened=track_pb2.TrackOpened(epoch=1))
GO_AWAY = service_pb2.TrackVideoResponse(go_away=track_pb2.GoAway(reason=track_pb2.GO_AWAY_REASON_DRAIN))
TIMEOUT = 30.0


class Call:
    """A stream of gRPC's that only counts its cancellation."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


class Listening(ResumableStream[list[Any]]):
    """A resumable stream whose reader waits from the start, with one frame sent and unanswered."""

    _CHANNEL_CLOSED = ValueError

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[Call] = []
        session = TrackSession(track_pb2.TrackConfig(session_id="a"), 4, "here")
        super().__init__(self._open, "here", session, TIMEOUT, clock=lambda: self.now)
        self._stream()
        self._receive(OPENED)
        session.add(frame_message(b"x", -1))
        assert session.next_message() is not None
        self._silent_since = self.now

    def _open(self, requests: list[Any], *, metadata: Any = None) -> Call:
        self.calls.append(Call())
        return self.calls[-1]

    def _requests(self, number: int, first: service_pb2.TrackVideoRequest) -> list[Any]:
        return [first]

    def _wake(self) -> None:
        pass

    def receive(self, response: service_pb2.TrackVideoResponse) -> None:
        self._receive(response)

    def cancelled_after(self, seconds: float) -> bool:
        self.now += seconds
        self._check_liveness()
        return self.calls[-1].cancelled > 0

    def break_until_given_up(self) -> None:
        """The stream breaks every ten seconds, without an answer between."""
        while True:
            self._reconnect_pause(UnavailableError("cut"))
            self.now += 10.0
            self._stream()

    def cause(self) -> ExalignClientError | None:
        return self._cause


def test_a_server_is_left_after_the_timeout_and_not_before() -> None:
    stream = Listening()
    assert not stream.cancelled_after(TIMEOUT)
    assert stream.cancelled_after(0.5)
    cause = stream.cause()
    assert isinstance(cause, DeadlineError)
    assert str(cause) == "here: not a word from the server for 30 s"


def test_a_server_that_has_sent_go_away_is_left_sooner() -> None:
    stream = Listening()
    stream.receive(GO_AWAY)
    assert not stream.cancelled_after(GO_AWAY_TIMEOUT)
    assert stream.cancelled_after(0.1)
    assert "the server asked to move on" in str(stream.cause())


def test_a_server_that_stays_away_is_given_up_after_the_timeout() -> None:
    stream = Listening()
    with pytest.raises(SessionLostError, match="given and not answered: frame 0") as caught:
        stream.break_until_given_up()
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert [call.cancelled for call in stream.calls] == [1, 1, 1, 1]


def test_a_reminder_to_acknowledge_changes_nothing() -> None:
    session = TrackSession(track_pb2.TrackConfig(session_id="a"), 4, "here")
    session.begin()
    session.receive(service_pb2.TrackVideoResponse(opened=track_pb2.TrackOpened(session_id="a", max_unacked_frames=16)))
    before = (session.next_keepalive, session.room, session.should_reconnect, session.unanswered)
    reminder = track_pb2.MustAcknowledge(unacked_frames=8, max_unacked_frames=16, newest_frame=7)
    assert session.receive(service_pb2.TrackVideoResponse(must_acknowledge=reminder)) is None
    assert (session.next_keepalive, session.room, session.should_reconnect, session.unanswered) == before


@pytest.mark.parametrize("lag", [0, 1])
def test_what_a_server_waits_for_is_acknowledged_at_once(lag: int) -> None:
    """With a lag the revisions of a result are not known to have come, until the server says so."""
    session = TrackSession(track_pb2.TrackConfig(session_id="a", smoothing_lag=lag), 4, "here")
    session.begin()
    session.receive(OPENED)
    session.add(frame_message(b"x", -1))
    assert session.next_message() is not None
    session.receive(service_pb2.TrackVideoResponse(result=track_pb2.FrameResult(frame_index=0)))
    assert session.next_keepalive > 0
    # What has not come yet is not acknowledged, whatever the server says.
    reminder = track_pb2.MustAcknowledge(newest_frame=7)
    session.receive(service_pb2.TrackVideoResponse(must_acknowledge=reminder))
    assert session.next_keepalive == 0
    message = session.keepalive_message()
    assert message is not None
    assert message.ack.acked_frame == 0
    assert session.next_keepalive > 0


def test_no_more_frames_are_on_their_way_than_results_may_wait() -> None:
    """A server that waits for acknowledgements reads on for so many messages: they must not stand behind more."""
    session = TrackSession(track_pb2.TrackConfig(session_id="a"), 16, "here")
    session.begin()
    opened = track_pb2.TrackOpened(bundle_id="b", max_unacked_frames=3)
    session.receive(service_pb2.TrackVideoResponse(opened=opened))
    for index in range(8):
        session.add(track_pb2.VideoFrame(frame_index=index))
    sent = []
    while (message := session.next_message()) is not None:
        sent.append(message.frame.frame_index)
    assert sent == [0, 1, 2]
    result = track_pb2.FrameResult(frame_index=0, resume_token=b"0")
    session.receive(service_pb2.TrackVideoResponse(result=result))
    message = session.next_message()
    assert message is not None
    assert (message.frame.frame_index, message.frame.acked_frame) == (3, 0)
    assert session.next_message() is None
