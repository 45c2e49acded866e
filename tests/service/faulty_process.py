"""A process of `faulty_server` as the campaign of faults sees it: its log, its ports, its callers."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exalign.v1 import service_pb2, service_pb2_grpc
from service_fakes import GOOD_BOX, request

HERE = Path(__file__).parent

#: Longest wait for anything, seconds: the machine may be busy with other things.
PATIENCE = 180.0

#: A caller's deadline, seconds.
DEADLINE = 20.0

#: For a connection of one's own.
OWN = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))

Entry = dict[str, Any]
Answer = service_pb2.PredictLandmarksResponse


class ServerUnderFault:
    """A process that serves; where it is a parent, the last of its processes is the one that is looked at."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self._folder = process, folder
        self._log: list[Entry] = []
        self._said: list[Entry] = []
        self._changed = threading.Condition()
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((process.stdout, self._said), (process.stderr, self._log))
        ]
        for reader in self._readers:
            reader.start()
        said = self._wait_for(self._said, 0, lambda line: line["event"] == "serving")
        processes = len(said.get("processes", [said]))
        # Only then does a server watch itself.
        self._wait_for(self._log, 0, lambda line: [one["event"] for one in self._log].count("warm") >= processes)
        self.address: str = said.get("processes", [said])[-1]["address"]
        self.metrics_address: str = said.get("processes", [said])[-1]["metrics_address"]

    @property
    def pid(self) -> int:
        """Of the process that is looked at: the newest child of a parent, or the only one."""
        started = [line for line in self.log() if line["event"] == "process started"]
        last = max((line["process"] for line in started), default=0)
        return next((line["pid"] for line in reversed(started) if line["process"] == last), self.process.pid)

    def log(self) -> list[Entry]:
        """All lines so far."""
        with self._changed:
            return list(self._log)

    def wait_for_line(self, event: str, after: int = 0) -> Entry:
        """The first line of an event, of those after so many."""
        return self._wait_for(self._log, after, lambda line: line["event"] == event)

    def _read(self, stream: IO[str], lines: list[Entry]) -> None:
        for text in stream:
            with self._changed:
                lines.append(json.loads(text) if text.startswith("{") else {"event": text.strip()})
                self._changed.notify_all()
        with self._changed:
            lines.append({"event": "", "over": True})
            self._changed.notify_all()

    def _wait_for(self, lines: list[Entry], after: int, wanted: Callable[[Entry], bool]) -> Entry:
        def found() -> Entry | None:
            over = bool(lines) and "over" in lines[-1]
            return next((line for line in lines[after:] if wanted(line)), lines[-1] if over else None)

        with self._changed:
            line = self._changed.wait_for(found, PATIENCE)
            assert line is not None, "waited in vain"
            assert "over" not in line, [entry["event"] for entry in self._log[-5:]]
            return line

    def ask(self, path: str) -> str:
        """A page of the metrics port; empty where it does not answer within a moment."""
        connection = http.client.HTTPConnection(self.metrics_address, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode().strip()
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def health(self, seconds: float = DEADLINE) -> str:
        """What the health service says, within so many seconds."""
        with grpc.insecure_channel(self.address, OWN) as channel:
            try:
                asked = health_pb2.HealthCheckRequest()
                answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=seconds, wait_for_ready=True)
            except grpc.RpcError:
                return "no answer"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def sample(self, sample: str) -> float:
        """The value of a metric, with its labels as Prometheus writes them; 0 where there is none."""
        found = re.search(rf"^{re.escape(sample)} (\S+)$", self.ask("/metrics"), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def call(self, asked: service_pb2.PredictLandmarksRequest | None = None, deadline: float = DEADLINE) -> str:
        """The status that a new caller gets."""
        with self.calling(asked, deadline) as future:
            try:
                future.result()
            except grpc.RpcError as e:
                return str(e.code().name)  # type: ignore[attr-defined]
            return "OK"

    @contextmanager
    def calling(
        self, asked: service_pb2.PredictLandmarksRequest | None = None, deadline: float = DEADLINE
    ) -> Iterator[grpc.Future[Answer]]:
        """A call of a new caller, who does not wait."""
        with grpc.insecure_channel(self.address, OWN) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            # Held here as well: a call that nobody refers to is cancelled.
            call: grpc.Future[Answer] = stub.PredictLandmarks.future(asked or request(GOOD_BOX), timeout=deadline)  # type: ignore[attr-defined]
            yield call

    def want(self, fault: str) -> None:
        """Ask for a fault of `faulty_server`; an empty one ends it."""
        wanted, new = self._folder / "fault", self._folder / "new"
        if fault:
            new.symlink_to(fault)
            new.replace(wanted)
        else:
            wanted.unlink(missing_ok=True)

    def end(self) -> tuple[int, float]:
        """SIGTERM: the exit code, and the seconds that it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        return code, time.monotonic() - start


@contextmanager
def faulty_server(*arguments: str) -> Iterator[ServerUnderFault]:
    """A server that serves; killed at the end where it has not ended."""
    free = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "faulty_server.py"), folder, "serve", *free, *arguments]
        pipe = subprocess.PIPE
        path = os.pathsep.join([str(HERE), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path}
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        it = None
        try:
            it = ServerUnderFault(process, Path(folder))
            yield it
        finally:
            process.kill()
            for line in it.log() if it is not None else ():
                if (
                    line["event"] == "process started"
                ):  # they end with their parent, those that are stopped once they go on
                    with suppress(ProcessLookupError):
                        os.kill(line["pid"], signal.SIGCONT)
            with process:  # closes its pipes
                pass


def seconds_of(line: Entry) -> float:
    """When a line was written, as `time.time` counts."""
    return datetime.fromisoformat(line["ts"]).timestamp()
