"""What serving costs: calls through the real server against the same work in process, or beside another checkout.

    python -m benchmarks.serving [--seconds 6] [--json]
    python -m benchmarks.serving --beside TREE [--rounds 40] [--seconds 1] [--concurrency 8] [--json]

The first form compares with a floor that decodes, crops, scores and computes the posterior in this process: two
callers with one thread each, in batches of 8 where batches are named. The server does the same behind gRPC.

The second form asks what a change costs. TREE is another checkout of this repository, best a worktree of the commit
before; its server runs beside this tree's, each imports its own packages (PYTHONPATH). Rounds take turns: in each,
both servers answer ``--concurrency`` callers for ``--seconds``, one after the other, in an order that alternates. The
ratio of a round is the CPU time of a call here ÷ there. The table has their median, middle half and range.
Where other work shares the machine, many short rounds tell more than few long ones: what disturbs one turn then
disturbs the next as well.

All rows are measured in one go on one machine, so only their ratios are claims. CPU-ms are those of the server's
process alone; the client shares the machine. Every call is PredictLandmarks about one face whose box is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from benchmarks.server_process import ServerProcess, server_process
from skimage import data

from exalign_client import AsyncClient
from exalign_engine import Aligner, Face
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits

#: The face box in that picture; the network is content with it. About a box that is off, a server looks twice.
BOX = (221.0, 107.0, 340.0, 225.0)

#: Seconds of calls before the first round that counts.
WARM_UP = 2.0


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds."""

    name: str
    calls_per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    ratio_to_floor: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two trees in one run.

    Attributes:
        concurrency: callers at once.
        here: this tree, the medians of its rounds.
        beside: the other tree, likewise.
        ratios: CPU-ms of a call here ÷ there, round by round.
    """

    concurrency: int
    here: Row
    beside: Row
    ratios: tuple[float, ...]


def photograph() -> bytes:
    """A 640×480 JPEG of the astronaut."""
    image = data.astronaut()[:384, :, ::-1]
    return bytes(cv2.imencode(".jpg", cv2.resize(image, (640, 480)))[1].tobytes())


def floor(seconds: float, callers: int, batch: int) -> Row:
    """The same work in process."""
    aligner, encoded = Aligner.default(threads=1), photograph()
    aligner.warm_up()
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


async def served(server: ServerProcess, seconds: float, concurrency: int, name: str) -> Row:
    """Calls through a server."""
    encoded, times = photograph(), list[float]()
    async with AsyncClient(server.address) as client:
        await client.wait_ready()
        until = time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < until:
                start = time.perf_counter()
                await client.predict(encoded, [BOX])
                times.append(time.perf_counter() - start)

        cpu, start = server.cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(concurrency)))
        wall, cpu = time.perf_counter() - start, server.cpu_seconds() - cpu
    n = len(times)
    return Row(name, n / wall, 1e3 * cpu / n, *_percentiles(times))


def against_floor(seconds: float) -> list[Row]:
    """The floor, and this tree's server at three concurrencies."""
    rows = [floor(seconds, 2, 1), floor(seconds, 2, 8)]
    with server_process(tcp=True) as server:
        for concurrency in (1, 8, 32):
            print(f"gRPC, concurrency {concurrency} …", file=sys.stderr)
            row = asyncio.run(served(server, seconds, concurrency, f"gRPC, concurrency {concurrency}"))
            rows.append(replace(row, ratio_to_floor=row.cpu_ms / rows[0].cpu_ms))
    return rows


def beside(tree: Path, rounds: int, seconds: float, concurrency: int) -> Comparison:
    """This tree's server and another's, taking turns."""
    with server_process(tcp=True) as ours, server_process(tree, tcp=True) as theirs:
        servers = {"here": ours, "beside": theirs}
        for name, server in servers.items():
            asyncio.run(served(server, WARM_UP, concurrency, name))
        seen: dict[str, list[Row]] = {name: [] for name in servers}
        for number in range(rounds):
            for name in sorted(servers, reverse=number % 2 == 0):
                seen[name].append(asyncio.run(served(servers[name], seconds, concurrency, name)))
            ratio = seen["here"][-1].cpu_ms / seen["beside"][-1].cpu_ms
            print(f"[{number + 1}/{rounds}] CPU-ms here ÷ beside: {ratio:.3f}", file=sys.stderr)
    ratios = tuple(a.cpu_ms / b.cpu_ms for a, b in zip(seen["here"], seen["beside"], strict=True))
    return Comparison(concurrency, _median(seen["here"]), _median(seen["beside"]), ratios)


def _median(rows: list[Row]) -> Row:
    columns = ("calls_per_second", "cpu_ms", "p50_ms", "p99_ms")
    return Row(rows[0].name, *(statistics.median(getattr(row, column) for row in rows) for column in columns))


def _percentiles(times: list[float]) -> tuple[float, float]:
    return 1e3 * statistics.median(times), 1e3 * float(np.quantile(times, 0.99))


def _print_rows(rows: list[Row]) -> None:
    print(f"{'':36}{'calls/s':>9}{'CPU-ms':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ÷ floor':>13}")
    for r in rows:
        ratio = f"{r.ratio_to_floor:13.2f}" if r.ratio_to_floor is not None else f"{'':>13}"
        print(f"{r.name:36}{r.calls_per_second:9.0f}{r.cpu_ms:9.2f}{r.p50_ms:9.2f}{r.p99_ms:9.2f}{ratio}")


def _print_comparison(found: Comparison) -> None:
    print(f"{f'concurrency {found.concurrency}':36}{'calls/s':>9}{'CPU-ms':>9}{'p50 ms':>9}{'p99 ms':>9}")
    for r in (found.here, found.beside):
        print(f"{r.name:36}{r.calls_per_second:9.0f}{r.cpu_ms:9.2f}{r.p50_ms:9.2f}{r.p99_ms:9.2f}")
    least, low, middle, high, most = np.quantile(found.ratios, (0, 0.25, 0.5, 0.75, 1))
    spread = f"half of {len(found.ratios)} rounds {low:.3f} to {high:.3f}, all {least:.3f} to {most:.3f}"
    print(f"{'CPU-ms, here ÷ beside':36}{middle:18.3f}   ({spread})")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="With --beside, both servers run at once, each from its own tree, and take turns; the ratio of their "
        "CPU time is the claim, and its spread over the rounds says how far to trust it.",
    )
    parser.add_argument("--seconds", type=float, default=None, help="of each row (default 6), or of a turn (default 1)")
    parser.add_argument("--beside", type=Path, metavar="TREE", help="compare with the server of another checkout")
    parser.add_argument("--rounds", type=int, default=40, help="with --beside: turns of each (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="with --beside: callers (default %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.beside is None:
        rows = against_floor(args.seconds or 6.0)
        if args.json:
            print(json.dumps([asdict(r) for r in rows], indent=1))
        else:
            _print_rows(rows)
        return 0
    found = beside(args.beside, args.rounds, args.seconds or 1.0, args.concurrency)
    if args.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        _print_comparison(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
