"""No command of ``exalign-model`` destroys what it reads, and none leaves half a file."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from exalign_engine.bundle.bundle import default_bundle_path
from exalign_engine.cli import COMMANDS, main

KEPT = b"what is read"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder of faces with files whose names outputs might have."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for name in ("a.png", "README.md", "a.html", "network.onnx"):
        (folder / name).write_bytes(KEPT)
    return folder


# That of `track-files` is another package's: tests/offline.
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "track-files"])
def test_every_command_states_what_it_writes_and_reads(name: str) -> None:
    module = import_module(f"exalign_engine.commands.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser()
    module.add(parser)
    needed = {
        "train": ["--data", "d", "--config", "c.toml"],
        "export": ["--data", "d", "--run", "r", "--out", "o"],
        "quantise": ["--data", "d"],
        "calibrate": ["--data", "d"],
        "finetune": ["--data", "d"],
    }
    stated = module.files(parser.parse_args(needed.get(name, [])))
    assert stated.read or name == "evaluate"
    assert bool(stated.written) == (name in ("train", "export", "reproduce", "finetune"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "--data", "{faces}", "--suite", "stress", "--picture", "{faces}/a.png"],
        ["evaluate", "--data", "{faces}", "--suite", "video", "--picture", "{faces}/../faces/a.png"],
        ["evaluate", "--protocol", "300vw", "{faces}", "--picture", "{link}"],
        ["calibrate", "--data", "{faces}", "--report", "{faces}/a.html"],
        ["calibrate", "--data", "{faces}", "--report", "{link}"],
        ["calibrate", "--data", "{faces}", "--yunet", "{faces}/a.png", "--report", "{link}"],
        ["export", "--data", "{faces}", "--run", "{root}/run", "--out", "{faces}"],
        ["export", "--data", "{root}/d", "--run", "{root}/run", "--out", "{root}/run"],
        ["quantise", "--data", "{faces}", "--out", "{faces}"],
        ["quantise", "--data", "{root}/d", "--bundle", "{faces}", "--out", "{faces}"],
        ["build-engine", "--network", "{faces}/network.onnx", "--out", "{faces}/network.onnx"],
        ["build-engine", "--bundle", "{faces}", "--out", "{faces}/network.onnx"],
        ["train", "--data", "{faces}", "--config", "{root}/c.toml", "--out", "{faces}"],
        ["train", "--data", "{root}/d", "--config", "{faces}/train.toml", "--out", "{faces}"],
        ["train", "--data", "{root}/d", "--config", "{root}/other/curves.csv", "--run", "{root}/other"],
        ["reproduce", "--from-scratch", "--data", "{faces}", "--out", "{faces}"],
    ],
)
def test_a_target_that_is_an_input_ends_with_2_before_anything_is_opened(
    arguments: list[str], faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    for path in (faces / "train.toml", tmp_path / "run" / "train.toml", tmp_path / "other" / "curves.csv"):
        path.write_bytes(KEPT)
    link = tmp_path / "link.png"
    link.symlink_to(faces / "a.png")
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    given = [part.format(faces=faces, root=tmp_path, link=link) for part in arguments]
    assert main(given) == 2
    line = capsys.readouterr().err
    assert line.startswith("exalign-model: --")
    assert line.count("\n") == 1
    assert before == {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}


def test_a_run_may_be_given_its_own_copy_of_the_configuration(tmp_path: Path) -> None:
    module = import_module("exalign_engine.commands.train")
    config = tmp_path / "train.toml"
    config.touch()
    given = argparse.Namespace(config=config, data=tmp_path / "d", run=tmp_path, out=None)
    assert config not in module.files(given).written


def test_the_bundle_that_is_read_may_be_anywhere_but_where_the_picture_goes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card = default_bundle_path() / "manifest.json"
    if not card.is_file():
        pytest.skip("needs a default bundle in the tree")
    before = card.read_bytes()
    assert main(["evaluate", "--data", str(tmp_path), "--suite", "stress", "--picture", str(card)]) == 2
    assert "is a file of the input" in capsys.readouterr().err
    assert card.read_bytes() == before
