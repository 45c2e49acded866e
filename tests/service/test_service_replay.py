"""A recorded session, run again, gives the same bits; and what does not is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exalign.v1 import service_pb2, track_pb2
from exalign_engine import Aligner
from exalign_service.config.recording import ALL, FEATURES
from exalign_service.recording import header as headers
from exalign_service.recording.session_file import MAGIC, Header, RecordingError, SessionReader, block
from exalign_service.replay.differences import first_difference
from exalign_service.replay.replay import DifferentError, Replayed, replay
from exalign_service.track.recorded import Step
from service_fakes import (
    FakeDetector,
    FakeRuntime,
    Running,
    config,
    encoded,
    picture,
    running,
    tiny_bundle,
    until,
)
from track_fakes import OPTIONS, SCRIPT, click, frame, received, sessions, talk
from track_fakes import config as track_config

#: A face that the fakes of both servers find.
FOUND = ((12.0, 11.0, 41.0, 40.0), 0.9)

both = pytest.mark.parametrize("what", [FEATURES, ALL])


def is_whole(file: Path) -> bool:
    return file.suffix == ".session"


async def recorded(
    tmp_path: Path,
    what: str,
    converse: Callable[[Running], Any],
    written: Callable[[Path], bool] = is_whole,
    **settings: Any,
) -> Path:
    """The file of the only session of a conversation with a server, once it is written."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    given = config(record_sessions=folder, record=what, **settings)
    async with running(tmp_path, given, detector=FakeDetector(FOUND)) as live:
        await converse(live)
        await until(lambda: "active" not in sessions(live))
        await until(lambda: all(map(written, folder.iterdir())))
    (file,) = folder.iterdir()
    return file


async def whole(live: Running) -> None:
    """A session in which everything is said."""
    it = talk(live)
    await it.open(track_config(suggestion={"max_suggestions": 2}, **OPTIONS))
    await it.say(*SCRIPT)
    await it.close()


async def again(file: Path, tmp_path: Path, **settings: Any) -> Replayed:
    """Replay it, in the place of another server."""
    folder = tmp_path / "again"
    folder.mkdir(exist_ok=True)
    aligner = Aligner(tiny_bundle(folder), FakeRuntime(), {"mtcnn": FakeDetector(FOUND)})
    return await replay(file, config(**settings), aligner)


def rewritten(file: Path, change: Callable[[Header, list[Step]], tuple[Header, list[Step]]]) -> Path:
    """Another recording beside it."""
    reader = SessionReader(file)
    header, steps = change(reader.header, [Step.of_block(data) for data in reader.blocks()])
    other = file.with_name("other.session")
    other.write_bytes(MAGIC + b"".join(map(block, (header.encode(), *(step.encoded() for step in steps)))))
    return other


@both
async def test_a_session_is_answered_as_it_was_recorded(tmp_path: Path, what: str) -> None:
    file = await recorded(tmp_path, what, whole)
    assert file.suffix == ".session"
    found = await again(file, tmp_path)
    assert (found.frames, found.whole) == (9, True)
    assert found.answers > 9 + 3


@both
async def test_a_session_of_several_streams_is_one_recording(tmp_path: Path, what: str) -> None:
    async def converse(live: Running) -> None:
        it, name = talk(live), "mine"
        await it.open(track_config(name, **OPTIONS))
        first = await it.results(frame(0), frame(1))
        await it.cut()
        await until(lambda: sessions(live) == {"detached": 1})
        it = talk(live)
        await it.open(track_config(name, first[-1].resume_token, **OPTIONS))
        await it.say(frame(1), track_pb2.TrackAck(acked_frame=1), frame(2), frame(3, occluded=True))
        await it.close()

    found = await again(await recorded(tmp_path, what, converse), tmp_path)
    assert (found.frames, found.whole) == (4, True)


@both
async def test_what_a_live_session_skipped_is_not_missed(tmp_path: Path, what: str) -> None:
    skipped = 0

    async def converse(live: Running) -> None:
        nonlocal skipped
        it = talk(live)
        await it.open(track_config(mode=track_pb2.TRACK_MODE_LIVE))
        live.runtime.gate.clear()
        await it.say(frame(0))
        await until(lambda: live.runtime.held > 0)
        await it.say(frame(1), frame(2), frame(3))
        await until(lambda: received(live) == 5)
        live.runtime.gate.set()
        skipped = (await it.close()).summary.frames_skipped

    found = await again(await recorded(tmp_path, what, converse), tmp_path)
    assert skipped > 0
    assert found.frames == 4 - skipped


@both
async def test_a_session_without_an_end_is_compared_up_to_there(tmp_path: Path, what: str) -> None:
    async def converse(live: Running) -> None:
        it = talk(live)
        await it.open()
        await it.results(frame(0), frame(1))
        await it.cut()

    file = await recorded(tmp_path, what, converse, lambda file: len([*SessionReader(file).blocks()]) == 2)
    assert file.name.endswith(".session.part")
    assert await again(file, tmp_path) == Replayed(frames=2, answers=2, whole=False)


@both
async def test_problems_of_a_frame_are_answered_once(tmp_path: Path, what: str) -> None:
    async def converse(live: Running) -> None:
        live.detector.faces = []
        it = talk(live)
        await it.open()
        (none, damaged, smaller) = await it.results(
            frame(0, evidence=[click()]), frame(1, data=b"no picture"), frame(2, data=encoded(picture(32, 24)))
        )
        assert [problem.field for problem in none.problems] == ["evidence"]
        assert len(damaged.problems) == len(smaller.problems) == 1
        live.detector.faces = [FOUND]
        await it.results(frame(3))
        await it.close()

    file = await recorded(tmp_path, what, converse)
    folder = tmp_path / "again"
    folder.mkdir()
    detector = FakeDetector()
    aligner = Aligner(tiny_bundle(folder), FakeRuntime(), {"mtcnn": detector})
    if what == FEATURES:
        assert (await replay(file, config(), aligner)).frames == 4  # what was found is in the recording
    else:
        with pytest.raises(DifferentError, match=r"frame 3: result\.tracks has 0 values, had 1"):
            await replay(file, config(), aligner)


async def test_more_results_than_may_wait_are_acknowledged(tmp_path: Path) -> None:
    async def converse(live: Running) -> None:
        it = talk(live)
        await it.open()
        for index in range(30):
            await it.results(frame(index, acked_frame=index - 1) if index else frame(index))
        await it.close()

    file = await recorded(tmp_path, FEATURES, converse)
    assert (await again(file, tmp_path, max_unacked_frames=4)).frames == 30


@both
async def test_an_answer_that_differs_is_named(tmp_path: Path, what: str) -> None:
    def change(header: Header, steps: list[Step]) -> tuple[Header, list[Step]]:
        answer = service_pb2.TrackVideoResponse.FromString(steps[2].answers[0])
        points = answer.result.tracks[0].face.landmarks.points
        points[5] = np.nextafter(np.float32(points[5]), np.float32(np.inf))
        changed = (answer.SerializeToString(deterministic=True), *steps[2].answers[1:])
        return header, [*steps[:2], replace(steps[2], answers=changed), *steps[3:]]

    file = rewritten(await recorded(tmp_path, what, whole), change)
    with pytest.raises(DifferentError, match=r"frame 2: result\.tracks\[0\]\.face\.landmarks\.points\[5\] is .*, was "):
        await again(file, tmp_path)


async def test_what_the_network_gave_is_what_a_replay_answers_from(tmp_path: Path) -> None:
    def change(header: Header, steps: list[Step]) -> tuple[Header, list[Step]]:
        seen = steps[1].seen
        assert seen is not None
        row = replace(seen.rows[0], scores=seen.rows[0].scores[::-1].copy())
        return header, [steps[0], replace(steps[1], seen=replace(seen, rows=(row,))), *steps[2:]]

    with pytest.raises(DifferentError, match="frame 1: result"):
        await again(rewritten(await recorded(tmp_path, FEATURES, whole), change), tmp_path)


@both
@pytest.mark.parametrize(
    ("drop", "says"), [(True, "more answers than were recorded"), (False, "1 answers are missing")]
)
async def test_answers_that_are_too_many_or_too_few_are_named(tmp_path: Path, what: str, drop: bool, says: str) -> None:
    def change(header: Header, steps: list[Step]) -> tuple[Header, list[Step]]:
        *rest, last = steps
        answers = last.answers[:-1] if drop else (*last.answers, last.answers[-1])
        return header, [*rest, replace(last, answers=answers)]

    with pytest.raises(DifferentError, match=says):
        await again(rewritten(await recorded(tmp_path, what, whole), change), tmp_path)


async def test_what_fails_now_is_a_difference(tmp_path: Path) -> None:
    def change(header: Header, steps: list[Step]) -> tuple[Header, list[Step]]:
        seen = steps[1].seen
        assert seen is not None
        return header, [steps[0], replace(steps[1], seen=replace(seen, rows=())), *steps[2:]]

    with pytest.raises(DifferentError, match="frame 0: there was an answer, now it fails: there are 0 rows"):
        await again(rewritten(await recorded(tmp_path, FEATURES, whole), change), tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bundle": "c" * 64}, "recorded with bundle cccccccccccc, must be bbbbbbbbbbbb"),
        ({"versions": {"numpy": "1.0"}}, "other versions: exalign None, here .*, numba None, here .*, numpy 1.0, here"),
    ],
)
async def test_another_bundle_or_version_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    file = await recorded(tmp_path, FEATURES, whole)
    with pytest.raises(RecordingError, match=says):
        await again(rewritten(file, lambda header, steps: (replace(header, **changes), steps)), tmp_path)


def test_with_pictures_the_runtime_counts_too(tmp_path: Path) -> None:
    aligner = Aligner(tiny_bundle(tmp_path), FakeRuntime(), {})
    more = set(headers.versions(aligner, pictures=True)) - set(headers.versions(aligner, pictures=False))
    assert more == {"runtime", "precision", "pillow", "opencv-python-headless"}


async def test_a_file_that_is_cut_is_replayed_up_to_there_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    file = await recorded(tmp_path, FEATURES, whole)
    data = file.read_bytes()
    cut = file.with_name("cut.session")
    cut.write_bytes(data[:-3])
    found = await again(cut, tmp_path)
    assert (found.frames, found.whole) == (9, False)
    middle = len(data) // 2
    cut.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    with pytest.raises(RecordingError, match="damaged"):
        await again(cut, tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"exalrec0", MAGIC, MAGIC + block(b"{}"), MAGIC + block(b"[]"), MAGIC + block(b"x")]
)
def test_what_is_no_recording_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.session"
    file.write_bytes(data)
    with pytest.raises(RecordingError):
        SessionReader(file)


def test_the_first_difference_is_by_bits_and_in_the_order_of_the_contract() -> None:
    one, other = track_pb2.Track(track_id=1, surprise=0.0), track_pb2.Track(track_id=1, surprise=-0.0)
    assert first_difference(one, one) is None
    assert first_difference(one, other) == "surprise is 0.0, was -0.0"
    assert first_difference(one, track_pb2.Track(track_id=1)) == "surprise is there, was not there"
    assert first_difference(one, track_pb2.Track(track_id=2)) == "track_id is 1, was 2"
    assert first_difference(track_pb2.Track(surprise=float("nan")), track_pb2.Track(surprise=float("nan"))) is None
    two = track_pb2.TrackPath(points=[1.0, 2.0])
    assert first_difference(two, track_pb2.TrackPath(points=[1.0])) == "points has 2 values, had 1"
