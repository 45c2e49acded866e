"""Without ``--server`` a command is answered in its own process, by whoever is registered for it."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from exalign.local_answers import GROUP, CannotAnswerError
from exalign_client import LocalServer
from exalign_client.commands.cli import main
from exalign_client.commands.connection import connect
from exalign_client.commands.terminal import Waiting
from exalign_client.transport import in_process
from fake_server import FakeService

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

#: What the tests' answerers have been shown and have done.
events: list[str] = []
address = ""


@contextmanager
def answers(where: str, say: Callable[[str], None]) -> Iterator[str]:
    assert where.startswith("unix:")
    events.append("begun")
    say("loading")
    yield address
    events.append("ended")


@contextmanager
def cannot(where: str, say: Callable[[str], None]) -> Iterator[str]:
    raise CannotAnswerError("the bundle is damaged")
    yield ""


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, service: FakeService) -> Callable[[str], None]:
    """Registers one of the answerers above, as installing would."""
    events.clear()
    monkeypatch.setattr(f"{__name__}.address", service.address)

    def do(name: str) -> None:
        entry = EntryPoint("one", f"{__name__}:{name}", GROUP)
        monkeypatch.setattr(in_process, "entry_points", lambda *, group: [entry] if group == GROUP else [])

    return do


def test_what_pyproject_registers_can_be_called() -> None:
    registered = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"][GROUP]
    for place in registered.values():
        module, _, name = place.partition(":")
        assert callable(getattr(import_module(module), name))


def test_a_command_without_a_server_is_answered_by_what_is_registered(
    register: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    register("answers")
    assert main(["model"]) == 0
    captured = capsys.readouterr()
    assert "1000 exemplars" in captured.out
    assert captured.err == "exalign: no --server: this process answers itself\n"
    assert events == ["begun", "ended"]


def test_a_failure_of_the_command_ends_the_answerer(register: Callable[[str], None], tmp_path: Path) -> None:
    register("answers")
    (tmp_path / "a.png").touch()
    assert main(["predict", str(tmp_path / "a.png")]) == 1
    assert events == ["begun", "ended"]


def test_why_nothing_can_be_answered_is_one_line(
    register: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    register("cannot")
    assert main(["model"]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["exalign: cannot answer in this process: the bundle is damaged"]


def test_where_nobody_is_registered_a_process_is_started(
    monkeypatch: pytest.MonkeyPatch, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def started() -> Iterator[LocalServer]:
        yield LocalServer(service.address, "127.0.0.1:9")

    monkeypatch.setattr(in_process, "entry_points", lambda *, group: [])
    monkeypatch.setattr(in_process, "local_server", started)
    assert main(["model"]) == 0
    assert "1000 exemplars" in capsys.readouterr().out


def test_a_call_in_this_process_has_no_timeout_unless_one_is_given(
    register: Callable[[str], None], service: FakeService
) -> None:
    register("answers")
    for given, least, most in ((None, 3000.0, 3600.0), (7.0, 0.0, 7.0)):
        arguments = argparse.Namespace(server=None, tls=False, timeout=given)
        with connect(arguments) as client:
            client.predict(b"x")
        # gRPC sends a timeout with three digits at most, rounded up.
        assert least < service.deadlines[-1] <= 1.01 * most + 1


def test_waiting_says_what_for_and_no_more_once_it_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = Waiting("x", every=0.01)
    waiting.at("loading the model")
    shown = ""
    while "loading the model" not in shown:
        shown += capsys.readouterr().err
    waiting.end()
    capsys.readouterr()
    assert shown.startswith("x: loading the model, ")
    waiting.end()
    assert capsys.readouterr().err == ""
