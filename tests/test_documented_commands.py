"""Every command of README and docs is one that the real parsers take, and installs what is there.

`make wheels` runs them, from wheels in fresh environments: see tests/install.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from documented_commands import ROOT, Documented, commands, documents, python_blocks

#: Program -> the module whose ``main`` it is.
ENTRIES: dict[str, str] = {
    program: entry.removesuffix(":main")
    for program, entry in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"].items()
}

ALL = [command for path in documents() for command in commands(path)]
OURS = [command for command in ALL if command.ours is not None]


class ParsedError(BaseException):
    """The command was understood."""


@pytest.fixture(autouse=True)
def stop_when_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends every program as soon as its arguments have been understood."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *arguments: object, **options: object) -> None:
        parse(parser, *arguments, **options)  # type: ignore[arg-type]
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


def test_the_documents_hold_commands() -> None:
    assert {command.ours[0] for command in OURS if command.ours} == set(ENTRIES)
    assert len([command for command in OURS if command.in_block]) > 15


@pytest.mark.parametrize("command", OURS, ids=str)
def test_a_documented_command_is_understood(command: Documented, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.ours
    assert words is not None
    program, *arguments = words
    if not command.in_block:  # [--optional] in the text, and … for what differs
        arguments = [word.strip("[]") for word in arguments if word != "…"]
    with pytest.raises((ParsedError, SystemExit)) as ended:
        import_module(ENTRIES[program]).main(arguments)
    if isinstance(ended.value, SystemExit) and ended.value.code != 0:
        said = capsys.readouterr().err
        # Text may leave out what every command of its kind needs, and a flag's value; a block may not.
        assert not command.in_block, said
        assert "are required" in said or "expected one argument" in said


def extras_of(requirement: str) -> list[str]:
    """The extras of ``.[a,b]``."""
    found = re.fullmatch(r"\.\[([a-z,-]+)\]", requirement)
    return found[1].split(",") if found else []


@pytest.mark.parametrize("command", [c for c in ALL if "install" in c.words], ids=str)
def test_what_is_installed_is_here(command: Documented) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in command.words[command.words.index("install") + 1 :]:
        assert set(extras_of(word)) <= set(known), word
        if word.startswith("./"):
            assert (ROOT / word / "pyproject.toml").is_file(), word


def test_every_row_about_installing_names_extras_and_paths_that_are_here() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    rows = re.findall(r"^\| `pip install ([^`]+)` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(rows) >= 5
    for row in rows:
        for word in row.split():
            assert set(extras_of(word.strip("'"))) <= set(project["optional-dependencies"]), row
            assert not word.startswith("./") or (ROOT / word / "pyproject.toml").is_file(), row


@pytest.mark.parametrize("command", [c for c in ALL if c.words[:1] == ["make"]], ids=str)
def test_every_target_is_in_the_makefile(command: Documented) -> None:
    assert re.search(rf"^{command.words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", [path for path in documents() if python_blocks(path)], ids=lambda path: path.name)
def test_the_python_of_a_document_imports_what_is_there(path: Path) -> None:
    for block in python_blocks(path):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names), node.module
