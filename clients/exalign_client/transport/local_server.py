"""A local server: a subprocess on a private socket, ended with the ``with`` block that started it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from exalign_client.errors import LocalServerError, MissingExtraError
from exalign_client.transport.private_address import LOOPBACK, private_address

#: Seconds of idleness, without a word in its log, after which a server that has not begun to serve is given up.
STARTUP_TIMEOUT = 120.0

#: Seconds between two looks at that log.
_LOOK = 0.5

#: From this share of the time on that it uses the processor, a server is at work: on a crowded machine it gets little.
_AT_WORK = 0.02

#: Seconds that a server is given to end by itself, and then again after SIGTERM.
STOP_GRACE = 15.0

#: Packages without which no server can be started: its own, and of each kind one that only the extra brings.
_SERVER_NEEDS = ("exalign_service", "grpc_health", "onnxruntime")

#: Variables about who may speak to a server, and where it writes of its callers: this one is its starter's alone.
_OF_OPERATORS = ("EXALIGN_TLS_", "EXALIGN_TOKEN_", "EXALIGN_INSECURE", "EXALIGN_TRACES_", "EXALIGN_RECORD")

#: Lines of the server's own log that go into an error.
_LOG_LINES = 20


@dataclass(frozen=True)
class LocalServer:
    """A running server: its gRPC address for `Client`, and ``host:port`` of its ``/metrics``."""

    address: str
    metrics_address: str


@contextmanager
def local_server(
    *, tcp: bool = False, arguments: Sequence[str] = (), startup_timeout: float = STARTUP_TIMEOUT
) -> Iterator[LocalServer]:
    """Start a server for the length of a ``with`` block.

    It listens where only this user can reach it (`exalign_client.transport.private_address`), and ends when the block
    ends or this process does, however it does.

    Args:
        tcp: listen on a free port of 127.0.0.1 instead.
        arguments: further arguments of ``exalign-server serve``.
        startup_timeout: seconds that it may be idle, without a line of log, until it serves. One that is at work is
            waited for.

    Yields:
        Its addresses.

    Raises:
        MissingExtraError: the server is not installed here.
        LocalServerError: it could not be started; ``log`` holds what it wrote.
    """
    require_server("starting a server here")
    with ExitStack() as stack:
        address = LOOPBACK if tcp else stack.enter_context(private_address())
        log_path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exalign-"))) / "log"
        command = [
            sys.executable,
            "-P",  # a file in the working directory must not take the place of a package
            "-m",
            "exalign_service.cli",
            "serve",
            "--address",
            address,
            "--metrics-address",
            "127.0.0.1:0",
            "--processes",
            "1",
            "--exit-with-stdin",
            *arguments,
        ]
        with log_path.open("wb") as log:
            # In its own session: Ctrl-C ends the caller, which then ends the server in good order.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith(_OF_OPERATORS)},
            )
        try:
            yield _wait_until_serving(process, startup_timeout, log_path)
        finally:
            _stop(process)


def require_server(purpose: str) -> None:
    """Check that a server's packages are installed. Found by name, never imported: the process stays free of them.

    Args:
        purpose: what they are needed for, as the subject of a sentence.

    Raises:
        MissingExtraError: one is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in _SERVER_NEEDS):
        raise MissingExtraError(purpose, "serve")


def _wait_until_serving(process: subprocess.Popen[bytes], timeout: float, log_path: Path) -> LocalServer:
    if process.stdout is None:  # never so with PIPE; for the type checker
        raise LocalServerError("the server has no standard output")
    found: SimpleQueue[LocalServer | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(process.stdout, found), daemon=True).start()
    server = _patiently(found, timeout, log_path, process.pid)
    if server is not None:
        return server
    try:
        status = process.wait(timeout=STOP_GRACE)
    except subprocess.TimeoutExpired:
        raise _start_error("closed its standard output before it served", log_path) from None
    raise _start_error(f"ended with status {status} before it served", log_path)


def _patiently(
    found: SimpleQueue[LocalServer | None], timeout: float, log_path: Path, process: int
) -> LocalServer | None:
    """What is found first. As long as the log grows or the processor is used, it is waited for."""
    logged, worked, changed = 0, 0.0, time.monotonic()
    while True:
        try:
            return found.get(timeout=min(_LOOK, timeout))
        except Empty:
            now, size, seconds = time.monotonic(), log_path.stat().st_size, _processor_seconds(process)
            if size != logged or seconds - worked >= _AT_WORK * timeout:
                logged, worked, changed = size, seconds, now
            elif now - changed >= timeout:
                raise _start_error(f"has not begun to serve, idle for {timeout:g} s", log_path) from None


def _processor_seconds(process: int) -> float:
    """Processor time that a process has used; 0 on systems that do not show it in /proc."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _listen(stdout: IO[bytes], found: SimpleQueue[LocalServer | None]) -> None:
    """Put the announced addresses into ``found``, and None at the end of the output.

    Reads on after the announcement, so that the server never blocks on a full pipe.
    """
    with stdout:
        for line in stdout:
            server = _announced(line)
            if server is not None:
                found.put(server)
    found.put(None)


def _announced(line: bytes) -> LocalServer | None:
    """The addresses in the server's announcement; None for any other line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    match event:
        case {"event": "serving", "address": str(address), "metrics_address": str(metrics_address)}:
            return LocalServer(address, metrics_address)
    return None


def _start_error(problem: str, log_path: Path) -> LocalServerError:
    lines = [line for line in log_path.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    last = f": {lines[-1]}" if lines else ""
    return LocalServerError(f"the local server {problem}{last}", "\n".join(lines[-_LOG_LINES:]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server: by closing its standard input, then SIGTERM, then SIGKILL."""
    if process.stdin is not None:
        process.stdin.close()
    for harder in (process.terminate, process.kill):
        try:
            process.wait(timeout=STOP_GRACE)
            return
        except subprocess.TimeoutExpired:
            harder()
    process.wait()
