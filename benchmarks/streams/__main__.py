"""What streams cost, and what they are answered: server CPU a tracked JPEG frame, LIVE streams, many sessions.

    python -m benchmarks.streams [--beside TREE] [--clips VIDEOS] [--rounds 6] [--frames 90] [--seconds 5] [--out FILE]

TREE is another checkout of this repository, best a worktree of the commit before; its server runs beside this tree's,
each imports its own packages, and both answer in turns whose order alternates. Every ratio is one of two turns of one
round; the tables have their median and range. A short form of a minute: ``--rounds 2 --frames 40 --seconds 2``.

- **frame**: CPU of the server's process a frame of a LOSSLESS stream, smoothing lag 0 and 5, beside the bare pipeline
  in this process: decode, crop, network, posterior, on one thread. The detector's runs, one frame in thirty, count.
- **live**: streams of 30 frames/s on connections of their own; what is answered, and how late.
- **sessions**: 64 LOSSLESS streams at once; the slowest ÷ the fastest.

The answers of all turns of one kind must be the same, bit for bit. The callers share the machine with the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import machine
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.streams.bare import bare_seconds
from benchmarks.streams.callers import Answers, live, lossless
from benchmarks.streams.pictures import Clip, clips, moving_face

from exalign_engine import Aligner

#: Frames of each clip, of a stream before those that count, a second of LIVE, and LIVE streams at once.
CLIP, WARM_UP, RATE, STREAMS = 60, 12, 30.0, (1, 8)

LAGS, SESSIONS = (0, 5), 64

#: Seconds of a LIVE stream, and answers to each of many sessions, before those that count.
_SETTLES, _SETTLED = 1.5, 3

Servers = dict[str, ServerProcess]


@dataclass(frozen=True)
class FrameTurn:
    """A LOSSLESS stream: CPU-milliseconds of the server a frame, and a digest of what it answered."""

    cpu_ms: float
    digest: str


@dataclass(frozen=True)
class LiveTurn:
    """LIVE streams, all together: answers a second, share of the frames answered, server's CPU-ms an answer."""

    a_second: float
    share: float
    fairness: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class SessionsTurn:
    """Many LOSSLESS streams: answers a second of all, and those of the slowest ÷ those of the fastest."""

    a_second: float
    fairness: float


def frame_turn(server: ServerProcess, clip: Clip, lag: int, count: int) -> FrameTurn:
    """One LOSSLESS stream."""
    cpu: list[float] = []

    def until(answered: int) -> bool:
        if answered in (WARM_UP, WARM_UP + count) and len(cpu) < 2 and answered // (WARM_UP + count) == len(cpu):
            cpu.append(server.cpu_seconds())
        return answered >= WARM_UP + count

    answers = asyncio.run(lossless(server.address, clip, lag, until))
    return FrameTurn(1e3 * (cpu[1] - cpu[0]) / count, answers.digest.hexdigest()[:16])


def live_turn(server: ServerProcess, clip: Clip, streams: int, seconds: float) -> LiveTurn:
    """LIVE streams at once."""

    async def run() -> tuple[list[Answers], float, float, float]:
        begin = time.perf_counter() + _SETTLES
        end = begin + seconds
        tasks = [asyncio.create_task(live(server.address, clip, RATE, end)) for _ in range(streams)]
        await asyncio.sleep(begin - time.perf_counter())
        before = server.cpu_seconds()
        await asyncio.sleep(end - time.perf_counter())
        spent = server.cpu_seconds() - before
        return await asyncio.gather(*tasks), spent, begin, end

    found, spent, begin, end = asyncio.run(run())
    counts = [one.answered(begin, end) for one in found]
    late = [1e3 * seconds for one in found for seconds in one.latencies(begin)]
    p50, p99 = (float(v) for v in np.percentile(late, (50, 99)))
    sent = sum(begin <= at < end for one in found for at in one.sent.values())
    total = sum(counts)
    return LiveTurn(total / seconds, total / sent, min(counts) / max(counts), p50, p99, 1e3 * spent / total)


def sessions_turn(server: ServerProcess, clip: Clip, seconds: float) -> SessionsTurn:
    """Many LOSSLESS streams at once."""

    async def run() -> tuple[list[Answers], float, float]:
        found, window = [Answers() for _ in range(SESSIONS)], [0.0, float("inf")]

        def until(answered: int) -> bool:
            if not window[0] and all(len(one.frames) >= _SETTLED for one in found):
                window[:] = time.perf_counter(), time.perf_counter() + seconds
            return time.perf_counter() >= window[1]

        await asyncio.gather(*(lossless(server.address, clip, 0, until, one) for one in found))
        return found, window[0], window[1]

    found, begin, end = asyncio.run(run())
    counts = [one.answered(begin, end) for one in found]
    return SessionsTurn(sum(counts) / seconds, min(counts) / max(counts))


def turns(servers: Servers, rounds: int) -> Iterator[tuple[str, ServerProcess]]:
    """Every server once a round, in an order that alternates."""
    for number in range(rounds):
        for name in sorted(servers, reverse=number % 2 == 0):
            yield name, servers[name]


def spread(values: Sequence[float]) -> list[float]:
    """Median, least, most."""
    return [round(v, 3) for v in (statistics.median(values), min(values), max(values))]


def frames(servers: Servers, aligner: Aligner, clip: Clip, rounds: int, count: int) -> dict[str, Any]:
    """A clip's row: CPU-ms a frame by server and lag, the bare pipeline's, and ratios round by round."""
    cpu: dict[str, list[float]] = defaultdict(list)
    digests: dict[str, set[str]] = defaultdict(set)
    for lag in LAGS:
        for name, server in turns(servers, rounds):
            turn = frame_turn(server, clip, lag, count)
            cpu[f"{name}, lag {lag}"].append(turn.cpu_ms)
            digests[f"{name}, lag {lag}"].add(turn.digest)
            if name == "here" and lag == 0:
                cpu["bare"].append(1e3 * bare_seconds(aligner, clip, count, WARM_UP))
    ratios = {"here ÷ bare": ("here, lag 0", "bare"), "lag 5 ÷ lag 0": ("here, lag 5", "here, lag 0")}
    if "beside" in servers:
        ratios |= {f"here ÷ beside, lag {lag}": (f"here, lag {lag}", f"beside, lag {lag}") for lag in LAGS}
        ratios["lag 5 ÷ lag 0, beside"] = ("beside, lag 5", "beside, lag 0")
    return {
        "clip": clip.name,
        "kilobytes": round(statistics.mean(map(len, clip.frames)) / 1e3, 1),
        "cpu_ms": {name: spread(values) for name, values in cpu.items()},
        "ratios": {
            name: spread([a / b for a, b in zip(cpu[over], cpu[under], strict=True)])
            for name, (over, under) in ratios.items()
        },
        "same_bits": all(len(found) == 1 for name, found in digests.items() if name.startswith("here")),
    }


def lives(servers: Servers, clip: Clip, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each number of LIVE streams; medians, and the ratio of answers a second round by round."""
    rows = []
    for streams in STREAMS:
        seen: dict[str, list[LiveTurn]] = defaultdict(list)
        for name, server in turns(servers, rounds):
            seen[name].append(live_turn(server, clip, streams, seconds))
        row: dict[str, Any] = {"clip": clip.name, "streams": streams}
        for name, found in seen.items():
            row[name] = {
                key: round(statistics.median(asdict(turn)[key] for turn in found), 3) for key in asdict(found[0])
            }
        if "beside" in seen:
            pairs = zip(seen["here"], seen["beside"], strict=True)
            row["answers a second, here ÷ beside"] = spread([a.a_second / b.a_second for a, b in pairs])
        rows.append(row)
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, metavar="TREE", help="compare with the server of another checkout")
    parser.add_argument("--clips", type=Path, metavar="VIDEOS", help="a video, or a directory of them, too")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each kind (default %(default)s)")
    parser.add_argument("--frames", type=int, default=90, help="of a turn (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn of LIVE streams (default %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write what was measured as JSON")
    args = parser.parse_args()
    on = machine()
    print(on, flush=True)
    small, large = moving_face(640, 480, CLIP), moving_face(1280, 720, CLIP)
    given = clips(args.clips, args.frames) if args.clips else []
    aligner = Aligner.default(threads=1)
    aligner.warm_up()
    with ExitStack() as stack:
        servers = {"here": stack.enter_context(server_process(tcp=True))}
        if args.beside:
            servers["beside"] = stack.enter_context(server_process(args.beside, tcp=True))
        for name, server in servers.items():
            print(f"warming up: {name} …", file=sys.stderr)
            for lag in LAGS:
                frame_turn(server, small, lag, WARM_UP)
        found: dict[str, Any] = {"machine": asdict(on) | {"quiet": on.quiet}, "frame": [], "live": []}
        for clip in (small, large, *given):
            found["frame"].append(frames(servers, aligner, clip, args.rounds, args.frames))
            _say(found["frame"][-1])
        rounds = max(args.rounds // 2, 1)
        found["live"] = lives(servers, small, rounds, args.seconds)
        for row in found["live"]:
            _say(row)
        found["sessions"] = {name: asdict(sessions_turn(one, small, 2 * args.seconds)) for name, one in servers.items()}
        _say({"sessions": SESSIONS} | found["sessions"])
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _say(row: dict[str, Any]) -> None:
    for name, value in row.items():
        print(f"{name}: {value}" if not isinstance(value, dict) else f"  {name}: {value}", flush=True)
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
