"""The one reader of videos against clips that are made here: number, time, orientation and count come from the file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exalign.video.file_structure import missing_end
from exalign.video.frames import VideoError, VideoFrame, upright
from exalign.video.opencv_reader import OpenCVReader
from exalign.video.pyav_reader import PyAVReader
from exalign.video.reader import open_video_file
from made_clips import (
    CONSTANT,
    LATE,
    SIZE,
    VARIABLE,
    break_packet,
    empty_chunk,
    empty_sample,
    ffprobe_times,
    number_of,
    packets_of,
    picture,
    set_display_matrix,
    set_edit_list,
    write_clip,
    write_two_sizes,
)

#: File name, codec, times and options of the muxer.
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
CLIPS: dict[str, tuple[str, str, list[float], dict[str, str]]] = {
    "constant": ("a.mp4", "h264", CONSTANT, {}),
    "variable": ("a.mp4", "h264", VARIABLE, {}),
    "late": ("a.mp4", "h264", LATE, {}),
    "late and variable": ("a.mkv", "h264", [t + 0.5 for t in VARIABLE], {}),
    "hevc": ("a.mp4", "hevc", VARIABLE, {}),
    "mov": ("a.mov", "mjpeg", VARIABLE, {}),
    "webm vp8": ("a.webm", "vp8", VARIABLE, {}),
    "webm vp9": ("a.webm", "vp9", LATE, {}),
    "matroska": ("a.mkv", "mpeg4", CONSTANT, {}),
    "avi": ("a.avi", "mjpeg", CONSTANT, {}),
    "gif": ("a.gif", "gif", [0, 0.04, 0.1, 0.3, 0.36, 0.4], {}),
}
#: Muxers that move the start: times are those of the first frame on.
MOVED: dict[str, tuple[str, str, list[float], dict[str, str]]] = {
    "fragmented": ("a.mp4", "h264", CONSTANT, FRAGMENTED),
    "avi with B-frames": ("a.avi", "mpeg4", CONSTANT, {}),
    "transport stream": ("a.ts", "h264", VARIABLE, {}),
    "flash": ("a.flv", "h264", VARIABLE, {}),
}


def read(path: Path) -> tuple[list[VideoFrame], Any]:
    with open_video_file(path) as video:
        assert isinstance(video, PyAVReader)
        return list(video), video


def made(tmp_path: Path, name: str) -> tuple[Path, list[float]]:
    file, codec, times, muxer = {**CLIPS, **MOVED}[name]
    unit = {".avi": Fraction(1, 25), ".gif": Fraction(1, 100)}.get(Path(file).suffix, Fraction(1, 1000))
    return write_clip(tmp_path / file, codec, times, muxer=muxer, unit=unit), times


@pytest.mark.parametrize("name", [*CLIPS, *MOVED])
def test_number_and_time_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    path, times = made(tmp_path, name)
    frames, video = read(path)
    assert [f.index for f in frames] == list(range(len(times)))
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == list(range(len(times)))
    start = float(frames[0].time) - times[0] if name in MOVED else 0.0
    assert [float(f.time) for f in frames] == pytest.approx([t + start for t in times], abs=5e-4)
    assert (video.problems, video.short) == (0, None)
    assert video.count in (None, len(times))
    if path.suffix in (".mp4", ".mov", ".avi", ".gif") and name != "fragmented":
        assert video.count == len(times)


def test_an_edit_list_cuts_frames_away_and_counts_from_the_first_that_is_shown(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    set_edit_list(path, 5, 10)
    frames, video = read(path)
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == list(range(5, 15))
    assert [float(f.time) for f in frames] == pytest.approx(CONSTANT[:10], abs=1e-6)
    assert (video.count, video.problems, video.short) == (10, 0, None)


@pytest.mark.parametrize("name", [*CLIPS, *MOVED, "edit list"])
def test_ffprobe_says_the_same(tmp_path: Path, name: str) -> None:
    path, _ = made(tmp_path, "constant" if name == "edit list" else name)
    if name == "edit list":
        set_edit_list(path, 5, 10)
    theirs, (frames, _) = ffprobe_times(path), read(path)
    assert len(theirs) == len(frames)
    known = [(float(f.time), time) for f, time in zip(frames, theirs, strict=True) if not np.isnan(time)]
    assert len(known) >= len(frames) - 1, "of the last frame of an AVI file it may not know the time"
    assert [ours for ours, _ in known] == pytest.approx([time for _, time in known], abs=1e-6)


ORIENTATIONS = [(a, 0, 0, d) for a, d in product((1, -1), repeat=2)]
ORIENTATIONS += [(0, b, c, 0) for b, c in product((1, -1), repeat=2)]


def shown(matrix: tuple[int, int, int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The picture as its matrix says, pixel by pixel: (x, y) is shown at (a·x + c·y, b·x + d·y)."""
    stored, (a, b, c, d) = picture(3), matrix
    height, width = stored.shape[:2]
    y, x = np.mgrid[:height, :width]
    across, down = a * x + c * y, b * x + d * y
    across, down = across - across.min(), down - down.min()
    turned = np.zeros((down.max() + 1, across.max() + 1, 3), np.uint8)
    turned[down, across] = stored
    return turned


@pytest.mark.parametrize("matrix", ORIENTATIONS)
@pytest.mark.parametrize("reader", [PyAVReader, OpenCVReader])
def test_each_of_the_eight_orientations_is_shown_as_players_show_it(
    tmp_path: Path, matrix: tuple[int, int, int, int], reader: Callable[[Path], Any]
) -> None:
    np.testing.assert_array_equal(upright(picture(3), matrix), shown(matrix))
    path = write_clip(tmp_path / "a.mp4", "mpeg4", CONSTANT[:4])
    set_display_matrix(path, matrix)
    with reader(path) as video:
        *_, last = video
    difference = np.abs(last.pixels.astype(int) - shown(matrix)) if last.pixels is not None else np.inf
    assert np.mean(difference) < 6


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (9, -2, 2, 9)])
def test_a_matrix_that_is_none_of_them_is_taken_as_the_nearest(matrix: tuple[int, int, int, int]) -> None:
    np.testing.assert_array_equal(upright(picture(3), matrix), picture(3))


@pytest.mark.parametrize(
    ("file", "codec", "keep"),
    [
        ("a.avi", "mjpeg", 0),
        ("a.avi", "mjpeg", 400),
        ("a.mov", "mjpeg", 0),
        ("a.mp4", "h264", 0),
        ("a.mkv", "h264", 12),
        ("a.mp4", "mpeg4", 0),
        ("a.webm", "vp8", 0),
        ("a.webm", "vp9", 0),
    ],
)
def test_a_broken_frame_is_a_frame_with_a_problem_and_the_others_keep_their_numbers(
    tmp_path: Path, file: str, codec: str, keep: int
) -> None:
    unit = Fraction(1, 25) if file.endswith("avi") else Fraction(1, 1000)
    path = write_clip(tmp_path / file, codec, CONSTANT, unit=unit)
    broken = break_packet(path, 12, keep=keep)
    frames, video = read(path)
    problems = [f.index for f in frames if f.problem]
    assert problems[0] == broken
    assert video.problems == len(problems)
    assert len(problems) < 9, "what rests on it may be lost with it, up to the next key frame"
    assert [f.index for f in frames] == list(range(20))
    assert [float(f.time) for f in frames] == pytest.approx(CONSTANT, abs=1e-6)
    assert all((f.pixels is None) == (f.problem is not None) for f in frames)
    before = [f for f in frames if f.pixels is not None and f.index < broken]
    assert [number_of(f.pixels) for f in before if f.pixels is not None] == [f.index for f in before]
    assert video.short is None


def test_frames_that_a_decoder_leaves_out_without_a_word_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", "hevc")
    break_packet(path, 6, keep=9)
    frames, video = read(path)
    assert [f.index for f in frames] == list(range(20))
    assert [float(f.time) for f in frames] == pytest.approx(CONSTANT, abs=1e-6)
    assert video.problems > 1
    assert all(number_of(f.pixels) == f.index for f in frames if f.pixels is not None)


@pytest.mark.parametrize(("codec", "place"), [("mjpeg", 3), ("mjpeg", 19), ("h264", 7), ("h264", 19)])
def test_a_sample_without_content_keeps_its_number(tmp_path: Path, codec: str, place: int) -> None:
    path = write_clip(tmp_path / "a.mp4", codec)
    empty = empty_sample(path, place)
    frames, video = read(path)
    assert [f.index for f in frames] == list(range(20))
    assert [float(f.time) for f in frames] == pytest.approx(CONSTANT, abs=1e-6)
    assert frames[empty].problem == "is empty"
    assert video.short is None
    assert all(number_of(f.pixels) == f.index for f in frames[:empty] if f.pixels is not None)


def test_a_chunk_without_content_keeps_its_number(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", "mjpeg", unit=Fraction(1, 25))
    empty_chunk(path, 3)
    frames, video = read(path)
    assert [(f.index, f.problem) for f in frames if f.problem] == [(3, "is empty")]
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == [n for n in range(20) if n != 3]
    assert (len(frames), video.short) == (20, None)


@pytest.mark.parametrize("within", [True, False], ids=["within a packet", "between two"])
@pytest.mark.parametrize(
    "name", ["constant", "fragmented", "webm vp8", "webm vp9", "matroska", "avi", "avi with B-frames", "gif"]
)
def test_a_file_that_is_cut_off_is_said_to_be_short(tmp_path: Path, name: str, within: bool) -> None:
    if name == "constant":  # its index comes first, or else there would be nothing to read
        path, times = write_clip(tmp_path / "a.mp4", muxer={"movflags": "faststart"}), CONSTANT
    else:
        path, times = made(tmp_path, name)
    assert missing_end(path) is None
    at, content, _ = packets_of(path)[len(times) * 2 // 3]
    path.write_bytes(path.read_bytes()[: at + (len(content) // 2 if within else 0)])
    frames, video = read(path)
    assert video.short is not None
    assert video.short.startswith("is cut off")
    whole = [f for f in frames if f.pixels is not None]
    assert len(times) // 2 <= len(whole) < len(times)
    assert [f.index for f in frames] == list(range(len(frames)))
    # With B-frames those behind the cut may be shown before those in front of it.
    numbers = [number_of(f.pixels) for f in whole if f.pixels is not None]
    assert numbers == sorted(set(numbers))
    assert [f.index for f in whole[:10]] == numbers[:10]
    with OpenCVReader(path) as other:
        list(other)
        assert other.short is not None


def test_a_file_that_ends_before_its_own_table_is_short(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", "mjpeg", CONSTANT[:10], unit=Fraction(1, 25))
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[at : at + 4], "little") == 10
    data[at : at + 4] = (20).to_bytes(4, "little")
    path.write_bytes(data)
    frames, video = read(path)
    assert (len(frames), video.short) == (10, "ends after 10 of 20 frames")


@pytest.mark.parametrize("file", ["a.mkv", "a.avi"])
def test_frames_of_another_size_come_as_they_are(tmp_path: Path, file: str) -> None:
    sizes = [(96, 64)] * 3 + [(48, 80)] * 2 + [(96, 64)]
    frames, video = read(write_two_sizes(tmp_path / file, sizes))
    assert [f.pixels.shape[1::-1] for f in frames if f.pixels is not None] == sizes
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == list(range(6))
    assert (video.problems, video.short) == (0, None)


def test_frames_that_are_not_wanted_are_counted_and_not_converted(tmp_path: Path) -> None:
    with open_video_file(write_clip(tmp_path / "a.mp4")) as video:
        for n in range(20):
            frame = video.read(pixels=n == 7)
            assert frame is not None
            assert (frame.index, frame.pixels is not None, frame.problem) == (n, n == 7, None)
        assert video.read() is None
        assert video.frames == 20


@pytest.mark.parametrize("name", ["a:b.mp4", "http:, 50 % #1 ünï.mp4", os.fsdecode(b"\xff\xe9.mp4")])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / "plain.mp4").rename(tmp_path / name)
    frames, _ = read(tmp_path / name)
    assert len(frames) == 20


@pytest.mark.parametrize(("data", "says"), [(b"", "is no video"), (b"no video" * 99, "is no video")])
@pytest.mark.parametrize("reader", [PyAVReader, OpenCVReader])
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes, says: str, reader: Callable[[Path], Any]) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=says):
        reader(path)


def test_a_title_may_be_in_any_encoding(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    assert b"VideoHandler" in data
    path.write_bytes(data.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    frames, _ = read(path)
    assert len(frames) == 20


def test_a_codec_that_is_not_known_is_named_as_the_reason(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"avc1", b"xyz1").replace(b"avcC", b"xyzC"))
    with pytest.raises(VideoError, match="coded in a way that FFmpeg cannot decode"):
        open_video_file(path)


@pytest.mark.parametrize("file", ["a.mp4", "a.avi", "a.webm", "a.gif"])
def test_damage_anywhere_is_one_error_or_frames_in_order(tmp_path: Path, file: str) -> None:
    codec = {"a.mp4": "h264", "a.avi": "mjpeg", "a.webm": "vp8", "a.gif": "gif"}[file]
    path = write_clip(tmp_path / file, codec, CONSTANT[:8], unit=Fraction(1, 25))
    data, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(25):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(len(data) // 2, len(data) + 1)])
        try:
            frames, _ = read(path)
        except (VideoError, OSError):
            continue
        assert [f.index for f in frames] == list(range(len(frames)))
        assert all((f.pixels is None) == (f.problem is not None) for f in frames)


def test_what_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_video_file(tmp_path / "nowhere.mp4")
    with pytest.raises(IsADirectoryError):
        open_video_file(tmp_path)


def test_a_playlist_fetches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.m3u8"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    try:
        frames, _ = read(path)
    except (VideoError, OSError):
        frames = []
    assert frames == []


# Where PyAV is not installed


@pytest.mark.parametrize("name", ["constant", "variable", "webm vp8", "avi"])
def test_opencv_reads_number_and_time_too(tmp_path: Path, name: str) -> None:
    path, times = made(tmp_path, name)
    with OpenCVReader(path) as video:
        frames = list(video)
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == list(range(20))
    assert [float(f.time) for f in frames] == pytest.approx([t - times[0] for t in times], abs=1e-3)
    assert (video.problems, video.short) == (0, None)
    assert video.count in (None, 20)


def test_opencv_goes_on_behind_a_broken_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", "mjpeg", unit=Fraction(1, 25))
    break_packet(path, 12)
    with OpenCVReader(path) as video:
        frames = list(video)
    assert [f.index for f in frames] == list(range(20))
    assert [f.index for f in frames if f.problem] == [12]
    assert [float(f.time) for f in frames] == pytest.approx(CONSTANT, abs=1e-3)


def test_opencv_reads_where_pyav_is_not_installed(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    program = (
        "import sys; sys.modules['av'] = None; from pathlib import Path\n"
        "from exalign.video.reader import open_video_file\n"
        f"video = open_video_file(Path({str(path)!r}))\n"
        "print(type(video).__name__, len(list(video)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["OpenCVReader", "20"], done.stderr


def test_the_size_of_the_pictures_is_that_of_the_file(tmp_path: Path) -> None:
    frames, _ = read(write_clip(tmp_path / "a.mp4"))
    assert {f.pixels.shape for f in frames if f.pixels is not None} == {(SIZE[1], SIZE[0], 3)}
