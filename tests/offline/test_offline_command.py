"""``exalign-model track-files``: which videos, one run at a time, how far it is, and what it says at the end."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from exalign.cli_support import UsageError
from exalign_engine import cli
from exalign_offline.command import one_run
from exalign_offline.one_video.place import Place
from exalign_offline.running.progress import Progress
from exalign_offline.videos import VideoFile, find_videos
from offline_runs import FRAMES, settings, track


def test_videos_of_a_directory_are_called_by_their_place_in_it(tmp_path: Path) -> None:
    for name in ("b.MOV", "a.mp4", "below/a.mp4", "below/note.txt", ".hidden.mp4", ".folder/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos([tmp_path])
    assert [video.name for video in found] == ["a.mp4", "b.MOV", "below/a.mp4"]
    assert found[0] == VideoFile(str(tmp_path / "a.mp4"), "a.mp4")
    assert [video.name for video in find_videos([tmp_path / "below" / "note.txt"])] == ["note.txt"]


def test_two_results_of_one_name_are_refused_and_so_is_nothing(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder / "x.mp4").touch()
    with pytest.raises(UsageError, match="the same name"):
        find_videos([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(UsageError, match="no video"):
        find_videos([tmp_path / "c"])
    with pytest.raises(FileNotFoundError):
        find_videos([tmp_path / "d"])


def test_one_run_writes_to_a_directory_at_a_time(tmp_path: Path) -> None:
    with one_run(tmp_path), pytest.raises(UsageError, match="another run"), one_run(tmp_path):
        pass
    with one_run(tmp_path):
        pass


def test_progress_counts_what_is_kept_and_says_when_the_rest_is_done(
    bundle: Path, videos: Path, tmp_path: Path
) -> None:
    now, found = [100.0], find_videos([videos])
    progress = Progress(found, tmp_path, lambda: now[0])
    assert progress.line() == "0/3 videos, 0 frames"
    track(settings(bundle), videos / "one.mp4", tmp_path)
    now[0] += 10
    line = progress.line()
    assert re.fullmatch(r"1/3 videos, 24 frames, 2\.4 a second, 0:00:\d\d left", line), line
    saved = Place.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "save", lambda *what: (saved(*what), _stop()))
        with pytest.raises(KeyboardInterrupt):
            track(settings(bundle), videos / "three.mp4", tmp_path)
    assert progress.line().startswith("1/3 videos, 29 frames, 2.9 a second, ")
    track(settings(bundle), videos, tmp_path)
    now[0] += 10
    assert progress.line() == f"3/3 videos, {sum(FRAMES.values())} frames, 2.5 a second"


def _stop() -> None:
    raise KeyboardInterrupt


def run(*arguments: str | Path) -> int:
    return cli.main(["track-files", *map(str, arguments)])


def test_the_command_in_one_process(
    bundle: Path, videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    common = (videos, "--bundle", bundle, "--runtime", "onnxruntime", "--out", tmp_path / "out", "--single-process")
    assert run(*common, "--max-faces", "2", "--format", "pts") == 0
    assert capfd.readouterr().out == f"3 videos, {sum(FRAMES.values())} frames; 0 not whole\n"
    (videos_out,) = (tmp_path / "out").glob("below")
    assert len((videos_out / "two.mp4.jsonl").read_text().splitlines()) == FRAMES["below/two.mp4"]
    assert run(*common, "--max-faces", "2", "--json") == 0
    said_there = capfd.readouterr()
    assert "3 of 3 videos are done already" in said_there.err
    assert [json.loads(line)["frames"] for line in said_there.out.splitlines()] == [17, 24, 9]


def test_a_video_that_is_not_whole_is_said_in_a_line_and_in_the_exit_code(
    bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.mp4").write_bytes(b"no video")
    common = ("--bundle", bundle, "--runtime", "onnxruntime", "--out", tmp_path / "out", "--single-process")
    assert run(tmp_path / "none.mp4", *common) == 1
    said_there = capfd.readouterr()
    assert said_there.out == "1 videos, 0 frames; 1 not whole\n"
    assert said_there.err.splitlines()[-1].startswith("exalign-model: none.mp4: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers: is 0, must be at least 1"),
        (["--checkpoint-frames", "0"], "--checkpoint-frames: is 0, must be at least 1"),
        (["--lag", "99"], "smoothing_lag"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    bundle: Path, videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(videos, "--bundle", bundle, "--out", tmp_path / "out", *arguments) in (1, 2)
    assert said in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_ray_the_command_names_the_extra(
    bundle: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(videos, "--bundle", bundle, "--out", tmp_path / "out") == 1
    assert "needs the extra 'ray'" in capfd.readouterr().err
