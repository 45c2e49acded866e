"""`exalign-server replay`: what the real server recorded with the real model gives the same bits in another process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from track_e2e import clip

from exalign_client import (
    Click,
    Client,
    HeatmapOptions,
    PastEvidence,
    PoseOptions,
    SuggestionOptions,
    TrackFrame,
    TrackResult,
)
from exalign_client.transport.local_server import local_server

FRAMES = 8


@pytest.fixture(scope="module", params=["features", "all"])
def recording(request: pytest.FixtureRequest, astronaut: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a session with everything in it: a hidden frame, late evidence, a path and a suggestion."""
    folder = tmp_path_factory.mktemp("recordings")
    pictures = clip(astronaut, FRAMES)
    frames = [*pictures[:4], TrackFrame(occluded=True), PastEvidence(3, Click("nose_tip", 150.0, 110.0)), *pictures[5:]]
    arguments = ("--record-sessions", str(folder), "--record", request.param)
    with local_server(tcp=True, arguments=arguments) as server, Client(server.address, timeout=120) as client:
        options = {"pose": PoseOptions(), "heatmaps": HeatmapOptions(), "suggestion": SuggestionOptions()}
        events = list(client.track(frames, smoothing_lag=2, path_frames=6, **options))
        until = time.monotonic() + 60
        while [path.suffix for path in folder.iterdir()] != [".session"]:
            assert time.monotonic() < until, "the recording is not written"
            time.sleep(0.05)
    assert len([event for event in events if isinstance(event, TrackResult)]) == FRAMES
    (file,) = folder.iterdir()
    return file


def replay(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "exalign_service.cli", "replay", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_replayed_session_equals_its_recording_bit_for_bit(recording: Path) -> None:
    ended = replay(recording)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{recording}: {FRAMES} frames, ")
    assert ended.stdout.endswith(" answers: equal bit for bit\n")


def test_what_is_no_recording_ends_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.session"
    file.write_bytes(b"something else")
    ended = replay(file)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert line == f"exalign-server: {file}: is no recording of a session, or one of another version"
