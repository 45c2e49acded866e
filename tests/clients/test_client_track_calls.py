"""`client.track` where nothing breaks: what is sent, what comes back, how it is left. Both clients alike."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from exalign.v1 import face_pb2, service_pb2, track_pb2
from exalign_client import (
    AsyncClient,
    BoxSource,
    Click,
    Client,
    InternalServerError,
    InvalidRequestError,
    LandmarkOptions,
    PoseOptions,
    RevisionCause,
    SuggestionOptions,
    TrackFrame,
    TrackResult,
    TrackRevision,
    TrackState,
    UnavailableError,
    settled,
)
from exalign_client.track.requests import frame_message
from exalign_client.track.session import TrackSession
from fake_server import FakeService, face
from fake_track import Plan
from track_both import Track, digests, pictures, track_async, track_sync


@pytest.fixture(params=[track_sync, track_async], ids=["sync", "async"])
def track(request: pytest.FixtureRequest) -> Track:
    chosen: Track = request.param
    return chosen


def test_a_result_has_everything(service: FakeService, track: Track) -> None:
    frames = [
        TrackFrame(np.zeros((4, 6, 3), np.uint8), index=7, media_time=0.28),
        TrackFrame(b"\xff\xd8", index=9, evidence=Click("nose_tip", 3, 2)),
        TrackFrame(occluded=True),
    ]
    (first, second, third), closed = track(service.address, frames)
    assert isinstance(first, TrackResult)
    assert (first.frame_index, first.media_time, first.session, first.through_frame) == (7, 0.28, 1, 7)
    (tracked,) = first.tracks
    assert (tracked.track_id, tracked.state, tracked.visible_probability) == (1, TrackState.VISIBLE, 0.9)
    assert tracked.face.landmarks.shape == (68, 2)
    assert tracked.face.box_source is BoxSource.TRACK
    assert (tracked.evidence_outcome, tracked.surprise) == (None, None)
    assert (second.tracks[0].evidence_outcome, second.tracks[0].surprise) == ("conditioned", 0.5)
    assert third.frame_index == 10
    assert (first.tracks[0].reacquired_from, first.tracks[0].reacquired_probability) == (None, None)
    assert (third.tracks[0].reacquired_from, third.tracks[0].reacquired_probability) == (3, 0.75)
    assert closed is not None
    assert (closed.summary.frames_answered, closed.paths, closed.suggestions) == (3, (), ())
    assert isinstance(first.to_json(), dict)


def test_arguments_become_the_config(service: FakeService, track: Track) -> None:
    _, closed = track(
        service.address,
        pictures(2),
        smoothing_lag=3,
        max_faces=4,
        detector="yunet",
        detect_every=0,
        landmarks=LandmarkOptions(2),
        pose=PoseOptions((0.9,)),
        path_frames=8,
        suggestion=SuggestionOptions(["mouth"], 3, "entropy"),
        session_id="a.b-c",
    )
    (config,) = service.tracking.configs
    assert (config.mode, config.smoothing_lag, config.path_frames) == (track_pb2.TRACK_MODE_LOSSLESS, 3, 8)
    assert (config.detection.max_faces, config.detection.detector) == (4, "yunet")
    assert (config.HasField("detect_every"), config.detect_every, config.session_id) == (True, 0, "a.b-c")
    assert config.landmarks.top_exemplars == 2
    assert (config.suggestion.max_suggestions, len(config.suggestion.landmarks)) == (3, 20)
    assert not config.HasField("heatmaps")
    assert closed is not None
    (path,), (suggested,) = closed.paths, closed.suggestions
    assert (path.frame_indices, path.landmarks.shape) == ((0, 1), (2, 68, 2))
    assert (suggested.frame_index, suggested.suggestion.landmark) == (0, 30)


def test_absent_arguments_stay_absent(service: FakeService, track: Track) -> None:
    track(service.address, pictures(1))
    (config,) = service.tracking.configs
    assert not config.HasField("detect_every")
    assert not config.detection.HasField("max_faces")
    assert not config.HasField("suggestion")
    assert len(config.session_id) == 32


def test_boxes_and_evidence_of_a_frame(service: FakeService, track: Track) -> None:
    known = TrackFrame(b"x", boxes={3: (1, 2, 30, 40)}, evidence={3: [Click(8, 5, 6, radius=2)], 4: Click(9, 1, 1)})
    track(service.address, [known, TrackFrame(b"x", boxes=[(1, 2, 3, 4)], box_moves=False, evidence=Click(1, 2, 3))])
    first, second = service.tracking.frames
    assert [(b.track_id, b.box.x1) for b in first.boxes] == [(3, 30)]
    assert [(e.track_id, e.evidence.clicks[0].landmark) for e in first.evidence] == [(3, 8), (4, 9)]
    assert [(b.track_id, b.box.x1) for b in second.boxes] == [(0, 3)]
    assert second.evidence[0].evidence.box_motion == 1


def test_an_array_of_frames_is_a_video(service: FakeService, track: Track) -> None:
    events, _ = track(service.address, np.zeros((3, 4, 6, 3), np.uint8))
    assert [event.frame_index for event in events] == [0, 1, 2]


def test_acknowledgements_are_sent_and_never_cover_missing_revisions(service: FakeService, track: Track) -> None:
    service.tracking.max_unacked = 4
    events, _ = track(service.address, pictures(12), smoothing_lag=1, window=2)
    assert len(events) == 24
    (session,) = service.tracking.all_sessions
    assert session.most_kept <= 4
    assert session.acked <= 10  # the last result's revisions are only known to be complete at the end


def test_settled_gives_one_final_answer_a_frame(service: FakeService, track: Track) -> None:
    events, _ = track(service.address, pictures(5), smoothing_lag=2)
    assert {e.cause for e in events if isinstance(e, TrackRevision)} == {RevisionCause.SMOOTHING}
    final = list(settled(events, 2))
    assert [r.frame_index for r in final] == [0, 1, 2, 3, 4]
    assert [r.through_frame for r in final] == [2, 3, 4, 4, 4]
    assert all(r.tracks[0].face.entropy > 1000 for r in final)
    assert [r.frame_index for r in settled(track(service.address, pictures(2))[0], 0)] == [0, 1]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (np.zeros((2, 2)), r"frames\[1\].image: an array of dtype float64"),
        (TrackFrame(), r"frames\[1\].image: is None"),
        (TrackFrame(b"x", index=0), "frames.index: 0 must be a whole number greater than 0"),
        (TrackFrame(b"x", boxes=[(5, 5, 4, 9)], media_time=float("nan")), r"media_time: nan.*boxes\[0\].x1: 4"),
        (TrackFrame(b"x", evidence={-1: Click(99, 1, 1)}), r"evidence\[0\].landmark: 99.*evidence: -1 is no track id"),
    ],
)
def test_a_wrong_frame_is_an_error_after_those_before_it(
    service: FakeService, track: Track, frame: Any, expected: str
) -> None:
    with pytest.raises(InvalidRequestError, match=expected):
        track(service.address, [b"x", frame])
    assert [f.frame_index for f in service.tracking.frames] == [0]


def test_what_the_frames_raise_is_raised_after_the_answers_before_it(service: FakeService) -> None:
    def frames() -> Iterator[bytes]:
        yield from (b"a", b"b")
        raise OSError("the camera is gone")

    service.tracking.cancel_wait = 5.0
    with Client(service.address) as client:
        video = client.track(frames())
        assert [next(video).frame_index, next(video).frame_index] == [0, 1]
        with pytest.raises(OSError, match="camera"):
            next(video)
    assert service.tracking.wait_for_ends(1) == ["cancelled"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temporal_model": "magic", "smoothing_lag": -1}, "temporal_model: 'magic'.*smoothing_lag: -1"),
        ({"temporal_model": "low_pass", "smoothing_lag": 2}, "smoothing_lag: 2 must be 0"),
        ({"session_id": "a b"}, "session_id: 'a b'"),
        ({"window": 0, "max_faces": 0, "detect_every": -1}, "window: 0.*max_faces: 0.*detect_every: -1"),
        ({"suggestion": SuggestionOptions(max_suggestions=99)}, "suggestion.max_suggestions: 99"),
        ({"timeout": 0}, "timeout: 0"),
    ],
)
def test_wrong_arguments_are_named_at_once(options: dict[str, Any], expected: str) -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRequestError, match=expected):
        client.track([], **options)


@pytest.mark.parametrize("frames", ["video.mp4", b"bytes", 3, np.zeros((4, 6, 3), np.uint8)], ids=type)
def test_what_is_no_iterable_of_frames_is_refused(frames: Any) -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRequestError, match="frames: a"):
        client.track(frames)


def endless() -> Iterator[bytes]:
    while True:
        yield b"x"


@pytest.mark.parametrize("way", ["close", "with", "drop", "client"])
def test_leaving_early_cancels_and_ends_every_thread(service: FakeService, way: str) -> None:
    service.tracking.cancel_wait = 5.0
    client = Client(service.address)
    video = client.track(endless(), window=3)
    assert next(video).frame_index == 0
    if way == "with":
        with video:
            next(video)
    elif way == "close":
        video.close()
    elif way == "client":
        client.close()
        with pytest.raises(UnavailableError, match="the client is closed"):
            list(video)
    if way == "drop":
        del video
        gc.collect()
    else:
        assert next(video, None) is None
        assert video.closed is None
    assert service.tracking.wait_for_ends(1) == ["cancelled"]
    client.close()
    threads = [thread for thread in threading.enumerate() if thread.name == "exalign-track-frames"]
    for thread in threads:
        thread.join(5)
    assert [thread for thread in threads if thread.is_alive()] == []


@pytest.mark.parametrize("way", ["aclose", "with", "drop", "client"])
async def test_leaving_early_cancels_and_ends_every_task(service: FakeService, way: str) -> None:
    service.tracking.cancel_wait = 5.0
    client = AsyncClient(service.address)
    video = client.track(endless(), window=3)
    assert (await anext(video)).frame_index == 0
    if way == "aclose":
        await video.aclose()
    elif way == "with":
        async with video:
            await anext(video)
    elif way == "client":
        await client.close()
        with pytest.raises(UnavailableError, match="the client is closed"):
            [event async for event in video]
    if way == "drop":
        del video
        gc.collect()
    else:
        assert [event async for event in video] == []
    assert await asyncio.to_thread(service.tracking.wait_for_ends, 1) == ["cancelled"]
    await client.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left or not (await asyncio.wait(left, timeout=5))[1]


async def test_a_wait_that_is_cancelled_loses_nothing(service: FakeService) -> None:
    service.tracking.cancel_wait = 0.5
    given: asyncio.Queue[np.ndarray[Any, Any] | None] = asyncio.Queue()

    async def frames() -> AsyncIterator[np.ndarray[Any, Any]]:
        while (picture := await given.get()) is not None:
            yield picture

    events = []
    async with AsyncClient(service.address) as client, client.track(frames()) as video:
        for picture in pictures(4):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(video), 0.02)
            given.put_nowait(picture)
            events.append(await anext(video))
        given.put_nowait(None)
        events += [event async for event in video]
    assert digests(events) == [("result", n, n + 1) for n in range(4)]


def test_a_slow_camera_is_kept_alive_by_heartbeats(service: FakeService, track: Track) -> None:
    service.tracking.idle_timeout = 0.15

    def slow() -> Iterator[bytes]:
        for n in range(2):
            service.tracking.wait_for_heartbeats(2 * n + 2)
            yield b"x"

    events, _ = track(service.address, slow())
    assert len(events) == 2


def test_frames_are_taken_no_further_ahead_than_the_window(service: FakeService) -> None:
    window, read, far_ahead = 3, [0], threading.Event()
    leads = []

    def frames() -> Iterator[bytes]:
        for n in range(20):
            leads.append(n + 1 - read[0])
            if n == window:
                far_ahead.set()
            yield b"x"

    with Client(service.address) as client, client.track(frames(), window=window) as video:
        for _ in video:
            read[0] += 1
            if read[0] == 1:
                assert far_ahead.wait(10)
    assert read == [20]
    # One more is in the hand of the thread that waits for room; one was answered before it was counted here.
    assert max(leads) <= window + 2


def live_session(window: int = 2) -> TrackSession:
    config = track_pb2.TrackConfig(session_id="live", mode=track_pb2.TRACK_MODE_LIVE)
    session = TrackSession(config, window, "here")
    session.begin()
    return session


def answer(index: int, *skipped: int) -> service_pb2.TrackVideoResponse:
    track = track_pb2.Track(track_id=1, face=face(face_pb2.BOX_SOURCE_TRACK))
    result = track_pb2.FrameResult(frame_index=index, tracks=[track], skipped_frames=skipped, resume_token=b"t")
    return service_pb2.TrackVideoResponse(result=result)


OPENED = service_pb2.TrackVideoResponse(opened=track_pb2.TrackOpened(epoch=1))


def test_live_the_newest_frame_wins_and_the_others_are_named() -> None:
    session = live_session()
    for n in range(3):  # before the stream is open: only the last one is kept
        session.add(frame_message(b"x", n - 1))
    session.receive(OPENED)
    sent = session.next_message()
    assert sent is not None
    assert sent.frame.frame_index == 2
    for n in range(3, 7):
        session.add(frame_message(b"x", n - 1))
    sent = session.next_message()
    assert sent is not None
    assert sent.frame.frame_index == 6
    session.add(frame_message(b"x", 6))
    assert session.next_message() is None  # two are on their way already
    first, second = session.receive(answer(2)), session.receive(answer(6))
    assert isinstance(first, TrackResult)
    assert isinstance(second, TrackResult)
    assert (first.skipped_frames, second.skipped_frames) == ((0, 1), (3, 4, 5))
    sent = session.next_message()
    assert sent is not None
    assert (sent.frame.frame_index, sent.frame.acked_frame) == (7, 6)


def test_live_a_frame_that_the_server_skipped_is_not_sent_again() -> None:
    session = live_session()
    session.receive(OPENED)
    for n in range(2):
        session.add(frame_message(b"x", n - 1))
        session.next_message()
    result = session.receive(answer(1, 0))
    assert isinstance(result, TrackResult)
    assert result.skipped_frames == (0,)
    session.begin()
    session.receive(service_pb2.TrackVideoResponse(opened=track_pb2.TrackOpened(epoch=2, next_frame=2)))
    assert session.next_message() is None
    assert session.unanswered == ()


def test_live_through_the_wire(service: FakeService, track: Track) -> None:
    events, closed = track(service.address, pictures(6), live=True)
    assert service.tracking.configs[0].mode == track_pb2.TRACK_MODE_LIVE
    results = [event for event in events if isinstance(event, TrackResult)]
    seen = [n for result in results for n in (*result.skipped_frames, result.frame_index)]
    assert seen == list(range(6))
    assert closed is not None


def test_a_server_that_leaves_a_frame_out_is_found_out(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(skips=(1,))]
    with pytest.raises(InternalServerError, match="a result for frame 2 before that of frame 1"):
        track(service.address, pictures(4))
