"""Redis, HAProxy or Envoy, and servers over one store, on loopback: each a process that can be ended in every way."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from envoy_proxy import envoy_command
from namespace import INSIDE, OUTSIDE, Namespace

from drawn_bundles import write_bundle
from exalign_engine.bundle.bundle import MANIFEST, sha256
from outside_programs import environment, free_port, listens, program, redis_command

ROOT = Path(__file__).parents[2]

#: No proxy that the environment names leads to a namespace.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

#: How long anything may take to begin to answer, seconds: the machine may be busy.
START = 400.0


@dataclass
class Process:
    """One process on ports of its own, and whether it answers."""

    command: list[str]
    ready: Callable[[], bool]
    log: Path
    env: dict[str, str] = field(default_factory=environment)
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                self.command, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log
            )

    async def until_ready(self) -> None:
        async with asyncio.timeout(START):
            while not await asyncio.to_thread(self.ready):
                if self.running is None or self.running.poll() is not None:
                    raise RuntimeError(f"{self.command[0]} has ended: {self.log.read_text()[-2000:]}")
                await asyncio.sleep(0.05)

    def send(self, what: signal.Signals) -> None:
        assert self.running is not None
        self.running.send_signal(what)

    async def ended(self) -> int:
        assert self.running is not None
        code = await asyncio.to_thread(self.running.wait, START)
        assert self.running.stdin is not None
        self.running.stdin.close()
        return code

    async def kill(self) -> None:
        """End it at once, where it runs."""
        if self.running is not None and self.running.poll() is None:
            self.send(signal.SIGKILL)
            await self.ended()


def answers(url: str) -> bool:
    """Whether an address answers a GET with 200."""
    try:
        with _OPENER.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class Cluster:
    """All of it.

    Args:
        folder: for files and logs.
        replicas: servers of the first bundle.
        durability: of the servers.
        proxy: "haproxy" or "envoy".
        redis_options: for redis-server.
        namespace: of the first server.
        rollout: sessions of the first bundle are led to the first two servers (HAProxy).
    """

    def __init__(
        self,
        folder: Path,
        replicas: int,
        *,
        durability: str = "after",
        proxy: str = "haproxy",
        redis_options: tuple[str, ...] = (),
        namespace: Namespace | None = None,
        rollout: bool = False,
    ) -> None:
        self.rollout = rollout
        self.folder, self.durability, self.proxy_name, self.namespace = folder, durability, proxy, namespace
        (folder / "keys").write_text(secrets.token_hex(32))
        self.redis_port = free_port()
        (folder / "redis").mkdir()
        if namespace is not None:
            redis_options = (*redis_options, "--bind", f"127.0.0.1 {OUTSIDE}", "--protected-mode", "no")
        command = redis_command(self.redis_port, folder / "redis", *redis_options)
        self.redis = Process(command, lambda: listens(self.redis_port), folder / "redis.log")
        self.ports = [(free_port(), free_port()) for _ in range(replicas)]
        self.replicas = [self._replica(i) for i in range(replicas)]
        self.port = free_port()
        self.proxy = self._proxy()

    def host(self, index: int) -> str:
        """Where a server is; the first one is in the namespace, where there is one."""
        return INSIDE if index == 0 and self.namespace is not None else "127.0.0.1"

    def bundle_id(self, number: int) -> str:
        """The id of a bundle that all servers have."""
        return sha256(self.folder / "replica-0" / f"bundle-{number}" / MANIFEST)

    def switch(self, index: int, number: int) -> None:
        """Lead the link of a server's bundles to another one."""
        bundles = self.folder / f"replica-{index}"
        (bundles / "next").symlink_to(f"bundle-{number}")
        (bundles / "next").rename(bundles / "current")

    @property
    def address(self) -> str:
        """Where clients speak to."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Cluster:
        try:
            self.redis.start()
            await self.redis.until_ready()
            for replica in self.replicas:
                replica.start()
            for replica in self.replicas:
                await replica.until_ready()
            self.proxy.start()
            await self.proxy.until_ready()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in (*self.replicas, self.redis, self.proxy):
            if process.running is not None and process.running.poll() is None:
                process.send(signal.SIGCONT)
            await process.kill()

    def sample(self, index: int, name: str, label: str = "") -> float:
        """The sum of a metric of one server, of one label's value; 0 where it does not answer."""
        try:
            with _OPENER.open(f"http://{self.host(index)}:{self.ports[index][1]}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        samples = [line for line in lines if line.split(" ")[0].split("{")[0] == name and label in line]
        return sum(float(line.split()[-1]) for line in samples)

    def total(self, name: str, label: str = "") -> float:
        """The same over all servers that answer now."""
        return sum(self.sample(index, name, label) for index in range(len(self.ports)))

    def cpu_seconds(self, index: int) -> float:
        """CPU time of a server so far."""
        running = self.replicas[index].running
        assert running is not None
        fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _replica(self, index: int) -> Process:
        (port, metrics), host = self.ports[index], self.host(index)
        bundles = self.folder / f"replica-{index}"
        for number in range(2):
            write_bundle(bundles / f"bundle-{number}", number)
        (bundles / "current").symlink_to("bundle-0")
        redis = OUTSIDE if host == INSIDE else "127.0.0.1"
        command = [sys.executable, "-m", "exalign_service.cli", "serve", "--exit-with-stdin"]
        command += ["--bundle-directory", str(bundles), "--runtime", "onnxruntime"]
        command += ["--address", f"{host}:{port}", "--metrics-address", f"{host}:{metrics}"]
        command += ["--store", f"redis://{redis}:{self.redis_port}", "--durability", self.durability]
        command += ["--resume-keys", str(self.folder / "keys"), "--max-sessions", "512", "--caller-share", "1"]
        command += ["--log-level", "warning", "--shutdown-grace", "10"]
        if host == INSIDE:
            assert self.namespace is not None
            command = self.namespace.command([*command, "--insecure", "true"])
        folders = [str(ROOT / room) for room in ("protos", "engine", "service", "clients")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
        log = self.folder / f"replica-{index}.log"
        return Process(command, lambda: answers(f"http://{host}:{metrics}/readyz"), log, env)

    def _proxy(self) -> Process:
        if self.proxy_name == "envoy":
            ports, checked = zip(*self.ports, strict=True)
            command = envoy_command(self.folder, self.port, ports, checked, free_port())
            return Process(command, lambda: listens(self.port), self.folder / "envoy.log")
        found = program("haproxy")
        assert found is not None
        bundles = self.folder / "bundles.map"
        bundles.write_text(f"{self.bundle_id(0)} exalign-before\n" if self.rollout else "")
        env = {**environment(), "EXALIGN_BIND": f"127.0.0.1:{self.port}", "EXALIGN_BUNDLES": str(bundles)}
        nobody = free_port()
        for i in range(4):
            there = i < len(self.ports)
            port, metrics = self.ports[i] if there else (nobody, nobody)
            env |= {f"EXALIGN_R{i + 1}": f"{self.host(i)}:{port}", f"EXALIGN_M{i + 1}": str(metrics)}
        # The first two keep the first bundle where the others get another one; one alone is both.
        for i in range(2):
            port, metrics = self.ports[min(i, len(self.ports) - 1)]
            env |= {f"EXALIGN_B{i + 1}": f"{self.host(i)}:{port}", f"EXALIGN_N{i + 1}": str(metrics)}
        command = [found, "-W", "-f", str(ROOT / "deploy" / "haproxy.cfg"), "-p", str(self.folder / "haproxy.pid")]
        return Process(command, lambda: listens(self.port), self.folder / "haproxy.log", env)


def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one cluster."""
    return tempfile.TemporaryDirectory(prefix="exalign-chaos-")
