"""``exalign-server`` as a process: what it prints, when it ends, and with which code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from exalign.v1 import service_pb2, service_pb2_grpc

HERE = Path(__file__).parent

#: The command with a model that needs no files; everything else is real.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from exalign_engine import Aligner
from exalign_service import cli, server
from service_fakes import FakeDetector, FakeRuntime, tiny_bundle
folder = Path(tempfile.mkdtemp())
aligner = Aligner(tiny_bundle(folder), FakeRuntime(), {"mtcnn": FakeDetector()})
server.load_model = lambda config: server.LoadedModel(aligner)
sys.exit(cli.main())
"""

#: Finds the fakes as well as what this process finds.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}

FREE = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A serving process and what it announced."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, json.loads(line)
    finally:
        process.kill()
        with process:  # closes its pipes
            pass


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exalign_service.cli", *arguments], capture_output=True, text=True, timeout=60
    )


def test_announces_itself_on_standard_output_and_ends_with_0_on_sigterm() -> None:
    with started(*FREE) as (process, said):
        assert set(said) == {"event", "address", "metrics_address"}
        assert said["event"] == "serving"
        with grpc.insecure_channel(said["address"]) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            model = stub.GetModel(service_pb2.GetModelRequest(), timeout=5)
        assert model.bundle_id == "b" * 64
        with urllib.request.urlopen(f"http://{said['metrics_address']}/readyz", timeout=5) as response:
            assert response.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "")
        lines = [json.loads(line) for line in err.splitlines()]
        assert [line["event"] for line in lines] == ["warm", "serving", "call", "stopping", "stopped"]
        serving = lines[1]
        assert (serving["runtime"], serving["bundle"], serving["reason"]) == ("fake", "b" * 12, "for tests")
        assert lines[3]["reason"] == "SIGTERM"
        assert all({"ts", "level", "event"} <= set(line) for line in lines)


def test_ends_with_its_standard_input_when_told_to() -> None:
    with started(*FREE, "--exit-with-stdin") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_outlives_its_standard_input_otherwise() -> None:
    with started(*FREE) as (process, said):
        assert process.stdin is not None
        process.stdin.close()
        with grpc.insecure_channel(said["address"]) as channel:
            stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            for _ in range(20):
                stub.GetModel(service_pb2.GetModelRequest(), timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        err = process.stderr.read()
        (stopping,) = (line for line in map(json.loads, err.splitlines()) if line["event"] == "stopping")
        assert stopping["reason"] == "SIGTERM"


@pytest.mark.parametrize("which", ["address", "metrics_address"])
def test_an_address_in_use_ends_with_1_and_one_line(which: str) -> None:
    with started(*FREE) as (_, said):
        flags = {"--address": "127.0.0.1:0", "--metrics-address": "127.0.0.1:0"}
        flags[f"--{which.replace('_', '-')}"] = said[which]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "serve", *(word for pair in flags.items() for word in pair)],
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"exalign-server: {which} is '{said[which]}', cannot be listened on: ")
        assert "address already in use" in line.lower()


def test_a_missing_bundle_ends_with_1_and_one_line(tmp_path: Path) -> None:
    done = command("serve", "--bundle", str(tmp_path / "nothing"), *FREE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "nothing") in line


def test_wrong_arguments_end_with_2() -> None:
    assert command("serve", "--no-such-flag").returncode == 2
    assert command().returncode == 2
    assert command("serve", "--queue", "0").returncode == 2


def test_says_its_version() -> None:
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("exalign-server ")


def test_exports_the_server_and_its_config_only() -> None:
    import exalign_service

    assert exalign_service.__all__ == ["Server", "ServerConfig"]
