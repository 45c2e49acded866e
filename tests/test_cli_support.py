"""The three commands end alike: exit codes, one line on standard error, extras that are missing by name."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

import pytest

from exalign.cli_support import (
    OneLineParser,
    Terminated,
    UsageError,
    abandoned,
    describe,
    first_line,
    json_text,
    print_anything,
    run_command,
)


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


class KnownError(Exception):
    pass


def test_the_exit_code_is_the_commands_own() -> None:
    assert run_command("x", lambda: 3, extra="serve") == 3


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KnownError("is wrong\nin detail"), 1, "x: is wrong"),
        (KnownError(), 1, "x: KnownError"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), 1, "x: a.png: No such file or directory"),
        (KeyboardInterrupt(), 130, "x: interrupted"),
        (Terminated(), 143, "x: terminated"),
        (MemoryError(), 1, "x: not enough memory"),
        (UsageError("--out: no"), 2, "x: --out: no"),
        (
            ModuleNotFoundError("No module named 'onnx.checker'", name="onnx.checker"),
            1,
            "x: needs the extra 'serve' (no module named 'onnx.checker'): pip install 'exalign[serve]'",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            1,
            "x: needs the extra 'train' (no module named 'torch'): pip install 'exalign[train]'",
        ),
    ],
)
def test_what_ends_a_command_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_command("x", raising(error), failures=(KnownError,), extra="serve", extra_of={"torch": "train"})
    assert (ended, capsys.readouterr().err) == (code, f"{line}\n")


@pytest.mark.parametrize("error", [ValueError("a bug"), ModuleNotFoundError("ours", name="exalign_engine.nothing")])
def test_a_fault_of_ours_leaves_with_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_command("x", raising(error), failures=(KnownError,), extra="serve")


def test_a_reader_that_has_gone_ends_a_command_quietly() -> None:
    code = (
        "import sys; from exalign.cli_support import run_command\n"
        "def command():\n"
        "    while True: print('line')\n"
        "sys.exit(run_command('x', command, extra='serve'))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 1)


def test_wrong_usage_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        OneLineParser(prog="x").parse_args(["--nothing"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "x: unrecognized arguments: --nothing (see x --help)\n"


def test_a_flag_is_never_abbreviated_in_subcommands_neither(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser(prog="x")
    parser.add_argument("--verbose", action="store_true")
    command = parser.add_subparsers().add_parser("command")
    command.add_argument("--json", action="store_true")
    for arguments in (["--verb"], ["command", "--js"]):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 2
        assert f"unrecognized arguments: {arguments[-1]}" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["exalign_client.commands.cli", "exalign_engine.cli", "exalign_service.entry"])
def test_every_command_knows_its_version(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module(module).main(["--version"])
    assert ended.value.code == 0
    name, _, number = capsys.readouterr().out.strip().partition(" ")
    assert name.startswith("exalign")
    assert number == version("exalign")


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("exalign_client.commands.cli", ["predict", "--help"]),
        ("exalign_client.commands.cli", ["track", "--help"]),
        ("exalign_engine.cli", ["train", "--help"]),
        ("exalign_engine.cli", ["--help"]),
        ("exalign_service.entry", ["serve", "--help"]),
    ],
)
def test_no_help_shows_the_marks_of_documentation(
    module: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        import_module(module).main(arguments)
    assert "`" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", b"3 x 4 +- 0.5 >= 2 caf\\xe9 \\u0436"), ("latin-1", b"3 \xd7 4 \xb1 0.5 >= 2 caf\\xe9 \\u0436")],
)
def test_every_text_can_be_shown_on_every_terminal(
    encoding: str, shown: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    print_anything()
    print("3 × 4 ± 0.5 ≥ 2 caf\udce9 ж", end="", flush=True)
    assert raw.getvalue() == shown


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_json_stays_json_whatever_is_in_a_file_name(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    for name in ("Zoë", "caf\udce9"):
        print(json_text({"image": name}), flush=True)
    assert [json.loads(line)["image"] for line in raw.getvalue().decode(encoding).splitlines()] == ["Zoë", "caf\udce9"]


def test_errors_in_one_line() -> None:
    assert first_line(ValueError("\n a\n b")) == "a"
    assert describe(OSError("nothing is there")) == "nothing is there"


def interrupt(*_: object) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "arguments", "interrupted"),
    [
        ("exalign_client.commands.cli", ["model"], "exalign_client.commands.model.connect"),
        ("exalign_engine.cli", ["inspect"], "exalign_engine.commands.inspect.run"),
        ("exalign_service.entry", ["serve"], "exalign_service.observability.logs.configure"),
    ],
)
def test_every_command_that_is_interrupted_ends_with_130(
    module: str, arguments: list[str], interrupted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupted, interrupt)
    assert import_module(module).main(arguments) == 130


def test_a_thread_left_behind_ends_the_process_of_the_command() -> None:
    """In a process of its own; a test of another command in this one must not meet it."""
    script = "from exalign.cli_support import *; abandon_thread(); run_command('x', lambda: 3, extra=''); print('on')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert not abandoned.is_set()
