"""Plan a fleet on paper: what many streams need, and what they see when servers die or are replaced.

    python -m benchmarks.scale [--json docs/benchmarks/scale.json] [--quick]

What a frame costs is read from docs/benchmarks/streams.json, bytes and Redis are measured here, the rest follows.
docs/scale.md has the result. Simulations have fixed seeds: the same figures come every time.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import machine
from benchmarks.scale.redis_cost import RedisCost, measure
from benchmarks.scale.storms import Experience, Fleet, Storm
from tqdm import tqdm

ROOT = Path(__file__).parents[2]

#: Streams of the plans, frames a second of each, and the load of servers that they are planned for.
STREAMS, RATE, LOAD = (10_000, 100_000, 1_000_000), 10.0, 0.6

#: Cores of a server.
CORES = 16

#: Share of one core that one Redis may be given: it works in one thread.
REDIS_LOAD = 0.5

#: Bytes of an answer with landmarks alone; of a picture of 640 x 480; of a state at a lag of 0 and of 4 frames.
ANSWER, STATES = 2_557, {0: 2_443, 4: 47_215}

#: What is simulated: 20 servers of 2 cores, which the plan's figures are scaled from; see `Fleet`.
FLEET = Fleet(20, 2, 0.0, RATE, 0.0, open_seconds=0.05, start_seconds=5.0)
LOADS, BALANCES = (0.4, 0.6, 0.8), (None, 1.1)


def plan(streams: int, lag: int, frame: dict[str, Any], redis: RedisCost) -> dict[str, float]:
    """What so many streams need, at `RATE` and `LOAD`."""
    cores = streams * RATE * frame["cpu_ms"][f"here, lag {5 if lag else 0}"][0] / 1000 / LOAD
    writes = streams * RATE
    return {
        "streams": streams,
        "lag": lag,
        "frames_a_second": writes,
        "servers": float(np.ceil(cores / CORES)),
        "core_hours_a_day": 24 * cores,
        "gigabytes_in_a_second": writes * frame["kilobytes"] / 1e6,
        "gigabytes_out_a_second": writes * ANSWER / 1e9,
        "redis": float(np.ceil(writes * redis.cpu_microseconds / 1e6 / REDIS_LOAD)),
        "redis_gigabytes": streams * redis.bytes_a_session / 1e9,
        "gigabytes_to_redis_a_second": writes * (redis.state_bytes + redis.answer_bytes) / 1e9,
    }


def row(fleet: Fleet, what: str, seen: Experience) -> dict[str, Any]:
    """What streams saw, for people and for JSON: seconds."""

    def percentile(values: list[float], p: float) -> float | None:
        return round(float(np.percentile(values, p)), 3) if values else None

    return {
        "what": what,
        "load": fleet.load,
        "balance": fleet.balance,
        "streams": fleet.streams,
        "p99_before": percentile(seen.before, 99),
        "streams_moved": len(seen.moves),
        "most_moves": max(seen.moves.values(), default=0),
        "interruption_p50": percentile(seen.interruptions, 50),
        "interruption_p99": percentile(seen.interruptions, 99),
        "p99_after": percentile(seen.latencies, 99),
        "longest_after": percentile(seen.latencies, 100),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of one kind in Markdown, as docs/scale.md has them."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[_shown(value) for value in one.values()] for one in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def simulate(frame_seconds: float, *, quick: bool) -> list[dict[str, Any]]:
    """Kills and upgrades of fleets at several loads, with and without a bound on a server's share."""
    found = []
    servers = 6 if quick else FLEET.servers
    kinds = [(balance, load) for balance in BALANCES for load in LOADS]
    for balance, load in tqdm(kinds, desc="simulations", disable=None):
        fleet = replace(FLEET, servers=servers, frame_seconds=frame_seconds, load=load, balance=balance)
        dead = max(1, servers // 10)
        found.append(row(fleet, f"{dead} of {servers} servers die", Storm(fleet).killed(dead)))
        if balance is not None:
            found.append(row(fleet, "all servers are replaced, one by one", Storm(fleet).upgraded()))
    return found


def main() -> None:
    """Print plans and simulations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--redis-server", default=os.environ.get("REDIS_SERVER", shutil.which("redis-server")))
    parser.add_argument("--quick", action="store_true", help="small fleets")
    args = parser.parse_args()
    here = machine()
    print(here)
    streams = json.loads((ROOT / "docs" / "benchmarks" / "streams.json").read_text())
    frame = next(one for one in streams["frame"] if one["clip"] == "640x480")
    if args.redis_server is None:
        parser.error("redis-server is not here; name it by --redis-server")
    costs = {lag: measure(args.redis_server, size, ANSWER) for lag, size in STATES.items()}
    plans = [plan(count, lag, frame, costs[lag]) for lag in STATES for count in STREAMS]
    print(table(plans))
    simulated = simulate(frame["cpu_ms"]["here, lag 0"][0] / 1000, quick=args.quick)
    print(table(simulated))
    if args.json:
        report = {
            "machine": asdict(here) | {"quiet": here.quiet},
            "frame": {"from": streams["machine"], "cpu_ms": frame["cpu_ms"], "kilobytes": frame["kilobytes"]},
            "redis": {lag: asdict(cost) for lag, cost in costs.items()},
            "plans": plans,
            "fleet": asdict(FLEET),
            "simulations": simulated,
        }
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
