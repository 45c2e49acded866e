"""One video among servers that share a store, in histories full of failures: no result is lost, doubled or wrong.

    python tests/service/checkpoint_model.py [--histories 10000] [--seed 1] [--without fence|numbers] [--json FILE]

`checkpoint_world` has the servers, and what happens to them. Here is the caller: the real client's side of a video
(`TrackSession`), which sends to any server, leaves those that are silent, and comes back as the real one does.

A history is wrong where the caller gets a result twice, out of order, or not as the frames say; where it sees an error
or misses a result although the store has lost nothing, and was not away for longer than the caller holds frames; and
where a write of a server that does not own the session any more has an effect.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from checkpoint_stream import Stream
from checkpoint_world import FRAMES, SITES, WINDOW, CheckedRedis, World
from every_await import Site
from exalign.v1 import track_pb2
from exalign_client.errors import ExalignClientError, UnavailableError
from exalign_client.track.results import TrackResult
from exalign_client.track.session import TrackSession
from exalign_service.track.resume_token import ResumeToken, state_hash

#: Streams after which a video is given up: more than any history needs.
_MOST_STREAMS = 1000

#: Steps that the caller waits for a server before it leaves it.
_PATIENCE = 300


def expected() -> list[bytes]:
    """The hash of the state after each frame."""
    state, found = hashlib.sha256(b"").digest(), []
    for index in range(FRAMES):
        state = hashlib.sha256(state + b"%d" % index).digest()
        found.append(state_hash(state))
    return found


EXPECTED = expected()


class Caller:
    """Who sends the video.

    Attributes:
        wrong: what should not be; empty: nothing.
        lost: the store had lost the session, or the caller what it would have had to send again.
        answered: results so far.
        streams: that were opened.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        config = track_pb2.TrackConfig(session_id="v", mode=track_pb2.TRACK_MODE_LOSSLESS)
        self._session = TrackSession(config, WINDOW, "here")
        self._tasks = set[asyncio.Task[None]]()
        self._given, self._durable = 0, -1
        #: Whether more frames were answered and not durable than the caller holds.
        self._overrun = False
        self.wrong, self.lost = "", False
        self.answered = self.streams = 0

    async def run(self) -> None:
        session, world = self._session, self._world
        while not (session.over or self.wrong or self.lost):
            self.streams += 1
            if self.streams > _MOST_STREAMS:
                self.wrong = "the video never ends"
                return
            first, _ = session.begin()
            stream = world.rng.choice(world.servers).open(first.config)
            error = await self._carried(stream)
            self._tasks.add(asyncio.create_task(stream.left()))
            if error is not None and not self.wrong:
                self._go_on(error)
                for _ in range(world.rng.choice([0, 5, 50])):
                    await asyncio.sleep(0)
        if session.over and self.answered != FRAMES and not self.lost:
            self.wrong = f"{self.answered} of {FRAMES} results"

    def _go_on(self, error: ExalignClientError) -> None:
        """What the real client does with an error, but for its pauses."""
        try:
            again = self._session.start_again(error)
        except ExalignClientError as e:
            error, again = e, False
        if again or isinstance(error, UnavailableError):
            return
        if self._world.lost or self._overrun:
            self.lost = True
        else:
            self.wrong = f"the caller sees {error}"

    async def _carried(self, stream: Stream) -> ExalignClientError | None:
        """One stream, to its end: why it has ended; None where the video has."""
        session, world = self._session, self._world
        silent, half_closed = 0, False
        while True:
            world.disturb(0.02 if silent else 0.5)
            self._give()
            message = session.next_message()
            if message is None and world.chance(0.1):
                message = session.keepalive_message()
            if message is not None:
                stream.requests.put_nowait(message)
            elif session.may_half_close and not half_closed:
                half_closed = True
                stream.requests.put_nowait(None)
            if stream.responses.empty():
                silent += 1
                if silent > _PATIENCE or stream.broken:
                    return UnavailableError("silent, or broken")
                await asyncio.sleep(0)
                continue
            silent, response = 0, stream.responses.get_nowait()
            if isinstance(response, ExalignClientError):
                return response
            self._take(response)
            if session.over or self.wrong or self.lost:
                return None
            if world.chance(world.danger / 4):
                return UnavailableError("the connection broke")

    def _give(self) -> None:
        session = self._session
        while self._given < FRAMES and session.room:
            session.add(track_pb2.VideoFrame(frame_index=self._given))
            self._given += 1
            if self._given == FRAMES:
                session.finish()

    def _take(self, response: object) -> None:
        event = self._session.receive(response)  # type: ignore[arg-type]
        if isinstance(event, TrackResult):
            if event.session > 1:
                self.lost = self._world.lost or self._overrun
                self.wrong = "" if self.lost else "the video was begun again"
                return
            if event.frame_index != self.answered:
                self.wrong = f"the result of {event.frame_index} comes as number {self.answered}"
                return
            token = ResumeToken.decode(response.result.resume_token)  # type: ignore[attr-defined]
            if token.state_hash != EXPECTED[event.frame_index]:
                self.wrong = f"the result of {event.frame_index} is not what its frames say"
            self.answered += 1
        self._durable = max(self._durable, response.durable_frame)  # type: ignore[attr-defined]
        self._overrun |= self.answered - 1 - self._durable > WINDOW


def history(seed: int, without: str = "") -> tuple[str, World, Caller]:
    """One history; the first is what is wrong with it, or nothing."""
    random.seed(seed)  # of pauses
    redis = CheckedRedis(fenced=without != "fence", by_number=without != "numbers")

    async def run() -> tuple[World, Caller]:
        world = World(seed, redis)
        caller = Caller(world)
        await caller.run()
        return world, caller

    world, caller = asyncio.run(run())
    wrong = caller.wrong or (f"{redis.stale} writes of a former owner" if redis.stale else "")
    return wrong, world, caller


def each_await(at: Counter[tuple[Site, str, str]]) -> dict[str, dict[str, int]]:
    """What happened at each await of the store, and how often."""
    found: dict[str, dict[str, int]] = {str(site): {} for site in SITES}
    for (site, when, what), count in sorted(at.items(), key=str):
        found[str(site)][f"{what} {when}"] = count
    return found


def unmet(at: Counter[tuple[Site, str, str]]) -> list[str]:
    """What may happen everywhere, and did not at some await."""
    kinds = [(when, what) for when in ("before", "after") for what in ("kill", "later", "stop")]
    return [f"{site}: {what} {when}" for site in SITES for when, what in kinds if not at[site, when, what]]


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Histories of one video among servers that share a store.")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first; each further one has the next number")
    parser.add_argument("--without", choices=("fence", "numbers"), default="", help="a bug that must be found")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable()
    found: dict[str, object] = {"histories": arguments.histories, "seed": arguments.seed, "without": arguments.without}
    counts, happened, wrong, begin = Counter[str](), Counter[str](), list[str](), time.monotonic()
    at = Counter[tuple[Site, str, str]]()
    for seed in range(arguments.seed, arguments.seed + arguments.histories):
        what, world, caller = history(seed, arguments.without)
        happened += world.happened
        at += world.at
        counts["results"] += caller.answered
        counts["streams"] += caller.streams
        counts["videos begun again, the store or the caller having lost them"] += caller.lost
        counts["wrong histories"] += bool(what)
        if what and len(wrong) < 20:
            wrong.append(f"{seed}: {what}")
    found["awaits"] = each_await(at)
    found["awaits where something never happened"] = unmet(at)
    found |= {"counts": dict(counts), "happened": dict(sorted(happened.items())), "wrong": wrong}
    found["seconds"] = round(time.monotonic() - begin, 1)
    text = json.dumps(found, indent=1)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return int(bool(wrong) != bool(arguments.without))


if __name__ == "__main__":
    sys.exit(main())
