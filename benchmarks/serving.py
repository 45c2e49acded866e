"""What serving costs: calls through the real server against the same function called in process.

    python benchmarks/serving.py [--seconds 6] [--json]

The floor decodes, crops, scores and reads the posterior in this process, two callers with one thread each and
batches of 8 where batches are named; the server does the same behind gRPC. All run in one go on one machine, so
only their ratios are claims. CPU-ms are those of the server's process alone; the client shares the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from exalign_client import AsyncClient
from exalign_client.transport.local_server import local_server
from exalign_engine import Aligner, Face
from exalign_engine.geometry.image import ImageLimits, decode

#: The face box in that picture; the network is content with it. About a box that is off, a server looks twice.
BOX = (221.0, 107.0, 340.0, 225.0)


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds."""

    name: str
    calls_per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    ratio_to_floor: float | None = None


def photograph() -> bytes:
    """A 640×480 JPEG of the astronaut."""
    image = data.astronaut()[:384, :, ::-1]
    return bytes(cv2.imencode(".jpg", cv2.resize(image, (640, 480)))[1].tobytes())


def floor(seconds: float, callers: int, batch: int) -> Row:
    """The same work in process."""
    aligner, encoded = Aligner.default(threads=1), photograph()
    aligner.warm_up([batch])
    box = np.array(BOX)

    def once() -> float:
        start = time.perf_counter()
        images = [decode(encoded, ImageLimits()) for _ in range(batch)]
        places = [aligner.place(box) for _ in images]
        crops = np.stack([aligner.crop(i, p) for i, p in zip(images, places, strict=True)])
        for row, place in zip(aligner.runtime.infer(crops).rows(), places, strict=True):
            Face(place, aligner.posterior(row)).compute()
        return (time.perf_counter() - start) / batch

    def caller(until: float) -> list[float]:
        times = []
        while time.perf_counter() < until:
            times.append(once())
        return times

    cpu, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        times = [t for part in pool.map(caller, [start + seconds] * callers) for t in part]
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    n = len(times) * batch
    return Row(f"in process, {callers} callers, batch {batch}", n / wall, 1e3 * cpu / n, *_percentiles(times))


async def served(address: str, pid: int, seconds: float, concurrency: int, base: Row) -> Row:
    """Calls through the server."""
    encoded, times = photograph(), list[float]()
    async with AsyncClient(address) as client:
        await client.wait_ready()
        until = time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < until:
                start = time.perf_counter()
                await client.predict(encoded, [BOX])
                times.append(time.perf_counter() - start)

        cpu, start = _cpu_seconds(pid), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(concurrency)))
        wall, cpu = time.perf_counter() - start, _cpu_seconds(pid) - cpu
    n = len(times)
    cpu_ms = 1e3 * cpu / n
    return Row(f"gRPC, concurrency {concurrency}", n / wall, cpu_ms, *_percentiles(times), cpu_ms / base.cpu_ms)


def _percentiles(times: list[float]) -> tuple[float, float]:
    return 1e3 * statistics.median(times), 1e3 * float(np.quantile(times, 0.99))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _server_pid() -> int:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return int(children[-1])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each row")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [floor(args.seconds, 2, 1), floor(args.seconds, 2, 8)]
    with local_server(tcp=True) as server:
        pid = _server_pid()
        for concurrency in (1, 8, 32):
            print(f"gRPC, concurrency {concurrency} …", file=sys.stderr)
            rows.append(asyncio.run(served(server.address, pid, args.seconds, concurrency, rows[0])))
    if args.json:
        print(json.dumps([asdict(r) for r in rows], indent=1))
        return 0
    print(f"{'':36}{'calls/s':>9}{'CPU-ms':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ÷ floor':>13}")
    for r in rows:
        ratio = f"{r.ratio_to_floor:13.2f}" if r.ratio_to_floor is not None else f"{'':>13}"
        print(f"{r.name:36}{r.calls_per_second:9.0f}{r.cpu_ms:9.2f}{r.p50_ms:9.2f}{r.p99_ms:9.2f}{ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
