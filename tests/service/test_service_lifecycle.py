"""From NOT_SERVING to SERVING to gone."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_engine import Aligner
from exalign_service import Server
from exalign_service import server as server_module
from exalign_service.models import warm_up
from exalign_service.server import StartError
from manual_clock import ManualClock
from service_fakes import (
    GOOD_BOX,
    FakeDetector,
    FakeRuntime,
    Running,
    config,
    details_of,
    request,
    running,
    tiny_bundle,
    until,
)

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def get(server: Server, path: str) -> tuple[int, str]:
    """Status and body of a page of the metrics port."""

    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{server.metrics_address}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    return await asyncio.to_thread(fetch)


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def predict(live: Running) -> service_pb2.PredictLandmarksResponse:
    return await live.stub.PredictLandmarks(request(GOOD_BOX))


async def at_the_gate(live: Running) -> None:
    """Wait until a call has reached the closed gate."""
    await until(lambda: live.runtime.held == 1)


async def test_not_ready_until_warm(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    server = Server(config(), Aligner(tiny_bundle(tmp_path), runtime, {"mtcnn": FakeDetector()}))
    runtime.batches.clear()
    runtime.gate.clear()  # warming up takes as long as we like
    starting = asyncio.create_task(server.start())
    await until(lambda: runtime.held == 1)  # it has listened before
    async with grpc.aio.insecure_channel(server.address) as channel:
        assert await get(server, "/healthz") == (200, "ok\n")
        assert await get(server, "/readyz") == (503, "starting\n")
        assert await health(channel) == await health(channel, "exalign.v1.FaceAlignmentService") == NOT_SERVING
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PredictLandmarks(request(GOOD_BOX))
        assert caught.value.code() == UNAVAILABLE
        runtime.gate.set()
        await starting
        assert await get(server, "/readyz") == (200, "serving\n")
        assert await health(channel) == await health(channel, "exalign.v1.FaceAlignmentService") == SERVING
        await server.warm()
        assert {*range(1, config().batching.max_batch + 1)} == {*runtime.batches}  # every size of batch was tried
        await server.stop(0)


async def test_faces_are_answered_while_views_and_videos_are_warmed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warming, may_go_on = threading.Event(), threading.Event()

    def warm_views(*arguments: object) -> None:
        warming.set()
        may_go_on.wait()

    monkeypatch.setattr(warm_up, "warm_up_views", warm_views)
    aligner = Aligner(tiny_bundle(tmp_path), FakeRuntime(), {"mtcnn": FakeDetector()})
    server = Server(config(), aligner)
    await server.start()
    await until(warming.is_set)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        assert len((await stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
        pose = service_pb2.EstimatePoseRequest(image=request(GOOD_BOX).image, boxes=request(GOOD_BOX).boxes)
        waiting = stub.EstimatePose(pose)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.EstimatePose(pose, timeout=0.2)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert not waiting.done()
        may_go_on.set()
        assert len((await waiting).faces) == 1
        await server.warm()
        await until(lambda: not server.warming_up)
    await server.stop(0)


async def test_what_cannot_be_warmed_up_is_tried_again_by_its_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def warm_views(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(warm_up, "warm_up_views", warm_views)
    async with running(tmp_path) as live:
        assert "warming up failed" in caplog.text
        pose = service_pb2.EstimatePoseRequest(image=request(GOOD_BOX).image, boxes=request(GOOD_BOX).boxes)
        assert len((await live.stub.EstimatePose(pose)).faces) == 1


async def test_every_call_is_told_why_while_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, may_load = threading.Event(), threading.Event()

    def load(settings: object) -> server_module.LoadedModel:
        loading.set()
        may_load.wait()
        return server_module.LoadedModel(aligner)

    aligner = Aligner(tiny_bundle(tmp_path), FakeRuntime(), {"mtcnn": FakeDetector()})
    monkeypatch.setattr(server_module, "load_model", load)
    server = Server(config())
    starting = asyncio.create_task(server.start())
    await until(loading.is_set)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        assert await get(server, "/readyz") == (503, "starting\n")
        assert (await get(server, "/metrics"))[0] == 200
        assert await health(channel) == await health(channel, "exalign.v1.FaceAlignmentService") == NOT_SERVING
        stream = stub.TrackVideo()
        calls = (stub.PredictLandmarks(request(GOOD_BOX)), stub.GetModel(service_pb2.GetModelRequest()), stream.read())
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() == UNAVAILABLE
            assert caught.value.details() == "the server is starting: it is loading its model"
            assert details_of(caught.value).retry_seconds is not None
        may_load.set()
        await starting
        assert await health(channel) == SERVING
        assert (await stub.GetModel(service_pb2.GetModelRequest())).bundle_id == "b" * 64
    await server.stop(0)


async def test_a_model_that_cannot_be_loaded_is_the_error_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tiny_bundle(tmp_path)
    del bundle.detectors["mtcnn"]
    aligner = Aligner(bundle, FakeRuntime(), {})
    monkeypatch.setattr(server_module, "load_model", lambda settings: server_module.LoadedModel(aligner))
    server = Server(config())
    with pytest.raises(StartError, match="detector is 'blazeface', must be one that the bundle knows: yunet"):
        await server.start()
    await server.stop(0)


async def test_stopping_lets_running_calls_finish_and_refuses_new_ones(live: Running) -> None:
    await live.channel.channel_ready()
    watch = health_pb2_grpc.HealthStub(live.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    live.runtime.gate.clear()
    call = asyncio.create_task(predict(live))
    await at_the_gate(live)
    stopping = asyncio.create_task(live.server.stop(10))
    assert (await watch.read()).status == NOT_SERVING
    assert await get(live.server, "/readyz") == (503, "draining\n")
    assert await get(live.server, "/healthz") == (200, "ok\n")
    async with grpc.aio.insecure_channel(live.server.address) as late:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(late)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.PredictLandmarks(request(GOOD_BOX), timeout=2)
        assert caught.value.code() == UNAVAILABLE
    assert not stopping.done()
    live.runtime.gate.set()
    assert len((await call).faces) == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch.read()
    # Ours, or gRPC's own where the connection closes first.
    assert caught.value.code() in (UNAVAILABLE, grpc.StatusCode.CANCELLED)
    await stopping  # the health watcher does not hold the server up
    assert live.runtime.closed


async def test_calls_that_outlast_the_grace_are_cut(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, clock=clock) as live:
        live.runtime.gate.clear()
        call = asyncio.create_task(predict(live))
        await at_the_gate(live)
        stopping = asyncio.create_task(live.server.stop(60))
        await until(lambda: clock.waits(60))
        await clock.advance(59)
        assert clock.waits(1)
        await clock.advance(1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == UNAVAILABLE
        live.runtime.gate.set()  # a network that runs cannot be cut; its thread ends first
        await stopping
        labels = {
            "grpc_type": "unary",
            "grpc_service": "exalign.v1.FaceAlignmentService",
            "grpc_method": "PredictLandmarks",
        }
        assert live.sample("grpc_server_handled_total", **labels, grpc_code="Unavailable") == 1


async def test_end_grace_ends_the_grace(tmp_path: Path) -> None:
    clock = ManualClock()
    async with running(tmp_path, clock=clock) as live:
        live.runtime.gate.clear()
        call = asyncio.create_task(predict(live))
        await at_the_gate(live)
        stopping = asyncio.create_task(live.server.stop(60))
        await until(lambda: clock.waits(60))
        live.server.end_grace()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == UNAVAILABLE
        live.runtime.gate.set()
        await stopping


async def test_an_address_in_use_is_named(live: Running, tmp_path: Path) -> None:
    def another(**changes: object) -> Server:
        return Server(config(**changes), Aligner(tiny_bundle(tmp_path), FakeRuntime(), {"mtcnn": FakeDetector()}))

    for changes, name in (
        ({"address": live.server.address}, "address"),
        ({"metrics_address": live.server.metrics_address}, "metrics_address"),
    ):
        server = another(**changes)
        with pytest.raises(StartError, match=rf"^{name} is '127.0.0.1:\d+', cannot be listened on: \S"):
            await server.start()
        await server.stop(0)
    assert len((await predict(live)).faces) == 1


async def test_a_default_detector_that_the_bundle_does_not_know_is_named(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path)
    del bundle.detectors["mtcnn"]
    with pytest.raises(StartError, match="detector is 'blazeface', must be one that the bundle knows: yunet"):
        Server(config(), Aligner(bundle, FakeRuntime(), {}))


async def test_serves_on_a_unix_socket(tmp_path: Path) -> None:
    async with running(tmp_path, config(address=f"unix:{tmp_path}/s")) as live:
        assert live.server.address == f"unix:{tmp_path}/s"
        assert len((await predict(live)).faces) == 1


async def test_the_metrics_port_speaks_http(live: Running) -> None:
    status, body = await get(live.server, "/metrics?name=x")
    assert status == 200
    assert "# TYPE grpc_server_handling_seconds histogram" in body
    assert (await get(live.server, "/nothing"))[0] == 404


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 "),
        (b"x" * 70_000, b""),
        (b"", b""),
    ],
)
async def test_the_metrics_port_survives_clients_of_every_kind(live: Running, sent: bytes, begins: bytes) -> None:
    host, port = live.server.metrics_address.rsplit(":", 1)

    def talk() -> bytes:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            try:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(4096)
            except OSError:  # reset, or not connected any more: the server has closed it
                return b""

    assert (await asyncio.to_thread(talk)).startswith(begins)
    assert (await get(live.server, "/healthz"))[0] == 200
