"""However a call ends, wherever it is: nothing of it stays, and the metrics count how it ended.

    python tests/service/trust_matrix.py [--rounds 3]

Rows are where a call is when it ends: a unary call in the queue of the network, in a thread, in the engine; a stream
that is idle, and one with frames in flight. Columns are how it ends: the caller cancels, its deadline passes, it
fails, the server drains, the client is killed, or its connection goes dead without a word. The server is the real one
with a network and a detector that are held where they are; gRPC looks for dead connections fifty times as often.

Each cell compares, before and after: calls, requests' bytes, queues, sessions, tasks of the event loop, descriptors.
`main` repeats the matrix, and compares the memory after the first round and the last.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import grpc

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service import server as server_module
from half_open import HalfOpen, hurried
from service_fakes import GOOD_BOX, FakeDetector, Running, config, request, running, until
from track_fakes import config as track_config
from track_fakes import frame

PLACES = ("unary: queued", "unary: in a thread", "unary: in the engine", "stream: idle", "stream: frames in flight")
ENDS = ("cancel", "deadline", "error", "drain", "client killed", "connection dead")

#: Seconds of a deadline that is to pass.
DEADLINE = 0.5

#: Gauges that say what the server holds.
GAUGES = (
    ("exalign_calls", {}),
    ("exalign_request_bytes", {}),
    ("exalign_queue_depth", {}),
    ("exalign_stage_queue_depth", {}),
    ("exalign_decoded_bytes", {"state": "held"}),
    ("exalign_decode_jobs", {"state": "waiting"}),
    ("exalign_sessions", {"state": "active"}),
    ("exalign_sessions", {"state": "draining"}),
    ("exalign_sessions", {"state": "detached"}),
)

#: What a caller in a process of its own does: the place, and the server's address.
CLIENT = "import sys, asyncio, trust_matrix; asyncio.run(trust_matrix.call(sys.argv[1], sys.argv[2], None))"


class HeldDetector(FakeDetector):
    """A detector that is held; ``held`` pictures are at the gate."""

    def __init__(self) -> None:
        super().__init__((GOOD_BOX, 0.9))
        self.gate, self.held = threading.Event(), 0
        self.gate.set()
        self.error: Exception | None = None

    def release(self) -> None:
        self.gate.set()

    def detect(self, image: Any) -> Any:
        self.held += 1
        self.gate.wait()
        self.held -= 1
        if self.error is not None:
            raise self.error
        return super().detect(image)


@dataclass
class Holding:
    """What the server holds."""

    gauges: list[float]
    tasks: int
    descriptors: int

    @classmethod
    def of(cls, live: Running) -> Holding:
        gauges = [live.sample(name, **labels) for name, labels in GAUGES]
        return cls(gauges, len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())))

    def within(self, base: Holding) -> bool:
        """No more than before; connections come and go, a client's and a server's end."""
        return self.gauges == base.gauges and self.tasks <= base.tasks and self.descriptors <= base.descriptors + 2


@dataclass
class Cell:
    """What came of one cell; ``fault`` is empty where all is as it should be."""

    place: str
    end: str
    code: str
    fault: str = ""


@dataclass
class EndingCall:
    """The call that ends.

    Attributes:
        calling: the task of a caller in this process.
        process: of a caller in another one.
        way: its connection, where that may go dead.
    """

    calling: asyncio.Task[None] | None = None
    process: subprocess.Popen[bytes] | None = None
    way: HalfOpen | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)


async def call(place: str, address: str, timeout: float | None, say: Callable[[], object] = lambda: None) -> None:
    """The call of a place, until it ends."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(address, options) as channel:
        stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        if place.startswith("unary"):
            asked = request() if place == "unary: in a thread" else request(GOOD_BOX)
            say()
            await stub.PredictLandmarks(asked, timeout=timeout)
            return
        stream = stub.TrackVideo(timeout=timeout)
        await stream.write(service_pb2.TrackVideoRequest(config=track_config()))
        await stream.read()
        if place == "stream: frames in flight":
            for index in range(3):
                message = frame(index, *((GOOD_BOX,) if index == 0 else ()))
                await stream.write(service_pb2.TrackVideoRequest(frame=message))
        say()
        while (message := await stream.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            if message.WhichOneof("message") == "go_away":
                await stream.done_writing()
            elif message.WhichOneof("message") == "heartbeat":  # pragma: no cover
                break
        if (code := await stream.code()) is not grpc.StatusCode.OK:
            raise RuntimeError(code)


@contextmanager
def caller_process(place: str, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A caller that can be killed."""
    here = str(Path(__file__).parent)
    path = os.pathsep.join([here, *sys.path])
    process = subprocess.Popen([sys.executable, "-c", CLIENT, place, address], env={**os.environ, "PYTHONPATH": path})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Matrix:
    """One server, in which calls end."""

    def __init__(self, live: Running, detector: HeldDetector) -> None:
        self.live, self.detector = live, detector

    async def cell(self, place: str, end: str) -> Cell:
        """Let a call end; what is wrong afterwards."""
        base = Holding.of(self.live)
        before = self._counts(place)
        async with AsyncExitStack() as stack:
            await self._hold(stack, place)
            subject = await self._begin(stack, place, end)
            await self._arrive(place)
            await self._end(place, end, subject)
            # Work that nobody waits for any more: its call is counted while the gates are closed.
            code = await self._counted(place, before)
            self._open()
        return Cell(place, end, code, await self._fault(place, end, code, base))

    async def _hold(self, stack: AsyncExitStack, place: str) -> None:
        """Close the gates that the call is to meet; fill what it must wait behind."""
        if place == "unary: in a thread":
            self.detector.gate.clear()
        elif place != "stream: idle":
            self.live.runtime.gate.clear()
        stack.callback(self._open)
        if place == "unary: queued":  # the worker, and the one that stands by for others than the first
            for i in (1, 2):
                blocker = asyncio.create_task(call("unary: in the engine", self.live.server.address, None))
                stack.push_async_callback(_ended, blocker)
                await until(lambda i=i: self.live.runtime.held == i)  # type: ignore[misc]

    async def _begin(self, stack: AsyncExitStack, place: str, end: str) -> EndingCall:
        address, subject = self.live.server.address, EndingCall()
        if end == "client killed":
            subject.process = stack.enter_context(caller_process(place, address))
            return subject
        if end == "connection dead":
            port = int(address.rpartition(":")[2])
            subject.way = await stack.enter_async_context(HalfOpen(port))
            address = subject.way.address
        timeout = DEADLINE if end == "deadline" else None
        subject.calling = asyncio.create_task(call(place, address, timeout, subject.started.set))
        stack.push_async_callback(_ended, subject.calling)
        await subject.started.wait()
        return subject

    async def _arrive(self, place: str) -> None:
        """Wait until the call is in its place."""
        live = self.live
        where: dict[str, Callable[[], bool]] = {
            "unary: queued": lambda: live.sample("exalign_queue_depth") == 1,
            "unary: in a thread": lambda: self.detector.held == 1,
            "unary: in the engine": lambda: live.runtime.held == 1,
            "stream: idle": lambda: live.sample("exalign_sessions", state="active") == 1,
            "stream: frames in flight": lambda: live.runtime.held == 1,
        }
        await until(where[place], 60)

    async def _end(self, place: str, end: str, subject: EndingCall) -> None:
        live = self.live
        if end == "cancel":
            assert subject.calling is not None
            subject.calling.cancel()
        elif end == "error":
            live.runtime.error = self.detector.error = RuntimeError("as the test wants")
            if place == "stream: idle":
                assert subject.calling is not None
                subject.calling.cancel()  # nothing works for an idle stream that could fail
            self._open()
        elif end == "drain":
            stopping = asyncio.create_task(live.server.stop(30))
            await until(lambda: live.server.lifecycle.draining)
            self._open()
            await stopping
        elif end == "client killed":
            assert subject.process is not None
            subject.process.send_signal(signal.SIGKILL)
        elif end == "connection dead":
            assert subject.way is not None
            subject.way.die()

    def _open(self) -> None:
        self.detector.gate.set()
        self.live.runtime.gate.set()

    def _counts(self, place: str) -> dict[str, float]:
        """Calls handled, by status."""
        method = "PredictLandmarks" if place.startswith("unary") else "TrackVideo"
        return {
            s.labels["grpc_code"]: s.value
            for metric in self.live.server.metrics.registry.collect()
            for s in metric.samples
            if s.name == "grpc_server_handled_total" and s.labels["grpc_method"] == method
        }

    async def _counted(self, place: str, before: dict[str, float]) -> str:
        """How the call ended, by the metrics. It ends before those that it waits behind, or like them."""

        def codes() -> list[str]:
            return sorted(code for code, value in self._counts(place).items() if value != before[code])

        await until(lambda: bool(codes()), 60)
        return ", ".join(codes())

    async def _fault(self, place: str, end: str, code: str, base: Holding) -> str:
        if code != expected(place, end):
            return f"counted {code or 'nothing'}, not {expected(place, end)}"
        if end == "drain":
            return ""
        try:
            await until(lambda: Holding.of(self.live).within(base), 30)
        except TimeoutError:
            return f"holds {Holding.of(self.live)}, before {base}"
        return ""


def expected(place: str, end: str) -> str:
    """The status that is counted."""
    if end == "error":
        return "Canceled" if place == "stream: idle" else "Internal"
    return {"deadline": "DeadlineExceeded", "drain": "OK"}.get(end, "Canceled")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def matrix(folder: Path) -> AsyncIterator[Matrix]:
    """A matrix over a server of its own."""
    detector = HeldDetector()
    real = server_module.server_options
    with mock.patch.object(server_module, "server_options", lambda *a, **k: hurried(real(*a, **k))):
        async with running(folder, config(session_retention=0.2, network_calls=1), detector=detector) as live:
            yield Matrix(live, detector)


async def one(place: str, end: str) -> Cell:
    """One cell, with a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with matrix(Path(folder)) as it:
            return await it.cell(place, end)


async def _all(rounds: int) -> int:
    faults, memory = 0, list[int]()
    print(f"{'':26}" + "".join(f"{end:>18}" for end in ENDS))
    for number in range(rounds):
        for place in PLACES:
            cells = [await one(place, end) for end in ENDS]
            faults += sum(bool(cell.fault) for cell in cells)
            shown = "".join(f"{'FAULT' if cell.fault else cell.code:>18}" for cell in cells)
            if number == 0 or any(cell.fault for cell in cells):
                print(f"{place:26}{shown}", flush=True)
                for cell in cells:
                    if cell.fault:
                        print(f"  {cell.end}: {cell.fault}")
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        print(f"round {number + 1} of {rounds}: {memory[-1] / 1e6:.0f} MB", flush=True)
    grown = (memory[-1] - memory[0]) / 1e6
    print(f"{faults} faults; memory after the last round is that after the first {grown:+.1f} MB")
    return faults


def main() -> None:
    """Print the matrix; exit code 1 where something is wrong."""
    logging.disable(logging.ERROR)  # the errors that are wanted
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    sys.exit(1 if asyncio.run(_all(parser.parse_args().rounds)) else 0)


if __name__ == "__main__":
    main()
