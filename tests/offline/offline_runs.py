"""Videos of drawn faces, runs of ``exalign-model track-files`` in this process, and what they leave."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from drawn_faces import draw, drawn_shapes
from exalign_client.pictures.video_writer import VideoWriter
from exalign_engine.tracking import SessionOptions
from exalign_offline.one_video.place import WORK, Report
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.one_video.tracking import track_video
from exalign_offline.videos import find_videos

#: Frames of each video.
FRAMES = {"one.mp4": 24, "below/two.mp4": 17, "three.mp4": 9}


def write_video(path: Path, frames: int, seed: int, wander: int = 10**6) -> Path:
    """Two drawn faces that move; one of them is covered for a while. They turn back after so many pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    faces = [draw(points * 89 + 80, np.random.default_rng([seed, n])) for n, points in enumerate(drawn_shapes(2, seed))]
    ground = cv2.GaussianBlur(rng.integers(60, 180, (200, 420, 3)).astype(np.uint8), (0, 0), 9)
    with VideoWriter(path, 25.0) as writer:
        for index in range(frames):
            picture = ground.copy()
            at = 20 + abs((index + wander) % (2 * wander) - wander)
            picture[20:180, at : at + 160] = faces[0]
            if not frames // 3 < index < frames // 2:
                picture[30 : 30 + 160, 240:400] = faces[1]
            writer.write(picture)
    return path


def settings(bundle: Path, **options: object) -> RunSettings:
    """Two faces, a lag of two frames, and a checkpoint now and then."""
    session = SessionOptions(smoothing_lag=2, max_faces=2, detect_every=4)
    wanted = {"bundle": str(bundle), "runtime": "onnxruntime", "session": session, "checkpoint_frames": 5}
    return RunSettings(**{**wanted, **options})  # type: ignore[arg-type]


def track(how: RunSettings, given: Path, out: Path) -> dict[str, Report]:
    """Track videos one after the other; what came of each."""
    model = OpenModel(how)
    return {video.name: track_video(model, how, video, out) for video in find_videos([given])}


def results(out: Path) -> dict[str, bytes]:
    """Every file of the results, by its name."""
    files = (path for path in out.rglob("*") if path.is_file() and WORK not in path.parts)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}
