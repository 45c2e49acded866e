"""A real server for the fuzzers: a process of its own, with two small bundles, callers with tokens, and no hurry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from call_grammar import MAX_EXEMPLARS, MAX_FACES, MAX_GROUPS, MAX_TOP
from drawn_bundles import write_bundle
from exalign_engine.bundle.bundle import MANIFEST, sha256
from token_fakes import BOTH, Tokens

#: Bundles that may be swapped; both may live.
BUNDLES = ("bundle-0", "bundle-1")

#: Results that are kept for a stream that does not acknowledge.
MAX_UNACKED = 6

#: How long a broken session is kept, seconds; more than any conversation takes between two of its streams.
RETENTION = 30

#: Callers by name, and what each may do. Nobody has no token.
CALLERS = {"alice": frozenset((*BOTH, "admin")), "bob": BOTH, "weak": frozenset(("track",))}
NOBODY = "nobody"

#: Thresholds of glibc's malloc, bytes; set at all, they no longer move by themselves, and memory wanders less.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "32768", "MALLOC_ARENA_MAX": "2"}

#: Nothing is refused, or ended, because this machine is busy.
_PATIENT = ("--max-wait", "3600", "--max-deadline", "3600", "--stuck-after", "3600", "--session-idle-timeout", "3600")

_LIMITS: dict[str, int | str] = {
    "max-faces": MAX_FACES,
    "max-landmark-groups": MAX_GROUPS,
    "max-top-exemplars": MAX_TOP,
    "max-exemplars": MAX_EXEMPLARS,
    "max-encoded-bytes": 65_536,
    "max-message-bytes": 131_072,
    "max-unacked-frames": MAX_UNACKED,
    "max-sessions": 64,
    "caller-share": "1",
    "max-detached": 100_000,
    "session-retention": RETENTION,
    "max-live-bundles": len(BUNDLES),
}


@dataclass(frozen=True)
class FuzzedServer:
    """The process, and what a client must know of it.

    Attributes:
        pid: of the process.
        address: of gRPC.
        metrics_address: of /metrics.
        bundles: ids of `BUNDLES`.
        metadata: of calls, by caller.
        log: its lines.
    """

    process: subprocess.Popen[bytes]
    address: str
    metrics_address: str
    bundles: tuple[str, ...]
    metadata: dict[str, tuple[tuple[str, str], ...]]
    log: Path

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def held(self) -> dict[str, int]:
        """What it holds: memory in bytes, threads, descriptors."""
        folder = Path(f"/proc/{self.pid}")
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return {
            "resident_bytes": 1024 * int(lines["VmRSS"].split()[0]),
            "threads": int(lines["Threads"]),
            "descriptors": len(list((folder / "fd").iterdir())),
        }

    def samples(self, name: str) -> dict[str, float]:
        """Samples of a metric, by what stands between its braces."""
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        found = [line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return {head[len(name) :].strip("{}"): float(value) for head, _, value in found}

    def complaints(self) -> list[str]:
        """Lines of the log that speak of a fault of ours."""
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        return [line for line in lines if '"handler_failed"' in line or "Traceback" in line]


@contextmanager
def fuzzed_server() -> Iterator[FuzzedServer]:
    """Start one, and end it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = tuple(sha256(write_bundle(folder / bundle, n) / MANIFEST) for n, bundle in enumerate(BUNDLES))
        tokens, metadata = Tokens(folder), dict[str, Any]({NOBODY: ()})
        for caller, scopes in CALLERS.items():
            metadata[caller] = tokens.add(caller, scopes)["metadata"]
        command = [sys.executable, "-m", "exalign_service.cli", "serve", "--bundle-directory", str(folder)]
        command += ["--bundle", str(folder / BUNDLES[0])]
        command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--exit-with-stdin"]
        command += ["--runtime", "onnxruntime", "--token-file", str(tokens.path), "--log-level", "error", *_PATIENT]
        for limit, value in _LIMITS.items():
            command += [f"--{limit}", str(value)]
        log, environment = folder / "log.jsonl", {**os.environ, **MALLOC}
        with log.open("w") as lines:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lines, env=environment
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline() or log.read_text())
            yield FuzzedServer(process, said["address"], said["metrics_address"], ids, metadata, log)
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()
