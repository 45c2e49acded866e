"""What is measured of streams: the frames that are sent, what counts of the answers, and the table's figures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage.data", reason="needs scikit-image (extra 'demo')")

from benchmarks.streams.__main__ import spread, turns
from benchmarks.streams.callers import Answers
from benchmarks.streams.pictures import Clip, clips, moving_face

from exalign.v1 import service_pb2, track_pb2


def result(index: int, at: float, skipped: tuple[int, ...] = ()) -> service_pb2.TrackVideoResponse:
    message = service_pb2.TrackVideoResponse()
    message.result.frame_index = index
    message.result.skipped_frames.extend(skipped)
    message.result.timing.total_seconds = at
    message.result.resume_token = str(at).encode()
    message.result.tracks.add(track_id=1, lost_probability=0.25)
    return message


def test_a_clip_goes_to_and_fro_without_a_cut() -> None:
    clip = Clip("", [b"a", b"b", b"c", b"d"])
    sent = clip.to_and_fro()
    assert b"".join(next(sent) for _ in range(11)) == b"abcdcbabcdc"


def test_the_face_moves_a_little_from_frame_to_frame() -> None:
    frames = [cv2.imdecode(np.frombuffer(f, np.uint8), cv2.IMREAD_COLOR) for f in moving_face(320, 240, 3).frames]
    assert all(frame.shape == (240, 320, 3) for frame in frames)
    apart = [float(np.abs(a.astype(int) - b).mean()) for a, b in pairwise(frames)]
    assert 0.1 < min(apart) <= max(apart) < 20


def test_a_folder_without_clips_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(FileNotFoundError, match="no clip"):
        clips(tmp_path, 3)


def test_what_chance_decides_is_no_part_of_the_digest() -> None:
    one, again, other = Answers(), Answers(), Answers()
    for answers, at in ((one, 0.1), (again, 0.2)):
        answers.add(result(0, at))
        answers.add(service_pb2.TrackVideoResponse(heartbeat=track_pb2.Heartbeat()))
    other.add(result(1, 0.1, skipped=(0,)))
    assert one.digest.hexdigest() == again.digest.hexdigest() != other.digest.hexdigest()
    assert (one.frames, one.skipped, other.skipped) == ([0], 0, 1)


def test_answers_are_counted_where_they_came_and_late_from_when_they_were_sent() -> None:
    answers = Answers(frames=[0, 2], sent={0: 1.0, 1: 1.5, 2: 2.0}, received=[1.25, 3.0])
    assert answers.answered(1.0, 3.0) == 1
    assert answers.latencies(1.5) == [1.0]
    assert answers.latencies(0.0) == [0.25, 1.0]


def test_servers_take_turns_and_a_figure_has_its_range() -> None:
    order = [name for name, _ in turns({"here": None, "beside": None}, 2)]  # type: ignore[dict-item]
    assert sorted(order[:2]) == sorted(order[2:]) == ["beside", "here"]
    assert order[0] != order[2]
    assert spread([3.0, 1.0, 2.0]) == [2.0, 1.0, 3.0]
