"""One video without a server: the lines of ``exalign track``, and the same again whatever has interrupted it."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exalign.video.frames import VideoReader
from exalign_client.commands import cli
from exalign_client.formats import FORMATS
from exalign_engine.tracking import SessionOptions
from exalign_engine.tracking.session_state import READERS, VERSION
from exalign_offline.one_video import tracking
from exalign_offline.one_video.outputs import result_of
from exalign_offline.one_video.place import WORK, Place
from exalign_offline.one_video.settings import RunSettings
from exalign_offline.videos import find_videos
from made_clips import break_packet, write_two_sizes
from offline_runs import FRAMES, results, settings, track

#: What only a server says.
OF_A_SERVER = {"skipped_frames", "session", "latency", "timing", "durable"}


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


def lines_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


@pytest.fixture(scope="module")
def whole(bundle: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run that nothing has interrupted."""
    out = tmp_path_factory.mktemp("whole")
    reports = track(settings(bundle, formats=("pts", "parquet")), videos, out)
    assert {name: (one.frames, one.whole) for name, one in reports.items()} == {k: (n, True) for k, n in FRAMES.items()}
    return results(out)


def test_every_frame_has_one_line_and_both_faces_are_followed(whole: dict[str, bytes]) -> None:
    for name, frames in FRAMES.items():
        lines = lines_of(whole[f"{name}.jsonl"])
        assert [line["frame_index"] for line in lines] == list(range(frames))
        assert {line["video"] for line in lines} == {name}
        assert {t["track_id"] for line in lines for t in line["tracks"]} >= {1, 2}


@pytest.mark.parametrize("lag", [0, 2])
def test_lines_are_those_of_exalign_track(
    bundle: Path,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    lag: int,
) -> None:
    session = SessionOptions(smoothing_lag=lag, max_faces=2, detect_every=4)
    clip = videos / "one.mp4"
    track(settings(bundle, session=session), clip, tmp_path / "out")
    mine = lines_of((tmp_path / "out" / "one.mp4.jsonl").read_bytes())
    monkeypatch.setenv("EXALIGN_BUNDLE", str(bundle))
    monkeypatch.setenv("EXALIGN_RUNTIME", "onnxruntime")
    capfd.readouterr()
    arguments = ["track", str(clip), "--json", "--lag", str(lag), "--max-faces", "2", "--detect-every", "4"]
    assert cli.main(arguments) == 0
    served = lines_of(capfd.readouterr().out.encode())
    for line in served:
        line["video"] = "one.mp4"
        for name in OF_A_SERVER:
            del line[name]
    assert mine == served


def test_formats_hold_what_the_lines_hold(whole: dict[str, bytes], tmp_path: Path) -> None:
    lines = lines_of(whole["one.mp4.jsonl"])
    seen = {(n["frame_index"], t["track_id"]): t for n in lines for t in n["tracks"] if t["state"] != "lost"}
    (tmp_path / "one.parquet").write_bytes(whole["one.mp4.parquet"])
    rows = {(p.frame, f.track_id): f for p in FORMATS["parquet"].read(tmp_path / "one.parquet") for f in p.faces}
    assert rows.keys() == seen.keys()
    for key, face in rows.items():
        np.testing.assert_allclose(face.points, seen[key]["face"]["landmarks"], rtol=1e-6)
        assert face.covariances is not None
    count = sum(name.startswith("one.mp4-pts/") for name in whole)
    assert count == len(seen)


# What interrupts it.


def interrupted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: int) -> None:
    """A function ends the process at a call: before it has done anything, or when it has done its work."""
    work, calls = getattr(owner, name), iter(range(10**6))

    def cut(*arguments: Any, **options: Any) -> Any:
        call = next(calls)
        if call == 2 * after:
            raise Killed
        found = work(*arguments, **options)
        if call == 2 * after + 1:
            raise Killed
        return found

    monkeypatch.setattr(owner, name, cut)


@pytest.mark.parametrize("where", ["save", "write_done", "read", "completed"])
def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_results(
    bundle: Path, videos: Path, tmp_path: Path, whole: dict[str, bytes], where: str
) -> None:
    how = settings(bundle, formats=("pts", "parquet"))
    owner: Any = {"read": VideoReader, "completed": tracking}.get(where, Place)
    reports = {}
    for after in (0, 1, 3, 2, 7, 30):
        with pytest.MonkeyPatch.context() as patch:
            interrupted(patch, owner, where, after)
            try:
                reports = track(how, videos, tmp_path)
            except Killed:
                continue
            break
    else:
        reports = track(how, videos, tmp_path)
    assert all(one.whole for one in reports.values())
    assert results(tmp_path) == whole


def test_what_is_done_is_not_done_again(
    bundle: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = settings(bundle)
    before = track(how, videos, tmp_path)
    monkeypatch.setattr(tracking.VideoTracking, "run", lambda self: pytest.fail("tracked again"))
    assert track(how, videos, tmp_path) == before
    # What is wanted in addition is made of the lines.
    more = settings(bundle, formats=("openface", "pts"))
    assert track(more, videos, tmp_path) == before
    assert result_of(tmp_path, "one.mp4", "openface").stat().st_size > 0


@pytest.mark.parametrize("change", ["video", "options", "removed"])
def test_another_video_other_options_and_results_that_are_gone_begin_anew(
    bundle: Path, videos: Path, tmp_path: Path, change: str
) -> None:
    clip = tmp_path / "one.mp4"
    shutil.copy(videos / "one.mp4", clip)
    how, out = settings(bundle), tmp_path / "out"
    track(how, clip, out)
    first = results(out)["one.mp4.jsonl"]
    if change == "video":
        shutil.copy(videos / "three.mp4", clip)
        os.utime(clip, ns=(1, 1))
    elif change == "options":
        how = settings(bundle, session=SessionOptions(max_faces=1))
    else:
        (out / "one.mp4.jsonl").unlink()
    track(how, clip, out)
    again = results(out)["one.mp4.jsonl"]
    assert (again == first) is (change == "removed")
    assert len(lines_of(again)) == FRAMES["three.mp4" if change == "video" else "one.mp4"]


def killed_at_a_frame(how: RunSettings, video: Path, out: Path) -> Path:
    """A video whose process has ended within it; what it has kept."""
    with pytest.MonkeyPatch.context() as patch:
        interrupted(patch, VideoReader, "read", 6)
        with pytest.raises(Killed):
            track(how, video, out)
    return out / WORK / video.name


def test_a_checkpoint_that_cannot_be_read_here_begins_the_video_anew(
    bundle: Path, videos: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    how = settings(bundle)
    place = killed_at_a_frame(how, videos / "one.mp4", tmp_path)
    assert json.loads((place / "checkpoint.json").read_text())["report"]["frames"] == 10
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, VERSION, replace(READERS[VERSION], exact=False))
        assert track(how, videos / "one.mp4", tmp_path)["one.mp4"].whole
    assert results(tmp_path)["one.mp4.jsonl"] == whole["one.mp4.jsonl"]


def test_a_checkpoint_that_is_not_whole_begins_the_video_anew(
    bundle: Path, videos: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    how = settings(bundle)
    place = killed_at_a_frame(how, videos / "one.mp4", tmp_path)
    (place / "checkpoint.json").write_text("{")  # the machine went down
    assert track(how, videos / "one.mp4", tmp_path)["one.mp4"].whole
    assert results(tmp_path)["one.mp4.jsonl"] == whole["one.mp4.jsonl"]


# What is wrong with videos.


def test_broken_frames_keep_their_number_and_are_said(bundle: Path, tmp_path: Path) -> None:
    clip = write_two_sizes(tmp_path / "sizes.mp4", [(96, 64)] * 4 + [(64, 48)] * 3)
    (report,) = track(settings(bundle), clip, tmp_path / "out").values()
    assert (report.frames, report.problems, report.whole) == (7, 3, False)
    assert report.first_problem == "frame 4 is 64 × 48 pixels, all frames of a session must have 96 × 64"
    lines = lines_of((tmp_path / "out" / "sizes.mp4.jsonl").read_bytes())
    assert [bool(line["problems"]) for line in lines] == [False] * 4 + [True] * 3


def test_a_frame_that_cannot_be_decoded_is_one_in_which_nothing_is_seen(
    bundle: Path, videos: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "one.mp4"
    shutil.copy(videos / "one.mp4", clip)
    break_packet(clip, 3)
    (report,) = track(settings(bundle), clip, tmp_path / "out").values()
    assert report.frames == FRAMES["one.mp4"]
    assert report.problems >= 1
    assert "cannot be decoded" in report.first_problem


def test_a_file_that_is_no_video_does_not_keep_others_from_theirs(bundle: Path, videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    (folder / "none.mp4").write_bytes(b"no video")
    reports = track(settings(bundle), folder, tmp_path / "out")
    assert reports["none.mp4"].error
    assert [name for name, one in reports.items() if one.whole] == [v.name for v in find_videos([videos])]
    assert not (tmp_path / "out" / "none.mp4.jsonl").exists()
