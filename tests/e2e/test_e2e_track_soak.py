"""Many sessions, ended in every way: no state is left, and the server does not grow.

300 sessions by default; ``EXALIGN_SOAK=10000`` for the long run. What a server allocates at first (threads, arenas,
caches, connections) is no leak, so growth is counted after the first 1,000 sessions, and may be 5 MB in all. A short
run is over before that: there it is counted after the first third, and only what would be a leak of whole session
states, 50 kB a session, fails.

glibc keeps much of what is freed and raises its own thresholds as it meets large blocks, so the resident memory of a
server wanders with what was in flight, in steps. Here the thresholds are fixed, with which it wanders less, and what
counts is the median of what it grew by from one reading to the next: a leak makes each of them larger, a step only one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from track_e2e import clip, config, frame, gauges

from exalign.v1 import service_pb2, service_pb2_grpc

SESSIONS = int(os.environ.get("EXALIGN_SOAK", "300"))
WARM = 1000 if SESSIONS > 2000 else SESSIONS // 3
AT_ONCE = 16

#: Readings of the memory, each after as many sessions, when all of them have ended.
ROUNDS = 10 if SESSIONS <= 2000 else 45

#: Of a stream that ends by it, seconds.
DEADLINE = 1.0

GROWTH_BYTES = 5 * 1024 * 1024 if SESSIONS > 2000 else 50_000 * (SESSIONS - WARM)

#: Thresholds of glibc's malloc, bytes; set at all, they no longer move by themselves.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "32768", "MALLOC_ARENA_MAX": "2"}

#: Sessions of one client that is killed.
CROWD = 20

CLIENT = """
import sys, time
sys.path[:0] = {path!r}
import grpc
from exalign.v1 import service_pb2_grpc
from track_e2e import Talk, frame
picture = open({picture!r}, "rb").read()
stub = service_pb2_grpc.FaceAlignmentServiceStub(grpc.insecure_channel({address!r}))
talks = [Talk(stub) for _ in range({crowd})]
for it in talks:
    it.open()
    it.results(frame(0, picture))
    it.say(frame=frame(1, None))
print("ready", flush=True)
time.sleep(600)
"""


@dataclass
class Soaked:
    """A server for this file alone."""

    process: subprocess.Popen[str]
    address: str
    metrics_address: str

    def rss(self) -> int:
        """Resident memory, bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@pytest.fixture
def soaked(tmp_path: Path) -> Iterator[Soaked]:
    """A server in which nothing is being warmed up any more: that takes memory too."""
    command = [sys.executable, "-m", "exalign_service.cli", "serve"]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    command += ["--session-retention", "0.5", "--shutdown-grace", "20"]
    environment = {**os.environ, **MALLOC}
    log = tmp_path / "log.jsonl"
    with log.open("w") as stderr:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        while '"event": "warm"' not in log.read_text("utf-8"):
            assert process.poll() is None, log.read_text("utf-8")
            time.sleep(0.05)
        yield Soaked(process, announced["address"], announced["metrics_address"])
    finally:
        process.kill()
        process.communicate()


Call = Any


async def say(call: Call, **message: Any) -> None:
    await call.write(service_pb2.TrackVideoRequest(**message))


async def hear(call: Call, kind: str) -> None:
    answer = await asyncio.wait_for(call.read(), 300)
    assert answer is not grpc.aio.EOF
    assert answer.WhichOneof("message") == kind


async def all_of(call: Call) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def half_close(call: Call) -> None:
    await call.done_writing()
    await hear(call, "result")
    await hear(call, "closed")
    assert await call.code() == grpc.StatusCode.OK


async def cancel(call: Call) -> None:
    call.cancel()


async def error(call: Call) -> None:
    await say(call, config=config())
    with pytest.raises(grpc.aio.AioRpcError):
        await all_of(call)
    assert await call.code() == grpc.StatusCode.FAILED_PRECONDITION


async def deadline(call: Call) -> None:
    await all_of(call)
    pytest.fail("a stream outlived its deadline")


WAYS = (half_close, cancel, error, deadline)

#: How a call ends for its client where the deadline passes while a message is being written.
_WRITING = (grpc.StatusCode.INTERNAL, "Internal error from Core")


async def one(stub: Any, picture: bytes, way: Callable[[Call], Any]) -> None:
    """A session with a frame answered and another on its way."""
    call = stub.TrackVideo(timeout=DEADLINE if way is deadline else None)
    try:
        await say(call, config=config())
        await hear(call, "opened")
        await say(call, frame=frame(0, picture))
        await hear(call, "result")
        await say(call, frame=frame(1, None))
        await way(call)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        # On a busy machine it may come anywhere, also while a message is being written.
        status = await call.code(), await call.details()
        if way is not deadline or (status[0] != grpc.StatusCode.DEADLINE_EXCEEDED and status != _WRITING):
            raise


async def some(address: str, picture: bytes, count: int) -> None:
    """So many sessions, a few at once, on one connection."""
    ways = islice(cycle(WAYS), count)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)

        async def work() -> None:
            for way in ways:
                await one(stub, picture, way)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def crowd_is_killed(soaked: Soaked, picture: Path) -> None:
    """A client with many sessions is killed."""
    script = CLIENT.format(path=sys.path, picture=str(picture), address=soaked.address, crowd=CROWD)
    client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        assert gauges(soaked.metrics_address)["active"] == CROWD
    finally:
        client.kill()
        client.communicate()


def settled(soaked: Soaked) -> None:
    """Wait until no session is left, in any state."""
    limit = time.monotonic() + 300
    while left := gauges(soaked.metrics_address):
        assert time.monotonic() < limit, left
        time.sleep(0.05)


async def drained(soaked: Soaked, picture: bytes) -> None:
    """Stop the server under many sessions: each is told, and the process ends well."""
    async with grpc.aio.insecure_channel(soaked.address) as channel:
        stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        calls = [stub.TrackVideo() for _ in range(CROWD)]
        for call in calls:
            await say(call, config=config())
            await hear(call, "opened")
            await say(call, frame=frame(0, picture))
            await hear(call, "result")
        soaked.process.send_signal(signal.SIGTERM)
        for call in calls:
            await hear(call, "go_away")
            call.cancel()
        assert await asyncio.to_thread(soaked.process.wait, 120) == 0


@pytest.mark.timeout(max(900, SESSIONS))
def test_nothing_is_left_of_many_sessions_and_the_server_does_not_grow(
    soaked: Soaked, astronaut: bytes, tmp_path: Path
) -> None:
    (data,) = clip(astronaut, 1)
    picture = tmp_path / "frame.jpg"
    picture.write_bytes(data)

    def round_of(count: int) -> None:
        killed = count // (len(WAYS) + 1) // CROWD
        for _ in range(killed):
            crowd_is_killed(soaked, picture)
        asyncio.run(some(soaked.address, data, count - killed * CROWD))
        settled(soaked)

    round_of(WARM)
    sizes = []
    for _ in range(ROUNDS):
        round_of((SESSIONS - WARM) // ROUNDS)
        sizes.append(soaked.rss())
    growth = ROUNDS * statistics.median(after - before for before, after in pairwise(sizes))
    print(f"{SESSIONS} sessions, MB after {WARM}:", *(round(size / 2**20, 1) for size in sizes))
    assert growth <= GROWTH_BYTES
    asyncio.run(drained(soaked, data))
