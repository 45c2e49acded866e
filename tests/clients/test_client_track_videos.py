"""``exalign track`` on what files and directories hold, against the fake server: damage, sizes, times and sound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import exalign_client.commands.track
import exalign_client.pictures.video_writer
from exalign_client import TrackResult
from exalign_client.commands.cli import main
from exalign_client.pictures.video_files import open_video
from exalign_client.track.results import settled
from fake_server import FakeService
from made_clips import CONSTANT, VARIABLE, break_packet, packets_of, picture, write_clip, write_two_sizes


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for n in range(3):
        cv2.imwrite(str(path / f"{n:03}.png"), picture(n))
    return path


def test_a_broken_picture_in_a_directory_is_a_frame_with_a_problem(
    service: FakeService, directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "001.png").write_bytes(b"no picture")
    out = tmp_path / "tracked.mp4"
    assert main(["track", str(directory), "--json", "--out", str(out), "--server", service.address]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    problem = "(001.png) cannot be decoded"
    assert [line["frame_index"] for line in lines] == [0, 1, 2]
    assert [line["problems"] for line in lines] == [[], [{"field": "image", "description": problem}], []]
    assert [f.occluded for f in service.tracking.frames] == [False, True, False]
    assert not service.tracking.frames[1].HasField("image"), "what cannot be read does not travel"
    expected = f"exalign: {directory}: 1 of 3 frames could not be used; frame 1 {problem}"
    assert captured.err.splitlines()[-1] == expected
    assert len(list(open_video(str(out)))) == 3


def test_pictures_come_in_the_order_of_their_numbers_and_hidden_ones_are_named(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    (folder / "__MACOSX").mkdir(parents=True)
    names = ["1.png", "2.png", "9.JPG", "10.png", "011.png", "100.png"]
    for n, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((16, 16, 3), 10 * n, np.uint8))
    (folder / "._2.png").write_bytes(b"Mac OS X")
    (folder / "__MACOSX" / "._1.png").write_bytes(b"Mac OS X")
    assert [int(p.pixels.mean()) for p in open_video(str(folder)) if p.pixels is not None] == [0, 10, 20, 30, 40, 50]
    assert main(["track", str(folder), "--server", service.address]) == 0
    assert capsys.readouterr().err.endswith(f"exalign: {folder}: left out 1 hidden file: ._2.png\n")


def test_a_broken_frame_is_said_in_its_line_and_the_video_goes_on(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_clip(tmp_path / "a.avi", "mjpeg", unit=Fraction(1, 25))
    break_packet(path, 12)
    assert main(["track", str(path), "--json", "--lag", "2", "--server", service.address]) == 1
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(20))
    assert [line["media_time"] for line in lines] == pytest.approx(CONSTANT)
    problem = {"field": "image", "description": "cannot be decoded"}
    assert [line["problems"] for line in lines] == [[problem] if n == 12 else [] for n in range(20)]
    assert [f.frame_index for f in service.tracking.frames if not f.HasField("image")] == [12]
    expected = f"exalign: {path}: 1 of 20 frames could not be used; frame 12 cannot be decoded"
    assert captured.err.splitlines()[-1] == expected


def test_a_file_that_is_cut_off_fails_behind_its_last_frame(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_clip(tmp_path / "a.avi", "mjpeg", unit=Fraction(1, 25))
    at, _, _ = packets_of(path)[12]
    path.write_bytes(path.read_bytes()[:at])
    assert main(["track", str(path), "--json", "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 12
    assert re.fullmatch(rf"exalign: {path}: is cut off: \d+ bytes of \d+", captured.err.splitlines()[-1])


def test_a_frame_of_another_size_is_a_problem_and_the_drawn_video_keeps_its_size(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_two_sizes(tmp_path / "a.mkv", [(96, 64), (96, 64), (48, 80), (96, 64)]), tmp_path / "b.mp4"
    assert main(["track", str(path), "--json", "--out", str(out), "--server", service.address]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(line["problems"]) for line in lines] == [0, 0, 1, 0]
    assert lines[2]["problems"][0]["description"].startswith("is 48 × 80 pixels, all frames")
    assert [p.pixels is not None for p in open_video(str(out))] == [True] * 4


def test_times_and_sound_of_the_source_are_in_the_answers_and_in_the_drawn_video(
    service: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_clip(tmp_path / "a.mkv", times=VARIABLE, sound="aac"), tmp_path / "b.mp4"
    assert main(["track", str(path), "--json", "--out", str(out), "--server", service.address]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["media_time"] for line in lines] == pytest.approx(VARIABLE)
    assert [p.media_time for p in open_video(str(out))] == pytest.approx(VARIABLE, abs=1e-3)
    with av.open(str(out)) as container:
        assert container.streams.best("audio") is not None


def test_without_pyav_the_drawn_video_says_what_it_lacks(
    service: FakeService, clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exalign_client.pictures.video_writer, "has_pyav", lambda: False)
    out = clip.with_name("tracked.mp4")
    assert main(["track", str(clip), "--out", str(out), "--server", service.address]) == 0
    *_, written, lacks = capsys.readouterr().err.splitlines()
    assert written == f"exalign: {out} written"
    assert lacks.startswith(f"exalign: {out} is MPEG-4 part 2 at 25 frames a second, without sound")


def test_an_interrupt_leaves_no_half_video(
    service: FakeService, clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(events: Any, lag: int) -> Iterator[TrackResult]:
        yield from list(settled(events, lag))[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(exalign_client.commands.track, "settled", interrupted)
    out = tmp_path / "out" / "tracked.mp4"
    out.parent.mkdir()
    assert main(["track", str(clip), "--out", str(out), "--server", service.address]) == 130
    assert list(out.parent.iterdir()) == []
