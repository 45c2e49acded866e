"""Spans of calls and frames: what a collector receives, where they belong, and what is never in them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry (extra 'otel')")

from benchmarks.traces.collector import Collector, ReceivedSpan, collector
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from exalign.v1 import service_pb2
from exalign_client import AsyncClient, Client
from exalign_client.transport.trace_context import trace_headers
from exalign_service.config.start_checks import StartError
from exalign_service.config.traces import TracesConfig
from exalign_service.observability.metrics import STAGES
from exalign_service.observability.otel import MOST_STAGES
from exalign_service.observability.spans import open_tracer
from service_fakes import (
    GOOD_BOX,
    MARK,
    FakeDetector,
    Running,
    config,
    details_of,
    marked,
    picture,
    request,
    running,
    until,
)
from token_fakes import Tokens, secret
from track_fakes import config as track_config
from track_fakes import frame, talking

PREDICT = "exalign.v1.FaceAlignmentService/PredictLandmarks"
TRACK = "exalign.v1.FaceAlignmentService/TrackVideo"

#: What may stand in a span.
ATTRIBUTES = {
    "rpc.system.name",
    "rpc.method",
    "rpc.response.status_code",
    "exalign.request_id",
    "exalign.session",
    "exalign.frame_index",
    "exalign.stages_left_out",
}

PARENT = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture(autouse=True)
def sent_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent as they end, not seconds later."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


@asynccontextmanager
async def traced(
    tmp_path: Path, tops: int, detector: FakeDetector | None = None, **changes: object
) -> AsyncIterator[tuple[Running, Collector]]:
    """A server and where its spans go; at the end so many of calls and frames are waited for."""
    with collector() as seen:
        settings = config(**{"traces_endpoint": seen.endpoint, "traces_ratio": 1.0, **changes})
        async with running(tmp_path, settings, detector=detector) as live:
            yield live, seen
            await until(lambda: len(seen.tops) >= tops)


def names(spans: list[ReceivedSpan]) -> set[str]:
    return {span.name for span in spans}


def traceparent(flags: str) -> tuple[tuple[str, str], ...]:
    return (("traceparent", f"00-{PARENT[0]}-{PARENT[1]}-{flags}"),)


async def test_a_call_has_a_span_and_each_of_its_stages_one_within_it(tmp_path: Path) -> None:
    async with traced(tmp_path, 1) as (live, seen):
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=(("x-request-id", "mine"),))
    (top,) = seen.tops
    assert (top.name, top.parent, top.failed) == (PREDICT, "", False)
    assert top.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": PREDICT,
        "rpc.response.status_code": "OK",
        "exalign.request_id": "mine",
    }
    stages = seen.below(top)
    assert names(stages) == {"decode", "queue", "infer", "posterior", "encode"}
    assert all(top.start <= stage.start < stage.end <= top.end for stage in stages)
    assert len(seen.spans) == 1 + len(stages)


async def test_a_picture_that_is_searched_has_a_span_of_that(tmp_path: Path) -> None:
    async with traced(tmp_path, 1, FakeDetector((GOOD_BOX, 0.9))) as (live, seen):
        await live.stub.PredictLandmarks(request())
    assert names(seen.below(seen.tops[0])) == {"decode", "detect", "queue", "infer", "posterior", "encode"}


async def test_every_frame_has_a_span_of_its_own_and_its_stream_has_none(tmp_path: Path) -> None:
    async with traced(tmp_path, 3) as (live, seen), talking(live, track_config("video")) as it:
        await it.results(frame(3, GOOD_BOX), frame(4), frame(6, occluded=True))
    assert [top.name for top in seen.tops] == [f"{TRACK} frame"] * 3
    assert [top.attributes["exalign.frame_index"] for top in seen.tops] == [3, 4, 6]
    assert {top.attributes["exalign.session"] for top in seen.tops} == {"video"}
    assert len({top.trace for top in seen.tops}) == 3
    first, second, hidden = (names(seen.below(top)) for top in seen.tops)
    assert first == second == {"inbox", "decode", "queue", "infer", "posterior", "hmm", "encode"}
    assert hidden == {"inbox", "posterior", "hmm", "encode"}


async def test_a_frame_that_fails_ends_its_span_as_failed(tmp_path: Path) -> None:
    async with traced(tmp_path, 1) as (live, seen), talking(live) as it:
        live.runtime.error = RuntimeError("of the network")
        await it.say(frame(0, GOOD_BOX))
        code, _ = await it.refused()
    assert code == grpc.StatusCode.INTERNAL
    (top,) = seen.tops
    assert top.failed
    assert "rpc.response.status_code" not in top.attributes


@pytest.mark.parametrize(("error", "code", "failed"), [(True, "INTERNAL", True), (False, "INVALID_ARGUMENT", False)])
async def test_the_end_of_a_call_is_in_its_span(tmp_path: Path, error: bool, code: str, failed: bool) -> None:
    async with traced(tmp_path, 1) as (live, seen):
        live.runtime.error = RuntimeError("of the network") if error else None
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(GOOD_BOX, data=None if error else b"no picture"))
        assert details_of(caught.value).reason
    (top,) = seen.tops
    assert (top.attributes["rpc.response.status_code"], top.failed) == (code, failed)


async def test_spans_belong_below_that_of_their_caller(tmp_path: Path) -> None:
    async with traced(tmp_path, 1, traces_ratio=0.0) as (live, seen):
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=traceparent("01"))
    (top,) = seen.tops
    assert (top.trace, top.parent) == PARENT


@pytest.mark.parametrize(("flags", "ratio"), [("00", 1.0), (None, 0.0)], ids=["the caller says so", "by the ratio"])
async def test_a_call_may_have_no_span(tmp_path: Path, flags: str | None, ratio: float) -> None:
    async with traced(tmp_path, 1, traces_ratio=ratio) as (live, seen):
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=traceparent(flags) if flags else ())
        assert b"trace_id" not in openmetrics(live.server.metrics.registry)
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=traceparent("01"))
    assert [top.parent for top in seen.tops] == [PARENT[1]]


@pytest.mark.parametrize("value", ["", "00-zz-00-01", f"00-{'0' * 32}-{PARENT[1]}-01", "x" * 300])
async def test_a_trace_context_that_is_none_is_as_if_it_were_not_there(tmp_path: Path, value: str) -> None:
    async with traced(tmp_path, 1) as (live, seen):
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=(("traceparent", value),))
    assert [top.parent for top in seen.tops] == [""]


async def test_health_and_unknown_methods_have_no_span(tmp_path: Path) -> None:
    async with traced(tmp_path, 1) as (live, seen):
        await live.channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
        with pytest.raises(grpc.aio.AioRpcError):
            await live.channel.unary_unary("/exalign.v1.FaceAlignmentService/Nothing")(b"")
        await live.stub.GetModel(service_pb2.GetModelRequest())
    assert [top.name for top in seen.tops] == ["exalign.v1.FaceAlignmentService/GetModel"]


async def test_a_call_that_is_denied_has_no_span(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    good = secret(tokens.add("alice"))
    async with traced(tmp_path, 1, token_file=tokens.path) as (live, seen):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=traceparent("01"))
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=(("authorization", f"Bearer {good}"),))
    assert [(top.parent, top.failed) for top in seen.tops] == [("", False)]


async def test_histograms_lead_to_spans_and_log_lines_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "exalign_service")
    async with traced(tmp_path, 2) as (live, seen), talking(live) as it:
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        await it.results(frame(0, GOOD_BOX))
        lines = openmetrics(live.server.metrics.registry).decode().splitlines()
        plain = live.server.metrics.expose().decode()
    call, of_frame = seen.tops
    for top, series in (
        (call, 'exalign_stage_seconds_bucket{le="10.0",method="PredictLandmarks",stage="infer"}'),
        (call, "grpc_server_handling_seconds_bucket"),
        (of_frame, "exalign_frame_latency_seconds_bucket"),
        (of_frame, "exalign_stage_seconds_bucket"),
    ):
        name = series.partition("{")[0]
        leads = f'# {{span_id="{top.id}",trace_id="{top.trace}"}}'
        assert any(line.startswith(name) and leads in line for line in lines), series
    assert call.trace not in plain
    (fields,) = (r.fields for r in caplog.records if r.message == "call" and r.fields["method"] == "PredictLandmarks")  # type: ignore[attr-defined]
    assert fields["trace_id"] == call.trace


async def test_a_call_about_many_faces_says_how_many_stages_are_left_out(tmp_path: Path) -> None:
    async with traced(tmp_path, 1) as (live, seen):
        await live.stub.PredictLandmarks(request(*[GOOD_BOX] * 64))
    (top,) = seen.tops
    assert len(seen.below(top)) == MOST_STAGES
    left_out = top.attributes["exalign.stages_left_out"]
    assert isinstance(left_out, int)
    assert left_out > 0


async def test_nothing_of_a_picture_is_in_a_span_or_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with traced(tmp_path, 2 * len(marked())) as (live, seen), talking(live) as it:
        for image in marked():
            asked = service_pb2.PredictLandmarksRequest(image=image, boxes=request(GOOD_BOX).boxes)
            with suppress(grpc.aio.AioRpcError):
                await live.stub.PredictLandmarks(asked)
        for index, image in enumerate(marked()):
            one = frame(index, GOOD_BOX)
            one.image.CopyFrom(image)
            await it.results(one)
    codes = [top.attributes["rpc.response.status_code"] for top in seen.tops]
    assert codes == ["OK", "OK", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "OK", "OK", "OK", "OK"]
    for span in seen.spans:
        assert set(span.attributes) <= ATTRIBUTES
        assert span.name in {PREDICT, f"{TRACK} frame", "inbox", *STAGES}
        assert all(len(str(value)) <= 64 for value in span.attributes.values())
    said = "\n".join([*map(str, seen.spans), *(f"{r.getMessage()} {vars(r)}" for r in caplog.records)])
    assert len(caplog.records) >= 2 * len(marked())
    assert MARK.decode() not in said
    assert MARK.hex() not in said


async def test_the_span_of_a_caller_goes_on_in_the_server(tmp_path: Path) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("caller")
    photo, box = picture(), [GOOD_BOX]

    def call(address: str, span: trace.Span) -> None:
        with Client(address) as blocking, trace.use_span(span):
            blocking.predict(photo, box)

    async with traced(tmp_path, 4, traces_ratio=0.0) as (live, seen):
        async with AsyncClient(live.server.address) as client:
            await client.predict(photo, box)
            with tracer.start_as_current_span("asynchronous") as one:
                await client.predict(photo, box)
            with tracer.start_as_current_span("video") as video:
                tracked = client.track([photo, photo])
            async for _ in tracked:
                pass
        other = tracer.start_span("blocking")
        await asyncio.to_thread(call, live.server.address, other)
    ids = [f"{span.get_span_context().span_id:016x}" for span in (one, video, video, other)]
    assert [top.parent for top in seen.tops] == ids


def test_without_an_active_span_nothing_is_sent() -> None:
    assert trace_headers() == ()


async def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    async with running(tmp_path, config(traces_endpoint="http://127.0.0.1:9")) as live:
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        await live.server.stop(0)
        assert live.server.still_running() == []


def test_without_opentelemetry_the_start_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exalign_service.observability.otel", None)
    with pytest.raises(StartError, match=r"needs the extra 'otel'.*exalign\[otel\]"):
        open_tracer(TracesConfig(traces_endpoint="http://127.0.0.1:4317"))
    assert open_tracer(TracesConfig()) is None
