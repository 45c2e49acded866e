"""What TrackVideo refuses: the status, and which field or reason it names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, image_pb2, pose_pb2, service_pb2, track_pb2
from exalign_service.track.resume_token import ResumeToken
from manual_clock import ManualClock
from service_fakes import GOOD_BOX, Running, running, until
from service_fakes import config as server_config
from track_fakes import click, config, frame, plain, sessions, talk, talking

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND, EXHAUSTED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("first", [frame(0, GOOD_BOX), track_pb2.Heartbeat(), None])
async def test_config_must_come_first(live: Running, first: Any) -> None:
    it = talk(live)
    if first is not None:
        await it.say(first)
    await it.call.done_writing()
    code, details = await it.refused()
    assert (code, details.reason) == (PRECONDITION, "CONFIG_MISSING")
    assert sessions(live) == {}


async def test_config_must_come_only_once(live: Running) -> None:
    async with talking(live) as it:
        await it.say(frame(0, GOOD_BOX), config())
        await it.hear("result")
        code, details = await it.refused()
    assert (code, details.reason) == (PRECONDITION, "CONFIG_TWICE")


async def test_every_wrong_field_of_a_config_is_named_at_once(live: Running) -> None:
    asked = config(
        "not fit",
        b"no token",
        mode=9,
        temporal_model=track_pb2.TEMPORAL_MODEL_LOW_PASS,
        smoothing_lag=3,
        detect_every=-1,
        path_frames=257,
        detection=face_pb2.DetectionOptions(detector="haar", max_faces=65),
        landmarks=face_pb2.LandmarkOptions(top_exemplars=-1),
        pose=pose_pb2.PoseOptions(interval_masses=[2]),
        suggestion=evidence_pb2.SuggestionOptions(landmarks=[68]),
    )
    asked.heatmaps.width = 0
    asked.pose.histogram.roll_range.CopyFrom(geometry_pb2.Interval(lower=0, upper=5e-324))
    it = talk(live)
    await it.say(asked)
    code, details = await it.refused()
    assert code == INVALID
    assert set(details.violations) == {
        f"config.{name}"
        for name in (
            *("session_id", "resume_token", "mode", "smoothing_lag", "detect_every", "path_frames"),
            *("detection.detector", "detection.max_faces", "landmarks.top_exemplars", "heatmaps.width"),
            *("pose.interval_masses[0]", "pose.histogram.roll_range", "suggestion.landmarks[0]"),
        )
    }
    assert "must be 0 to 256" in details.violations["config.path_frames"]


async def test_a_temporal_model_that_there_is_not_is_named(live: Running) -> None:
    it = talk(live)
    await it.say(config(temporal_model=9))
    code, details = await it.refused()
    assert (code, list(details.violations)) == (INVALID, ["config.temporal_model"])


def _with_box(**fields: Any) -> track_pb2.VideoFrame:
    made = frame(1)
    made.boxes.add(**fields)
    return made


def _box(*corners: float) -> geometry_pb2.Box:
    return geometry_pb2.Box(**dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)))


@pytest.mark.parametrize(
    ("bad", "fields"),
    [
        (track_pb2.VideoFrame(), {"frame.frame_index", "frame.image"}),
        (track_pb2.VideoFrame(frame_index=-1, occluded=True), {"frame.frame_index"}),
        (track_pb2.VideoFrame(frame_index=1, image=image_pb2.Image()), {"frame.image"}),
        (_with_box(), {"frame.boxes[0].box"}),
        (_with_box(track_id=-1, box=_box(1, 1, 0, 9)), {"frame.boxes[0].track_id", "frame.boxes[0].box.x1"}),
        (_with_box(track_id=7, box=_box(*GOOD_BOX)), {"frame.boxes[0].track_id"}),
        (_with_box(box=_box(100, 100, 120, 120)), {"frame.boxes[0].box"}),
        (frame(1, GOOD_BOX, GOOD_BOX), {"frame.boxes"}),
        (frame(1, evidence=[track_pb2.TrackEvidence()]), {"frame.evidence[0].evidence"}),
        (frame(1, evidence=[click(68)]), {"frame.evidence[0].evidence.clicks[0].landmark"}),
        (
            frame(1, evidence=[track_pb2.TrackEvidence(track_id=5, evidence=click().evidence)]),
            {"frame.evidence[0].track_id"},
        ),
        (track_pb2.PastEvidence(), {"past_evidence.frame_index", "past_evidence.evidence"}),
        (track_pb2.PastEvidence(frame_index=1, evidence=[click()]), {"past_evidence.frame_index"}),
    ],
)
async def test_a_wrong_message_is_refused_after_what_came_before_it(live: Running, bad: Any, fields: set[str]) -> None:
    async with talking(live, config(smoothing_lag=1)) as it:
        await it.say(frame(0, GOOD_BOX), bad, frame(2))
        await it.hear("result")
        code, details = await it.refused()
    assert code == INVALID
    assert set(details.violations) == fields


async def test_a_message_without_content_is_refused(live: Running) -> None:
    async with talking(live) as it:
        await it.call.write(service_pb2.TrackVideoRequest())
        code, details = await it.refused()
    assert (code, list(details.violations)) == (INVALID, ["message"])


async def test_bytes_that_are_no_message_are_refused_after_what_came_before_them(live: Running) -> None:
    call: Any = live.channel.stream_stream("/exalign.v1.FaceAlignmentService/TrackVideo", None, None)()
    for message in ({"config": config()}, {"frame": frame(0, GOOD_BOX)}):
        await call.write(service_pb2.TrackVideoRequest(**message).SerializeToString())
    await call.write(b"\xff\xff")
    received = [service_pb2.TrackVideoResponse.FromString(await call.read()).WhichOneof("message") for _ in range(2)]
    assert received == ["opened", "result"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == INVALID


async def test_a_past_frame_is_refused_where_its_result_is_not_kept(live: Running) -> None:
    async with talking(live) as it:
        await it.results(frame(3, GOOD_BOX), frame(5))
        await it.say(frame(4))
        code, details = await it.refused()
    assert (code, details.reason) == (PRECONDITION, "FRAME_OUT_OF_ORDER")
    async with talking(live) as it:
        await it.results(frame(3, GOOD_BOX), frame(5, acked_frame=3))
        await it.say(frame(3))
        code, details = await it.refused()
    assert (code, details.reason) == (PRECONDITION, "RESULT_NOT_KEPT")


@pytest.mark.parametrize("lag", [0, 1])
async def test_late_evidence_must_not_be_older_than_the_lag(live: Running, lag: int) -> None:
    async with talking(live, config(smoothing_lag=lag)) as it:
        await it.say(frame(0, GOOD_BOX), frame(1), frame(2))
        await it.say(track_pb2.PastEvidence(frame_index=0, evidence=[click()]))
        code, details = await it.refused()
    assert (code, details.reason) == (PRECONDITION, "FRAME_TOO_OLD")


async def test_a_live_session_keeps_its_name_to_itself(live: Running) -> None:
    async with talking(live, config("mine")) as it:
        other = talk(live)
        await other.say(config("mine"))
        code, details = await other.refused()
        assert (code, details.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
        await it.results(frame(0, GOOD_BOX))
        await it.close()
    again = talk(live)
    assert (await again.open(config("mine"))).epoch == 1
    await again.close()


async def test_there_are_only_so_many_sessions(tmp_path: Path) -> None:
    async with (
        running(tmp_path, server_config(max_sessions=2, caller_share=1.0)) as live,
        talking(live),
        talking(live, config("b")) as it,
    ):
        late = talk(live)
        await late.say(config())
        code, details = await late.refused()
        assert (code, details.reason) == (EXHAUSTED, "SESSIONS_FULL")
        assert details.retry_seconds
        # Going on with one of them takes no further place.
        (result,) = await it.results(frame(0, GOOD_BOX))
        again = talk(live)
        assert (await again.open(config("b", result.resume_token))).epoch == 2
        await again.close()
        await until(lambda: sessions(live) == {"active": 1})
        late = talk(live)
        await late.open()
        await late.close()


async def _broken(live: Running, frames: int = 3, **wishes: Any) -> list[track_pb2.FrameResult]:
    """The results of a session "mine" whose stream was cut."""
    it = talk(live)
    await it.open(config("mine", **wishes))
    results = await it.results(frame(0, GOOD_BOX), *(frame(i) for i in range(1, frames)))
    await it.cut()
    await until(lambda: sessions(live) == {"detached": 1})
    return results


async def _refusal(live: Running, asked: track_pb2.TrackConfig) -> tuple[grpc.StatusCode, str]:
    it = talk(live)
    await it.say(asked)
    code, details = await it.refused()
    return code, details.reason


async def test_a_damaged_token_is_invalid(live: Running) -> None:
    token = (await _broken(live))[-1].resume_token
    for at in (0, 5, len(token) // 2, len(token) - 1):
        bad = token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :]
        it = talk(live)
        await it.say(config("mine", bad))
        code, details = await it.refused()
        assert (code, list(details.violations)) == (INVALID, ["config.resume_token"])
    assert await _refusal(live, config("mine", token[:-1])) == (INVALID, "INVALID_REQUEST")


async def test_a_token_that_does_not_fit_is_refused_by_the_reason(live: Running) -> None:
    first, _, last = [r.resume_token for r in await _broken(live)]
    token = ResumeToken.decode(last)

    def changed(**changes: Any) -> bytes:
        """As a server would have written it that shares the keys."""
        return dataclasses.replace(token, **changes).signed(service.sessions.keys, "").encode()

    service = live.server._service
    assert service is not None
    assert await _refusal(live, config("mine", changed(bundle_id="c" * 64))) == (PRECONDITION, "TOKEN_OTHER_BUNDLE")
    gone = dataclasses.replace(token, session="gone")
    for bundle_id, expected in (
        ("c" * 64, (PRECONDITION, "TOKEN_OTHER_BUNDLE")),
        ("b" * 64, (NOT_FOUND, "SESSION_NOT_FOUND")),
    ):
        asked = dataclasses.replace(gone, bundle_id=bundle_id).signed(service.sessions.keys, "").encode()
        assert await _refusal(live, config("gone", asked)) == expected
    assert await _refusal(live, config("other", last)) == (PRECONDITION, "TOKEN_OTHER_SESSION")
    assert await _refusal(live, config("mine", changed(secret=b"x" * 16))) == (PRECONDITION, "TOKEN_OTHER_SESSION")
    assert await _refusal(live, config("mine", changed(state_hash=b"x" * 16))) == (PRECONDITION, "TOKEN_OTHER_STATE")
    assert await _refusal(live, config("mine", changed(frame=9))) == (PRECONDITION, "TOKEN_OTHER_STATE")
    assert await _refusal(live, config("mine", changed(epoch=2))) == (PRECONDITION, "TOKEN_OTHER_STATE")
    assert await _refusal(live, config("mine", last, smoothing_lag=1)) == (PRECONDITION, "CONFIG_DIFFERS")
    assert await _refusal(live, config("", changed(session="gone"))) == (NOT_FOUND, "SESSION_NOT_FOUND")
    # None of these has moved or fenced anything.
    it = talk(live)
    assert (await it.open(config("", first))).epoch == 2
    await it.say(track_pb2.TrackAck(acked_frame=1))
    for index in range(3):
        assert (await it.hear("result")).frame_index == index
    await it.say(track_pb2.Heartbeat())
    await it.hear("heartbeat")
    await it.cut()
    await until(lambda: sessions(live) == {"detached": 1})
    assert await _refusal(live, config("mine", first)) == (PRECONDITION, "TOKEN_TOO_OLD")


async def test_a_token_that_is_not_the_servers_own_is_that_of_no_session(live: Running) -> None:
    token = ResumeToken.decode((await _broken(live))[-1].resume_token)
    gone = (NOT_FOUND, "SESSION_NOT_FOUND")
    for changes in ({"frame": 1}, {"epoch": 2}, {"secret": b"x" * 16}, {"bundle_id": "c" * 64}, {"mac": bytes(16)}):
        forged = dataclasses.replace(token, **changes).encode()  # type: ignore[arg-type]
        assert await _refusal(live, config("mine", forged)) == gone
    assert await _refusal(live, config("other", forged)) == gone
    assert live.sample("exalign_access_denied_total", reason="resume_token") == 6
    it = talk(live)
    assert (await it.open(config("mine", token.encode()))).epoch == 2  # nothing was moved or fenced
    await it.cut()


async def test_the_tokens_of_a_closed_session_are_void(live: Running) -> None:
    it = talk(live)
    await it.open(config("mine"))
    (result,) = await it.results(frame(0, GOOD_BOX))
    await it.close()
    assert await _refusal(live, config("mine", result.resume_token)) == (NOT_FOUND, "SESSION_NOT_FOUND")
    async with talking(live, config("mine")):
        reason = (PRECONDITION, "TOKEN_OTHER_SESSION")
        assert await _refusal(live, config("mine", result.resume_token)) == reason


async def test_a_broken_session_is_kept_only_so_long(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(session_retention=0.2)) as live:
        results = await _broken(live)
        await until(lambda: sessions(live) == {})
        token = results[-1].resume_token
        assert await _refusal(live, config("mine", token)) == (NOT_FOUND, "SESSION_NOT_FOUND")


async def test_only_so_many_broken_sessions_are_kept(tmp_path: Path) -> None:
    async with running(tmp_path, server_config(max_detached=2)) as live:
        tokens = []
        for name in "abc":
            it = talk(live)
            await it.open(config(name))
            tokens.append((await it.results(frame(0, GOOD_BOX)))[0].resume_token)
            await it.cut()
            await until(lambda: "active" not in sessions(live))
        assert sessions(live) == {"detached": 2}
        assert await _refusal(live, config("a", tokens[0])) == (NOT_FOUND, "SESSION_NOT_FOUND")
        for name, token in zip("bc", tokens[1:], strict=True):
            async with talking(live, config(name, token)) as it:
                await it.close()


async def test_a_broken_session_is_not_overwritten_by_its_name(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, server_config(session_retention=60), clock) as live:
        before = await _broken(live)
        await clock.advance(18)
        stranger = talk(live)
        await stranger.say(config("mine"))
        code, details = await stranger.refused()
        assert (code, details.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
        assert "can be resumed with its token for 42.0 s more" in str(await stranger.call.details())
        assert sessions(live) == {"detached": 1}
        # Its owner goes on as if nothing had been.
        it = talk(live)
        assert (await it.open(config("mine", before[-1].resume_token))).epoch == 2
        await it.cut()


async def test_a_client_without_its_token_takes_another_name_or_waits(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, server_config(session_retention=60), clock) as live:
        before = await _broken(live)
        async with talking(live, config("mine.2")) as other:
            assert plain(await other.results(frame(0, GOOD_BOX))) == plain(before[:1])
            await other.close()
        await clock.advance(60)
        it = talk(live)
        opened = await it.open(config("mine"))
        assert (opened.epoch, opened.next_frame) == (1, 0)
        assert plain(await it.results(frame(0, GOOD_BOX))) == plain(before[:1])
        await it.close()
        await until(lambda: sessions(live) == {})


async def test_where_nothing_is_kept_a_broken_sessions_name_is_free_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, server_config(session_retention=0), clock) as live:
        it = talk(live)
        await it.open(config("mine"))
        await it.cut()
        await until(lambda: "active" not in sessions(live))
        async with talking(live, config("mine")) as again:
            await again.close()
