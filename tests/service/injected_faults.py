"""Faults that are injected into a process of `faulty_server` from outside, and what is promised about each."""

from __future__ import annotations

import io
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from PIL import Image

import faulty_server as does
from exalign.v1 import service_pb2
from faulty_process import PATIENCE, Answer, ServerUnderFault, seconds_of
from service_fakes import GOOD_BOX, picture, request

Request = service_pb2.PredictLandmarksRequest


@dataclass(frozen=True)
class Promise:
    """What is expected of a fault.

    Attributes:
        callers: statuses of calls during the fault, one after another.
        state: /readyz then, as a pattern; empty: it does not answer.
        event: the line of the log that says so; None: nothing has to be said.
        metric: a sample that rises.
        health: what the health service says then.
        codes: exit codes after SIGTERM during the fault.
        recovers: the longest time until all is well again, seconds: a process must start first where one was lost.
    """

    callers: tuple[str, ...]
    state: str
    event: str | None
    metric: str
    health: str = "SERVING"
    codes: tuple[int, ...] = (0,)
    recovers: float = 10.0


@dataclass
class Fault:
    """A fault of the network, the detector or the threads; others override what they do otherwise.

    Attributes:
        name: of the row.
        wanted: of `faulty_server`.
        promise: see there.
        arguments: further settings.
    """

    name: str
    wanted: str
    promise: Promise
    arguments: tuple[str, ...] = ()

    def begin(self, it: ServerUnderFault) -> float:
        """Begin; the time."""
        it.want(self.wanted)
        return time.time()

    def end(self, it: ServerUnderFault) -> None:
        """End it, where it does not end by itself."""
        it.want("")

    def call(self, it: ServerUnderFault) -> str:
        """A call that meets it: its status."""
        return it.call(self.asked())

    def asked(self) -> Request:
        """Its request."""
        return request() if self.wanted == does.STAGE_HANGS else request(GOOD_BOX)

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """A call is in the middle of the fault."""
        after = len(it.log())
        with it.calling(self.asked()):
            it.wait_for_line("fault", after)
            yield

    def onset(self, it: ServerUnderFault, began: float, after: int) -> float:
        """When it was met first."""
        met = (seconds_of(line) for line in it.log()[after:] if line["event"] == "fault")
        return next(met, began)


class DecoderKilled(Fault):
    """The process that decodes a picture is killed in the middle of it."""

    def begin(self, it: ServerUnderFault) -> float:
        """See `Fault`: a decoder must be there first."""
        it.call(self.asked())
        return time.time()

    def call(self, it: ServerUnderFault) -> str:
        """See `Fault`."""
        with it.calling(self.asked()) as call:
            signal_when_busy(it, call, signal.SIGKILL)
            return "OK" if (error := call.exception()) is None else str(error.code().name)  # type: ignore[attr-defined]

    def asked(self) -> Request:
        """See `Fault`."""
        return request(GOOD_BOX, data=LARGE_PICTURE)

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """See `Fault`: it is stopped instead, and stays."""
        with it.calling(self.asked()) as call:
            signal_when_busy(it, call, signal.SIGSTOP)
            yield


class ProcessLost(Fault):
    """One of two processes is killed, or stopped."""

    number = signal.SIGKILL

    def begin(self, it: ServerUnderFault) -> float:
        """See `Fault`."""
        os.kill(it.pid, self.number)
        return time.time()

    def end(self, it: ServerUnderFault) -> None:
        """See `Fault`: its parent ends it."""

    def call(self, it: ServerUnderFault) -> str:
        """See `Fault`."""
        return it.call(deadline=2.0)

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """See `Fault`."""
        yield


class ProcessStopped(ProcessLost):
    """See `ProcessLost`."""

    number = signal.SIGSTOP


class LittleMemory(Fault):
    """The process may take little more memory than it has taken."""

    def begin(self, it: ServerUnderFault) -> float:
        """See `Fault`."""
        super().begin(it)
        assert it.call() == "OK"
        return time.time()

    def asked(self) -> Request:
        """See `Fault`."""
        # The face is so small that the photograph is decoded whole.
        return request((10, 10, 26, 26), data=PHOTOGRAPH)

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """See `Fault`."""
        self.call(it)
        yield

    def onset(self, it: ServerUnderFault, began: float, after: int) -> float:
        """See `Fault`."""
        return began


@dataclass
class FewDescriptors(Fault):
    """Idle connections take all descriptors."""

    held: ExitStack = field(default_factory=ExitStack)

    def begin(self, it: ServerUnderFault) -> float:
        """See `Fault`."""
        folder = Path(f"/proc/{it.pid}/fd")
        limit = len(list(folder.iterdir())) + 8
        _, hard = resource.prlimit(it.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(it.pid, resource.RLIMIT_NOFILE, (limit, hard))
        host, port = it.address.split(":")
        for _ in range(12):
            self.held.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE))
        _until(lambda: len(list(folder.iterdir())) >= limit)
        return time.time()

    def end(self, it: ServerUnderFault) -> None:
        """See `Fault`: the connections end, the limit stays."""
        self.held.close()

    def call(self, it: ServerUnderFault) -> str:
        """See `Fault`."""
        return it.call(deadline=2.0)

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """See `Fault`."""
        yield


class OneCore(Fault):
    """All threads have one core, and callers call as they always do."""

    def begin(self, it: ServerUnderFault) -> float:
        """See `Fault`."""
        self._allow(it, {min(os.sched_getaffinity(0))})
        return time.time()

    def end(self, it: ServerUnderFault) -> None:
        """See `Fault`."""
        self._allow(it, os.sched_getaffinity(0))

    def call(self, it: ServerUnderFault) -> str:
        """See `Fault`: two callers at a time, ten times, one of them with a photograph."""
        statuses = set[str]()
        for _ in range(10):
            with it.calling(request(GOOD_BOX, data=PHOTOGRAPH)) as other:
                statuses.add(it.call(request()))
                statuses.add("OK" if other.exception() is None else "error")
        return ", ".join(sorted(statuses))

    @contextmanager
    def met(self, it: ServerUnderFault) -> Iterator[None]:
        """See `Fault`."""
        with it.calling(request(GOOD_BOX, data=PHOTOGRAPH)) as call:
            call.exception()
            yield

    def _allow(self, it: ServerUnderFault, cores: set[int]) -> None:
        for task in Path(f"/proc/{it.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def drawn(width: int, height: int, kind: str, **options: int) -> bytes:
    """A large picture as a file."""
    file = io.BytesIO()
    Image.fromarray(np.tile(picture(), (height // 48, width // 64, 1))).save(file, kind, **options)
    return file.getvalue()


#: One that a decoder decodes, for half a second; and one that takes 72 MB in the server itself.
LARGE_PICTURE = drawn(6400, 4800, "PNG", compress_level=1)
PHOTOGRAPH = drawn(3968, 2976, "JPEG", quality=10)


def signal_when_busy(it: ServerUnderFault, call: grpc.Future[Answer], number: signal.Signals) -> None:
    """Send a signal to the one decoder of a server as soon as it decodes the picture of a call."""

    def ticks(pid: str) -> int:
        """Hundredths of a second of CPU time."""
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])

    pid = Path(f"/proc/{it.pid}/task/{it.pid}/children").read_text().split()[0]
    idle = ticks(pid)
    _until(lambda: ticks(pid) > idle + 5 or call.done())
    os.kill(int(pid), number)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
