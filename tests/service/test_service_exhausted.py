"""Out of descriptors or memory the server refuses, says so once a second, and stays ready on its metrics port."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import socket
import sys
import urllib.request
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import grpc
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_engine import Aligner
from exalign_service.observability.listener import MOST_CONNECTIONS, Listener
from exalign_service.observability.logs import Seldom
from exalign_service.rpc import interceptor
from service_fakes import GOOD_BOX, Running, details_of, request, until
from test_service_cli import FREE, PROGRAM, running_program
from test_service_lifecycle import get

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: /proc and prlimit")


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@linux
def test_without_descriptors_the_metrics_port_answers_and_the_log_says_so_once_a_second() -> None:
    with running_program(PROGRAM, *FREE) as process, ExitStack() as stack:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        limit = descriptors(process.pid) + 8
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        host, port = said["address"].split(":")
        for _ in range(12):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
        while descriptors(process.pid) < limit:
            pass
        for path in ("readyz", "metrics") * 8:
            with urllib.request.urlopen(f"http://{said['metrics_address']}/{path}", timeout=60) as response:
                assert response.status == 200
                body = response.read().decode()
        assert float(body.partition("\nexalign_descriptors_exhausted_total ")[2].partition("\n")[0]) > 0
        stack.pop_all().close()
        with grpc.insecure_channel(said["address"]) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            model = stub.GetModel(service_pb2.GetModelRequest(), timeout=60, wait_for_ready=True)
        assert model.bundle_id == "b" * 64
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    times = [
        datetime.fromisoformat(line["ts"])
        for line in map(json.loads, err.splitlines())
        if line["event"] == "no descriptor is left"
    ]
    assert times
    assert all(later - earlier > timedelta(seconds=0.9) for earlier, later in pairwise(times))


async def test_connections_beyond_the_most_take_the_place_of_the_oldest() -> None:
    held: list[socket.socket] = []

    async def hold(connection: socket.socket) -> None:
        held.append(connection)
        await asyncio.Event().wait()

    listener = Listener(hold)
    port = await listener.start("127.0.0.1", 0)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(MOST_CONNECTIONS + 1)
        ]
        first, second = clients[:2]
        assert await asyncio.to_thread(first.recv, 1) == b""  # closed
        await until(lambda: len(held) >= MOST_CONNECTIONS)
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(1)
        closing = asyncio.create_task(listener.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await until(lambda: all(connection.fileno() == -1 for connection in held))


def test_of_lines_that_come_too_often_one_passes_and_the_others_are_counted() -> None:
    now = 5.0
    lines = Seldom(1.0, lambda: now)
    assert [lines.due() for _ in range(4)] == [True, False, False, False]
    now = 5.9
    assert not lines.due()
    now = 6.0
    assert lines.due()
    assert lines.left_out == 4
    now = 7.0
    assert lines.due()
    assert lines.left_out == 0


async def test_a_message_for_which_there_is_no_memory_is_not_called_malformed(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_memory(size: int) -> None:
        raise MemoryError

    monkeypatch.setattr(interceptor, "check_memory", check_memory)
    call = live.channel.unary_unary("/exalign.v1.FaceAlignmentService/PredictLandmarks", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff")
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_too_little_memory_is_resource_exhausted_with_a_retry_hint(
    live: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crop(*arguments: object) -> None:
        raise MemoryError("secret")

    with monkeypatch.context() as patch:
        patch.setattr(Aligner, "crop", crop)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(GOOD_BOX))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "the server has too little memory for this call now"
    assert details_of(caught.value).reason == "OUT_OF_MEMORY"
    assert details_of(caught.value).retry_seconds is not None
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["out of memory"]
    assert (await get(live.server, "/readyz"))[0] == 200
    assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
