"""No command of ``exalign`` that draws destroys what it reads, and all say what they have written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from exalign_client.commands.cli import main
from fake_server import FakeService

#: A server that is not asked.
NOBODY = ["--server", "127.0.0.1:1", "--timeout", "1"]
COMMANDS = {
    "predict": [],
    "heatmaps": [],
    "pose": [],
    "condition": ["--click", "nose_tip=60,40"],
    "suggest": [],
}


def itself(path: Path) -> Path:
    return path


def respelt(path: Path) -> Path:
    return path.parent / "." / ".." / path.parent.name / path.name


def symbolic(path: Path) -> Path:
    link = path.with_name("link.png")
    link.symlink_to(path)
    return link


def hard(path: Path) -> Path:
    link = path.with_name("hard.png")
    os.link(path, link)
    return link


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that ends with 2, whether its parser or its check ends it."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(str(ended.code))
    line = capsys.readouterr().err
    assert (code, line.count("\n")) == (2, 1), line
    return line


@pytest.mark.parametrize("spelling", [itself, respelt, symbolic, hard])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_picture_is_never_drawn_over(
    command: str, spelling: Callable[[Path], Path], picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = picture.read_bytes(), spelling(picture)
    line = refused([command, str(picture), *COMMANDS[command], "--out", str(out), *NOBODY], capsys)
    assert "--out" in line
    assert "is an input" in line
    assert picture.read_bytes() == before


def test_pictures_are_not_drawn_over_in_their_own_directory(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes())
    before = picture.read_bytes()
    for given in ([str(picture), str(other)], [str(picture.parent)]):
        line = refused(["predict", *given, "--out", str(picture.parent), *NOBODY], capsys)
        assert str(picture) in line
        assert str(other) in line
    assert (picture.read_bytes(), other.read_bytes()) == (before, before)


def test_a_picture_that_is_linked_to_from_the_directory_of_outputs_is_safe(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo.png").symlink_to(picture)
    assert "is an input" in refused(["predict", str(picture), "--out", str(out), *NOBODY], capsys)


def test_two_pictures_with_one_name_for_their_drawings_are_refused(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = picture.with_suffix(".jpg")
    other.write_bytes(picture.read_bytes())
    out = tmp_path / "new"
    line = refused(["predict", str(picture), str(other), "--out", str(out), *NOBODY], capsys)
    assert "would be written twice" in line
    assert not out.exists()


@pytest.mark.parametrize("spelling", [itself, respelt, hard])
def test_a_video_is_never_drawn_over(
    spelling: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "hard.mp4" if spelling is not hard else tmp_path / "clip.mp4"
    video.write_bytes(b"no video: it is refused before it is opened")
    out = spelling(video) if spelling is not hard else tmp_path / "second.mp4"
    if spelling is hard:
        os.link(video, out)
    assert "is an input" in refused(["track", str(video), "--out", str(out), *NOBODY], capsys)
    assert video.read_bytes().startswith(b"no video")


def test_a_picture_of_a_videos_directory_is_never_drawn_over(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    out.symlink_to(picture)
    assert "is an input" in refused(["track", str(picture.parent), "--out", str(out), *NOBODY], capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_drawing_is_announced_and_whole(
    command: str, service: FakeService, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "drawn.jpg"
    out.parent.mkdir()
    arguments = [command, str(picture), *COMMANDS[command], "--out", str(out), "--server", service.address]
    assert main(arguments) == 0
    assert capsys.readouterr().err == f"exalign: {out} written\n"
    assert cv2.imread(str(out)) is not None
    assert [path.name for path in out.parent.iterdir()] == ["drawn.jpg"]


def test_a_drawing_that_no_file_of_its_format_holds_is_one_line(tmp_path: Path) -> None:
    from exalign_client.pictures.overlay import write_picture

    with pytest.raises(OSError, match=r"a \.webp file cannot hold 1×20000 pixels"):
        write_picture(tmp_path / "tall.webp", np.zeros((20_000, 1, 3), np.uint8))
    assert not list(tmp_path.iterdir())
