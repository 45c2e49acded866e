"""``exalign track`` against the fake server: lines, videos, clicks, suggestions, progress, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import exalign_client.commands.track
from exalign.v1 import track_pb2
from exalign_client import Client, InvalidRequestError, PoseOptions, TrackResult, TrackState
from exalign_client.commands.cli import main
from exalign_client.commands.terminal import Progress
from exalign_client.pictures.track import draw_track
from exalign_client.pictures.video_files import Video, VideoPicture, open_video
from exalign_client.pictures.video_writer import VideoWriter
from fake_server import IMAGE_SIZE, FakeService
from fake_track import Plan

FRAMES = 6


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey, brighter with every frame."""
    return np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), 60 + 20 * number, np.uint8)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 20.0) as writer:
        for n in range(FRAMES):
            writer.write(picture(n))
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for n in range(3):
        cv2.imwrite(str(path / f"{n:03}.png"), picture(n))
    (path / "notes.txt").write_text("no picture")
    return path


def test_a_video_is_a_line_a_frame(service: FakeService, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service.tracking.plans = [Plan(breaks_at=7)]
    assert main(["track", str(clip), "--json", "--server", service.address]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(FRAMES))
    assert {line["video"] for line in lines} == {str(clip)}
    assert lines[2]["media_time"] == pytest.approx(0.1)
    assert (lines[0]["tracks"][0]["track_id"], lines[0]["tracks"][0]["state"]) == (1, "visible")
    assert np.shape(lines[0]["tracks"][0]["face"]["landmarks"]) == (68, 2)
    assert re.fullmatch(r"6 frames in 0:0\d, \d+\.\d a second\n", captured.err)
    assert service.tracking.configs[0].mode == track_pb2.TRACK_MODE_LOSSLESS
    raw = service.tracking.frames[0].image.raw
    assert (raw.width, raw.height) == IMAGE_SIZE
    assert abs(int(raw.data[0]) - 60) < 6


def test_with_a_lag_each_line_is_the_final_answer(
    service: FakeService, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", str(clip), "--json", "--lag", "2", "--server", service.address]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(FRAMES))
    assert [line["through_frame"] for line in lines] == [2, 3, 4, 5, 5, 5]


def test_text_sums_up(service: FakeService, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(directory), "--server", service.address]) == 0
    assert capsys.readouterr().out == f"{directory}: 3 frames answered\ntrack 1: visible in 3\n"


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--low-pass"], "temporal_model", track_pb2.TEMPORAL_MODEL_LOW_PASS),
        (["--per-frame"], "temporal_model", track_pb2.TEMPORAL_MODEL_PER_FRAME),
        (["--lag", "5"], "smoothing_lag", 5),
        (["--detect-every", "7"], "detect_every", 7),
        (["--suggest"], "path_frames", 256),
    ],
)
def test_options_become_the_config(
    service: FakeService, directory: Path, options: list[str], field: str, value: int
) -> None:
    assert main(["track", str(directory), *options, "--server", service.address]) == 0
    assert getattr(service.tracking.configs[0], field) == value


def test_faces_detector_and_pose(service: FakeService, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--max-faces", "3", "--detector", "yunet", "--pose", "--json"]
    assert main(["track", str(directory), *options, "--server", service.address]) == 0
    (config,) = service.tracking.configs
    assert (config.detection.max_faces, config.detection.detector) == (3, "yunet")
    assert json.loads(capsys.readouterr().out.splitlines()[0])["tracks"][0]["face"]["pose"]["yaw"] == -12.5


def test_clicks_travel_with_their_frames(service: FakeService, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clicks = ["--click", "2:nose_tip=60,40", "--click", "2:8=50,70.5", "--click", "4:30=1,2"]
    assert main(["track", str(clip), *clicks, "--server", service.address]) == 0
    sent = {f.frame_index: [c.landmark for e in f.evidence for c in e.evidence.clicks] for f in service.tracking.frames}
    assert sent == {0: [], 1: [], 2: [30, 8], 3: [], 4: [30], 5: []}
    assert main(["track", str(clip), "--click", "9:30=1,2", "--server", service.address]) == 1
    assert capsys.readouterr().err.endswith("exalign: --click: the video has no frame 9, only 6\n")


def test_the_click_that_would_help_most_is_named(
    service: FakeService, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = "click in frame 0: nose_tip of track 1 (expected: 2.5 px less error, 1.50 nats less entropy"
    assert main(["track", str(clip), "--suggest", "--server", service.address]) == 0
    assert expected in capsys.readouterr().out
    assert main(["track", str(clip), "--suggest", "--json", "--server", service.address]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert len(lines) == FRAMES + 1
    assert lines[-1]["closed"]["suggestions"][0]["frame_index"] == 0
    assert expected in captured.err


@pytest.mark.parametrize("options", [[], ["--lag", "2"]], ids=["at once", "with a lag"])
def test_the_drawn_video_has_every_frame(service: FakeService, clip: Path, options: list[str]) -> None:
    out = clip.with_name("tracked.mp4")
    assert main(["track", str(clip), "--out", str(out), *options, "--server", service.address]) == 0
    drawn = list(open_video(str(out)))
    assert len(drawn) == FRAMES
    assert {p.pixels.shape for p in drawn} == {(480, 720, 3)}
    assert all(len(np.unique(p.pixels.reshape(-1, 3) // 32, axis=0)) > 20 for p in drawn)
    corner = [int(p.pixels[240, 715].mean()) for p in drawn]
    assert corner == sorted(corner)
    assert corner[-1] > corner[0] + 60


def test_a_camera_is_live_and_ends_with_an_interrupt(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def pictures() -> Iterator[VideoPicture]:
        for n in range(3):
            yield VideoPicture(n, Fraction(n, 30), picture(n))

    camera = Video("webcam:0", pictures(), rate=Fraction(30), count=None, live=True)
    monkeypatch.setattr(exalign_client.commands.track, "open_video", lambda source: camera)
    taken = exalign_client.commands.track.settled

    def interrupted(events: Any, lag: int) -> Iterator[TrackResult]:
        yield from taken(events, lag)
        raise KeyboardInterrupt

    monkeypatch.setattr(exalign_client.commands.track, "settled", interrupted)
    out = tmp_path / "tracked.mp4"
    assert main(["track", "webcam", "--out", str(out), "--server", service.address]) == 0
    assert service.tracking.configs[0].mode == track_pb2.TRACK_MODE_LIVE
    assert capsys.readouterr().out.startswith("webcam:0: ")
    assert len(list(open_video(str(out)))) >= 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["track"], "VIDEO|DIR|webcam"),
        (["track", "a.mp4", "--click", "nose_tip=1,2"], "is not FRAME:LANDMARK=X,Y"),
        (["track", "a.mp4", "--click", "3:nose=1,2"], "'nose' is no landmark"),
        (["track", "a.mp4", "--click", "3:30=1"], "'30=1' is not LANDMARK=X,Y"),
        (["track", "a.mp4", "--out", "b.avi"], "b.avi must end in .mp4"),
        (["track", "a.mp4", "--lag", "-1"], "--lag"),
        (["track", "a.mp4", "--max-faces", "0"], "'0' is not a whole number ≥ 1"),
        (["track", "a.mp4", "--low-pass", "--per-frame"], "not allowed with"),
        (["track", "a.mp4", "--lag", "2", "--per-frame"], "not allowed with"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.mp4", None, "missing.mp4: No such file or directory"),
        ("text.mp4", b"no video", "text.mp4: is no video that FFmpeg can read"),
        ("empty", "directory", "empty: there is no picture in it"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_1(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, content: bytes | str | None, expected: str
) -> None:
    path = tmp_path / name
    if content == "directory":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert main(["track", str(path), "--server", "127.0.0.1:1"]) == 1
    error = capfd.readouterr().err.splitlines()
    assert error[-1].startswith(f"exalign: {path}: ")
    assert expected in error[-1]


@pytest.mark.parametrize(
    ("missing", "options", "expected"),
    [
        (["av", "cv2"], [], "reading videos needs the extra 'video': pip install 'exalign[video]'"),
        (["cv2"], ["--out", "a.mp4"], "reading and drawing pictures needs the extra 'cli': pip install 'exalign[cli]'"),
    ],
)
def test_what_is_not_installed_is_named_by_its_extra(
    clip: Path, missing: list[str], options: list[str], expected: str
) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "from exalign_client.commands.cli import main\n"
        f"sys.exit(main(['track', {str(clip)!r}, *{options!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"exalign: {expected}\n")


def test_without_opencv_files_are_still_followed(service: FakeService, clip: Path) -> None:
    program = (
        "import sys; sys.modules['cv2'] = None\n"
        "from exalign_client.commands.cli import main\n"
        f"sys.exit(main(['track', {str(clip)!r}, '--server', {service.address!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"{clip}: {FRAMES} frames answered")


def test_a_server_that_is_not_there_is_one_line(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(clip), "--server", "127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.startswith("exalign: 127.0.0.1:1: ")


def test_frames_of_two_sizes_cannot_be_one_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 20.0) as writer:
        writer.write(picture(0))
        with pytest.raises(InvalidRequestError, match="20×10 pixels, but the video has 120×80"):
            writer.write(np.zeros((10, 20, 3), np.uint8))


def test_a_video_that_cannot_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "no" / "a.mp4", 20.0)
    with pytest.raises(OSError, match="No such file or directory"):
        writer.write(picture(0))


@pytest.fixture
def result(service: FakeService) -> TrackResult:
    with Client(service.address) as client:
        (event,) = client.track([picture(0)], pose=PoseOptions(yaw_bins=36, roll_bins=36))
    assert isinstance(event, TrackResult)
    return event


def _in_state(result: TrackResult, state: TrackState) -> np.ndarray[Any, np.dtype[np.uint8]]:
    tracks = tuple(replace(track, state=state) for track in result.tracks)
    return draw_track(picture(0), replace(result, tracks=tracks))


def test_the_picture_distinguishes_states(result: TrackResult) -> None:
    drawn = {state: _in_state(result, state) for state in TrackState}
    assert len({pixels.tobytes() for pixels in drawn.values()}) == len(TrackState)
    on_face = (slice(140, 400), slice(200, 520))
    assert np.ptp(drawn[TrackState.VISIBLE][on_face]) > np.ptp(drawn[TrackState.LOST][300:320, 300:320])


def test_the_picture_has_a_map_of_yaw_and_roll_where_there_is_a_pose(service: FakeService, result: TrackResult) -> None:
    with Client(service.address) as client:
        (plain,) = client.track([picture(0)])
    assert isinstance(plain, TrackResult)
    drawn, without = draw_track(picture(0), result), draw_track(picture(0), plain)
    changed = (drawn != without).any(axis=2)
    assert changed[-150:, :150].mean() > 0.7
    assert not changed[:-170].any()


def test_a_picture_of_odd_size_becomes_even(result: TrackResult) -> None:
    assert draw_track(np.zeros((485, 727, 3), np.uint8), result).shape == (486, 728, 3)


def test_progress_shows_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    progress = Progress("frames", 400, clock=lambda: now[0])
    now[0] += 1
    progress.at(1)
    now[0] += 9
    progress.at(100)
    now[0] += 30
    progress.end(400)
    assert capsys.readouterr().err.splitlines() == [
        "100/400 frames, 10.0 a second, 0:30 left",
        "400 frames in 0:40, 10.0 a second",
    ]
