"""Starting and stopping: exit codes, one line, and no half-started server."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exalign_engine import default_bundle_path
from exalign_engine.bundle.bundle import FILES, MANIFEST

SERVE = [sys.executable, "-m", "exalign_service.cli", "serve"]
ANYWHERE = ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start a server that cannot start."""
    return subprocess.run([*SERVE, *arguments], capture_output=True, text=True, timeout=300, check=False)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    copy = tmp_path / "bundle"
    shutil.copytree(default_bundle_path(), copy)
    return copy


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_tampered_bundle_is_refused_by_the_name_of_its_file(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 0x55
    (bundle / name).write_bytes(bytes(data))
    result = start(*ANYWHERE, "--bundle", str(bundle))
    assert result.returncode == 1
    line = last_line(result.stderr)
    assert "bundle" in line
    assert name in line or (name == MANIFEST and "manifest.json" in line)


def test_a_missing_bundle_is_one_line(tmp_path: Path) -> None:
    result = start(*ANYWHERE, "--bundle", str(tmp_path / "nowhere"))
    assert result.returncode == 1
    assert "no such directory" in last_line(result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("flag", ["--address", "--metrics-address"])
def test_a_port_in_use_is_one_line(flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = start(*ANYWHERE, flag, f"127.0.0.1:{port}")
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in last_line(result.stderr)


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--max-batch", "0"), ("--runtime", "tpu"), ("--address", "nowhere"), ("--network-calls", "two")],
)
def test_a_wrong_setting_is_usage(flag: str, value: str) -> None:
    result = start(flag, value)
    assert result.returncode == 2
    assert value in last_line(result.stderr)


def test_a_precision_that_the_runtime_has_not_is_one_line() -> None:
    result = start(*ANYWHERE, "--runtime", "openvino", "--precision", "fp16")
    assert result.returncode == 1
    assert "precision fp16: is for runtimes tensorrt and tensorrt-rtx" in last_line(result.stderr)
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_runtime_that_is_not_here_is_one_line() -> None:
    result = start(*ANYWHERE, "--runtime", "tensorrt")
    assert result.returncode == 1
    assert "tensorrt" in last_line(result.stderr)


def test_sigterm_ends_it_with_zero() -> None:
    process = subprocess.Popen([*SERVE, *ANYWHERE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "serving"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.wait()
