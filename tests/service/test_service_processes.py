"""Several server processes and their parent: ports, replacement, and one end for all."""

from __future__ import annotations

import json
import os
import select
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import grpc
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service.startup.supervisor import core_groups
from service_fakes import GOOD_BOX, request
from test_service_cli import FREE, PROGRAM, running_program
from test_service_ending import NETWORK

TWO = (*FREE, "--processes", "2", "--shutdown-grace", "0.1")

Entry = dict[str, Any]


class Family:
    """A parent whose children serve."""

    def __init__(self, process: Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.said = json.loads(line)
        self.log: list[Entry] = []

    def log_until(self, event: str, wanted: Callable[[Entry], bool] = lambda line: True) -> Entry:
        """The next line of the log of this event."""
        assert self.process.stderr is not None
        while True:
            text = self.process.stderr.readline()
            assert text, self.log
            self.log.append(json.loads(text))
            if self.log[-1]["event"] == event and wanted(self.log[-1]):
                return self.log[-1]

    def end(self) -> int:
        """SIGTERM: the exit code."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=120)
        self.log += [json.loads(line) for line in err.splitlines()]
        return self.process.returncode


@contextmanager
def family(program: str, *arguments: str) -> Iterator[Family]:
    with running_program(program, *TWO, *arguments) as process:
        yield Family(process)


def model_of(address: str) -> service_pb2.GetModelResponse:
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        return stub.GetModel(service_pb2.GetModelRequest(), timeout=60, wait_for_ready=True)


def metrics_of(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as response:
        text: str = response.read().decode()
        return text


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_process_serves_and_all_end_with_their_parent() -> None:
    with family(PROGRAM) as it:
        assert set(it.said) == {"event", "processes"}
        first, second = it.said["processes"]
        assert [set(one) for one in (first, second)] == [{"index", "address", "metrics_address"}] * 2
        for index, one in enumerate((first, second)):
            assert model_of(one["address"]).bundle_id == "b" * 64
            assert f'exalign_process{{index="{index}"}} 1.0' in metrics_of(one["metrics_address"])
        assert it.end() == 0
        pids = [line["pid"] for line in it.log if line["event"] == "process started"]
        assert not any(alive(pid) for pid in pids)
        for event in ("listening", "loaded", "serving", "stopped"):
            assert sorted(line["process"] for line in it.log if line["event"] == event and "process" in line) == [0, 1]


def test_a_process_that_dies_is_started_again_on_its_ports() -> None:
    with family(PROGRAM) as it:
        pids = {
            line["process"]: line["pid"] for line in (it.log_until("process started"), it.log_until("process started"))
        }
        os.kill(pids[1], signal.SIGKILL)
        ended = it.log_until("process ended")
        assert (ended["process"], ended["reason"]) == (1, "it ended with -9")
        again = it.log_until("process started")
        assert again["process"] == 1
        assert again["pid"] != pids[1]
        assert it.log_until("serving")["process"] == 1
        for one in it.said["processes"]:
            assert model_of(one["address"]).bundle_id == "b" * 64
        assert it.end() == 0


def test_a_process_that_is_stuck_is_replaced() -> None:
    with family(NETWORK, "--stuck-after", "0.2", "--restart-after", "0.5") as it:
        address = it.said["processes"][0]["address"]
        with grpc.insecure_channel(address) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            with pytest.raises(grpc.RpcError):
                stub.PredictLandmarks(request(GOOD_BOX), timeout=60)
        assert "exalign_process_restarts_total 0.0" in metrics_of(it.said["processes"][0]["metrics_address"])
        noticed = it.log_until("process not serving")
        replaced = it.log_until("process replaced")
        assert (noticed["process"], noticed["reason"]) == (replaced["process"], replaced["reason"])
        assert (replaced["process"], replaced["reason"]) == (
            0,
            "a batch has been running for longer than stuck_after = 0.2 s",
        )
        left = it.log_until("not stopped in time")
        assert left["process"] == 0
        it.log_until("process started")
        assert it.log_until("serving")["process"] == 0
        assert model_of(address).bundle_id == "b" * 64
        assert "exalign_process_restarts_total 1.0" in metrics_of(it.said["processes"][0]["metrics_address"])
        assert it.end() == 0


def test_children_end_where_their_parent_is_killed() -> None:
    with family(PROGRAM) as it:
        pids = [it.log_until("process started")["pid"] for _ in range(2)]
        for _ in range(2):
            it.log_until("serving", lambda line: "process" in line)
        it.process.kill()
        it.process.wait(60)
        for pid in pids:
            wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    """A process that is nobody's child here: its descriptor becomes readable when it ends."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([descriptor], [], [], 120)
        assert readable, f"process {pid} has outlived its parent"
    finally:
        os.close(descriptor)


def test_the_parent_ends_with_its_standard_input_when_told_to() -> None:
    with family(PROGRAM, "--exit-with-stdin") as it:
        assert it.process.stdin is not None
        it.process.stdin.close()
        assert it.process.wait(timeout=120) == 0


def test_where_one_cannot_start_all_end_and_one_line_says_why() -> None:
    program = PROGRAM.replace(
        "lambda config: server.LoadedModel(aligner)",
        "lambda config: 1 / 0 if '--process-index 1' in ' '.join(sys.argv) else server.LoadedModel(aligner)",
    ).replace("1 / 0", "(_ for _ in ()).throw(MemoryError('no room'))")
    with running_program(program, *TWO) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    *log, last = err.splitlines()
    assert last == "exalign-server: process 1: there is too little memory: no room"
    assert all(json.loads(line) for line in log)


def test_sigterm_while_they_load_ends_all_at_once() -> None:
    program = PROGRAM.replace("server.LoadedModel(aligner)", "threading.Event().wait()").replace(
        "import sys, ", "import sys, threading, "
    )
    with running_program(program, *TWO) as process:
        assert process.stderr is not None
        loading = 0
        while loading < 2:
            loading += json.loads(process.stderr.readline())["event"] == "loading"
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a system that knows of affinities")
def test_cores_are_dealt_in_groups_of_neighbours() -> None:
    def groups(cores: set[int], processes: int) -> list[list[int]] | None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "sched_getaffinity", lambda pid: cores)
            return core_groups(processes)

    assert groups({0, 1, 2, 3}, 2) == [[0, 1], [2, 3]]
    assert groups({2, 4, 5, 7, 9}, 2) == [[2, 4], [5, 7, 9]]
    assert groups({3, 5}, 3) == [[3], [5], [3]]
