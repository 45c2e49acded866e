"""What the metrics mean: every call is counted once, by what became of it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from exalign.v1 import service_pb2
from exalign_service.observability.metrics import FACE_METHODS, RUNTIME_FAULTS, STAGES, WATCHED, Metrics
from exalign_service.observability.rpc_metrics import CODES
from exalign_service.rpc.options import message_ceiling
from exalign_service.rpc.services import SERVICES
from service_fakes import GOOD_BOX, Running, config, details_of, encoded, picture, request, running, until

PREDICT = {
    "grpc_type": "unary",
    "grpc_service": "exalign.v1.FaceAlignmentService",
    "grpc_method": "PredictLandmarks",
}
TRACK = {**PREDICT, "grpc_type": "bidi_stream", "grpc_method": "TrackVideo"}
CHECK = {"grpc_type": "unary", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Check"}
WATCH = {"grpc_type": "server_stream", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Watch"}


if TYPE_CHECKING:  # generic in the stubs only
    Call = grpc.aio.UnaryUnaryCall[Any, Any]


def handled(live: Running, labels: dict[str, str]) -> dict[str, int]:
    """Calls completed, by code; codes without any are left out."""
    counts = {code: live.sample("grpc_server_handled_total", **labels, grpc_code=code) for code in CODES.values()}
    return {code: int(count) for code, count in counts.items() if count}


def counts(live: Running, labels: dict[str, str]) -> tuple[int, int, int, int]:
    """Calls started, calls timed, messages received, messages sent."""
    names = (
        "grpc_server_started_total",
        "grpc_server_handling_seconds_count",
        "grpc_server_msg_received_total",
        "grpc_server_msg_sent_total",
    )
    started, timed, received, sent = (int(live.sample(name, **labels)) for name in names)
    return started, timed, received, sent


def stage_count(live: Running, stage: str, method: str) -> int:
    """How often a stage of a method was timed."""
    return int(live.sample("exalign_stage_seconds_count", stage=stage, method=method))


async def fails(call: Call) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_after_10_good_3_bad_and_2_cancelled_calls_the_counts_say_exactly_that(live: Running) -> None:
    for _ in range(10):
        await live.stub.PredictLandmarks(request(GOOD_BOX))
    for _ in range(3):
        assert await fails(live.stub.PredictLandmarks(request(data=b""))) == grpc.StatusCode.INVALID_ARGUMENT
    live.runtime.gate.clear()
    calls = [live.stub.PredictLandmarks(request(GOOD_BOX)) for _ in range(2)]
    waiting = [asyncio.create_task(fails_as_cancelled(call)) for call in calls]
    # Cancelled at the network, not on the way to it: both have been decoded.
    await until(lambda: live.sample("exalign_batch_size_sum") + live.sample("exalign_queue_depth") == 12)
    for call in calls:
        call.cancel()
    await asyncio.gather(*waiting)
    # The network stays shut until the server knows: else a call may still be answered.
    await until(lambda: counts(live, PREDICT)[1] == 15)
    live.runtime.gate.set()
    assert handled(live, PREDICT) == {"OK": 10, "InvalidArgument": 3, "Canceled": 2}
    assert counts(live, PREDICT) == (15, 15, 15, 10)
    stages = {stage: stage_count(live, stage, "PredictLandmarks") for stage in STAGES}
    assert stages["decode"] == 15
    assert stages["infer"] == stages["queue"] == stages["posterior"] == stages["encode"] == 10
    assert stages["detect"] == stages["hmm"] == 0


async def fails_as_cancelled(call: Call) -> None:
    with pytest.raises(asyncio.CancelledError):
        await call


def ended_by_deadline(live: Running, labels: dict[str, str]) -> int:
    """Calls that ended by their caller's deadline. One whose cancellation came late counts as cancelled.

    test_service_deadlines.py says when it does.
    """
    by_code = handled(live, labels)
    return by_code.get("DeadlineExceeded", 0) + by_code.get("Canceled", 0)


async def test_a_callers_deadline_ends_its_calls(live: Running) -> None:
    live.runtime.gate.clear()
    calls = (fails(live.stub.PredictLandmarks(request(GOOD_BOX), timeout=2)) for _ in range(5))
    assert set(await asyncio.gather(*calls)) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    # On a machine that is very busy a call may end before it arrives.
    await until(lambda: counts(live, PREDICT)[1] == counts(live, PREDICT)[0])
    assert ended_by_deadline(live, PREDICT) == counts(live, PREDICT)[0]


async def test_no_unary_call_is_longer_than_the_servers_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_deadline=0.05)) as live:
        live.runtime.gate.clear()
        for timeout in (None, 100):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.PredictLandmarks(request(GOOD_BOX), timeout=timeout)
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert caught.value.details() == "the call was not answered within 0.05 s"
            assert details_of(caught.value).reason == "DEADLINE_EXCEEDED"
        assert handled(live, PREDICT) == {"DeadlineExceeded": 2}


async def test_work_whose_caller_has_gone_never_reaches_the_network(tmp_path: Path) -> None:
    async with running(tmp_path, config(network_calls=1)) as live:
        warm = live.sample("exalign_batch_size_count")
        live.runtime.gate.clear()
        busy = asyncio.create_task(_answer(live.stub.PredictLandmarks(request(GOOD_BOX))))
        await until(lambda: live.sample("exalign_batch_size_count") == warm + 1)
        await asyncio.gather(*(fails(live.stub.PredictLandmarks(request(GOOD_BOX), timeout=2)) for _ in range(3)))
        # On a machine that is very busy a call may end before it arrives.
        await until(lambda: ended_by_deadline(live, PREDICT) == counts(live, PREDICT)[0] - 1)
        live.runtime.gate.set()
        await busy
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert live.runtime.batches == [1, 1]


async def _answer(call: Call) -> None:
    await call


async def test_faults_of_ours_are_counted_as_internal(live: Running, caplog: pytest.LogCaptureFixture) -> None:
    live.runtime.error = RuntimeError("secret")
    assert await fails(live.stub.PredictLandmarks(request(GOOD_BOX))) == grpc.StatusCode.INTERNAL
    assert handled(live, PREDICT) == {"Internal": 1}
    (record,) = (r for r in caplog.records if r.getMessage() == "handler_failed")
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


async def test_bytes_that_are_no_message_are_counted(live: Running) -> None:
    call = live.channel.unary_unary("/exalign.v1.FaceAlignmentService/PredictLandmarks", None, None)
    assert await fails(call(b"\xff\xff")) == grpc.StatusCode.INVALID_ARGUMENT
    assert handled(live, PREDICT) == {"InvalidArgument": 1}
    assert counts(live, PREDICT) == (1, 1, 1, 0)


@pytest.mark.parametrize("path", ["/exalign.v1.FaceAlignmentService/Nonsense", "/nobody.v1.Nothing/Get", "/Nonsense"])
async def test_a_method_that_there_is_not_is_counted_without_its_name(live: Running, path: str) -> None:
    for call in (live.channel.unary_unary(path)(b"x"), live.channel.stream_unary(path)(iter([b"x"]))):
        # Of a call that ends before its message is out, grpc.aio's client says INTERNAL.
        assert await fails(call) in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL}
    # Here nothing is sent.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.channel.stream_stream(path)().read()
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert details_of(caught.value).reason == "METHOD_UNKNOWN"
    other = {"grpc_type": "other", "grpc_service": "other", "grpc_method": "other"}
    assert handled(live, other) == {"Unimplemented": 3}
    text = live.server.metrics.expose()
    assert b"Nonsense" not in text
    assert b"nobody" not in text


async def test_a_message_above_the_limit_is_counted_as_its_caller_is_answered(tmp_path: Path) -> None:
    limit = 100_000
    async with running(tmp_path, config(max_message_bytes=limit, max_encoded_bytes=limit)) as live:
        for size in (limit + 1, 300 * limit):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.PredictLandmarks(request(data=bytes(size)))
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert re.fullmatch(
                r"message: its [\d,]+ bytes are larger than max_message_bytes = 100,000", caught.value.details() or ""
            )
            assert details_of(caught.value).reason == "MESSAGE_TOO_LARGE"
        assert handled(live, PREDICT) == {"ResourceExhausted": 2}
        call: Any = live.stub.TrackVideo()
        await call.write(service_pb2.TrackVideoRequest(config={}))
        assert (await call.read()).WhichOneof("message") == "opened"
        await call.write(service_pb2.TrackVideoRequest(frame={"image": {"encoded": bytes(2 * limit)}}))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert handled(live, TRACK) == {"ResourceExhausted": 1}
        await live.stub.PredictLandmarks(request(GOOD_BOX))


async def test_a_message_that_grpc_itself_refuses_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as live:
        call = live.stub.PredictLandmarks(
            request(data=bytes(message_ceiling(live.server.config.limits.max_message_bytes)))
        )
        assert await fails(call) == grpc.StatusCode.RESOURCE_EXHAUSTED
        # gRPC tells the server no more than that the request never came.
        await until(lambda: handled(live, PREDICT) == {"Canceled": 1})
        assert counts(live, PREDICT) == (1, 1, 0, 0)


async def test_faces_detections_and_pictures_are_counted(tmp_path: Path) -> None:
    async with running(tmp_path) as live:
        live.detector.faces = [(GOOD_BOX, 0.9), ((5.0, 5.0, 35.0, 35.0), 0.8)]
        for _ in range(3):
            await live.stub.PredictLandmarks(request())
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        await fails(live.stub.PredictLandmarks(request(data=b"no picture")))
        await fails(live.stub.PredictLandmarks(request((1.0, 1.0, 2.0, 2.0))))  # the box is wrong, not the picture
        assert live.sample("exalign_faces_total", method="PredictLandmarks") == 7
        assert live.sample("exalign_presence_count", method="PredictLandmarks") == 7
        assert live.sample("exalign_detector_runs_total", detector="mtcnn") == 3
        assert live.sample("exalign_detections_total", detector="mtcnn") == 6
        assert live.sample("exalign_undecodable_pictures_total", method="PredictLandmarks") == 1
        assert live.sample("exalign_undecodable_pictures_total", method="TrackVideo") == 0


def test_decoders_and_decoded_bytes_are_there_at_zero_and_rise() -> None:
    metrics = Metrics(SERVICES, 8)

    def sample(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    for reason in ("cpu_time", "died", "not_started"):
        assert sample("exalign_decoder_failures_total", reason=reason) == 0
        metrics.decoder_failed(reason)
        assert sample("exalign_decoder_failures_total", reason=reason) == 1
    assert sample("exalign_decoders") == 0
    metrics.decoders_changed(2)
    metrics.decode_jobs_changed(waiting=3, running=1)
    metrics.decoded_bytes_changed(held=100, waiting=50)
    assert sample("exalign_decoders") == 2
    assert [sample("exalign_decode_jobs", state=s) for s in ("waiting", "running")] == [3, 1]
    assert [sample("exalign_decoded_bytes", state=s) for s in ("held", "waiting")] == [100, 50]


async def test_a_picture_that_costs_too_much_is_refused_by_the_limit(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_decode_seconds=0.001)) as live:
        with pytest.raises(grpc.aio.AioRpcError, match=r"image\.encoded: is a .+ to decode, at most 0\.001 s accepted"):
            await live.stub.PredictLandmarks(request(GOOD_BOX, data=encoded(picture(640, 480))))
        assert live.sample("exalign_undecodable_pictures_total", method="PredictLandmarks") == 1


async def test_what_answers_and_what_bounds_it_is_shown(live: Running) -> None:
    from importlib.metadata import version

    build = {"version": version("exalign"), "bundle": "b" * 64, "runtime": "fake", "precision": "f32"}
    assert live.sample("exalign_build_info", **build) == 1
    for name, value in (("max_faces", 64), ("queue", 128), ("max_sessions", 128), ("session_idle_timeout", 60)):
        assert live.sample("exalign_limit", setting=name) == value


async def test_a_status_sent_by_a_handler_itself_is_counted(live: Running) -> None:
    stub = health_pb2_grpc.HealthStub(live.channel)
    await stub.Check(health_pb2.HealthCheckRequest())
    assert await fails(stub.Check(health_pb2.HealthCheckRequest(service="?"))) == grpc.StatusCode.NOT_FOUND
    await until(lambda: counts(live, CHECK)[1] == 2)
    assert handled(live, CHECK) == {"OK": 1, "NotFound": 1}
    assert counts(live, CHECK) == (2, 2, 2, 1)


async def test_a_stream_written_by_its_handler_counts_its_messages(live: Running) -> None:
    watch = health_pb2_grpc.HealthStub(live.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    await until(lambda: counts(live, WATCH) == (1, 0, 1, 1))
    watch.cancel()
    await until(lambda: counts(live, WATCH)[1] == 1)
    assert handled(live, WATCH) == {"Canceled": 1}


async def test_a_streams_deadline_ends_it(live: Running) -> None:
    watch = health_pb2_grpc.HealthStub(live.channel).Watch(health_pb2.HealthCheckRequest(), timeout=2)
    await watch.read()
    with pytest.raises(grpc.aio.AioRpcError):
        await watch.read()
    await until(lambda: counts(live, WATCH)[1] == 1)
    assert ended_by_deadline(live, WATCH) == 1


async def test_a_stream_that_yields_counts_its_messages(live: Running) -> None:
    labels = {
        "grpc_type": "bidi_stream",
        "grpc_service": "grpc.reflection.v1alpha.ServerReflection",
        "grpc_method": "ServerReflectionInfo",
    }
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(live.channel).ServerReflectionInfo(iter([ask, ask, ask]))
    names = [{s.name for s in answer.list_services_response.service} async for answer in call]
    assert names == [{service.full_name for service in SERVICES}] * 3
    await until(lambda: counts(live, labels)[1] == 1)
    assert handled(live, labels) == {"OK": 1}
    assert counts(live, labels) == (1, 1, 3, 3)


async def test_a_stream_that_fails_is_counted(live: Running) -> None:
    call: Any = live.stub.TrackVideo()
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    assert handled(live, TRACK) == {"FailedPrecondition": 1}


async def test_a_full_queue_is_resource_exhausted_with_a_retry_hint(tmp_path: Path) -> None:
    async with running(tmp_path, config(queue=2, max_faces=2, network_calls=1, max_batch=1)) as live:
        live.runtime.gate.clear()
        tasks = [asyncio.create_task(_answer(live.stub.PredictLandmarks(request(GOOD_BOX)))) for _ in range(2)]
        await until(lambda: counts(live, PREDICT)[0] == 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # no room for a third call
            await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        details = details_of(caught.value)
        assert details.reason == "QUEUE_FULL"
        assert details.retry_seconds is not None
        assert details.retry_seconds > 0
        live.runtime.gate.set()
        await asyncio.gather(*tasks)
        await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert handled(live, PREDICT) == {"OK": 3, "ResourceExhausted": 1}


async def test_faces_beyond_the_queue_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, config(queue=3, max_faces=3, network_calls=1, max_batch=1)) as live:
        live.runtime.gate.clear()
        task = asyncio.create_task(_answer(live.stub.PredictLandmarks(request(*[GOOD_BOX] * 3))))
        await until(lambda: live.sample("exalign_queue_depth") == 2)
        code = await fails(live.stub.PredictLandmarks(request(GOOD_BOX, GOOD_BOX)))
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        live.runtime.gate.set()
        await task
        assert live.sample("exalign_queue_depth") == 0


async def test_batches_are_counted_by_size(live: Running) -> None:
    before = live.sample("exalign_batch_size_sum")
    await live.stub.PredictLandmarks(request(*[GOOD_BOX] * 5))
    assert live.sample("exalign_batch_size_sum") - before == 5


async def test_every_label_value_is_there_from_the_start(live: Running) -> None:
    methods = [m.name for m in service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"].methods]
    for name in methods:
        kind = "bidi_stream" if name == "TrackVideo" else "unary"
        labels = {**PREDICT, "grpc_type": kind, "grpc_method": name}
        assert handled(live, labels) == {}
        assert counts(live, labels) == (0, 0, 0, 0)
    for method in FACE_METHODS:
        assert [stage_count(live, stage, method) for stage in STAGES] == [0] * len(STAGES)
    for kind in RUNTIME_FAULTS:
        assert live.sample("exalign_runtime_faults_total", kind=kind) == 0
    for what in WATCHED:
        assert live.sample("exalign_stuck", where=what) == live.sample(f"exalign_oldest_{what}_seconds") == 0


async def test_codes_have_the_names_of_grpc_go() -> None:
    assert {CODES[code] for code in grpc.StatusCode} == {
        *("OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists"),
        *("PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange"),
        *("Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated"),
    }


async def test_promtool_has_nothing_to_say(live: Running) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (apt-get install prometheus)")
    await live.stub.PredictLandmarks(request(GOOD_BOX))
    text = live.server.metrics.expose()
    done = await asyncio.to_thread(subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
