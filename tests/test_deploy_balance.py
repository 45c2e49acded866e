"""HAProxy as deploy/ configures it, before four small servers: no server has many more streams than the others."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

import outside_programs

ROOT = Path(__file__).parents[1]
SERVERS, STREAMS = 4, 40


class Ready(BaseHTTPRequestHandler):
    """Answers /readyz."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def health_ports() -> Iterator[list[int]]:
    servers = [HTTPServer(("127.0.0.1", 0), Ready) for _ in range(SERVERS)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


async def streams_of_each(health_ports: list[int], config: Path) -> list[int]:
    """How many of many streams each of the servers has, behind a proxy."""
    found, servers, environment = Counter[int](), [], outside_programs.environment()

    def handler(number: int) -> Any:
        async def stay(messages: Any, context: Any) -> None:
            found[number] += 1
            await context.write(b"here")
            await asyncio.Event().wait()

        method = grpc.stream_stream_rpc_method_handler(stay)
        return grpc.method_handlers_generic_handler("Streams", {"Stay": method})

    for number, health in enumerate(health_ports):
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handler(number),))
        environment[f"EXALIGN_R{number + 1}"] = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        environment[f"EXALIGN_M{number + 1}"] = str(health)
        await server.start()
        servers.append(server)
    port = outside_programs.free_port()
    environment["EXALIGN_BIND"] = f"127.0.0.1:{port}"
    program = outside_programs.program("haproxy")
    assert program is not None
    quiet = asyncio.subprocess.DEVNULL
    proxy = await asyncio.create_subprocess_exec(
        program, "-f", str(config), cwd=ROOT, env={**os.environ, **environment}, stdout=quiet, stderr=quiet
    )
    try:
        async with asyncio.timeout(120), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream("/Streams/Stay")
            calls = []
            for session in range(STREAMS):
                calls.append(call(metadata=[("x-session-id", f"session-{session}")], wait_for_ready=True))
                assert await calls[-1].read() == b"here"
            for one in calls:
                one.cancel()
    finally:
        proxy.kill()
        await proxy.wait()
        for server in servers:
            await server.stop(0)
    return [found[number] for number in range(SERVERS)]


@pytest.mark.skipif(outside_programs.program("haproxy") is None, reason="haproxy is not here")
def test_no_server_has_many_more_streams_than_its_share(health_ports: list[int], tmp_path: Path) -> None:
    bounded = ROOT / "deploy" / "haproxy.cfg"
    even = STREAMS / SERVERS
    assert max(asyncio.run(streams_of_each(health_ports, bounded))) <= 1.1 * even + 1
    # The bound it is that does this.
    unbounded = tmp_path / "haproxy.cfg"
    unbounded.write_text(bounded.read_text().replace("  hash-balance-factor 110\n", ""))
    assert max(asyncio.run(streams_of_each(health_ports, unbounded))) > 1.1 * even + 1
