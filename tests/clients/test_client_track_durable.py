"""What a caller holds until it outlives the server, and sends again where another one goes on from before it."""

from __future__ import annotations

from typing import Any

import pytest

from exalign.v1 import service_pb2, track_pb2
from exalign_client import TrackResult
from exalign_client.errors import NotFoundError, PreconditionError, SessionLostError
from exalign_client.track.session import TrackSession
from exalign_client.transport.retry import ReconnectBudget

Answer = service_pb2.TrackVideoResponse

WINDOW = 4


def opened(next_frame: int = 0, durable: int | None = -1) -> Answer:
    return marked(Answer(opened=track_pb2.TrackOpened(bundle_id="b", next_frame=next_frame)), durable)


def result(index: int, durable: int | None) -> Answer:
    return marked(Answer(result=track_pb2.FrameResult(frame_index=index, resume_token=b"token %d" % index)), durable)


def marked(answer: Answer, durable: int | None) -> Answer:
    if durable is not None:
        answer.durable_frame = durable
    return answer


def session(frames: int, durable: list[int | None], **config: Any) -> TrackSession:
    """A video of so many frames, the first of which are answered, each with the newest durable frame."""
    made = TrackSession(track_pb2.TrackConfig(**config), WINDOW, "here")
    made.begin()
    made.receive(opened(durable=None if durable[0] is None else -1))
    for index in range(frames):
        give(made, index)
    for index, newest in enumerate(durable):
        made.receive(result(index, newest))
    return made


def give(made: TrackSession, index: int) -> None:
    made.add(track_pb2.VideoFrame(frame_index=index))
    made.next_message()


def sent(made: TrackSession) -> list[int]:
    """Frames that are sent now."""
    found = []
    while (message := made.next_message()) is not None:
        found.append(message.frame.frame_index if message.HasField("frame") else -1 - message.past_evidence.frame_index)
    return found


def test_what_is_not_durable_is_sent_again_and_its_second_answer_is_dropped() -> None:
    it = session(5, [-1, 0, 1])
    first, metadata = it.begin()
    assert (first.config.resume_token, first.config.resends_after) == (b"token 2", 1)
    assert dict(metadata)["x-bundle"] == "b"
    it.receive(opened(2, durable=1))
    assert sent(it) == [2, 3, 4]
    assert it.receive(result(2, 1)) is None
    answer = it.receive(result(3, 3))
    assert isinstance(answer, TrackResult)
    assert (answer.frame_index, answer.durable) == (3, True)
    assert it.begin()[0].config.resends_after == 3


def test_a_server_that_keeps_sessions_to_itself_gets_nothing_again() -> None:
    it = session(3, [None, None])
    first, _ = it.begin()
    assert not first.config.HasField("resends_after")
    it.receive(opened(2, durable=None))
    assert sent(it) == [2]
    answer = it.receive(result(2, None))
    assert isinstance(answer, TrackResult)
    assert answer.durable is None


def test_late_evidence_is_held_as_its_frame_is() -> None:
    it = session(2, [-1, -1])
    it.add(track_pb2.PastEvidence(frame_index=1))
    assert sent(it) == [-2]
    give(it, 2)
    it.receive(result(2, 0))
    it.begin()
    it.receive(opened(1, durable=0))
    assert sent(it) == [1, -2, 2]
    # With frame 2 it is in the store for sure.
    it.receive(result(2, 2))
    give(it, 3)
    it.begin()
    it.receive(opened(3, durable=2))
    assert sent(it) == [3]


def test_while_the_store_is_away_no_more_is_held_than_the_window_has_frames() -> None:
    it = session(3, [-1, 0])
    for index in range(2, 20):
        it.receive(result(index, 0))
        give(it, index + 1)
    assert it.begin()[0].config.resends_after == 19 - WINDOW


GONE = [NotFoundError("gone"), PreconditionError("it never had that", "TOKEN_OTHER_STATE")]


@pytest.mark.parametrize("error", GONE, ids=["gone", "old"])
def test_what_the_store_has_lost_is_begun_again_or_named(error: Any) -> None:
    it = session(3, [-1, 0])
    it.begin()
    assert it.start_again(error)
    first, _ = it.begin()
    assert not first.config.resume_token
    assert not first.config.HasField("resends_after")
    it.receive(opened())
    assert sent(it) == [2]
    lagging = session(3, [-1, 0], smoothing_lag=2)
    lagging.begin()
    with pytest.raises(SessionLostError) as lost:
        lagging.start_again(error)
    assert lost.value.unanswered == (2,)


@pytest.mark.parametrize("error", GONE, ids=["gone", "old"])
def test_while_all_frames_are_held_nothing_is_lost_whatever_the_store_has_lost(error: Any) -> None:
    it = session(3, [-1, -1], smoothing_lag=2)
    it.begin()
    assert it.start_again(error)
    it.begin()
    it.receive(opened())
    assert sent(it) == [0, 1, 2]
    assert it.receive(result(0, -1)) is None
    # Again, and this time it goes on from what the second session had answered.
    first, _ = it.begin()
    assert (first.config.resume_token, first.config.resends_after) == (b"token 0", -1)
    it.receive(opened(1, durable=0))
    assert sent(it) == [1, 2]
    it.receive(result(1, 0))
    answer = it.receive(result(2, 1))
    assert isinstance(answer, TrackResult)
    assert (answer.frame_index, answer.session) == (2, 1)


def test_a_video_that_another_bundle_answers_again_counts_as_begun_again() -> None:
    it = session(3, [-1, -1])
    it.begin()
    assert it.start_again(NotFoundError("gone"))
    it.begin()
    it.receive(marked(Answer(opened=track_pb2.TrackOpened(bundle_id="other")), -1))
    assert sent(it) == [0, 1, 2]
    answers = [it.receive(result(index, -1)) for index in range(3)]
    assert [isinstance(answer, TrackResult) and answer.session for answer in answers] == [False, False, 2]


def test_our_own_late_stream_is_no_other_caller_but_not_for_ever() -> None:
    refusal = PreconditionError("taken over", "SESSION_TAKEN_OVER")
    it = session(3, [-1, 0])
    assert not it.start_again(refusal)  # there was one stream: it is somebody else
    it.begin()
    assert [it.start_again(refusal) for _ in range(4)] == [True, True, False, False]


def test_a_server_without_the_bundle_is_tried_a_few_times_once_the_video_runs() -> None:
    other = PreconditionError("another", "TOKEN_OTHER_BUNDLE")
    for opened_once, tries in ((True, 3), (False, 0)):
        budget = ReconnectBudget(60.0, clock=lambda: 0.0)
        found = [budget.pause_after(other, opened=opened_once) for _ in range(5)]
        assert [pause is not None for pause in found] == [n < tries for n in range(5)]
