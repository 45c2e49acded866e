"""``exalign track`` and ``client.track`` through the real server, as a user runs them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from exalign_client import Click, Client, TrackFrame, TrackResult, settled
from exalign_client.pictures.video_files import open_video
from exalign_client.pictures.video_writer import VideoWriter
from exalign_client.transport.local_server import LocalServer, local_server
from face_folders import NEEDS_FACES, data_root
from made_clips import break_packet

FRAMES = 12
CLIPS = data_root() / "video"


@pytest.fixture(scope="module")
def pan(astronaut: bytes) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """The camera moves over the astronaut by 3 pixels a frame: (320, 320, 3) uint8 RGB each."""
    pixels = np.ascontiguousarray(cv2.imdecode(np.frombuffer(astronaut, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
    return [np.ascontiguousarray(pixels[:320, 60 + 3 * n : 380 + 3 * n]) for n in range(FRAMES)]


@pytest.fixture(scope="module")
def clip(pan: list[np.ndarray[Any, np.dtype[np.uint8]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("track") / "pan.mp4"
    with VideoWriter(path, 25.0) as writer:
        for pixels in pan:
            writer.write(pixels)
    return path


def track(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exalign_client.commands.cli", "track", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=840)


def lines_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_a_frame_and_a_video_without_a_server(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracked.mp4"
    done = track(str(clip), "--json", "--out", str(out))
    lines = lines_of(done)
    assert [line["frame_index"] for line in lines] == list(range(FRAMES))
    assert {(t["track_id"], t["state"]) for line in lines for t in line["tracks"]} == {(1, "visible")}
    noses = np.array([line["tracks"][0]["face"]["landmarks"][30] for line in lines])
    assert np.diff(noses[:, 0]).mean() == pytest.approx(-3, abs=0.7)
    assert "this process answers itself" in done.stderr
    assert len(list(open_video(str(out)))) == FRAMES


def test_broken_frames_are_answered_as_hidden_ones_and_the_track_goes_on(
    server: LocalServer, pan: list[np.ndarray[Any, np.dtype[np.uint8]]], tmp_path: Path
) -> None:
    path = tmp_path / "broken.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (320, 320))
    for pixels in pan:
        writer.write(pixels[..., ::-1])
    writer.release()
    break_packet(path, 0)
    break_packet(path, 6)
    done = track(str(path), "--json", "--server", server.address)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("2 of 12 frames could not be used; frame 0 cannot be decoded")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["frame_index"] for line in lines] == list(range(FRAMES))
    assert [line["frame_index"] for line in lines if line["problems"]] == [0, 6]
    assert lines[0]["tracks"] == []
    assert {t["track_id"] for line in lines for t in line["tracks"]} == {1}
    assert lines[-1]["tracks"][0]["state"] == "visible"


def test_a_click_moves_its_frame_and_its_neighbours(server: LocalServer, clip: Path) -> None:
    options = ["--json", "--lag", "5", "--server", server.address]
    plain = lines_of(track(str(clip), *options))
    x, y = plain[6]["tracks"][0]["face"]["landmarks"][8]
    clicked = lines_of(track(str(clip), *options, "--click", f"6:8={x + 5},{y + 4}"))
    moved = [
        float(np.abs(np.subtract(*(line["tracks"][0]["face"]["landmarks"] for line in pair))).max())
        for pair in zip(plain, clicked, strict=True)
    ]
    assert clicked[6]["tracks"][0]["evidence_outcome"] == "conditioned"
    assert moved[6] > 1
    assert moved[7] > 0
    assert moved[5] > 0, "smoothing carries the click back"
    assert moved[0] == 0, "but not farther than the lag"


def test_the_best_click_is_suggested(server: LocalServer, clip: Path) -> None:
    lines = lines_of(track(str(clip), "--json", "--suggest", "--server", server.address))
    assert len(lines) == FRAMES + 1
    closed = lines[-1]["closed"]
    assert closed["summary"]["frames_answered"] == FRAMES
    best = closed["suggestions"][0]
    assert 0 <= best["frame_index"] < FRAMES
    assert best["suggestion"]["error_reduction"] > 0
    assert closed["paths"][0]["frame_indices"] == list(range(FRAMES))


def test_occluded_frames_are_hidden_and_the_track_comes_back(
    client: Client, pan: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    frames = [TrackFrame(None if 4 <= n < 9 else pixels, n, occluded=4 <= n < 9) for n, pixels in enumerate(pan)]
    with client.track(frames) as video:
        results = [event for event in video if isinstance(event, TrackResult)]
    visible = [result.tracks[0].visible_probability for result in results]
    assert {track.track_id for result in results for track in result.tracks} == {1}
    assert visible[8] < visible[3]
    assert visible[11] > 0.5
    assert video.closed is not None
    assert video.closed.summary.tracks_opened == 1


def test_evidence_and_the_final_answers_in_python(
    client: Client, pan: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    frames = [
        TrackFrame(pixels, evidence=Click("nose_tip", 150, 110) if n == 2 else ()) for n, pixels in enumerate(pan)
    ]
    final = list(settled(client.track(frames, smoothing_lag=3), 3))
    assert [result.frame_index for result in final] == list(range(FRAMES))
    assert [result.through_frame for result in final] == [min(n + 3, FRAMES - 1) for n in range(FRAMES)]
    assert final[2].tracks[0].evidence_outcome is not None


@pytest.mark.skipif(not CLIPS.is_dir(), reason=NEEDS_FACES)
def test_real_clips_run_to_the_end(server: LocalServer) -> None:
    clip = CLIPS / "3DDFA_obama.mp4"
    lines = lines_of(track(str(clip), "--json", "--server", server.address))
    assert [line["frame_index"] for line in lines] == list(range(55))
    assert all(line["problems"] == [] for line in lines)


def landmarks(results: list[TrackResult]) -> list[bytes]:
    """What must be equal bit for bit."""
    return [
        b"".join(track.face.landmarks.tobytes() + track.face.covariances.tobytes() for track in result.tracks)
        for result in results
    ]


def wait_for_streams(server: LocalServer, count: int) -> None:
    """Wait until the server has seen so many streams of TrackVideo."""
    started = re.compile(r'^grpc_server_started_total\{.*grpc_method="TrackVideo".*\} (\S+)$', re.MULTILINE)
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as page:
            found = started.search(page.read().decode())
        if found is not None and float(found[1]) >= count:
            return
        assert time.monotonic() < deadline, f"not {count} streams"
        time.sleep(0.05)


def test_streams_that_are_sent_away_go_on_as_one(
    client: Client, pan: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    uncut = list(settled(client.track(pan, smoothing_lag=3), 3))
    short = ["--session-max-age", "0.3", "--session-grace", "20"]

    def frames() -> Iterator[Any]:
        for n, pixels in enumerate(pan):
            if n and n % 4 == 0:
                wait_for_streams(server, 1 + n // 4)
            yield pixels

    with local_server(tcp=True, arguments=short) as server, Client(server.address) as impatient:
        impatient.wait_ready()
        results = list(settled(impatient.track(frames(), smoothing_lag=3), 3))
    assert [result.frame_index for result in results] == list(range(FRAMES))
    assert {result.session for result in results} == {1}
    assert landmarks(results) == landmarks(uncut)


class CuttingProxy:
    """Passes TCP on, and cuts each of its first connections when so many bytes have come from the client."""

    def __init__(self, target: str, cuts: list[int]) -> None:
        host, _, port = target.rpartition(":")
        self._target, self._cuts = (host, int(port)), list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(self._target)
            allowed = self._cuts.pop(0) if self._cuts else None
            threading.Thread(target=self._pass_on, args=(near, far, allowed), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(far, near, None), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, allowed: int | None) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if allowed is not None and passed > allowed:
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


def test_connections_that_are_cut_lose_and_repeat_nothing(
    client: Client, server: LocalServer, pan: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> None:
    uncut = list(settled(client.track(pan, smoothing_lag=3), 3))
    size = pan[0].nbytes
    with closing(CuttingProxy(server.address, [size // 2, 3 * size, 2 * size + 999, 5 * size])) as proxy:
        with Client(proxy.address) as unlucky:
            results = list(settled(unlucky.track(pan, smoothing_lag=3, window=3), 3))
        assert proxy.connections >= 4
    assert [result.frame_index for result in results] == list(range(FRAMES))
    assert {result.session for result in results} == {1}
    assert landmarks(results) == landmarks(uncut)
