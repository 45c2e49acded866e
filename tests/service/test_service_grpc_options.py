"""gRPC knows every option that we set: it ignores a name that it does not know, and says nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exalign_client.transport.channel import channel_options
from exalign_service.rpc.options import message_ceiling, server_options
from half_open import HalfOpen, hurried
from service_fakes import PATIENCE, Running

#: The library that reads the options.
LIBRARY = Path(cygrpc.__file__).read_bytes()

OPTIONS = {
    "server": [name for name, _ in server_options(8 * 2**20)],
    "client": [name for address in ("localhost:1", "example.org:1") for name, _ in channel_options(address)],
}


@pytest.mark.parametrize(
    ("side", "name"), [(side, name) for side, names in OPTIONS.items() for name in dict.fromkeys(names)]
)
def test_grpc_knows_the_option(side: str, name: str) -> None:
    assert name.encode() + b"\0" in LIBRARY


def test_a_name_that_grpc_does_not_know_would_be_seen() -> None:
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms" not in LIBRARY


def test_clients_may_ping_a_little_more_often_than_we_say() -> None:
    assert dict(server_options(1024, 10.0))["grpc.http2.min_ping_interval_without_data_ms"] == 8_000


def test_the_ceiling_on_messages_is_above_the_limit_and_a_number_of_grpc() -> None:
    for limit in (1024, 8 * 2**20, 2**31 - 1):
        assert limit <= message_ceiling(limit) < 2**31


async def test_a_quiet_connection_that_pings_as_often_as_allowed_is_not_cut() -> None:
    """The options, and a client's, at a hundredth of their times."""
    server = grpc.aio.server(options=server_options(1024, shortest_ping_interval=0.2))
    health_pb2_grpc.add_HealthServicer_to_server(_Quiet(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    pings = [
        ("grpc.keepalive_time_ms", 220),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", pings) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        # The second message comes after some fifteen pings; two too many end the connection.
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
    await server.stop(0)


class _Quiet(health_pb2_grpc.HealthServicer):
    async def Watch(self, request: object, context: object) -> object:  # type: ignore[override]
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        await asyncio.sleep(3.5)
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)


class _Waiting(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its stubs have no types
    """Says one word, and notes when its call is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def Watch(self, request: object, context: Any) -> None:
        try:
            await context.write(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING))
            await asyncio.Event().wait()
        finally:
            self.over.set()


@pytest.mark.parametrize("side", ["server", "client"])
async def test_a_connection_that_is_half_open_is_found(side: str) -> None:
    """At a fiftieth of 40 s. What gRPC waits for by itself, a minute, is not shortened: nobody waits so long here."""
    servicer = _Waiting()
    server = grpc.aio.server(options=hurried(server_options(1024)) if side == "server" else [])
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with HalfOpen(port) as way:
            options = hurried(channel_options("127.0.0.1:1")) if side == "client" else [("grpc.enable_http_proxy", 0)]
            async with grpc.aio.insecure_channel(way.address, options) as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                await watch.read()
                way.die()
                if side == "server":
                    await asyncio.wait_for(servicer.over.wait(), PATIENCE)
                else:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await asyncio.wait_for(watch.read(), PATIENCE)
                    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
                watch.cancel()
    finally:
        await server.stop(0)


@pytest.mark.parametrize("options", [server_options(1024), channel_options("example.org:1")], ids=["server", "client"])
def test_a_half_open_connection_is_found_within_40_seconds(options: list[tuple[str, Any]]) -> None:
    times = dict(options)
    for timeout in ("grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"):
        assert times["grpc.keepalive_time_ms"] + times[timeout] <= 40_000


async def test_the_server_is_made_with_these_options(live: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from exalign_service import server as server_module

    seen: list[object] = []
    real = grpc.aio.server
    monkeypatch.setattr(grpc.aio, "server", lambda **kwargs: seen.append(kwargs["options"]) or real(**kwargs))
    other = server_module.Server(live.server.config, live.server.aligner)
    other._wire()
    assert seen == [server_options(live.server.config.limits.max_message_bytes)]
