"""Every way in which a stream can end: what its client hears, and what is left of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from exalign.v1 import track_pb2
from manual_clock import ManualClock
from service_fakes import GOOD_BOX, Details, Running, running, until
from service_fakes import config as server_config
from track_fakes import Talk, config, frame, received, sessions, talk, talking

UNAVAILABLE, EXPIRED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
RETENTION = 60.0


@pytest.fixture
def clock() -> ManualClock:
    """The clock of `timed`."""
    return ManualClock()


@pytest_asyncio.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Running]:
    """A server whose time the test decides."""
    async with running(tmp_path, server_config(session_retention=RETENTION), clock) as it:
        yield it


async def ended_by_time(clock: ManualClock, it: Talk) -> tuple[grpc.StatusCode, Details]:
    """Let time pass until the stream has failed; its status, and what its details say."""
    ended = asyncio.create_task(it.refused())
    while not ended.done():
        await clock.advance(1)
        await asyncio.sleep(0.002)
    return await ended


async def half_close(it: Talk) -> None:
    await it.close()


async def half_close_with_frames_in_flight(it: Talk) -> None:
    await it.say(frame(1), frame(2))
    await it.call.done_writing()
    assert [a.WhichOneof("message") for a in await it.rest()] == ["result", "result", "closed"]


async def cancel(it: Talk) -> None:
    await it.cut()


async def cancel_with_frames_in_flight(it: Talk) -> None:
    await it.say(frame(1), frame(2))
    await it.cut()


async def error(it: Talk) -> None:
    await it.say(config())
    assert (await it.refused())[0] == PRECONDITION


async def deadline(it: Talk) -> None:
    """The stream was opened with a deadline; see below."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.call.read()
    assert caught.value.code() == EXPIRED


CLOSED, BROKEN = [half_close, half_close_with_frames_in_flight], [cancel, cancel_with_frames_in_flight, error, deadline]


@pytest.mark.parametrize("way", CLOSED)
async def test_nothing_is_left_of_a_closed_session(timed: Running, way: Callable[[Talk], Awaitable[None]]) -> None:
    it = talk(timed)
    await it.open()
    await it.results(frame(0, GOOD_BOX))
    await way(it)
    await until(lambda: sessions(timed) == {})
    assert len(timed.server.store) == 0


@pytest.mark.parametrize("way", BROKEN)
async def test_a_broken_stream_leaves_its_state_for_a_while(
    timed: Running, clock: ManualClock, way: Callable[[Talk], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    it = talk(timed, timeout=2 if way is deadline else None)
    await it.open()
    await it.results(frame(0, GOOD_BOX))
    await way(it)
    await until(lambda: sessions(timed) == {"detached": 1})
    await clock.advance(RETENTION - 1)
    assert sessions(timed) == {"detached": 1}
    await clock.advance(1)
    assert sessions(timed) == {}
    assert len(timed.server.store) == 0
    assert "handler_failed" not in caplog.text


async def test_a_silent_client_is_ended(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, server_config(session_idle_timeout=60, session_retention=0), clock) as live:
        it = talk(live)
        await it.open()
        await it.results(frame(0, GOOD_BOX))
        for _ in range(4):  # heartbeats are not silence
            await clock.advance(50)
            await it.say(track_pb2.Heartbeat(sequence=1))
            await it.hear("heartbeat")
        await clock.advance(59)
        assert sessions(live) == {"active": 1}
        code, details = await ended_by_time(clock, it)
        assert (code, details.reason) == (EXPIRED, "IDLE_TIMEOUT")
        assert sessions(live) == {}


async def test_a_client_that_never_sends_its_config_is_ended(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, server_config(session_idle_timeout=60), clock) as live:
        it = talk(live)
        await until(lambda: clock.waits(60))
        code, details = await ended_by_time(clock, it)
        assert (code, details.reason) == (EXPIRED, "IDLE_TIMEOUT")


async def test_a_client_that_waits_for_its_result_is_not_idle(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, server_config(session_idle_timeout=60), clock) as live, talking(live) as it:
        live.runtime.gate.clear()
        await it.say(frame(0, GOOD_BOX))
        await until(lambda: live.runtime.held == 1)
        await clock.advance(600)
        assert sessions(live) == {"active": 1}
        live.runtime.gate.set()
        await it.hear("result")
        await it.close()


async def test_a_client_that_never_acknowledges_is_ended_and_the_status_says_why(
    tmp_path: Path, clock: ManualClock
) -> None:
    settings = server_config(session_idle_timeout=60, max_unacked_frames=2, session_retention=0)
    async with running(tmp_path, settings, clock) as live, talking(live) as it:
        await it.results(frame(0, GOOD_BOX), frame(1))
        await it.say(frame(2))
        await until(lambda: received(live) == 4)
        code, _ = await ended_by_time(clock, it)
        assert code == EXPIRED
        assert "2 results wait to be acknowledged" in str(await it.call.details())
        assert sessions(live) == {}


async def test_an_old_stream_is_sent_go_away_and_then_cut(tmp_path: Path, clock: ManualClock) -> None:
    settings = server_config(session_max_age=3600, session_grace=10, session_idle_timeout=86_400)
    async with running(tmp_path, settings, clock) as live:
        it = talk(live)
        await it.open()
        await it.results(frame(0, GOOD_BOX))
        await clock.advance(3600)
        away = await it.hear("go_away")
        assert away.reason == track_pb2.GO_AWAY_REASON_MAX_AGE
        assert away.grace.ToSeconds() == 10
        assert sessions(live) == {"draining": 1}
        await it.results(frame(1))  # still answered
        await clock.advance(9)
        assert sessions(live) == {"draining": 1}
        await clock.advance(1)
        code, details = await it.refused()
        assert (code, details.reason) == (UNAVAILABLE, "GO_AWAY")
        await until(lambda: sessions(live) == {"detached": 1})
        again = talk(live)
        assert (await again.open(config("", away.resume_token))).next_frame == 2
        for index in range(2):
            assert (await again.hear("result")).frame_index == index
        await again.results(frame(2))
        await again.close()


async def test_a_token_from_before_the_first_frame_will_do(tmp_path: Path, clock: ManualClock) -> None:
    async with running(tmp_path, server_config(session_max_age=30), clock) as live:
        it = talk(live)
        await it.open(config("mine"))
        await until(lambda: clock.waits(30))
        await clock.advance(30)
        away = await it.hear("go_away")
        await it.cut()
        again = talk(live)
        opened = await again.open(config("mine", away.resume_token))
        assert (opened.epoch, opened.next_frame) == (2, 0)


async def test_draining_answers_what_was_received_and_lets_the_session_end(live: Running) -> None:
    it = talk(live)
    await it.open()
    await it.results(frame(0, GOOD_BOX))
    live.runtime.gate.clear()
    await it.say(frame(1), frame(2))
    await until(lambda: live.runtime.held == 1 and received(live) == 4)
    stopping = asyncio.create_task(live.server.stop(10))
    away = await it.hear("go_away")
    assert away.reason == track_pb2.GO_AWAY_REASON_DRAIN
    assert sessions(live) == {"draining": 1}
    live.runtime.gate.set()
    assert [(await it.hear("result")).frame_index for _ in range(2)] == [1, 2]
    await it.close()
    await stopping
    assert sessions(live) == {}


async def test_a_stream_that_outlasts_the_drain_is_cut(timed: Running, clock: ManualClock) -> None:
    it = talk(timed)
    await it.open()
    await it.results(frame(0, GOOD_BOX))
    stopping = asyncio.create_task(timed.server.stop(30))
    await it.hear("go_away")
    await clock.advance(29)
    assert sessions(timed) == {"draining": 1}
    await clock.advance(1)
    code, _ = await it.refused()
    assert code == UNAVAILABLE
    await stopping
    assert sessions(timed) == {}


async def test_a_draining_server_opens_no_session(live: Running) -> None:
    async with talking(live) as it:
        late = talk(live)  # its stream is there already, its config is not
        await until(
            lambda: (
                live.sample(
                    "grpc_server_started_total",
                    grpc_type="bidi_stream",
                    grpc_service="exalign.v1.FaceAlignmentService",
                    grpc_method="TrackVideo",
                )
                == 2
            )
        )
        stopping = asyncio.create_task(live.server.stop(10))
        await it.hear("go_away")
        await late.say(config())
        code, details = await late.refused()
        assert (code, details.reason) == (UNAVAILABLE, "NOT_SERVING")
        await it.close()
        await stopping


async def test_a_later_stream_fences_off_an_earlier_one(live: Running) -> None:
    first = talk(live)
    await first.open(config("mine"))
    (result,) = await first.results(frame(0, GOOD_BOX))
    second = talk(live)
    assert (await second.open(config("mine", result.resume_token))).epoch == 2
    assert await second.hear("result") == result
    code, details = await first.refused()
    assert (code, details.reason) == (PRECONDITION, "SESSION_TAKEN_OVER")
    third = talk(live)
    assert (await third.open(config("mine", result.resume_token))).epoch == 3
    assert await third.hear("result") == result
    assert (await second.refused())[0] == PRECONDITION
    assert sessions(live) == {"active": 1}
    await third.close()
    await until(lambda: sessions(live) == {})


async def test_a_stream_that_is_fenced_off_at_work_moves_nothing(live: Running) -> None:
    first = talk(live)
    await first.open(config("mine"))
    (result,) = await first.results(frame(0, GOOD_BOX))
    live.runtime.gate.clear()
    await first.say(frame(1))
    await until(lambda: live.runtime.held == 1)
    second = talk(live)
    assert (await second.open(config("mine", result.resume_token))).next_frame == 1
    live.runtime.gate.set()
    assert await second.hear("result") == result
    assert (await first.refused())[0] == PRECONDITION
    (again,) = await second.results(frame(1))
    assert again.frame_index == 1
    assert (await second.close()).summary.frames_answered == 2


async def test_a_client_that_does_not_read_cannot_hold_its_session(tmp_path: Path, clock: ManualClock) -> None:
    """Its answers fill the connection until nothing moves any more."""
    settings = server_config(session_idle_timeout=60, session_retention=0)
    async with running(tmp_path, settings, clock) as live:
        it = talk(live)
        asked = config()
        asked.heatmaps.width = asked.heatmaps.height = 128
        await it.open(asked)

        async def flood() -> None:
            await it.say(frame(0, GOOD_BOX))
            for index in range(1, 60):
                await it.say(frame(index, occluded=True))

        flooding = asyncio.create_task(flood())
        assert sessions(live) == {"active": 1}
        async with asyncio.timeout(60):
            while sessions(live):
                await clock.advance(1)
                await asyncio.sleep(0.01)
        flooding.cancel()
        await it.cut()
        await asyncio.gather(flooding, return_exceptions=True)


async def test_every_session_leaves_a_line_in_the_log(live: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="exalign_service")
    async with talking(live, config("mine")) as it:
        await it.results(frame(0, GOOD_BOX))
        await it.close()
    await until(lambda: any(r.getMessage() == "session" for r in caplog.records))
    (line,) = (r.__dict__["fields"] for r in caplog.records if r.getMessage() == "session")
    assert line == {"session": "mine", "epoch": 1, "frames": 1, "closed": True}
