"""Outside programs from Debian's packages, where they are installed or unpacked, started for one test each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: Where packages are unpacked to, without installing them; ".ci/run" does that.
UNPACKED = Path(os.environ.get("UNPACKED_PROGRAMS", "/tmp/exalign-ci/debian"))


def program(name: str) -> str | None:
    """The path of a program; None where it is not here."""
    places = (UNPACKED, UNPACKED.parent / "prometheus")
    here = [place / folder / name for place in places for folder in ("usr/bin", "usr/sbin", "bin")]
    return shutil.which(name) or next((str(path) for path in here if path.exists()), None)


def environment() -> dict[str, str]:
    """For unpacked programs: where the libraries are that were unpacked with them."""
    libraries = [str(path) for path in (UNPACKED / "usr/lib").glob("*-linux-gnu")]
    known = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([*libraries, *([known] if known else [])])}


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def start(command: Sequence[str], port: int) -> subprocess.Popen[bytes]:
    """Start a program, and wait until it listens."""
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, f"{command[0]} has ended with {process.returncode}"
        if listens(port):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"{command[0]} does not listen")


def redis_command(port: int, folder: Path, *options: str) -> list[str]:
    """Redis on loopback that keeps nothing, unless options say so."""
    found = program("redis-server")
    assert found is not None
    command = [found, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "", *options]
    return [*command, "--daemonize", "no"]


@contextmanager
def redis(folder: Path, *options: str) -> Iterator[str]:
    """A Redis of its own; its URL."""
    port = free_port()
    process = start(redis_command(port, folder, *options), port)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)
