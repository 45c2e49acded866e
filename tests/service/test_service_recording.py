"""What is written of sessions: nothing unless somebody says so, nothing of pictures unless somebody says that, too."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exalign_service.config.recording import ALL, FEATURES, RecordingConfig
from exalign_service.config.schema import ConfigError, ServerConfig
from exalign_service.config.start_checks import StartError, check_start
from exalign_service.recording import recorder as recorders
from exalign_service.recording.recorder import Recorder
from exalign_service.recording.session_file import Header, SessionReader
from service_fakes import GOOD_BOX, MARK, Running, config, marked, request, running, until
from swap_fakes import bundles, serving_bundles
from track_fakes import OPTIONS, SCRIPT, Talk, frame, talk
from track_fakes import config as track_config

HEADER = Header("video", "2026-01-01T00:00:00+00:00", FEATURES, "b" * 64, {"numpy": "2"}, "a processor", b"\x01\xff")


class Counts:
    """A `RecordingObserver`."""

    def __init__(self) -> None:
        self.bytes, self.stopped = 0, list[str]()

    def recorded(self, size: int) -> None:
        self.bytes += size

    def recording_stopped(self, reason: str) -> None:
        self.stopped.append(reason)


def recorder_of(
    folder: Path, most: int | None = None, write: Callable[[int, memoryview], int] = os.write
) -> tuple[Recorder, Counts]:
    counts = Counts()
    return Recorder(RecordingConfig(folder, record_max_bytes=most), counts, write), counts


def blocks(file: Path) -> list[bytes]:
    return list(SessionReader(file).blocks())


async def ask_everything(live: Running) -> None:
    await live.stub.PredictLandmarks(request(GOOD_BOX))
    it = talk(live)
    await it.open(track_config(**OPTIONS))
    await it.say(*SCRIPT)
    await it.close()


async def test_by_default_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, original = list[object](), os.open

    def watch(path: object, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            opened.append(path)
        return original(path, flags, *rest, **more)  # type: ignore[arg-type]

    async with running(tmp_path) as live:
        await ask_everything(live)  # from here on all kernels are compiled, and in their cache
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        monkeypatch.setattr(os, "open", watch)
        await ask_everything(live)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not opened


@pytest.mark.parametrize("what", [FEATURES, ALL])
async def test_a_picture_is_in_a_recording_only_where_pictures_are_recorded(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with running(tmp_path, config(record_sessions=folder, record=what)) as live:
        it = talk(live)
        await it.open(track_config("video"))
        for index, image in enumerate(marked()):
            one = frame(index, GOOD_BOX)
            one.image.CopyFrom(image)
            (result,) = await it.results(one)
            assert result.resume_token
        await it.close()
        await until(lambda: [path.suffix for path in folder.iterdir()] == [".session"])
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    data = file.read_bytes()
    assert (MARK in data) == (what == ALL)
    assert result.resume_token not in data
    assert SessionReader(file).header.session == "video"
    assert live.sample("exalign_recorded_bytes_total") == len(data)


async def test_a_full_directory_ends_the_recording_and_not_the_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with running(tmp_path, config(record_sessions=folder, record_max_bytes=9_000)) as live:
        it = talk(live)
        await it.open()
        assert len(await it.results(frame(0, GOOD_BOX), *(frame(index) for index in range(1, 12)))) == 12
        await it.close()
        await until(lambda: live.sample("exalign_recordings_stopped_total", reason="bound") == 1)
        (file,) = folder.iterdir()
        assert file.stat().st_size <= 9_000
        assert 0 < len(blocks(file)) < 12
        another = talk(live)
        await another.open()
        await another.results(frame(0, GOOD_BOX))
        await another.close()
    fields = [record.fields for record in caplog.records if record.message == "recording stopped"]  # type: ignore[attr-defined]
    assert fields[0] == {"file": file.name, "reason": "bound"}


async def test_a_recording_ends_where_its_session_moves_to_another_bundle(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    async with serving_bundles(bundles(tmp_path / "bundles", 2), record_sessions=folder) as live:
        it = Talk(live.stub.TrackVideo())
        await it.open()
        await it.results(frame(0, GOOD_BOX), frame(1))
        await live.swap("b1")
        await it.say(frame(2, may_change_model=True))
        await it.hear("model_changed")
        await it.hear("result")
        await it.results(frame(3))
        await it.close()
        await until(lambda: live.sample("exalign_recordings_stopped_total", reason="bundle") == 1)
    (file,) = folder.iterdir()
    assert SessionReader(file).header.bundle == live.id_of("b0")
    assert len(blocks(file)) == 2


def test_a_recording_is_appended_to_and_gets_its_name_at_the_end(tmp_path: Path) -> None:
    recorder, counts = recorder_of(tmp_path)
    name = recorder.begin(HEADER)
    first, second = recorder.stream(name), recorder.stream(name)
    assert first is not None
    assert second is not None
    first.append(lambda: b"one", 3)
    second.append(lambda: b"two", 3)
    second.append(lambda: b"last", 4, last=True)
    first.append(lambda: b"too late", 8)
    recorder.close(60)
    (file,) = tmp_path.iterdir()
    assert file.name == f"{name}.session"
    assert (SessionReader(file).header, blocks(file)) == (HEADER, [b"one", b"two", b"last"])
    assert (counts.bytes, counts.stopped) == (file.stat().st_size, [])


def test_a_full_disk_ends_a_recording_at_its_last_whole_block(tmp_path: Path) -> None:
    room = 400

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = os.write(descriptor, data[: min(room, 50)])
        room -= size
        return size

    recorder, counts = recorder_of(tmp_path, write=write)
    one = recorder.stream(recorder.begin(HEADER))
    assert one is not None
    for _ in range(9):
        one.append(lambda: b"x" * 60, 60)
    recorder.close(60)
    assert recorder.begin(HEADER) == ""
    (file,) = tmp_path.iterdir()
    assert file.name == f"{one.name}.session"
    assert set(blocks(file)) == {b"x" * 60}
    assert counts.stopped == ["disk", "disk"]


def test_a_directory_that_vanishes_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    recorder, counts = recorder_of(folder)
    one = recorder.stream(recorder.begin(HEADER))
    assert one is not None
    (folder / f"{one.name}.session.part").unlink()
    folder.rmdir()
    one.append(lambda: b"x", 1)
    recorder.close(60)
    assert recorder.begin(HEADER) == ""
    assert counts.stopped == ["disk", "disk"]


def test_a_disk_that_is_too_slow_loses_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MOST_WAITING", 100)
    moving = threading.Event()

    def write(descriptor: int, data: memoryview) -> int:
        if started:
            moving.wait()
        return os.write(descriptor, data)

    started = False
    recorder, counts = recorder_of(tmp_path, write=write)
    one = recorder.stream(recorder.begin(HEADER))
    assert one is not None
    started = True
    one.append(lambda: b"x" * 80, 80)
    assert not one.stopped
    one.append(lambda: b"y" * 80, 80)
    assert one.stopped
    moving.set()
    recorder.close(60)
    assert blocks(tmp_path / f"{one.name}.session") == [b"x" * 80]
    assert counts.stopped == ["slow"]


def test_what_others_write_into_the_directory_counts(tmp_path: Path) -> None:
    (tmp_path / "before.session").write_bytes(bytes(5_000))
    recorder, counts = recorder_of(tmp_path, most=5_000)
    assert recorder.begin(HEADER) == ""
    assert recorder.stream("") is None
    recorder.close(60)
    assert counts.stopped == ["bound"]


def test_a_fault_of_ours_costs_one_recording_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> bytes:
        raise RuntimeError("a fault of ours")

    recorder, counts = recorder_of(tmp_path)
    one, other = (recorder.stream(recorder.begin(HEADER)) for _ in range(2))
    assert one is not None
    assert other is not None
    one.append(fail, 1)
    one.append(lambda: b"after it", 1)
    other.append(lambda: b"x", 1)
    recorder.close(60)
    assert blocks(tmp_path / f"{one.name}.session") == []
    assert counts.stopped == ["fault"]
    assert blocks(tmp_path / f"{other.name}.session.part") == [b"x"]
    assert "recording failed" in caplog.text


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    recorder, counts = recorder_of(tmp_path)
    one = recorder.stream(recorder.begin(HEADER))
    assert one is not None
    path = tmp_path / f"{one.name}.session.part"
    path.unlink()
    path.symlink_to(target)
    one.append(lambda: b"x", 1)
    recorder.close(60)
    assert target.read_bytes() == b""
    assert counts.stopped == ["disk"]


def test_recording_needs_a_directory_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="record is 'all', must not be without record_sessions"):
        RecordingConfig(record=ALL)
    wrong = RecordingConfig(tmp_path / "nowhere")
    with pytest.raises(StartError, match=r"record_sessions is '.*nowhere', must be a directory that can be written"):
        check_start(ServerConfig("127.0.0.1:0", "127.0.0.1:0", recording=wrong))
