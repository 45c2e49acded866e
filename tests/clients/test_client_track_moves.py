"""A video that another bundle takes over: who is told, once, and by which bundle each result is."""

from __future__ import annotations

import pytest

from exalign.v1 import service_pb2, track_pb2
from exalign_client import ModelChanged, TrackFrame, TrackResult, settled
from exalign_client.track.requests import frame_message
from exalign_client.track.session import TrackSession

Answer = service_pb2.TrackVideoResponse


def session(*frames: int) -> TrackSession:
    """A session whose stream is open and to which some frames were given."""
    made = TrackSession(track_pb2.TrackConfig(), 16, "here")
    made.begin()
    made.receive(opened("old"))
    for index in frames:
        made.add(track_pb2.VideoFrame(frame_index=index))
        made.next_message()
    return made


def opened(bundle_id: str, next_frame: int = 0) -> Answer:
    return Answer(opened=track_pb2.TrackOpened(bundle_id=bundle_id, next_frame=next_frame))


def changed(index: int, bundle_id: str = "new") -> Answer:
    return Answer(model_changed=track_pb2.ModelChanged(frame_index=index, bundle_id=bundle_id))


def result(index: int) -> Answer:
    return Answer(result=track_pb2.FrameResult(frame_index=index, resume_token=b"token %d" % index))


def bundle_of(event: object) -> str:
    assert isinstance(event, TrackResult)
    return event.bundle_id


def test_each_result_names_its_bundle_and_the_change_comes_before_it() -> None:
    it = session(0, 1)
    assert bundle_of(it.receive(result(0))) == "old"
    assert it.receive(changed(1)) == ModelChanged(1, "new")
    assert bundle_of(it.receive(result(1))) == "new"


@pytest.mark.parametrize("seen", [False, True])
def test_a_change_that_comes_again_after_a_break_is_told_once(seen: bool) -> None:
    it = session(0, 1)
    it.receive(result(0))
    if seen:
        it.receive(changed(1))
    it.begin()
    it.receive(opened("old", 2))
    assert it.receive(result(0)) is None
    assert it.receive(changed(1)) == (None if seen else ModelChanged(1, "new"))
    assert bundle_of(it.receive(result(1))) == "new"
    it.begin()
    it.receive(opened("new", 2))
    it.add(track_pb2.VideoFrame(frame_index=2))
    assert bundle_of(it.receive(result(2))) == "new"


@pytest.mark.parametrize("lag", [0, 2])
def test_settled_answers_leave_the_change_to_their_bundle_ids(lag: int) -> None:
    it = session(0, 1, 2, 3)
    answers = [result(0), changed(1), result(1), result(2), result(3)]
    events = [event for answer in answers if (event := it.receive(answer)) is not None]
    assert [(r.frame_index, r.bundle_id) for r in settled(events, lag)] == [
        (0, "old"),
        (1, "new"),
        (2, "new"),
        (3, "new"),
    ]


def test_a_frame_says_whether_the_video_may_move() -> None:
    assert frame_message(TrackFrame(occluded=True, may_change_model=True), -1).may_change_model
    assert not frame_message(TrackFrame(occluded=True), -1).may_change_model


def test_a_change_is_json() -> None:
    assert ModelChanged(3, "b").to_json() == {"frame_index": 3, "bundle_id": "b"}
