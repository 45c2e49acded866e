"""A server under load for a long time: it does not grow, nothing stays open, and no error goes without its reason.

    python tests/service/soak.py [--seconds 1800] [--load 0.8] [--json FILE]       24 hours: --seconds 86400

It is first measured what the server can do; then it gets 80 % of that, in rounds. Calls, questions about their answers
and videos come on connections that are new each time or stay; some are cancelled, or have no time; and all the while
the model is swapped between small bundles that are made here. After each round all is left to end, and what the server
still holds is read: memory, threads, descriptors, tasks. Exit code 1: something grows, or an error is unexplained.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # drawn bundles are made of what lies there

import grpc

from drawn_bundles import write_bundle
from exalign.v1 import admin_pb2, admin_pb2_grpc, evidence_pb2, service_pb2, service_pb2_grpc
from service_fakes import GOOD_BOX, channel_to, encoded, picture, request
from track_fakes import config as track_config
from track_fakes import frame

BUNDLES = 3
PICTURES = [encoded(picture(48, 48, seed=i), ".jpg") for i in range(4)]

#: Calls and videos at once, of what is measured first; connections that stay.
AT_ONCE, CONNECTIONS = 16, 4

#: Length of a round and of what is measured first, seconds; rounds before memory has found its base.
ROUND, MEASURED, WARM = 60.0, 10.0, 3

#: A swap every so many seconds.
SWAP_EVERY = 10.0

#: Memory may grow by so much with 10,000 requests, bytes; the rest by so many, which come and go.
MOST_GROWTH, SLACK = 1_000_000, 2

#: Thresholds of glibc's malloc, bytes; set at all, they no longer move by themselves.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "32768", "MALLOC_ARENA_MAX": "2"}

CODE = grpc.StatusCode


@dataclass
class Report:
    """What was counted; ``wrong`` is empty where all is as it should be."""

    seconds: float = 0.0
    capacity: float = 0.0
    rate: float = 0.0
    requests: int = 0
    swaps: int = 0
    connections: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    held: list[dict[str, int]] = field(default_factory=list)
    growth_bytes_per_10000: float | None = None
    wrong: list[str] = field(default_factory=list)


class Load:
    """Jobs, and what comes of them.

    Args:
        address: of the server.
        seed: what comes next follows from it.
    """

    def __init__(self, address: str, seed: int = 1) -> None:
        self._address, self._random = address, random.Random(seed)
        self.requests = self.connections = self.swaps = 0
        self.endings: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self._kinds: list[tuple[int, Callable[[Any], Awaitable[None]]]] = [
            (8, self._call),
            (3, self._question),
            (1, self._cancelled_call),
            (1, self._late_call),
            (3, self._video),
            (1, self._broken_video),
        ]

    async def job(self, stubs: list[Any]) -> None:
        """One job, now and then on a connection of its own."""
        (work,) = self._random.choices([w for _, w in self._kinds], [n for n, _ in self._kinds])
        if self._random.random() < 0.1:
            self.connections += 1
            async with channel_to(self._address) as channel:
                await self._judged(work, service_pb2_grpc.FaceAlignmentServiceStub(channel))
        else:
            await self._judged(work, self._random.choice(stubs))

    async def swap(self, channel: grpc.aio.Channel, number: int) -> None:
        """Another bundle; where there is no room yet, the next one will do."""
        stub: Any = admin_pb2_grpc.ModelAdminServiceStub(channel)
        try:
            await stub.SwapModel(admin_pb2.SwapModelRequest(bundle=f"bundle-{number}"))
            self.swaps += 1
        except grpc.aio.AioRpcError as e:
            self._ended("swap", e, (CODE.RESOURCE_EXHAUSTED,))

    async def _judged(self, work: Callable[[Any], Awaitable[None]], stub: Any) -> None:
        try:
            await work(stub)
        except Exception as e:  # noqa: BLE001  # whatever it is, nobody has explained it
            self.unexplained.append(f"{work.__name__}: {type(e).__name__}: {e}"[:300])

    def _ended(self, what: str, error: grpc.aio.AioRpcError, explained: tuple[grpc.StatusCode, ...]) -> None:
        """Count an end; a refusal for overload says when to come again, and is explained."""
        self.endings[f"{what} {error.code().name}"] += 1
        if error.code() not in (*explained, CODE.RESOURCE_EXHAUSTED):
            self.unexplained.append(f"{what}: {error.code().name} {error.details()}"[:300])

    async def _ask(self, what: str, call: Any, explained: tuple[grpc.StatusCode, ...] = ()) -> Any:
        self.requests += 1
        try:
            answer = await call
        except grpc.aio.AioRpcError as e:
            self._ended(what, e, explained)
            return None
        self.endings[f"{what} OK"] += 1
        return answer

    async def _call(self, stub: Any) -> None:
        boxes = [GOOD_BOX] * self._random.choice((1, 1, 2, 4))
        await self._ask("call", stub.PredictLandmarks(request(*boxes, data=self._random.choice(PICTURES))))

    async def _question(self, stub: Any) -> None:
        """About an answer: its bundle may have gone in the meantime."""
        answer = await self._ask("call", stub.PredictLandmarks(request(GOOD_BOX, data=PICTURES[0])))
        if answer is None:
            return
        known, click = answer.faces[0].posterior_id, {"landmark": 30, "position": {"x": 25, "y": 25}}
        evidence = evidence_pb2.Evidence(clicks=[click])
        for question in (
            stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=known)),
            stub.PredictHeatmaps(service_pb2.PredictHeatmapsRequest(posterior_id=known, heatmaps={"width": 16})),
            stub.QueryConditional(service_pb2.QueryConditionalRequest(posterior_id=known, evidence=evidence)),
        ):
            await self._ask("question", question, (CODE.NOT_FOUND,))

    async def _cancelled_call(self, stub: Any) -> None:
        self.requests += 1
        call = stub.PredictLandmarks(request(GOOD_BOX, data=PICTURES[1]))
        await asyncio.sleep(self._random.uniform(0, 0.02))
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            self.endings["cancelled call CANCELLED"] += 1
        except grpc.aio.AioRpcError as e:
            self._ended("cancelled call", e, (CODE.CANCELLED,))
        else:
            self.endings["cancelled call OK"] += 1

    async def _late_call(self, stub: Any) -> None:
        call = stub.PredictLandmarks(request(GOOD_BOX, data=PICTURES[2]), timeout=self._random.uniform(0.001, 0.05))
        await self._ask("late call", call, (CODE.DEADLINE_EXCEEDED,))

    async def _video(self, stub: Any) -> None:
        """To its end; it may move to another bundle at every frame, or at none."""
        call, moves = await self._opened(stub), self._random.random() < 0.5
        if call is None:
            return
        for index in range(self._random.randint(3, 12)):
            if not await self._frame(call, index, moves=moves):
                return
        await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
        self.endings[f"video {(await call.code()).name}"] += 1
        if await call.code() is not CODE.OK:
            self.unexplained.append(f"video: {await call.code()} {await call.details()}")

    async def _broken_video(self, stub: Any) -> None:
        """Cut in the middle; its session is kept for a while."""
        call = await self._opened(stub)
        if call is not None and await self._frame(call, 0, moves=False):
            await self._send(call, 1)
            call.cancel()
            self.endings["video cut"] += 1

    async def _opened(self, stub: Any) -> Any:
        call = stub.TrackVideo()
        try:
            await call.write(service_pb2.TrackVideoRequest(config=track_config(smoothing_lag=1)))
            if await call.read() is not grpc.aio.EOF:
                return call
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        self._refused(await call.code(), str(await call.details()))
        return None

    async def _frame(self, call: Any, index: int, *, moves: bool) -> bool:
        """Whether it was answered."""
        await self._send(call, index, may_change_model=moves)
        while (answer := await call.read()) is not grpc.aio.EOF:
            if answer.WhichOneof("message") == "result":
                return True
        self._refused(await call.code(), str(await call.details()))
        return False

    async def _send(self, call: Any, index: int, **fields: Any) -> None:
        message = frame(index, GOOD_BOX, data=PICTURES[index % len(PICTURES)], **fields)
        if index:
            message.acked_frame = index - 1
        self.requests += 1
        await call.write(service_pb2.TrackVideoRequest(frame=message))

    def _refused(self, code: grpc.StatusCode, text: str) -> None:
        self.endings[f"video {code.name}"] += 1
        if code is not CODE.RESOURCE_EXHAUSTED:
            self.unexplained.append(f"video: {code.name} {text}"[:300])


@contextmanager
def server_process(folder: Path) -> Iterator[tuple[int, str, str]]:
    """A server with the bundles of a folder: its process, its address and that of its metrics."""
    for number in range(BUNDLES):
        write_bundle(folder / f"bundle-{number}", number)
    command = [sys.executable, "-m", "exalign_service.cli", "serve", "--exit-with-stdin", "--log-level", "error"]
    command += ["--bundle-directory", str(folder), "--bundle", str(folder / "bundle-0"), "--runtime", "onnxruntime"]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    command += ["--session-retention", "2", "--max-sessions", "1024", "--caller-share", "1"]
    environment = {**os.environ, **MALLOC}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield process.pid, said["address"], said["metrics_address"]
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def samples(address: str) -> dict[str, float]:
    """All samples of the server's metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        lines = [line.rpartition(" ") for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def held(pid: int, metrics_address: str) -> dict[str, int]:
    """What the server holds once nothing is in progress."""
    until = time.monotonic() + 120
    busy = True
    while busy and time.monotonic() < until:
        await asyncio.sleep(1.2)  # longer than from one look at its tasks to the next
        now = await asyncio.to_thread(samples, metrics_address)
        busy = any(value for name, value in now.items() if name.startswith(("exalign_sessions{", "exalign_calls")))
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "resident_bytes": 1024 * int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "tasks": int(now["exalign_tasks"]),
        "busy": int(busy),
    }


@asynccontextmanager
async def swapping(load: Load, channel: grpc.aio.Channel) -> Any:
    """Swap the model all the while."""

    async def swaps() -> None:
        number = 0
        while True:
            number = (number + 1) % BUNDLES
            await load.swap(channel, number)
            await asyncio.sleep(SWAP_EVERY)

    task = asyncio.create_task(swaps())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def capacity(load: Load, stubs: list[Any]) -> float:
    """Requests a second that the server answers where as many jobs as may be follow each other."""
    until = time.monotonic() + MEASURED
    before = load.requests

    async def work() -> None:
        while time.monotonic() < until:
            await load.job(stubs)

    start = time.monotonic()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (load.requests - before) / (time.monotonic() - start)


async def at_rate(load: Load, stubs: list[Any], rate: float, seconds: float) -> None:
    """So many requests a second, whenever the ones before are answered."""
    start, before, tasks = time.monotonic(), load.requests, set[asyncio.Task[None]]()
    while (now := time.monotonic() - start) < seconds:
        if load.requests - before < rate * now and len(tasks) < 4 * AT_ONCE:
            task = asyncio.create_task(load.job(stubs))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.001 if load.requests - before < rate * now else 0.01)
    await asyncio.gather(*tasks)


async def run(seconds: float, share: float, round_seconds: float = ROUND) -> Report:
    """A soak.

    Args:
        seconds: under load.
        share: of what the server can do.
        round_seconds: of one round.
    """
    found, folder = Report(), Path(tempfile.mkdtemp())
    try:
        with server_process(folder) as (pid, address, metrics_address):
            load, channels = Load(address), [channel_to(address) for _ in range(CONNECTIONS + 1)]
            stubs: list[Any] = [service_pb2_grpc.FaceAlignmentServiceStub(channel) for channel in channels[1:]]
            await stubs[0].PredictLandmarks(request(GOOD_BOX, data=PICTURES[0]), wait_for_ready=True)
            await capacity(load, stubs)  # compiles what is compiled at its first use
            found.capacity = await capacity(load, stubs)
            found.rate, rounds = share * found.capacity, max(2, round(seconds / round_seconds))
            for number in range(rounds):
                before, began = load.requests, time.monotonic()
                async with swapping(load, channels[0]):
                    await at_rate(load, stubs, found.rate, round_seconds)
                found.seconds += time.monotonic() - began
                now = await held(pid, metrics_address)
                found.held.append({"requests": load.requests - before, **now})
                print(f"round {number + 1} of {rounds}: {found.held[-1]}, {load.unexplained[:3]}", flush=True)
            for channel in channels:
                await channel.close()
            found.requests, found.swaps, found.connections = load.requests, load.swaps, load.connections
            found.endings, found.wrong = dict(load.endings.most_common()), load.unexplained[:20]
        judge(found)
    finally:
        shutil.rmtree(folder)
    return found


def judge(found: Report) -> None:
    """Note what grows."""
    rounds = found.held[WARM:] if len(found.held) > WARM + 2 else found.held
    grown = [
        (after["resident_bytes"] - before["resident_bytes"]) / max(after["requests"], 1) * 10_000
        for before, after in pairwise(rounds)
    ]
    found.growth_bytes_per_10000 = round(statistics.median(grown))
    if found.growth_bytes_per_10000 > MOST_GROWTH:
        found.wrong.append(f"memory grows by {found.growth_bytes_per_10000:,.0f} bytes with 10,000 requests")
    for what in ("threads", "descriptors", "tasks"):
        counts = [one[what] for one in rounds]
        half = len(counts) // 2
        if min(counts[half:]) > max(counts[: half or 1]) + SLACK:
            found.wrong.append(f"{what} grow: {counts}")
    if any(one["busy"] for one in found.held):
        found.wrong.append("calls or sessions are left when nobody calls")


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Load a server for a long time.")
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--load", type=float, default=0.8, help="share of what the server can do")
    parser.add_argument("--round", type=float, default=ROUND, help="seconds from one look to the next")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.seconds, arguments.load, arguments.round))
    text = json.dumps(asdict(found), indent=1)
    print(text)
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
