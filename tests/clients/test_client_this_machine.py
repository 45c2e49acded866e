"""This machine by every spelling, and the private address of a server on it."""

from __future__ import annotations

import socket
import stat
import tempfile
from pathlib import Path

import pytest

from exalign_client import Client
from exalign_client.transport.channel import channel_options
from exalign_client.transport.private_address import LOOPBACK, private_address
from exalign_client.transport.this_machine import is_this_machine
from fake_server import FakeService

HERE = [
    "127.0.0.1:1",
    "127.0.0.2:1",
    "0.0.0.0:1",
    "localhost:1",
    "LOCALHOST:1",
    "localhost.:1",
    "foo.localhost:1",
    "localhost",
    "dns:localhost:1",
    "dns:///localhost:1",
    "dns://192.0.2.1/localhost:1",
    "DNS:localhost:1",
    "ipv4:127.0.0.1:1",
    "ipv4:127.0.0.1:1,127.0.0.1:2",
    "[::1]:1",
    "[::]:1",
    "::1",
    "ipv6:[::1]:1",
    "ipv6:%5B::1%5D:1",
    "ipv6:[::ffff:127.0.0.1]:1",
    "passthrough:///127.0.0.1:1",
    f"{socket.gethostname()}:1",
]
ELSEWHERE = [
    "example.org:1",
    "192.0.2.1:1",
    "[2001:db8::1]:1",
    "ipv4:127.0.0.1:1,192.0.2.1:1",
    "127.example.org:1",
    "my-localhost:1",
    "localhost.example.org:1",
    "unix:/run/exalign",
]


@pytest.mark.parametrize("address", HERE)
def test_no_proxy_lies_between_us_and_this_machine(address: str) -> None:
    assert is_this_machine(address)
    assert ("grpc.enable_http_proxy", 0) in channel_options(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_a_proxy_is_for_the_world_outside(address: str) -> None:
    assert not is_this_machine(address)
    assert ("grpc.enable_http_proxy", 0) not in channel_options(address)


@pytest.mark.parametrize("spelling", ["127.0.0.1:{}", "ipv4:127.0.0.1:{}", "LOCALHOST:{}", "0.0.0.0:{}"])
def test_a_server_on_this_machine_is_reached_past_a_proxy(
    spelling: str, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Client(spelling.format(service.address.rpartition(":")[2]), timeout=10) as client:
        assert client.model().exemplars == 1000


@pytest.mark.parametrize("name", ["x" * 100, "my files", "a%20b", "a#b", "ü", "plain"])
def test_a_private_socket_has_a_short_plain_path_whatever_the_directory_for_temporary_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / name
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    with private_address() as address:
        path = Path(address.removeprefix("unix:"))
        assert len(str(path)) < 100
        assert not set(address) & set(" %#ü")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    assert not path.parent.exists()


def test_where_no_directory_can_hold_a_socket_it_is_a_port_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with private_address() as address:
        assert address == LOOPBACK
