"""Servers that share a store, for `checkpoint_model`: a failure wherever something is waited for.

What runs is the real store of sessions (`SharedStore`, its checkpoints, records and tokens) in three servers, and the
real client's side of a video (`TrackSession`). Between them lies a model: a server's state is the hash of all frames so
far, and Redis is `FakeRedis`, which a test compares with the scripts in Redis itself. One history is drawn from one
number, and is the same each time. In it

- at each await of the store, before what is awaited and after it, others may go on for long, the server may die or
  stop, the stream may be cancelled, and Redis's library may raise what nobody has foreseen (`every_await`);
- each request to the store may fail before or after it has had its effect, or have it much later, when everybody has
  given it up;
- servers are killed, end as they are told to, or stop and wake again; streams break; requests to a stopped server
  wait with it;
- Redis is away for a while, or comes back as it was before, or empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from checkpoint_stream import SERVER, LibraryError, Stream
from every_await import Site, compiled
from exalign.v1 import track_pb2
from exalign_service.stores.link import StoreAwayError
from exalign_service.stores.script import Reply, Write
from exalign_service.track.store import FencedError, MemoryStore
from store_fakes import FakeLink, FakeRedis, Observed

FRAMES, SERVERS, WINDOW = 8, 3, 4


async def _at(site: Site, awaited: Awaitable[Any]) -> Any:
    """An await of the store."""
    server = SERVER.get()
    try:
        await server.happens(site, "before")
    except BaseException:
        if asyncio.iscoroutine(awaited):
            awaited.close()
        raise
    if site.awaits.startswith("asyncio.wait_for("):
        answer = await _in_turns(awaited)
    else:
        answer = await awaited
    await server.happens(site, "after")
    return answer


async def _in_turns(awaited: Awaitable[Any]) -> Any:
    """Wait for so many turns instead of seconds."""
    task = asyncio.ensure_future(awaited)
    for _ in range(60):
        if task.done():
            return task.result()
        await asyncio.sleep(0)
    task.cancel()
    raise TimeoutError


_MADE, SITES = compiled(["exalign_service.stores.checkpoints", "exalign_service.stores.shared_store"], _at)


class StepClock:
    """Time that passes as tasks take their turns."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        self.time += 1e-4
        return self.time

    async def sleep(self, seconds: float) -> None:
        for _ in range(1 + min(int(20 * seconds), 60)):
            await asyncio.sleep(0)
        self.time += seconds

    def call_later(self, seconds: float, callback: Any, *args: object) -> Any:
        return asyncio.get_running_loop().call_soon(callback, *args)


class Nothing:
    """Observers that nobody asks."""

    def detached_changed(self, count: int) -> None: ...

    def detached_dropped(self, reason: str) -> None: ...

    def session_counted(self, bundle_id: str, change: int) -> None: ...


@dataclass
class CheckedRedis(FakeRedis):
    """Notes writes of owners that do not own a session any more, where they have an effect."""

    claimed: dict[str, int] = field(default_factory=dict)
    stale: int = 0

    def write(self, write: Write) -> Reply:
        reply = super().write(write)
        if reply is Reply.WRITTEN:
            self.stale += write.epoch < self.claimed.get(write.key, 0)
        return reply

    def claim(self, key: str, secret: bytes, owner: bytes, epoch: int | None) -> Any:
        found = super().claim(key, secret, owner, epoch)
        if found is not None:
            self.claimed[key] = found[0] + 1
        return found

    def restored(self, before: dict[str, Any]) -> None:
        """Come back as it was before, or empty; who owns what is forgotten with it."""
        self.sessions = before
        self.claimed.clear()


class World:
    """One history.

    Args:
        seed: all of it follows from this.
        redis: what all servers share.
    """

    def __init__(self, seed: int, redis: CheckedRedis) -> None:
        self.rng, self.redis = random.Random(seed), redis
        self.danger = self.rng.choice([0.0, 0.05, 0.15, 0.3])
        self.before = self.rng.random() < 0.3
        self.every = 1 if self.before else self.rng.choice([1, 1, 1, 2, 3])
        self.loses = self.rng.random() < 0.2
        self.away = 0
        self.lost = False
        self.snapshot: dict[str, Any] = {}
        self.happened: Counter[str] = Counter()
        #: Of each site, when, and what happened there.
        self.at: Counter[tuple[Site, str, str]] = Counter()
        self.late: set[asyncio.Task[Any]] = set()
        self.servers = [Server(self) for _ in range(SERVERS)]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def disturb(self, often: float) -> None:
        """Now and then something happens to a server, or to Redis."""
        if not self.chance(self.danger * often):
            return
        what = self.rng.choice(["kill", "end", "stop", "stop", "away", *(["lose"] if self.loses else [])])
        self.happened[what] += 1
        index = self.rng.randrange(SERVERS)
        if what == "kill":
            self.servers[index].kill()
        elif what == "end":
            self.servers[index].end()
        elif what == "stop":
            self.servers[index].stop(self.rng.choice([20, 100, 400]))
        elif what == "away":
            self.away = self.rng.choice([3, 10, 40])
        else:
            self.lost = True
            self.redis.restored({} if self.chance(0.5) else copy.deepcopy(self.snapshot))
        if self.chance(0.5):
            self.snapshot = copy.deepcopy(self.redis.sessions)


class Link(FakeLink):
    """A way to the store on which everything may happen; `before` and `after` are not used."""

    def __init__(self, world: World, server: Server) -> None:
        super().__init__(world.redis)
        self._world, self._server = world, server

    async def _asked(self, what: str, ask: Any) -> Any:
        world = self._world
        await self._server.turn()
        if world.away > 0:
            world.away -= 1
            raise StoreAwayError("away", "the store is away")
        fate = world.rng.random() / max(world.danger, 1e-9)
        if fate < 0.5:
            world.happened[f"{what} failed"] += 1
            raise StoreAwayError("away", "failed before")
        if fate < 1.0:
            world.happened[f"{what} came late"] += 1
            task = asyncio.create_task(self._later(ask))
            world.late.add(task)
            task.add_done_callback(world.late.discard)
            raise StoreAwayError("away", "nobody knows")
        answer = await ask()
        for _ in range(world.rng.choice([1, 1, 1, 20])):  # now and then the way back is long
            await self._server.turn()
        if fate < 1.5:
            world.happened[f"{what} unheard"] += 1
            raise StoreAwayError("away", "failed after")
        return answer

    async def _later(self, ask: Any) -> None:
        for _ in range(self._world.rng.choice([1, 5, 30, 150])):
            await asyncio.sleep(0)
        with contextlib.suppress(FencedError):
            await ask()


class Server:
    """A server with its streams."""

    def __init__(self, world: World) -> None:
        self.world, self.dead, self.stopped = world, False, 0
        clock, nothing = StepClock(), Nothing()
        local = MemoryStore(60.0, 100, 2**30, 2**30, nothing, clock, nothing)
        self.store = _MADE["exalign_service.stores.shared_store"].SharedStore(
            local,
            Link(world, self),
            prefix="x",
            retention=60.0,
            before=world.before,
            every=world.every,
            interval=0.01,
            max_bytes=2**20,
            observer=Observed(),
            clock=clock,
        )
        self.store.watch(self._fenced)
        self.streams: dict[str, asyncio.Task[None]] = {}
        self.refused: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def kill(self) -> None:
        """All of it ends, wherever it waits. Another takes its place."""
        self.dead = True
        for task in self.tasks:
            task.cancel()
        self._replaced()

    def end(self) -> None:
        """It is told to end: its streams do, then its store. Another takes its place at once."""
        self._replaced()
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        SERVER.set(self)
        for task in self.tasks:
            task.cancel()
        while self.tasks:
            await self.turn()
        await self.store.close()
        self.dead = True

    def _replaced(self) -> None:
        servers = self.world.servers
        if self in servers:
            servers[servers.index(self)] = Server(self.world)

    async def happens(self, site: Site, when: str) -> None:
        """What happens at an await of the store."""
        world = self.world
        world.at[site, when, "passed"] += 1
        if self.dead:
            await asyncio.Event().wait()
        if not world.chance(world.danger / 6):
            return
        task = asyncio.current_task()
        kinds = ["later", "stop", "kill"]
        kinds += ["cancel"] if task in self.tasks else []
        kinds += ["raise"] if "_link." in site.awaits or site.awaits.startswith("ask(") else []
        kind = world.rng.choice(kinds)
        world.at[site, when, kind] += 1
        match kind:
            case "stop":
                self.stop(world.rng.choice([20, 100, 400]))
            case "kill":
                self.kill()
            case "cancel":
                assert task is not None
                task.cancel()
            case "raise":
                raise LibraryError
        for _ in range(world.rng.choice([1, 5, 30])):
            await self.turn()

    def stop(self, turns: int) -> None:
        """Nothing goes on for so many turns."""
        self.stopped = max(self.stopped, turns)

    async def turn(self) -> None:
        """Others go on."""
        await asyncio.sleep(0)
        while self.stopped > 0:
            self.stopped -= 1
            await asyncio.sleep(0)
        if self.dead:
            await asyncio.Event().wait()

    def open(self, config: track_pb2.TrackConfig) -> Stream:
        stream = Stream(self, config)
        stream.task = asyncio.create_task(stream.run())
        self.tasks.add(stream.task)
        stream.task.add_done_callback(self.tasks.discard)
        return stream

    def _fenced(self, key: str) -> None:
        self.refused.add(key)
        task = self.streams.get(key)
        if task is not None:
            task.cancel()
