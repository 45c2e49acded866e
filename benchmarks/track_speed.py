"""What tracking costs: `client.track` through the real server against the bare pipeline in this process.

    python -m benchmarks.track_speed VIDEOS [--frames 200] [--lag 0] [--json]

VIDEOS is a directory of clips, or one clip. The bare pipeline decodes a frame, crops the face where the frame before
had it, runs the network and reads the posterior: no detector after the first frame, no chain, no messages. Both use
one thread and run in one go on one machine, so only their ratio is a claim. CPU-seconds of tracking are those of the
server and of this process together, which decodes the video and reads the answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from benchmarks.server_process import ServerProcess, server_process

from exalign_client import Client, TrackFrame, TrackResult
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.video_files import open_video
from exalign_engine import Aligner, Face

_ENDINGS = (".mp4", ".avi", ".mkv", ".mov", ".webm")


@dataclass(frozen=True)
class Row:
    """One clip.

    Attributes:
        clip: its name.
        frames: frames answered.
        bare: frames per CPU-second of the bare pipeline.
        tracked: frames per CPU-second of tracking, server and client together.
        server: frames per CPU-second of the server alone.
        tracked_per_second: frames per second of tracking.
        ratio: ``tracked`` ÷ ``bare``.
    """

    clip: str
    frames: int
    bare: float
    tracked: float
    server: float
    tracked_per_second: float
    ratio: float


def pictures(clip: Path, most: int) -> Iterator[Pixels]:
    """The first frames of a clip."""
    return islice((picture.pixels for picture in open_video(str(clip)) if picture.pixels is not None), most)


def bare(aligner: Aligner, clip: Path, most: int) -> tuple[int, float]:
    """Frames and CPU-seconds of the bare pipeline; frames before the first face cost their detection."""
    cpu, count, place = time.process_time(), 0, None
    for pixels in pictures(clip, most):
        count += 1
        if place is None:
            found = aligner.locate(pixels)
            place = found[0] if found else None
        if place is not None:
            row = aligner.runtime.infer(aligner.crop(pixels, place)[None]).row(0)
            points = Face(place, aligner.posterior(row)).compute().landmarks
            place = aligner.place(np.concatenate([points.min(axis=0), points.max(axis=0)]))
    return count, time.process_time() - cpu


def tracked(client: Client, process: ServerProcess, clip: Path, most: int, lag: int) -> tuple[int, float, float, float]:
    """Frames, CPU-seconds of the server and of this process, and seconds of tracking."""
    frames = (TrackFrame(pixels) for pixels in pictures(clip, most))
    server, ours, start = process.cpu_seconds(), time.process_time(), time.perf_counter()
    with client.track(frames, smoothing_lag=lag) as video:
        count = sum(isinstance(event, TrackResult) for event in video)
    wall = time.perf_counter() - start
    return count, process.cpu_seconds() - server, time.process_time() - ours, wall


def measure(clips: list[Path], most: int, lag: int) -> list[Row]:
    """One row a clip."""
    aligner = Aligner.default(threads=1)
    aligner.warm_up()
    bare(aligner, clips[0], 2)  # what is built on first use is no part of the figures
    rows, totals = [], []
    with server_process() as server, Client(server.address) as client:
        tracked(client, server, clips[0], 2, lag)
        for number, clip in enumerate(clips, start=1):
            print(f"[{number}/{len(clips)}] {clip.name}", file=sys.stderr)
            frames, bare_cpu = bare(aligner, clip, most)
            answered, server_cpu, our_cpu, wall = tracked(client, server, clip, most, lag)
            if answered != frames:
                raise RuntimeError(f"{clip}: {answered} answers for {frames} frames")
            rows.append(_row(clip.name, frames, bare_cpu, server_cpu, our_cpu, wall))
            totals.append((frames, bare_cpu, server_cpu, our_cpu, wall))
    if len(rows) > 1:
        rows.append(_row("all", *(sum(column) for column in zip(*totals, strict=True))))
    return rows


def _row(clip: str, frames: float, bare_cpu: float, server_cpu: float, our_cpu: float, wall: float) -> Row:
    whole = server_cpu + our_cpu
    return Row(
        clip, round(frames), frames / bare_cpu, frames / whole, frames / server_cpu, frames / wall, bare_cpu / whole
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="a directory of clips, or one clip")
    parser.add_argument("--frames", type=int, default=200, help="most frames of each clip (default %(default)s)")
    parser.add_argument("--lag", type=int, default=0, help="smoothing lag, frames")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    clips = [args.videos]
    if args.videos.is_dir():
        clips = sorted(path for path in args.videos.iterdir() if path.suffix.lower() in _ENDINGS)
    if not clips:
        parser.error(f"there is no clip in {args.videos}")
    rows = measure(clips, args.frames, args.lag)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    print(f"{'frames per CPU-second':44}{'frames':>7}{'bare':>8}{'tracked':>9}{'server':>8}{'ratio':>7}{'per s':>8}")
    for r in rows:
        figures = f"{r.frames:7}{r.bare:8.1f}{r.tracked:9.1f}{r.server:8.1f}{r.ratio:7.2f}{r.tracked_per_second:8.1f}"
        print(f"{r.clip:44}{figures}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
