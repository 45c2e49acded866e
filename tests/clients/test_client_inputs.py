"""What ``exalign predict`` takes: directories, standard input, any file name; and what it does with what it cannot."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest

from exalign_client.commands.cli import main
from exalign_client.pictures.picture_files import natural_order, read_directory
from fake_server import IMAGE_SIZE, FakeService, abort

PNG = cv2.imencode(".png", np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three pictures, and what is none."""
    folder = tmp_path / "album"
    (folder / "below").mkdir(parents=True)
    for name in ("photo10.png", "photo2.PNG", "Photo1.jpg", ".hidden.png", "._photo2.PNG"):
        (folder / name).write_bytes(PNG)
    (folder / "notes.txt").write_text("no picture")
    (folder / "below" / "photo.png").write_bytes(PNG)
    return folder


def images(printed: str) -> list[str]:
    return [json.loads(line)["image"] for line in printed.splitlines()]


def test_names_are_ordered_as_people_count() -> None:
    names = ["a10", "a2", "B1", "a02", "a2b", "a", "10", "9", "İ1"]
    assert sorted(names, key=natural_order) == ["9", "10", "a", "a02", "a2", "a2b", "a10", "B1", "İ1"]


def test_a_directory_is_its_pictures_in_natural_order_and_what_is_left_out_is_named(
    service: FakeService, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(album), "--json", "--server", service.address]) == 0
    captured = capsys.readouterr()
    assert images(captured.out) == [str(album / name) for name in ("Photo1.jpg", "photo2.PNG", "photo10.png")]
    assert captured.err.splitlines()[0] == (
        f"exalign: {album}: left out 2 hidden (._photo2.PNG, .hidden.png) "
        "and 2 without a picture's ending (below, notes.txt)"
    )


def test_the_drawings_of_a_directory_go_to_a_directory(service: FakeService, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    assert main(["predict", str(album), "--out", str(out), "--server", service.address]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["Photo1.png", "photo10.png", "photo2.png"]


def test_a_directory_without_pictures_fails_and_the_others_are_answered(
    service: FakeService, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["predict", str(empty), str(album / "photo10.png"), "--json", "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert f"exalign: {empty}: there is no picture in it" in captured.err
    assert images(captured.out) == [str(album / "photo10.png")]


def test_of_many_names_a_few_are_said(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").touch()
    assert read_directory(tmp_path).left_out == (
        "left out 9 without a picture's ending (0.txt, 1.txt, 2.txt, 3.txt and 5 more)"
    )


@pytest.mark.parametrize("command", ["predict", "pose"])
def test_a_dash_is_standard_input(service: FakeService, command: str, tmp_path: Path) -> None:
    out = tmp_path / "drawn.png"
    arguments = [command, "-", "--json", "--out", str(out), "--server", service.address]
    program = [sys.executable, "-m", "exalign_client.commands.cli", *arguments]
    done = subprocess.run(program, input=PNG, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == "-"
    assert out.exists()


def test_standard_input_is_read_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-", "-"]) == 2
    assert "can be read once only" in capsys.readouterr().err


def test_the_file_that_is_standard_input_is_not_drawn_over(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(PNG)
    program = [sys.executable, "-m", "exalign_client.commands.cli", "predict", "-", "--out", str(picture)]
    with picture.open("rb") as file:
        done = subprocess.run(program, stdin=file, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "is an input" in done.stderr) == (2, True)
    assert picture.read_bytes() == PNG


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["utf-8", "ascii", "POSIX"],
)
def test_every_file_name_on_every_terminal(
    service: FakeService, tmp_path: Path, environment: dict[str, str], as_json: bool
) -> None:
    names = [b"caf\xe9.png", "Zoë ж.png".encode(), b"plain.png"]
    files = [os.fsencode(tmp_path) + b"/" + name for name in names]
    for file in files:
        Path(os.fsdecode(file)).write_bytes(PNG)
    options: list[bytes | str] = ["--server", service.address, "--out", str(tmp_path / "drawn")]
    program = [sys.executable, "-m", "exalign_client.commands.cli", "predict", *files, *options]
    program += ["--json"] if as_json else []
    done = subprocess.run(program, env=os.environ | environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    if as_json:
        assert len(images(done.stdout.decode())) == 3
    else:
        assert done.stdout.count(b"1 face") == 3


def test_what_cannot_be_used_is_one_line_each_and_the_others_are_answered(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, last = tmp_path / "good.png", tmp_path / "last.png"
    for path in (good, last):
        path.write_bytes(PNG)
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "empty.png").touch()
    bad = ["loop.png", "empty.png", "absent.png", "good.png/inside.png", "x" * 300 + ".png"]
    arguments = [str(tmp_path / name) for name in bad]
    service.faults = []
    assert main(["predict", str(good), *arguments, str(last), "--json", "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert images(captured.out) == [str(good), str(last)]
    failures = [line for line in captured.err.splitlines() if line.startswith("exalign: ")]
    assert len(failures) == len(bad)
    assert all(any(name in line for line in failures) for name in bad)


def test_a_fault_about_one_picture_leaves_the_others_answered(
    service: FakeService, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults = [abort(grpc.StatusCode.INTERNAL, "a bug")]
    assert main(["predict", str(album), "--json", "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert len(images(captured.out)) == 2
    assert "Photo1.jpg: " in captured.err
    assert "INTERNAL: a bug" in captured.err


def test_too_little_memory_is_a_line_about_its_picture(
    service: FakeService, album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from exalign_client.commands import inputs

    real, refused = inputs.PictureInput.read, [album / "photo2.PNG"]

    def read(picture: inputs.PictureInput) -> bytes:
        if picture.path in refused:
            raise MemoryError
        return real(picture)

    monkeypatch.setattr(inputs.PictureInput, "read", read)
    assert main(["predict", str(album), "--json", "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert len(images(captured.out)) == 2
    assert f"exalign: {refused[0]}: not enough memory" in captured.err


def test_a_file_that_never_ends_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: FakeService
) -> None:
    monkeypatch.setattr("exalign_client.commands.inputs._MOST_BYTES", 2**20)
    assert main(["predict", "/dev/zero", "--server", service.address]) == 1
    assert "/dev/zero: is larger than 1 MiB" in capsys.readouterr().err


def test_closed_standard_input_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: FakeService
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", "-", "--server", service.address]) == 1
    assert "standard input is closed" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PNG)))
    assert main(["predict", "-", "--server", service.address]) == 0
