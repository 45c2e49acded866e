"""What a shared store costs: time and CPU of a frame with and without checkpoints, and frames a CPU-second of a fleet.

    python tests/chaos/cost.py [--frames 300] [--json FILE]

Servers of the default bundle answer the same video in turns, frame by frame: one keeps sessions to itself, one writes
checkpoints after, one before it answers. So whatever else the machine does meets all of them alike. Then fleets of 1, 2
and 4 servers of a small bundle answer as many videos as fast as they can, through HAProxy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "service")]

import cv2
import grpc
import numpy as np
import skimage.data
from cluster import ROOT, Cluster, Process, answers, folder
from videos import play, scripts

from exalign.v1 import face_pb2, geometry_pb2, image_pb2, service_pb2, service_pb2_grpc, track_pb2
from outside_programs import environment, free_port, listens, redis_command
from service_fakes import channel_to

#: Frames of each server before anything is measured.
_WARM = 20

#: The face of scikit-image's astronaut, pixels.
_FACE = (165.0, 65.0, 290.0, 190.0)


def pictures() -> list[bytes]:
    """A face that moves a little, JPEG."""
    image = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    found = []
    for i in range(8):
        moved = cv2.warpAffine(image, np.float32([[1, 0, i], [0, 1, i // 2]]), image.shape[1::-1])
        found.append(cv2.imencode(".jpg", moved)[1].tobytes())
    return found


def server(place: Path, name: str, options: list[str]) -> tuple[Process, int, int]:
    """A server of the default bundle; its ports."""
    port, metrics = free_port(), free_port()
    command = [sys.executable, "-m", "exalign_service.cli", "serve", "--exit-with-stdin", *options]
    command += ["--address", f"127.0.0.1:{port}", "--metrics-address", f"127.0.0.1:{metrics}", "--log-level", "warning"]
    folders = [str(ROOT / room) for room in ("protos", "engine", "service", "clients")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    process = Process(command, lambda: answers(f"http://127.0.0.1:{metrics}/readyz"), place / f"{name}.log", env)
    return process, port, metrics


class Talker:
    """One stream, a frame at a time."""

    def __init__(self, channel: grpc.aio.Channel, name: str, lag: int) -> None:
        stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        self._call, self._name, self._lag = stub.TrackVideo(), name, lag
        self.index = 0

    async def open(self) -> None:
        detection = face_pb2.DetectionOptions(max_faces=1)
        config = track_pb2.TrackConfig(session_id=self._name, smoothing_lag=self._lag, detection=detection)
        config.detect_every = 0
        await self._call.write(service_pb2.TrackVideoRequest(config=config))
        await self._call.read()

    async def frame(self, data: bytes) -> float:
        """Send a frame, and wait for its result; returns the seconds between."""
        x0, y0, x1, y1 = _FACE
        boxes = [] if self.index else [track_pb2.TrackBox(box=geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1))]
        frame = track_pb2.VideoFrame(frame_index=self.index, image=image_pb2.Image(encoded=data), boxes=boxes)
        if self.index:
            frame.acked_frame = self.index - 1 - bool(self._lag)
        begin = time.perf_counter()
        await self._call.write(service_pb2.TrackVideoRequest(frame=frame))
        while (await self._call.read()).WhichOneof("message") != "result":
            pass
        self.index += 1
        return time.perf_counter() - begin

    async def close(self) -> None:
        self._call.cancel()


def cpu_seconds(process: Process) -> float:
    """CPU time so far."""
    assert process.running is not None
    fields = Path(f"/proc/{process.running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(port: int, name: str) -> float:
    """The sum of a metric."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split(" ")[0].split("{")[0] == name)


async def one_frame(frames: int, lags: tuple[int, ...]) -> dict[str, Any]:
    """What checkpoints cost a frame."""
    found: dict[str, Any] = {}
    with folder() as name:
        place = Path(name)
        (place / "keys").write_text("0f" * 32)
        port = free_port()
        redis = Process(redis_command(port, place), lambda: listens(port), place / "redis.log", environment())
        store = ["--store", f"redis://127.0.0.1:{port}", "--resume-keys", str(place / "keys")]
        servers = {
            "alone": server(place, "alone", []),
            "after": server(place, "after", store),
            "before": server(place, "before", [*store, "--durability", "before"]),
        }
        everything = [redis, *(one for one, _, _ in servers.values())]
        try:
            for process in everything:
                process.start()
                await process.until_ready()
            await asyncio.sleep(15)  # what servers still warm up behind their first answers
            for lag in lags:
                found[f"lag {lag}"] = await _in_turns(servers, frames, lag)
        finally:
            for process in everything:
                await process.kill()
    return found


async def _in_turns(servers: dict[str, Any], frames: int, lag: int) -> dict[str, Any]:
    images = pictures()
    channels = {name: channel_to(f"127.0.0.1:{port}") for name, (_, port, _) in servers.items()}
    talkers = {name: Talker(channel, f"{name}-{lag}", lag) for name, channel in channels.items()}
    times: dict[str, list[float]] = {name: [] for name in servers}
    for talker in talkers.values():
        await talker.open()
    begin: dict[str, Any] = {}
    for index in range(_WARM + frames):
        if index == _WARM:
            for name, (process, _, port) in servers.items():
                begin[name] = (cpu_seconds(process), metric(port, "exalign_checkpoint_bytes_sum"))
        order = list(talkers)
        for name in order[index % 3 :] + order[: index % 3]:
            seconds = await talkers[name].frame(images[index % len(images)])
            if index >= _WARM:
                times[name].append(seconds)
    answer: dict[str, Any] = {}
    for name, (process, _, port) in servers.items():
        cpu, size = begin[name]
        answer[name] = {
            "milliseconds_p50": round(1000 * statistics.median(times[name]), 3),
            "cpu_milliseconds_a_frame": round(1000 * (cpu_seconds(process) - cpu) / frames, 3),
            "bytes_a_checkpoint": round((metric(port, "exalign_checkpoint_bytes_sum") - size) / frames),
        }
    for name in ("after", "before"):
        pairs = [a - b for a, b in zip(times[name], times["alone"], strict=True)]
        answer[name]["milliseconds_more_p50"] = round(1000 * statistics.median(pairs), 3)
    for name, talker in talkers.items():
        await talker.close()
        await channels[name].close()
    return answer


async def fleets(frames: int, sessions: int = 16) -> dict[str, float]:
    """Frames a CPU-second of all servers together, for fleets of several sizes."""
    found = {}
    for count in (1, 2, 4):
        with folder() as name:
            async with Cluster(Path(name), count) as cluster:
                wanted = scripts(sessions, frames)
                await asyncio.gather(*(play(cluster.address, one, f"w{i}") for i, one in enumerate(wanted)))
                begin = sum(cluster.cpu_seconds(i) for i in range(count))
                seen = await asyncio.gather(*(play(cluster.address, one, f"m{i}") for i, one in enumerate(wanted)))
                assert not any(one.error for one in seen), [one.error for one in seen]
                spent = sum(cluster.cpu_seconds(i) for i in range(count)) - begin
                found[f"{count} servers"] = round(sessions * frames / spent, 1)
    return found


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="What a shared store costs.")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--fleet-frames", type=int, default=60, help="of each of a fleet's videos")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"frames": arguments.frames, "load_average": round(os.getloadavg()[0], 1)}
    for part, measured in (
        ("a_frame", lambda: one_frame(arguments.frames, (0, 4))),
        ("frames_a_cpu_second", lambda: fleets(arguments.fleet_frames)),
    ):
        found[part] = asyncio.run(measured())
        text = json.dumps(found, indent=1)
        if arguments.json is not None:
            arguments.json.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
