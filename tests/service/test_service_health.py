"""The health service: every service's status, from before the server is warm until it has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exalign_engine import Aligner
from exalign_service import Server
from exalign_service.rpc.health import HealthService
from manual_clock import settle
from service_fakes import PATIENCE, FakeDetector, FakeRuntime, Running, config, tiny_bundle, until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = {"", "exalign.v1.FaceAlignmentService", "inference.GRPCInferenceService"}
LIST = {"grpc_type": "unary", "grpc_service": "grpc.health.v1.Health", "grpc_method": "List"}


async def listed(channel: grpc.aio.Channel) -> dict[str, int]:
    answer = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    return {name: one.status for name, one in answer.statuses.items()}


async def test_list_names_every_service_with_its_status_from_the_start(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    server = Server(config(), Aligner(tiny_bundle(tmp_path), runtime, {"mtcnn": FakeDetector()}))
    runtime.gate.clear()  # it cannot become warm
    starting = asyncio.create_task(server.start())
    await until(lambda: runtime.held > 0)
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert await listed(channel) == dict.fromkeys(NAMES, NOT_SERVING)
        assert (await watch.read()).status == NOT_SERVING
        runtime.gate.set()
        await starting
        assert (await watch.read()).status == SERVING
        assert await listed(channel) == dict.fromkeys(NAMES, SERVING)
        watch.cancel()
    await server.stop(0)


async def test_list_is_counted_as_what_it_is(live: Running) -> None:
    assert live.sample("grpc_server_handled_total", **LIST, grpc_code="OK") == 0
    await listed(live.channel)
    await until(lambda: live.sample("grpc_server_handled_total", **LIST, grpc_code="OK") == 1)
    assert live.sample("grpc_server_msg_received_total", **LIST) == 1


async def test_a_service_that_there_is_not_is_unknown_until_it_is_there() -> None:
    health, watcher = HealthService(), Told()
    watching = asyncio.create_task(health.Watch(health_pb2.HealthCheckRequest(service="x"), watcher))
    await settle()
    await health.set("x", NOT_SERVING)
    await settle()
    await health.set("x", NOT_SERVING)  # no news
    await settle()
    await health.set("x", SERVING)
    await settle()
    assert watcher.statuses == [health_pb2.HealthCheckResponse.SERVICE_UNKNOWN, NOT_SERVING, SERVING]
    watching.cancel()


async def test_a_watcher_that_takes_nothing_holds_nobody_up() -> None:
    health, deaf, other = HealthService(), Told(), Told()
    await health.set("", SERVING)
    deaf.takes.clear()
    watching = [asyncio.create_task(health.Watch(health_pb2.HealthCheckRequest(), one)) for one in (deaf, other)]
    await settle()
    await asyncio.wait_for(health.enter_graceful_shutdown(), PATIENCE)
    await health.set("", SERVING)  # too late
    await settle()
    assert (deaf.statuses, other.statuses) == ([], [SERVING, NOT_SERVING])
    deaf.takes.set()  # it hears what holds now, and what it was being watcher
    await settle()
    assert deaf.statuses == [SERVING, NOT_SERVING]
    for task in watching:
        task.cancel()


async def test_a_check_of_a_service_that_there_is_not_is_not_found(live: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(live.channel).Check(health_pb2.HealthCheckRequest(service="x"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "there is none of this name" in str(caught.value.details())


class Told:
    """A context of gRPC's: what a watcher is watcher."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def write(self, message: Any) -> None:
        await self.takes.wait()
        self.statuses.append(message.status)
