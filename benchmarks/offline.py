"""What Ray costs many videos: frames a CPU-second of ``exalign-model track-files`` beside the bare pipeline.

    python -m benchmarks.offline [--workers 1 2] [--rounds 3] [--frames 300] [--out FILE]

- **bare**: as many processes at a time as there are workers, each with videos of its own: read, detect, crop, network,
  track, and the landmarks with their covariances. Nothing is written.
- **one process**: ``--single-process`` in their place, as many at a time: lines and checkpoints as well.
- **Ray**: the command with so many workers, all of its processes counted.

Each runs with four short videos a worker and with as many that are five times as long. What the difference takes is
the cost of a frame; the rest is what a start costs. Ratios are of one round, whose order alternates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.machine import machine
from benchmarks.streams.pictures import moving_face

from exalign.video.reader import open_video_file
from exalign_client.pictures.video_writer import VideoWriter
from exalign_engine.bundle.bundle import default_bundle_path
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.tracking import Frame, TrackingSession
from exalign_engine.tracking.frame_loop import answer_frame
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.videos import find_videos

#: Videos of each worker; size of their frames; how many times as long the long ones are.
VIDEOS, SIZE, LONGER = 4, (640, 480), 5

KINDS = ("bare", "one process", "ray")


@dataclass(frozen=True)
class Turn:
    """One kind in one round: CPU-milliseconds a frame, and CPU-seconds of a start."""

    frame_ms: float
    start_seconds: float


def write_videos(folder: Path, count: int, frames: int) -> None:
    """H.264, 25 frames a second; the same in each."""
    pictures = [decode(jpeg, ImageLimits()) for jpeg in moving_face(*SIZE, 60).frames]
    there_and_back = [*pictures, *pictures[-2:0:-1]]
    folder.mkdir()
    for number in range(count):
        with VideoWriter(folder / f"{number:02}.mp4", 25.0) as writer:
            for index in range(frames):
                writer.write(np.ascontiguousarray(there_and_back[index % len(there_and_back)]))


def bare(videos: Path, share: int, of: int) -> None:
    """Track every ``of``-th video from number ``share`` on, and keep nothing."""
    settings = RunSettings(str(default_bundle_path()))
    model = OpenModel(settings)
    aligner, chain = model.aligner, model.chain
    for video in find_videos([videos])[share::of]:
        session = TrackingSession(aligner, chain, settings.session)
        with open_video_file(Path(video.path)) as reader:
            for frame in reader:
                if frame.pixels is None:
                    raise ValueError(f"{video.name}: frame {frame.index} {frame.problem}")
                shape = (frame.pixels.shape[0], frame.pixels.shape[1])
                for track in answer_frame(session, aligner, Frame(frame.index, shape), frame.pixels).tracks:
                    track.given.face.compute()


def commands(kind: str, videos: Path, workers: int, out: Path) -> list[list[str]]:
    """What runs at a time."""
    python, shares = [sys.executable], range(workers)
    if kind == "bare":
        return [[*python, "-m", "benchmarks.offline", "--bare", str(videos), str(n), str(workers)] for n in shares]
    track = [*python, "-m", "exalign_engine.cli", "track-files"]
    if kind == "ray":
        return [[*track, str(videos), "--out", str(out), "--workers", str(workers)]]
    files = [video.path for video in find_videos([videos])]
    return [[*track, *files[n::workers], "--out", str(out / str(n)), "--single-process"] for n in shares]


def cpu_seconds(kind: str, videos: Path, workers: int) -> float:
    """CPU time of a run, all of its processes together."""
    with tempfile.TemporaryDirectory(prefix="exalign-") as out:
        started = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for command in commands(kind, videos, workers, Path(out))
        ]
        seen: dict[int, float] = {}
        while any(one.poll() is None for one in started):
            seen.update(_spent({one.pid for one in started}))
            time.sleep(0.1)
        for one in started:
            _, err = one.communicate()
            if one.returncode:
                raise SystemExit(f"{kind}: {err.strip().splitlines()[-1]}")
        return sum(seen.values())


def _spent(roots: set[int]) -> Iterator[tuple[int, float]]:
    """CPU-seconds so far of some processes and of all below them, by number."""
    found: dict[int, tuple[int, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(folder.name)] = int(words[1]), (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    ours = set(roots)
    while more := {number for number, (parent, _) in found.items() if parent in ours} - ours:
        ours |= more
    yield from ((number, found[number][1]) for number in ours if number in found)


def turn(kind: str, folder: Path, workers: int, frames: int) -> Turn:
    """One kind once."""
    short, long = (cpu_seconds(kind, folder / f"{name}-{workers}", workers) for name in ("short", "long"))
    few, many = (VIDEOS * workers * frames * times for times in (1, LONGER))
    a_frame = (long - short) / (many - few)
    return Turn(a_frame * 1e3, short - few * a_frame)


def median(values: list[float]) -> tuple[float, float, float]:
    """Median, least, most."""
    return statistics.median(values), min(values), max(values)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bare", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="videos at a time (default: 1 2)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--frames", type=int, default=60, help="of a short video (default: 60)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    args = parser.parse_args()
    if args.bare:
        bare(Path(args.bare[0]), int(args.bare[1]), int(args.bare[2]))
        return
    where = machine()
    print(where, flush=True)
    report: dict[str, object] = {"machine": asdict(where), "frames": args.frames, "size": SIZE}
    with tempfile.TemporaryDirectory(prefix="exalign-") as name:
        folder = Path(name)
        for workers in args.workers:
            for kind, times in (("short", 1), ("long", LONGER)):
                write_videos(folder / f"{kind}-{workers}", VIDEOS * workers, args.frames * times)
            rounds = []
            for number in range(args.rounds):
                order = KINDS if number % 2 == 0 else KINDS[::-1]
                rounds.append({kind: turn(kind, folder, workers, args.frames) for kind in order})
                print(f"workers {workers}, round {number + 1}: {rounds[-1]}", flush=True)
            ratios = {kind: median([one["bare"].frame_ms / one[kind].frame_ms for one in rounds]) for kind in KINDS[1:]}
            for kind, (middle, least, most) in ratios.items():
                print(f"workers {workers}: {kind}: {middle:.3f} ({least:.3f} to {most:.3f}) of the bare frames")
            turns = [{kind: asdict(one) for kind, one in found.items()} for found in rounds]
            report[f"workers {workers}"] = {"turns": turns, "of the bare pipeline": ratios}
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
