"""How fast a client may be: back-pressure, acknowledgements, frames that are skipped, and many sessions at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc, track_pb2
from exalign_client import AsyncClient, TrackFrame, TrackResult
from exalign_service.track.inbox import READ_AHEAD
from manual_clock import ManualClock
from service_fakes import GOOD_BOX, Running, another_caller, encoded, picture, request, running, until
from service_fakes import config as server_config
from track_fakes import LIVE, config, frame, plain, received, sessions, talk, talking


async def test_no_more_frames_are_taken_than_may_be_unacknowledged(tmp_path: Path) -> None:
    # One thread: what was given to it first is done first.
    async with running(tmp_path, server_config(max_unacked_frames=3, stage_threads=1)) as live, talking(live) as it:
        await it.say(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 6)))
        assert [(await it.hear("result")).frame_index for _ in range(3)] == [0, 1, 2]
        # A heartbeat is answered at once: now all six frames are there.
        await it.say(track_pb2.Heartbeat(sequence=1))
        await it.hear("heartbeat")
        # Whatever the stream had begun would be ahead of these calls.
        for _ in range(2):
            await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert sum(live.runtime.batches) == 3 + 2
        assert live.sample("exalign_frame_latency_seconds_count") == 3
        await it.say(track_pb2.TrackAck(acked_frame=0))
        assert (await it.hear("result")).frame_index == 3
        await it.say(track_pb2.TrackAck(acked_frame=3))
        assert [(await it.hear("result")).frame_index for _ in range(2)] == [4, 5]
        await it.close()


async def test_a_client_that_does_not_acknowledge_is_told_before_it_is_stopped(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=16)) as live:
        it = talk(live)
        assert (await it.open()).max_unacked_frames == 16
        for index, bound in enumerate((8, 16)):  # again after it has acknowledged and has fallen silent again
            frames = [frame(i, *([GOOD_BOX] if i == 0 else [])) for i in range(bound - 8, bound)]
            await it.say(*frames)
            assert [(await it.hear("result")).frame_index for _ in range(8)] == list(range(bound - 8, bound))
            reminder = await it.hear("must_acknowledge")
            assert (reminder.unacked_frames, reminder.max_unacked_frames, reminder.newest_frame) == (8, 16, bound - 1)
            if index == 0:
                await it.say(track_pb2.TrackAck(acked_frame=reminder.newest_frame))
        # Once is enough: the last eight frames before the bound are answered without another word.
        await it.results(*(frame(i) for i in range(16, 24)))
        await it.cut()


async def test_a_client_that_acknowledges_is_not_told_to(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=16)) as live, talking(live) as it:
        for index in range(40):
            await it.results(frame(index, *([GOOD_BOX] if index == 0 else []), acked_frame=index - 1))
        await it.close()


async def test_a_stream_that_resumes_with_much_unacknowledged_is_told_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=16)) as live:
        first = talk(live)
        await first.open(config("mine"))
        results = await first.results(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 8)))
        await first.hear("must_acknowledge")
        await first.cut()
        second = talk(live)
        await second.open(config("mine", results[0].resume_token))
        assert [(await second.hear("result")).frame_index for _ in range(8)] == list(range(8))
        assert (await second.hear("must_acknowledge")).unacked_frames == 8
        await second.cut()


async def _result_bytes(live: Running) -> int:
    """The size of the message that holds a result."""
    async with talking(live) as it:
        (result,) = await it.results(frame(0, GOOD_BOX))
        await it.close()
    return service_pb2.TrackVideoResponse(result=result).ByteSize()


async def test_no_more_frames_are_taken_than_may_be_unacknowledged_in_bytes(tmp_path: Path) -> None:
    async with running(tmp_path) as live:
        size = await _result_bytes(live)
    # The third result passes the bound; results differ by a few bytes.
    bound = 5 * size // 2
    async with running(tmp_path, server_config(max_unacked_bytes=bound, stage_threads=1)) as live:
        it = talk(live)
        assert (await it.open()).max_unacked_bytes == bound
        await it.say(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 6)))
        assert [(await it.hear("result")).frame_index for _ in range(2)] == [0, 1]
        reminder = await it.hear("must_acknowledge")  # half of the bound is reached
        assert (reminder.unacked_frames, reminder.newest_frame, reminder.max_unacked_bytes) == (2, 1, bound)
        assert 1.5 * size < reminder.unacked_bytes < bound
        assert (await it.hear("result")).frame_index == 2
        await it.say(track_pb2.Heartbeat(sequence=1))
        await it.hear("heartbeat")
        # Whatever the stream had begun would be ahead of this call.
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert live.sample("exalign_frame_latency_seconds_count") == 3
        await it.say(track_pb2.TrackAck(acked_frame=1))
        assert (await it.hear("result")).frame_index == 3
        # Told again: it had acknowledged in the meantime.
        assert (await it.hear("must_acknowledge")).newest_frame == 3
        await it.say(track_pb2.TrackAck(acked_frame=3))
        assert [(await it.hear("result")).frame_index for _ in range(2)] == [4, 5]
        await it.cut()


async def test_the_streams_of_one_caller_share_a_bound_on_what_is_not_acknowledged(tmp_path: Path) -> None:
    settings = server_config(max_unacked_bytes_per_caller=1, stage_threads=1)
    async with running(tmp_path, settings) as live, talking(live) as first, talking(live) as second:
        await first.results(frame(0, GOOD_BOX), frame(1))  # where no other keeps anything, one's own bounds hold
        await second.say(frame(0, GOOD_BOX), track_pb2.Heartbeat(sequence=1))
        await second.hear("heartbeat")  # the frame is there
        async with another_caller(live) as other, talking(other) as third:
            await third.results(frame(0, GOOD_BOX), frame(1))
        answered = "exalign_frame_latency_seconds_count"
        assert live.sample(answered) == 4
        await first.say(track_pb2.TrackAck(acked_frame=1))
        assert (await second.hear("result")).frame_index == 0
        # Now it is the first that waits, until the second has ended.
        await first.say(frame(2), track_pb2.Heartbeat(sequence=2))
        await first.hear("heartbeat")
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert live.sample(answered) == 5
        await second.cut()
        assert (await first.hear("result")).frame_index == 2


async def test_a_result_larger_than_the_bound_passes_where_nothing_waits(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_bytes=1)) as live, talking(live) as it:
        for index in range(4):
            await it.say(frame(index, *([GOOD_BOX] if index == 0 else [])))
            assert (await it.hear("result")).frame_index == index
            assert (await it.hear("must_acknowledge")).newest_frame == index
            await it.say(track_pb2.TrackAck(acked_frame=index))
        await it.close()


@pytest.mark.parametrize("lag", [0, 1])
async def test_our_client_goes_on_where_every_result_must_be_acknowledged_at_once(tmp_path: Path, lag: int) -> None:
    async with running(tmp_path, server_config(max_unacked_bytes=1)) as live:
        async with AsyncClient(live.server.address) as client:
            pictures = [TrackFrame(encoded(picture(seed=i)), boxes=[GOOD_BOX]) for i in range(6)]
            events = [event async for event in client.track(pictures, smoothing_lag=lag)]
        assert [e.frame_index for e in events if isinstance(e, TrackResult)] == list(range(6))
        assert (await live.stub.GetModel(service_pb2.GetModelRequest())).limits.max_unacked_bytes == 1


async def test_messages_beyond_the_burst_are_read_at_the_rate_and_none_is_refused(tmp_path: Path) -> None:
    clock = ManualClock()  # others wait on it too: the watchdog, half a second
    settings = server_config(max_message_rate=4, message_burst=4)
    async with running(tmp_path, settings, clock) as live, talking(live) as it:
        await it.say(*(track_pb2.Heartbeat(sequence=i) for i in range(10)))
        assert [(await it.hear("heartbeat")).sequence for _ in range(5)] == [0, 1, 2, 3, 4]
        await until(lambda: clock.waits(0.25))
        assert received(live) == 1 + 5
        for index in range(5, 10):
            await clock.advance(0.25)
            assert (await it.hear("heartbeat")).sequence == index
            await until(lambda: clock.waits(0.25))
            assert received(live) == 1 + index + 1
        # A rest brings the burst back.
        await clock.advance(3)
        await it.say(*(track_pb2.Heartbeat(sequence=i) for i in range(4)))
        assert [(await it.hear("heartbeat")).sequence for _ in range(4)] == [0, 1, 2, 3]
        await it.results(frame(0, GOOD_BOX))
        await it.cut()


async def test_acknowledgements_behind_many_frames_are_found(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=8)) as live, talking(live) as it:
        frames = [frame(0, GOOD_BOX), *(frame(i) for i in range(1, 15))]
        await it.say(*frames, track_pb2.TrackAck(acked_frame=7), track_pb2.TrackAck())
        assert [(await it.hear("result")).frame_index for _ in range(15)] == list(range(15))


async def test_results_may_be_acknowledged_in_advance(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=2)) as live, talking(live) as it:
        await it.say(track_pb2.TrackAck(acked_frame=100))
        await it.results(frame(0, GOOD_BOX), *(frame(i) for i in range(1, 10)))
        await it.close()


async def test_a_lossless_client_is_slowed_down_by_flow_control(live: Running) -> None:
    """A client that sends without listening gets stuck after what the server and the connection hold."""
    big = encoded(picture(1024, 768), ".bmp")  # 2.4 MB
    async with talking(live) as it:
        live.runtime.gate.clear()
        sent = 0

        async def flood() -> None:
            nonlocal sent
            await it.say(frame(0, (100.0, 100.0, 400.0, 400.0), data=big))
            for index in range(1, 60):
                await it.say(frame(index, data=big))
                sent = index

        flooding = asyncio.create_task(flood())
        # The config, a frame that is worked on, and a few that wait: then the server reads no more.
        most = 2 + READ_AHEAD
        await until(lambda: received(live) == most)
        async with grpc.aio.insecure_channel(live.server.address) as other:  # not held up by the flood
            stub = service_pb2_grpc.FaceAlignmentServiceStub(other)
            for _ in range(100):
                await stub.GetModel(service_pb2.GetModelRequest())
        assert received(live) == most
        assert sent < 30
        assert not flooding.done()
        live.runtime.gate.set()
        for index in range(60):
            result = await it.hear("result")
            assert result.frame_index == index
            assert not result.skipped_frames
            await it.say(track_pb2.TrackAck(acked_frame=index))
        await flooding


async def test_live_answers_the_newest_frame_and_names_those_it_skipped(live: Running) -> None:
    async with talking(live, config(mode=LIVE)) as it:
        await it.results(frame(0, GOOD_BOX))
        live.runtime.gate.clear()
        await it.say(frame(1))
        await until(lambda: live.runtime.held == 1)
        await it.say(*(frame(i) for i in range(2, 20)))
        await it.say(track_pb2.Heartbeat())
        await it.hear("heartbeat")  # all of them are there
        live.runtime.gate.set()
        results = [await it.hear("result") for _ in range(2)]
        assert [r.frame_index for r in results] == [1, 19]
        assert [list(r.skipped_frames) for r in results] == [[], list(range(2, 19))]
        await it.results(frame(20))
        summary = (await it.close()).summary
    assert (summary.frames_received, summary.frames_answered, summary.frames_skipped) == (21, 4, 17)


async def test_live_waits_for_acknowledgements_with_the_newest_frame(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_unacked_frames=1)) as live, talking(live, config(mode=LIVE)) as it:
        await it.results(frame(0, GOOD_BOX))
        await it.say(*(frame(i) for i in range(1, 40)))
        await it.say(track_pb2.TrackAck(acked_frame=0))
        result = await it.hear("result")
        assert (result.frame_index, list(result.skipped_frames)) == (39, list(range(1, 39)))


async def test_live_and_lossless_answer_alike_where_nothing_is_skipped(live: Running) -> None:
    found = []
    for mode in (track_pb2.TRACK_MODE_LOSSLESS, LIVE):
        async with talking(live, config(mode=mode)) as it:
            found.append(plain(await it.results(frame(0, GOOD_BOX), frame(1), frame(2))))
    assert found[0] == found[1]


async def _video(live: Running, count: int) -> list[track_pb2.FrameResult]:
    """One session of many: frames without waiting, every result acknowledged."""
    it = talk(live)
    await it.open()
    results: list[track_pb2.FrameResult] = []

    async def send() -> None:
        for index in range(count):
            boxes = (GOOD_BOX,) if index == 0 else ()
            acked = {"acked_frame": results[-1].frame_index} if results else {}
            await it.say(frame(index, *boxes, **acked))
        await it.call.done_writing()

    sending = asyncio.create_task(send())
    while (answer := await it.call.read()) is not grpc.aio.EOF:
        if answer.WhichOneof("message") == "result":
            results.append(answer.result)
        else:
            assert answer.WhichOneof("message") == "closed"
            assert answer.closed.summary.frames_answered == count
    await sending
    assert await it.call.code() == grpc.StatusCode.OK
    return results


async def test_64_sessions_at_once_are_all_answered_in_order_and_alike(tmp_path: Path) -> None:
    # The queue is smaller than the number of sessions: they wait for room rather than fail.
    async with running(tmp_path, server_config(queue=8, max_faces=8)) as live:
        want = await _video(live, 12)
        assert [r.frame_index for r in want] == list(range(12))
        all_results = await asyncio.gather(*(_video(live, 12) for _ in range(64)))
        for results in all_results:
            assert plain(results) == plain(want)
        assert max(live.runtime.batches) > 1
        await until(lambda: sessions(live) == {})


async def test_frames_of_sessions_take_turns_at_the_network(tmp_path: Path) -> None:
    """A session of many faces does not hold up one of a single face."""
    async with running(tmp_path, server_config(network_calls=1, max_batch=1)) as live:
        crowd, single = talk(live), talk(live)
        await crowd.open(config(detection={"max_faces": 8}))
        await single.open()
        live.runtime.gate.clear()
        boxes: Any = [(2.0 + i, 2.0, 32.0 + i, 32.0 + i) for i in range(8)]
        await crowd.say(frame(0, *boxes))
        await until(lambda: live.runtime.held == 1 and live.sample("exalign_queue_depth") == 7)
        white = np.full((48, 64, 3), 255, np.uint8)
        await single.say(frame(0, GOOD_BOX, data=encoded(white)))
        await until(lambda: live.sample("exalign_queue_depth") == 8)
        live.runtime.gate.set()
        await asyncio.gather(crowd.hear("result"), single.hear("result"))
        # Behind the crop that was at work and the one that was next.
        assert [i for i, brightness in enumerate(live.runtime.brightness) if brightness == 255] == [2]
        await crowd.cut()
        await single.cut()
