"""Hold many conversations with a real server, by the grammar of all RPCs and a model of TrackVideo.

    python tests/fuzz/conversations.py [--conversations 50000] [--seconds S] [--seed 1] [--workers 1] [--json FILE]

The server is a process of its own with small bundles; Hypothesis chooses the steps (`conversation_machine`). After each
chunk it is noted how far the campaign is: interrupted, it goes on from there; ``--fresh`` begins anew. A server that
has answered many conversations is asked what it still holds. Exit code 1: there is a find.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import grpc
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import fuzz_paths  # noqa: F401  # makes what follows importable
from call_rules import SWAP, ServerView
from conversation_client import Client, is_starved
from conversation_machine import ConversationMachine, Ground
from exalign.v1 import admin_pb2
from fuzz_paths import ROOT
from fuzz_target import without_paths
from fuzzed_server import BUNDLES, RETENTION, FuzzedServer, fuzzed_server

#: Conversations of one chunk, and chunks of one server.
CHUNK, CHUNKS_OF_A_SERVER = 500, 40

#: Conversations after which a server's memory has found its base: a session that ends leaves about 1.5 kB, until there
#: were about 4,000, and nothing after that. The short form holds fewer with a server, and says nothing of memory.
WARM = 5_000

#: Looks at its memory are compared that are at least so many conversations apart.
FAR = 2_500

#: Seeds of one of several workers.
SEEDS_OF_A_WORKER = 1_000_000

#: Steps of one conversation, at most.
STEPS = 14

#: By how much a server may grow with 10,000 conversations, bytes.
MOST_GROWTH = 1_000_000


@dataclass
class Progress:
    """How far the campaign is.

    Attributes:
        conversations: held.
        steps: of them.
        sent: messages to the server.
        received: messages from it.
        seconds: by the clock.
        chunks: begun; the seed of each is counted up.
        endings: how calls and streams ended, by method and reason.
        held: what the server held after each chunk; "server" is its number, "conversations" how many it had held.
        starved: chunks that ended early: the machine gave one of both processes no time, and gRPC cut the connection.
        unrepeatable: chunks that ended early: Hypothesis tried a conversation again, which went another way, for the
            bundle that answers was another one.
        finds: text and seed of each, and the steps that led there.
    """

    conversations: int = 0
    steps: int = 0
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    chunks: int = 0
    servers: int = 0
    starved: int = 0
    unrepeatable: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    held: list[dict[str, int]] = field(default_factory=list)
    finds: list[dict[str, Any]] = field(default_factory=list)

    def note(self, find: dict[str, Any]) -> None:
        """Note a find, or why a chunk that has ended early is none."""
        if is_starved(find["text"]):
            self.starved += 1
        elif find["text"].startswith("Flaky") and not find.get("steps"):
            self.unrepeatable += 1
        else:
            self.finds.append(find)

    @property
    def growth(self) -> float | None:
        """By how much a server grows with 10,000 conversations, bytes, once it is warm.

        The median slope between any two looks at one server that are far apart (Theil and Sen): a look alone wanders by
        a megabyte. None: no server was looked at for so long.
        """
        warm = [one for one in self.held if one["conversations"] >= WARM]
        found = [
            (after["resident_bytes"] - before["resident_bytes"]) / (after["conversations"] - before["conversations"])
            for before, after in combinations(warm, 2)
            if before["server"] == after["server"] and after["conversations"] - before["conversations"] >= FAR
        ]
        return statistics.median(found) * 10_000 if found else None


def merged(parts: list[Progress]) -> Progress:
    """What several campaigns have done together."""
    found = Progress()
    for part in parts:
        found.held += [{**one, "server": one["server"] + found.servers} for one in part.held]
        found.endings = dict((Counter(found.endings) + Counter(part.endings)).most_common())
        for find in part.finds:
            found.note(find)
        found.seconds = max(found.seconds, part.seconds)
        for name in ("conversations", "steps", "sent", "received", "chunks", "servers", "starved", "unrepeatable"):
            setattr(found, name, getattr(found, name) + getattr(part, name))
    return found


class Campaign:
    """Conversations with one server after the other.

    Args:
        file: where the progress is kept; None: nowhere.
        first_seed: of the first chunk.
        chunk: conversations of one.
    """

    def __init__(self, file: Path | None, first_seed: int, chunk: int = CHUNK) -> None:
        self._file, self._seed, self._chunk = file, first_seed, chunk
        self.progress = Progress()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        if file is not None and file.exists():
            self.progress = Progress(**json.loads(file.read_text()))

    def run(self, conversations: int, seconds: float = 0.0) -> None:
        """Go on until there are so many, or for so many seconds."""
        found, until = self.progress, time.monotonic() + (seconds or float("inf"))
        while found.conversations < conversations and time.monotonic() < until:
            with fuzzed_server() as server:
                found.servers += 1
                before = found.conversations
                for _ in range(CHUNKS_OF_A_SERVER):
                    self._hold(server, min(self._chunk, conversations - found.conversations))
                    if server.process.poll() is None:
                        held = {"server": found.servers, "conversations": found.conversations - before}
                        found.held.append({**held, **server.held()})
                    self._save()
                    print(self.line(), flush=True)
                    if found.conversations >= conversations or time.monotonic() >= until:
                        break
                    if server.process.poll() is not None:
                        break
                self._look_back(server)
                self._save()

    def line(self) -> str:
        """How far it is, for people."""
        p = self.progress
        growth = "" if p.growth is None else f", {p.growth:+,.0f} bytes in 10,000"
        return (
            f"{p.conversations:,} conversations, {p.conversations / p.seconds:.1f} a second, {p.sent:,} messages sent,"
            f" {p.received:,} received, {len(p.endings)} kinds of ends{growth}, {len(p.finds)} finds"
        )

    def _hold(self, server: FuzzedServer, count: int) -> None:
        """One chunk."""
        found, began = self.progress, time.monotonic()
        number = self._seed + found.chunks
        found.chunks += 1
        client = self._loop.run_until_complete(_connected(server))
        current = self._loop.run_until_complete(_current(client))
        ground = Ground(self._loop, client, ServerView(server.bundles, current), f"{number}-")
        machine = type("Machine", (ConversationMachine,), {"ground": ground})
        try:
            run_state_machine_as_test(seed(number)(machine), settings=_settings(count))
        except Exception as e:  # noqa: BLE001  # this is what we look for
            text, steps = ground.finds[0] if ground.finds else (f"{type(e).__name__}: {e}", [])
            print(f"seed {number}: {text}\n{steps}", flush=True)
            found.note({"seed": number, "text": without_paths(text), "steps": steps})
        finally:
            self._loop.run_until_complete(client.close())
        found.conversations += min(ground.conversations, count)
        found.steps += ground.steps
        found.sent, found.received = found.sent + client.sent, found.received + client.received
        found.endings = dict((Counter(found.endings) + client.endings).most_common())
        found.seconds = round(found.seconds + time.monotonic() - began, 1)

    def _look_back(self, server: FuzzedServer) -> None:
        """What the log says of faults of ours, whether the process has ended, and whether it has let go of all."""
        if (code := server.process.poll()) is not None:
            self.progress.finds.append({"seed": None, "text": f"the server ended with {code}"})
        elif left := _left(server):
            self.progress.finds.append({"seed": None, "text": f"sessions are left: {left}"})
        for line in server.complaints()[:3]:
            self.progress.finds.append({"seed": None, "text": without_paths(line)})

    def _save(self) -> None:
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(asdict(self.progress), indent=1))
            new.rename(self._file)


def _left(server: FuzzedServer) -> dict[str, float]:
    """Sessions that are there when no client is, and the time to resume them has passed."""
    until = time.monotonic() + RETENTION + 60
    while left := {name: count for name, count in server.samples("exalign_sessions").items() if count}:
        if time.monotonic() > until:
            break
        time.sleep(1)
    return left


async def _connected(server: FuzzedServer) -> Client:
    client = Client(server)
    await client.channel.channel_ready()
    return client


async def _current(client: Client) -> str:
    """The bundle that answers, once the server is warm: until then it takes no other one."""
    swap, alice = client.channel.unary_unary(SWAP), client.server.metadata["alice"]
    request = admin_pb2.SwapModelRequest(bundle=BUNDLES[0]).SerializeToString()
    until = time.monotonic() + 300
    while True:
        try:
            answer = await swap(request, metadata=alice, wait_for_ready=True, timeout=300)
        except grpc.aio.AioRpcError as e:
            if e.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)
        else:
            return admin_pb2.SwapModelResponse.FromString(answer).bundle_id


def _settings(count: int) -> settings:
    """As many conversations as that; none is made simpler: its seed makes it again."""
    return settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def side_by_side(arguments: argparse.Namespace, folder: Path) -> Progress:
    """Several campaigns, each a process with a share of the conversations and seeds of its own."""
    parts = [folder / f"worker-{i}" for i in range(arguments.workers)]
    share = -(-arguments.conversations // arguments.workers)
    command = [sys.executable, __file__, "--seconds", str(arguments.seconds), "--chunk", str(arguments.chunk)]
    command += ["--conversations", str(share)]
    children = [
        subprocess.Popen([*command, "--seed", str(arguments.seed + i * SEEDS_OF_A_WORKER), "--work", str(part)])
        for i, part in enumerate(parts)
    ]
    for child in children:
        child.wait()
    files = [part / "conversations" / "progress.json" for part in parts]
    return merged([Progress(**json.loads(file.read_text())) for file in files])


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Hold many conversations with a server.")
    parser.add_argument("--conversations", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=0.0, help="at most; 0: until it is done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=CHUNK)
    parser.add_argument("--workers", type=int, default=1, help="campaigns at once, each with a server of its own")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "fuzz")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    arguments = parser.parse_args()
    folder = arguments.work / "conversations"
    if arguments.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.workers == 1:
        campaign = Campaign(folder / "progress.json", arguments.seed, arguments.chunk)
        campaign.run(arguments.conversations, arguments.seconds)
        found = campaign.progress
    else:
        found = side_by_side(arguments, folder)
    if found.growth is not None and found.growth > MOST_GROWTH:
        found.finds.append({"seed": None, "text": f"a server grows: {found.growth:,.0f} bytes"})
    if arguments.json is not None:
        machine = {"python": platform.python_version(), "cores": os.cpu_count()}
        machine |= {name: version(name) for name in ("grpcio", "hypothesis", "protobuf")}
        report = {"machine": machine, **asdict(found), "growth_bytes_per_10000": found.growth}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if found.finds else 0


if __name__ == "__main__":
    sys.exit(main())
