"""Videos that are written: what players find in them, and what is left where writing ends early."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import exalign_client.pictures.video_writer
from exalign.video.opencv_reader import OpenCVReader
from exalign_client.pictures.video_files import open_video
from exalign_client.pictures.video_writer import VideoWriter
from made_clips import LATE, VARIABLE, ffprobe_times, number_of, picture, write_clip


def copy(source: Path, target: Path) -> VideoWriter:
    video = open_video(str(source))
    with VideoWriter(target, video.rate, time_base=video.time_base, sound=video.file) as writer:
        for frame in video:
            assert frame.pixels is not None
            writer.write(frame.pixels, frame.time)
    return writer


@pytest.mark.parametrize(
    ("file", "codec", "sound", "written"),
    [
        ("a.mp4", "h264", "aac", "aac"),
        ("a.mov", "mjpeg", "pcm_s16le", "aac"),
        ("a.mkv", "h264", "pcm_s16le", "aac"),
        ("a.webm", "vp8", "libopus", "opus"),
        ("a.mp4", "h264", None, None),
    ],
)
@pytest.mark.parametrize("times", [VARIABLE, LATE], ids=["variable", "late"])
def test_it_is_h264_with_the_times_and_the_sound_of_its_source(
    tmp_path: Path, times: list[float], file: str, codec: str, sound: str | None, written: str | None
) -> None:
    source = write_clip(tmp_path / file, codec, times, sound=sound)
    target = tmp_path / "out.mp4"
    assert copy(source, target).limits is None
    frames = list(open_video(str(target)))
    assert [f.media_time for f in frames] == pytest.approx(times, abs=1e-3)
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == list(range(len(times)))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        audio = container.streams.best("audio")
        assert (None if audio is None else audio.codec_context.name) == written
        if audio is not None:
            played = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
            assert played == pytest.approx(times[-1], abs=0.1)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_ffprobe_finds_the_times_of_the_source(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    copy(write_clip(tmp_path / "a.mkv", times=VARIABLE, sound="aac"), target)
    assert ffprobe_times(target) == pytest.approx(VARIABLE, abs=1e-3)


def test_colours_are_those_that_were_drawn(tmp_path: Path) -> None:
    colours = [(230, 40, 40), (40, 220, 60), (30, 60, 240), (128, 128, 128), (250, 220, 20)]
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        for colour in colours:
            writer.write(np.full((64, 96, 3), colour, np.uint8))
    seen = [f.pixels.mean(axis=(0, 1)) for f in open_video(str(tmp_path / "a.mp4")) if f.pixels is not None]
    np.testing.assert_allclose(seen, colours, atol=4)


@pytest.mark.parametrize(("height", "width"), [(65, 97), (64, 97), (65, 96)])
def test_an_odd_size_becomes_even(tmp_path: Path, height: int, width: int) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(picture(1, (width, height)))
    (frame,) = open_video(str(tmp_path / "a.mp4"))
    assert frame.pixels is not None
    assert frame.pixels.shape == (height + height % 2, width + width % 2, 3)


def test_times_that_do_not_rise_are_written_as_soon_as_they_can_be(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25, time_base=Fraction(1, 1000)) as writer:
        for n, time in enumerate([0, 0.04, 0.04, 0.02, 0.2]):
            writer.write(picture(n), Fraction(time).limit_denominator(1000))
    frames = list(open_video(str(tmp_path / "a.mp4")))
    assert [number_of(f.pixels) for f in frames if f.pixels is not None] == [0, 1, 2, 3, 4]
    assert [f.media_time for f in frames] == pytest.approx([0, 0.04, 0.041, 0.042, 0.2], abs=1e-6)


@pytest.mark.parametrize("pyav", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_ends_early_leaves_what_was_there(
    tmp_path: Path, pyav: bool, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exalign_client.pictures.video_writer, "has_pyav", lambda: pyav)
    target = tmp_path / "a.mp4"
    target.write_bytes(b"what was there")
    with suppress(KeyboardInterrupt, RuntimeError), VideoWriter(target, 25) as writer:
        for n in range(5):
            writer.write(picture(n))
        assert target.read_bytes() == b"what was there", "written beside it"
        raise error
    assert not writer.written
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert target.read_bytes() == b"what was there"


def test_without_any_frame_there_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        pass
    assert not writer.written
    assert list(tmp_path.iterdir()) == []


def test_a_link_still_leads_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    (tmp_path / "behind" / "b.mp4").write_bytes(b"old")
    (tmp_path / "a.mp4").symlink_to(tmp_path / "behind" / "b.mp4")
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(picture(0))
    assert (tmp_path / "a.mp4").is_symlink()
    assert len(list(open_video(str(tmp_path / "behind" / "b.mp4")))) == 1


def test_without_pyav_opencv_writes_and_says_what_the_file_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exalign_client.pictures.video_writer, "has_pyav", lambda: False)
    writer = copy(write_clip(tmp_path / "a.mp4", times=VARIABLE), tmp_path / "out.mp4")
    assert writer.limits is not None
    assert "MPEG-4 part 2" in writer.limits
    assert "exalign[video]" in writer.limits
    with OpenCVReader(tmp_path / "out.mp4") as back:
        assert [number_of(f.pixels) for f in back if f.pixels is not None] == list(range(20))
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
