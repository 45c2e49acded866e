"""See `benchmarks.traces`."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from benchmarks.machine import machine
from benchmarks.server_process import server_process
from benchmarks.serving import WARM_UP, served
from benchmarks.traces import __doc__ as about
from benchmarks.traces.collector import Collector, ReceivedSpan, collector
from benchmarks.traces.waterfall import draw
from skimage import data

from exalign_client import Client

#: Calls, and frames, of which one is drawn.
COUNT = 15

#: Side of the piece that the camera shows, pixels.
SIDE = 360

#: Longest time that a span may take to arrive, seconds.
ARRIVES = 30.0


def frames() -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """A camera that pans over the astronaut, RGB."""
    whole = data.astronaut()
    for t in range(COUNT):
        yield whole[t : t + SIDE, 60 + 2 * t : 60 + 2 * t + SIDE]


def jpeg(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """A picture as a file."""
    return bytes(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes())


def arrived(seen: Collector, tops: int) -> list[ReceivedSpan]:
    """Spans of calls and frames, once so many are there."""
    until = time.monotonic() + ARRIVES
    while len(seen.tops) < tops:
        if time.monotonic() > until:
            raise TimeoutError(f"{len(seen.tops)} of {tops} spans have arrived")
        time.sleep(0.1)
    return seen.tops


def picture(out: Path) -> None:
    """Draw one call and one frame."""
    where = machine()
    with ExitStack() as stack:
        seen = stack.enter_context(collector())
        arguments = ("--traces-endpoint", seen.endpoint, "--traces-ratio", "1")
        server = stack.enter_context(server_process(tcp=True, arguments=arguments))
        with Client(server.address) as client:
            # Each when the one before it is answered. The first waits until videos are warm.
            for _ in client.track((jpeg(frame) for frame in frames()), window=1):
                pass
            for _ in range(COUNT):
                client.predict(jpeg(data.astronaut()))
        tops = arrived(seen, 2 * COUNT)
        time.sleep(1.0)  # spans of stages come with theirs, or in the next batch
    kinds = ([top for top in tops if top.name.endswith(name)] for name in ("PredictLandmarks", "frame"))
    drawn = [sorted(kind, key=lambda top: top.end - top.start)[COUNT // 2] for kind in kinds]
    draw([(top, seen.below(top)) for top in drawn], f"one call and one frame of {COUNT}; {where}", out)


def cost(rounds: int, seconds: float, concurrency: int) -> dict[str, object]:
    """CPU time a call with tracing ÷ without, round by round."""
    where = machine()
    with ExitStack() as stack:
        seen = stack.enter_context(collector())
        to = ("--traces-endpoint", seen.endpoint, "--traces-ratio")
        settings = {"off": (), "no call": (*to, "0"), "every call": (*to, "1")}
        servers = {
            name: stack.enter_context(server_process(tcp=True, arguments=given)) for name, given in settings.items()
        }
        for name, server in servers.items():
            asyncio.run(served(server, WARM_UP, concurrency, name))
        ratios: dict[str, list[float]] = {name: [] for name in servers if name != "off"}
        spent: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(rounds):
            order = sorted(servers, reverse=number % 2 == 0)
            row = {name: asyncio.run(served(servers[name], seconds, concurrency, name)) for name in order}
            for name in servers:
                spent[name].append(row[name].cpu_ms)
            for name, found in ratios.items():
                found.append(row[name].cpu_ms / row["off"].cpu_ms)
            seen.spans.clear()
            print(f"[{number + 1}/{rounds}] {[f'{found[-1]:.3f}' for found in ratios.values()]}", file=sys.stderr)
    return {
        "machine": str(where),
        "concurrency": concurrency,
        "rounds": rounds,
        "cpu_ms": {name: statistics.median(found) for name, found in spent.items()},
        "ratio": {name: [float(q) for q in np.quantile(found, (0.25, 0.5, 0.75))] for name, found in ratios.items()},
    }


def main() -> int:
    """Draw, or print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=about.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    drawn = commands.add_parser("picture", help="draw the spans of one call and of one frame")
    drawn.add_argument("--out", type=Path, default=Path("docs/benchmarks/spans.png"))
    measured = commands.add_parser("cost", help="CPU time a call with tracing, beside none")
    measured.add_argument("--rounds", type=int, default=40)
    measured.add_argument("--seconds", type=float, default=1.0, help="of a turn")
    measured.add_argument("--concurrency", type=int, default=8)
    args = parser.parse_args()
    if args.command == "picture":
        picture(args.out)
    else:
        print(json.dumps(cost(args.rounds, args.seconds, args.concurrency), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
