"""Videos on Ray: the results of one process, bit for bit, also where a worker is killed; on loopback only.

Skipped where Ray is not installed: ``make ray`` installs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from exalign_offline.one_video.place import WORK
from offline_runs import FRAMES, results, settings, track, write_video
from outside_programs import free_port

pytest.importorskip("ray", reason="Ray is not installed (extra 'ray'): make ray")

#: What must happen happens within so many seconds, also where a machine has twenty things to do.
PATIENCE = 600.0

#: Frames of the video whose worker is killed: more than it can track before it is noticed.
LONG = 400


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some short videos, and one that takes a while."""
    folder = tmp_path_factory.mktemp("ray")
    for seed, (name, frames) in enumerate(FRAMES.items()):
        write_video(folder / name, frames, seed)
    write_video(folder / "long.mp4", LONG, 9, wander=20)
    return folder


@pytest.fixture(scope="module")
def alone(bundle: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of one process."""
    out = tmp_path_factory.mktemp("alone")
    assert all(one.whole for one in track(settings(bundle, formats=("pts", "parquet")), clips, out).values())
    return results(out)


def start(bundle: Path, clips: Path, out: Path, *more: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The command, with two workers."""
    command = [sys.executable, "-m", "exalign_engine.cli", "track-files", str(clips), "--out", str(out)]
    command += ["--bundle", str(bundle), "--runtime", "onnxruntime", "--lag", "2", "--max-faces", "2"]
    command += ["--detect-every", "4", "--format", "pts", "--format", "parquet", "--checkpoint-frames", "5"]
    command += ["--workers", "2", *more]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def cluster() -> Iterator[tuple[str, dict[str, str]]]:
    """A Ray of its own on loopback; its address, and what a caller must have in its environment."""
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    env = {**os.environ, **quiet, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0f" * 32}
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
        command += ["--node-ip-address", "127.0.0.1", "--port", str(port), "--temp-dir", folder]
        command += ["--include-dashboard", "false", "--object-store-memory", "100000000"]
        head = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert head.stdout is not None
        said = []
        for line in head.stdout:
            said.append(line)
            if "--block" in line:  # the last thing that it says: it waits now
                break
        assert head.poll() is None, "".join(said)
        Thread(target=head.stdout.read, daemon=True).start()
        try:
            yield f"127.0.0.1:{port}", env
        finally:
            head.terminate()
            head.wait(PATIENCE)


def below(process: int) -> Iterator[tuple[int, str]]:
    """Processes that a process has started, and those that these have: number and command line."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            name = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except (OSError, IndexError):
            continue
        parents[int(folder.name)] = (int(after_name[1]), name)
    found = {process}
    while more := {one for one, (parent, _) in parents.items() if parent in found} - found:
        found |= more
    yield from ((one, parents[one][1]) for one in found - {process} if one in parents)


def addresses(processes: set[int]) -> set[str]:
    """Where TCP sockets of some processes listen, in hex as the kernel writes them."""
    inodes = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            try:
                inodes.add(str(link.readlink()))
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.add(words[1].partition(":")[0])
    return found


def test_results_are_those_of_one_process_and_nothing_is_reached_from_outside(
    bundle: Path, clips: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    run, listening = start(bundle, clips, tmp_path), set[str]()
    ended = time.monotonic() + PATIENCE
    while run.poll() is None and time.monotonic() < ended:
        listening |= addresses({run.pid, *(number for number, _ in below(run.pid))})
        time.sleep(0.1)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert out == f"{len(FRAMES) + 1} videos, {sum(FRAMES.values()) + LONG} frames; 0 not whole\n"
    assert results(tmp_path) == alone
    assert listening
    assert listening <= {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def test_a_worker_that_is_killed_half_way_changes_nothing(
    bundle: Path, clips: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    run = start(bundle, clips, tmp_path)
    checkpoint, done = (tmp_path / WORK / "long.mp4" / name for name in ("checkpoint.json", "done.json"))
    ended = time.monotonic() + PATIENCE
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < ended:
        time.sleep(0.01)
    workers = [number for number, name in below(run.pid) if name.startswith("ray::Worker")]
    assert workers, [name for _, name in below(run.pid)]
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert not done.exists(), "killed too late: the video is done"
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert results(tmp_path) == alone


def test_a_run_that_is_ended_goes_on_when_it_is_started_again(
    bundle: Path, clips: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    run = start(bundle, clips, tmp_path)
    checkpoint = tmp_path / WORK / "long.mp4" / "checkpoint.json"
    ended = time.monotonic() + PATIENCE
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < ended:
        time.sleep(0.01)
    run.terminate()
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 143, err
    assert "terminated" in err
    # A worker that still runs has the lock of its video: it is waited for.
    again = start(bundle, clips, tmp_path)
    _, err = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, err
    assert results(tmp_path) == alone


def test_a_cluster_that_is_there_is_used_by_its_address(
    bundle: Path, clips: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    with cluster() as (address, env):
        run = start(bundle, clips, tmp_path, "--cluster", address, env=env)
        _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, err
    assert results(tmp_path) == alone


def test_a_cluster_that_is_not_there_is_said_in_a_line(bundle: Path, clips: Path, tmp_path: Path) -> None:
    run = start(bundle, clips, tmp_path, "--cluster", "127.0.0.1:1")
    _, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1, err
    assert err.splitlines()[-1].startswith("exalign-model: Ray")
