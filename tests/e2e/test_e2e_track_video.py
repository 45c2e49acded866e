"""TrackVideo with the real model: results, resuming bit for bit, killed clients, a server that is told to stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from track_e2e import Talk, clip, config, frame, gauges, plain

from exalign.v1 import evidence_pb2, geometry_pb2, service_pb2_grpc, track_pb2
from exalign_client import Click, Client, Face, PastEvidence, RevisionCause, TrackEvent, TrackFrame, TrackRevision
from exalign_client.transport.local_server import LocalServer, local_server

Stub = service_pb2_grpc.FaceAlignmentServiceStub

FRAMES = 10
#: Seconds that a server which is told to stop gives its streams.
GRACE = 600
WISHES = {"smoothing_lag": 2, "path_frames": 4}


@pytest.fixture(scope="module")
def video(astronaut: bytes) -> list[bytes]:
    return clip(astronaut, FRAMES)


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """A server for this file alone: what other tests leave detached would be counted."""
    with local_server(tcp=True) as running:
        yield running


@pytest.fixture(scope="module")
def stub(server: LocalServer) -> Iterator[service_pb2_grpc.FaceAlignmentServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.FaceAlignmentServiceStub(channel)


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def frames(video: list[bytes]) -> list[track_pb2.VideoFrame]:
    """The video, with a click in the fourth frame and a face hidden in the sixth."""
    made = [frame(i, None if i == 5 else picture) for i, picture in enumerate(video)]
    click = evidence_pb2.Click(landmark=30, position=geometry_pb2.Point(x=100, y=100), radius=200)
    made[3].evidence.add(evidence=evidence_pb2.Evidence(clicks=[click]))
    return made


@pytest.fixture(scope="module")
def uncut(stub: Stub, video: list[bytes]) -> list[bytes]:
    """The results of a stream that nobody disturbs."""
    it = Talk(stub)
    it.open(config(**WISHES))
    for one in frames(video):
        it.say(frame=one)
    answers = it.rest()
    results = [a.result for a in answers if a.WhichOneof("message") == "result"]
    assert [r.frame_index for r in results] == list(range(FRAMES))
    return [plain(r) for r in results]


def test_a_face_is_followed_through_a_video(server: LocalServer, stub: Stub, video: list[bytes]) -> None:
    it = Talk(stub)
    it.open(config(pose={}, path_frames=FRAMES, suggestion={"max_suggestions": 1}))
    results = it.results(*(frame(i, picture) for i, picture in enumerate(video)))
    points = np.array([r.tracks[0].face.landmarks.points for r in results]).reshape(FRAMES, 68, 2)
    assert {t.track_id for r in results for t in r.tracks} == {1}
    assert all(r.tracks[0].state == track_pb2.TRACK_STATE_VISIBLE for r in results[1:])
    # The camera moves by (2, 1) pixels a frame.
    moves = np.diff(points.mean(axis=1), axis=0)
    assert np.abs(moves.mean(axis=0) - [-2, -1]).max() < 1
    answers = it.rest()
    closed = answers[-1].closed
    assert closed.summary.frames_answered == FRAMES
    assert closed.summary.detector_runs >= 1
    assert list(closed.paths[0].frame_indices) == list(range(FRAMES))
    assert len(closed.suggestions) == 1
    until(lambda: gauges(server.metrics_address) == {})


@pytest.mark.parametrize("cut", [1, 4, 6, 9])
def test_a_resumed_stream_answers_bit_for_bit_among_others(
    stub: Stub, video: list[bytes], uncut: list[bytes], cut: int
) -> None:
    over = threading.Event()

    def company() -> int:
        """Another session, whose crops share the batches."""
        it, count = Talk(stub), 0
        it.open()
        while not over.is_set():
            it.results(frame(count, video[count % FRAMES], acked_frame=count - 1))
            count += 1
        it.rest()
        return count

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(company)
        all_frames, known = frames(video), dict[int, bytes]()
        it = Talk(stub)
        name = it.open(config(**WISHES)).session_id
        for one in all_frames:
            it.say(frame=one)
        token = b""
        while len(known) < cut:
            answer = next(it.call)
            if answer.WhichOneof("message") == "result":
                known[answer.result.frame_index], token = plain(answer.result), answer.result.resume_token
        it.cut()
        again = Talk(stub)
        opened = again.open(config(name, token, **WISHES))
        assert (opened.epoch, opened.next_frame >= cut) == (2, True)
        for one in all_frames[opened.next_frame :]:
            again.say(frame=one)
        for answer in again.rest():
            if answer.WhichOneof("message") == "result":
                result = plain(answer.result)
                assert known.setdefault(answer.result.frame_index, result) == result
        over.set()
        assert other.result() > 0
    assert [known[i] for i in range(FRAMES)] == uncut


KILLED = """
import sys, time
sys.path[:0] = {path!r}
import grpc
from exalign.v1 import service_pb2_grpc
from track_e2e import Talk, config, frame
channel = grpc.insecure_channel({address!r})
it = Talk(service_pb2_grpc.FaceAlignmentServiceStub(channel))
it.open(config("killed"))
(result,) = it.results(frame(0, open({picture!r}, "rb").read()))
print(result.resume_token.hex(), flush=True)
for index in range(1, 4):
    it.say(frame=frame(index, None))
time.sleep(600)
"""


def test_the_session_of_a_killed_client_can_be_resumed(
    server: LocalServer, stub: Stub, video: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    picture = tmp_path_factory.mktemp("killed") / "frame.jpg"
    picture.write_bytes(video[0])
    script = KILLED.format(path=sys.path, address=server.address, picture=str(picture))
    client = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout is not None
        token = bytes.fromhex(client.stdout.readline())
        assert gauges(server.metrics_address).get("active") == 1
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
    until(lambda: gauges(server.metrics_address) == {"detached": 1})
    again = Talk(stub)
    opened = again.open(config("killed", token))
    assert opened.epoch == 2
    assert again.hear("result").resume_token == token
    again.rest()
    until(lambda: gauges(server.metrics_address) == {})


@pytest.fixture
def own_server() -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server that may be stopped: its process, its address and that of its metrics."""
    command = [sys.executable, "-m", "exalign_service.cli", "serve", "--shutdown-grace", str(GRACE)]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        yield process, announced["address"], announced["metrics_address"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_server_that_is_told_to_stop_says_so_and_answers_what_it_has(
    own_server: tuple[subprocess.Popen[str], str, str], video: list[bytes]
) -> None:
    process, address, _ = own_server
    with grpc.insecure_channel(address) as channel:
        it = Talk(service_pb2_grpc.FaceAlignmentServiceStub(channel))
        it.open()
        it.results(frame(0, video[0]))
        os.kill(process.pid, signal.SIGTERM)
        away = it.hear("go_away")
        assert away.reason == track_pb2.GO_AWAY_REASON_DRAIN
        assert away.grace.ToSeconds() == GRACE
        assert away.resume_token
        # What was on its way is answered.
        assert [r.frame_index for r in it.results(frame(1, video[1]), frame(2, video[2]))] == [1, 2]
        it.cut()
        # Long before the grace is over.
        assert process.wait(timeout=GRACE / 2) == 0


def test_64_sessions_at_once_are_answered_in_order_and_alike(
    server: LocalServer, stub: Stub, video: list[bytes]
) -> None:
    def session(_: int) -> list[bytes]:
        it = Talk(stub)
        it.open()
        for index in range(4):
            it.say(frame=frame(index, video[index]))
        *answers, last = it.rest()
        assert last.closed.summary.frames_answered == 4
        assert [a.result.frame_index for a in answers] == list(range(4))
        return [plain(a.result) for a in answers]

    with ThreadPoolExecutor(64) as pool:
        everything = list(pool.map(session, range(64)))
    assert all(one == everything[0] for one in everything)
    until(lambda: gauges(server.metrics_address) == {})


def test_a_click_that_comes_late_ends_where_one_in_time_does(server: LocalServer, video: list[bytes]) -> None:
    lag = 3

    def final(given: list[TrackFrame | PastEvidence], frame: int) -> tuple[list[TrackEvent], Face]:
        with Client(server.address) as client, client.track(given, smoothing_lag=lag) as stream:
            events = list(stream)
        last = [e for e in events if isinstance(e, TrackRevision) and e.frame_index == frame][-1]
        return events, last.tracks[0].face

    plain: list[TrackFrame | PastEvidence] = [TrackFrame(p) for p in video[:7]]
    _, before = final(plain, 3)
    nose = before.landmarks[30] + [6, 4]
    click = Click("nose_tip", *nose.tolist(), sigma=1.0)
    _, timely = final([*plain[:3], TrackFrame(video[3], evidence=click), *plain[4:]], 3)
    events, late = final([*plain[:5], PastEvidence(3, click), *plain[5:]], 3)
    revised = [e for e in events if isinstance(e, TrackRevision) and e.cause is RevisionCause.EVIDENCE]
    # All frames that can still change, the clicked one and its neighbours.
    assert [e.frame_index for e in revised] == [1, 2, 3, 4]
    assert {e.through_frame for e in revised} == {4}
    # The pictures of frames 4 and 5 had been looked at before, where the face was expected without the click.
    assert np.abs(late.landmarks - timely.landmarks).max() < 0.3
    assert np.linalg.norm(late.landmarks[30] - nose) < 3 < np.linalg.norm(before.landmarks[30] - nose)
