"""A server in a process of its own, from this tree or another, and the CPU time that it has used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exalign_client.transport.local_server import local_server

#: Folders of a tree that packages are imported from.
ROOTS = ("protos", "engine", "service", "clients")


@dataclass(frozen=True)
class ServerProcess:
    """A running server.

    Attributes:
        address: of its gRPC port, or its socket.
        pid: of its process.
        metrics_address: where its /metrics are.
    """

    address: str
    pid: int
    metrics_address: str

    def cpu_seconds(self) -> float:
        """CPU time of all its threads up to now, in the user's code and the kernel's; in steps of 10 ms."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def server_process(
    tree: Path | None = None, *, tcp: bool = False, arguments: Sequence[str] = ()
) -> Iterator[ServerProcess]:
    """Start a server for the length of a ``with`` block. From the main thread.

    Args:
        tree: a checkout of this repository whose packages the server imports; None: those of this process.
        tcp: listen on a port of 127.0.0.1, not on a socket of the file system.
        arguments: further arguments of ``exalign-server serve``.

    Raises:
        LocalServerError: it could not be started.
        FileNotFoundError: the tree has no server.
    """
    changes = {}
    if tree is not None:
        root = tree.resolve()
        if not (root / "service" / "exalign_service" / "cli.py").is_file():
            raise FileNotFoundError(f"{tree}: has no service/exalign_service/cli.py")
        changes["PYTHONPATH"] = os.pathsep.join(str(root / name) for name in ROOTS)
    before = _children()
    with ExitStack() as stack:
        with _environment(changes):
            server = stack.enter_context(local_server(tcp=tcp, arguments=arguments))
        (pid,) = _children() - before
        yield ServerProcess(server.address, pid, server.metrics_address)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
