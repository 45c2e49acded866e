"""The grace bounds the end, whatever hangs: the process ends, says what was still running, and with which code."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import grpc
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_service.startup.signals import EndGuard
from service_fakes import GOOD_BOX, request, running, until
from test_service_cli import FREE, PROGRAM, log_until, running_program


def hanging(change: str) -> str:
    """As `PROGRAM`, with something of it that never returns; the log says when."""
    define = """
def hang(*arguments):
    os.write(2, b"hanging\\n")
    while True:
        threading.Event().wait()
"""
    return "import os, threading\n" + PROGRAM.replace("sys.exit(", f"{define}{change}\nsys.exit(")


#: Crops of callers are not grey, as those are that warming up shows.
NETWORK = hanging("aligner.runtime.alter = lambda crops, out: out if crops.min() == crops.max() else hang()")
EVENT_LOOP = hanging("from exalign_service.servicer import FaceAlignmentServicer as it\nit.GetModel = hang")
CLOSING = hanging("aligner.runtime.close = hang")
QUICK = (*FREE, "--shutdown-grace", "0.1")


@contextmanager
def stub(process: Popen[str]) -> Iterator[service_pb2_grpc.FaceAlignmentServiceStub]:
    """Calls a process that serves, once nothing of it is being warmed up."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    log_until(process, "warm")
    with grpc.insecure_channel(json.loads(line)["address"]) as channel:
        yield service_pb2_grpc.FaceAlignmentServiceStub(channel)


def ended(process: Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and log of a process that was told to end."""
    _, err = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in err.splitlines()]


def test_a_network_that_never_answers_does_not_hold_the_end_up() -> None:
    with running_program(NETWORK, *QUICK) as process, stub(process) as to:
        call = to.PredictLandmarks.future(request(GOOD_BOX))
        log_until(process, "hanging")
        process.send_signal(signal.SIGTERM)
        code, log = ended(process)
        assert call.code() == grpc.StatusCode.UNAVAILABLE
    assert code == 1
    assert (log[-1]["level"], log[-1]["event"]) == ("error", "not stopped in time")
    threads, batch = log[-1]["still_running"]
    assert threads == "threads"
    assert batch.startswith("a batch, for ")


def test_an_event_loop_that_is_stuck_does_not_hold_the_end_up() -> None:
    with running_program(EVENT_LOOP, *QUICK) as process, stub(process) as to:
        call = to.GetModel.future(service_pb2.GetModelRequest())
        log_until(process, "hanging")
        process.send_signal(signal.SIGTERM)
        code, log = ended(process)
        call.cancel()
    assert code == 1
    assert (log[-1]["event"], log[-1]["still_running"]) == ("not stopped in time", ["event loop"])


def test_a_runtime_that_cannot_be_closed_does_not_hold_the_end_up() -> None:
    with running_program(CLOSING, *QUICK) as process, stub(process):
        process.send_signal(signal.SIGTERM)
        code, log = ended(process)
    assert code == 1
    assert (log[-1]["event"], log[-1]["still_running"]) == ("not stopped in time", ["threads"])


def test_a_connection_that_has_never_spoken_does_not_hold_the_end_up() -> None:
    with running_program(PROGRAM, *FREE, "--shutdown-grace", "3600") as process:
        assert process.stdout is not None
        host, port = json.loads(process.stdout.readline())["address"].split(":")
        with socket.create_connection((host, int(port)), timeout=60):
            process.send_signal(signal.SIGTERM)
            code, log = ended(process)
    assert (code, log[-1]["event"]) == (0, "stopped")


async def test_stop_returns_where_a_thread_does_not_end(tmp_path: Path) -> None:
    async with running(tmp_path) as live:
        assert live.server.still_running() == ["event loop"]  # nothing has asked it to end
        live.runtime.gate.clear()
        call = asyncio.ensure_future(live.stub.PredictLandmarks(request(GOOD_BOX)))
        await until(lambda: live.runtime.held == 1)
        await live.server.stop(0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        threads, batch = live.server.still_running()
        assert threads == "threads"
        assert batch.startswith("a batch, for ")
        live.runtime.gate.set()
        await until(lambda: live.runtime.closed)


SIGNALS = """
import os, signal, threading
from exalign_service.startup.signals import signals_caught

caught, both = [], threading.Event()

def catch(name):
    caught.append(name)
    if len(caught) == 2:
        both.set()

before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
with signals_caught(catch):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    assert both.wait(60)
assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
print(*sorted(caught))
"""


def test_signals_are_caught_in_a_thread_of_their_own() -> None:
    # In a process of its own: a worker of the tests has died here, once under load.
    done = subprocess.run([sys.executable, "-c", SIGNALS], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "SIGINT SIGTERM\n"), done.stderr


def test_a_guard_ends_what_does_not_end_and_says_what() -> None:
    ends, over = list[list[str]](), threading.Event()
    guard = EndGuard(lambda what: (ends.append(what), over.set()))
    guard.still_running = lambda: ["something"]
    guard.arm(3600)
    guard.arm(0.01)  # the earlier one counts, whichever comes first
    guard.arm(7200)
    assert over.wait(60)
    assert ends == [["something"]]


def test_a_guard_ends_what_does_not_end_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    guard = EndGuard(lambda what: over.set())
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    guard.arm(0.01)
    assert over.wait(60)


async def test_stop_returns_where_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as live:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            await live.server.stop(0)
        assert live.server.still_running() == []
        assert live.runtime.closed


def no_thread(thread: threading.Thread) -> None:
    """As where there is no memory for its stack."""
    raise RuntimeError("can't start new thread")


def test_a_guard_that_is_disarmed_ends_nothing() -> None:
    ends, over = list[str](), threading.Event()
    guard = EndGuard(lambda what: (ends.append("first"), over.set()))
    guard.arm(3600)
    guard.disarm()
    guard.arm(0.01)  # armed again it ends once
    assert over.wait(60)
    assert ends == ["first"]
