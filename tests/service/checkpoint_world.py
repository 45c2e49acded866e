"""Servers that share a store, for `checkpoint_model`: a failure wherever something is waited for.

What runs is the real store of sessions (`SharedStore`, its checkpoints, records and tokens) in three servers, and the
real client's side of a video (`TrackSession`). Between them lies a model: a server's state is the hash of all frames so
far, and Redis is `FakeRedis`, which a test compares with the scripts in Redis itself. One history is drawn from one
number, and is the same each time. In it

- each request to the store may fail before or after it has had its effect, or have it much later, when everybody has
  given it up;
- servers are killed, or stop and wake again; streams break; requests to a stopped server wait with it;
- Redis is away for a while, or comes back as it was before, or empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import (
    ExalignClientError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from exalign_service.rpc import errors as service_errors
from exalign_service.stores.link import StoreAwayError
from exalign_service.stores.script import Reply, Write
from exalign_service.stores.shared_store import SharedStore
from exalign_service.track.record import SessionRecord
from exalign_service.track.resume_checks import check_record
from exalign_service.track.resume_token import SECRET_BYTES, ResumeToken, state_hash
from exalign_service.track.store import FencedError, MemoryStore
from store_fakes import FakeLink, FakeRedis, Observed

Response = service_pb2.TrackVideoResponse

FRAMES, SERVERS, WINDOW = 8, 3, 4


class Keys:
    """Tokens are not what is tested here."""

    def sign(self, owner: str, data: bytes) -> bytes:
        return bytes(16)


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
        self.late: set[asyncio.Task[Any]] = set()
        self.servers = [Server(self) for _ in range(SERVERS)]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def disturb(self, often: float) -> None:
        """Now and then something happens to a server, or to Redis."""
        if not self.chance(self.danger * often):
            return
        what = self.rng.choice(["kill", "stop", "stop", "away", *(["lose"] if self.loses else [])])
        self.happened[what] += 1
        index = self.rng.randrange(SERVERS)
        if what == "kill":
            self.servers[index].kill()
            self.servers[index] = Server(self)
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
        self.store = SharedStore(
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
        """All of it ends, wherever it waits."""
        self.dead = True
        for task in self.tasks:
            task.cancel()

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


class Stream:
    """A stream of one server: the conversation, as short as it can be told."""

    task: asyncio.Task[None]

    def __init__(self, server: Server, config: track_pb2.TrackConfig) -> None:
        self._server, self._config = server, config
        self.requests: asyncio.Queue[Any] = asyncio.Queue()
        self.responses: asyncio.Queue[Any] = asyncio.Queue()
        self._record: SessionRecord | None = None

    @property
    def broken(self) -> bool:
        """Whether nothing will come any more."""
        return self._server.dead or (self.task.done() and self.responses.empty())

    async def left(self) -> None:
        """The caller has gone; a server that is stopped hears of it when it wakes."""
        for _ in range(self._server.world.rng.choice([0, 1, 10, 60])):
            await asyncio.sleep(0)
        while self._server.stopped > 0:
            await asyncio.sleep(0)
        self.task.cancel()

    async def run(self) -> None:
        store, closed = self._server.store, False
        try:
            record = await self._admitted()
            self._record = record
            self._server.streams[record.key] = self.task
            await self._say(Response(opened=track_pb2.TrackOpened(bundle_id="b", next_frame=record.frame + 1)))
            for entry in record.retained:
                await self._say(*map(Response.FromString, entry.messages))
            while (request := await self.requests.get()) is not None:
                await self._server.turn()
                await self._answer(request)
            await self._say(Response(closed=track_pb2.TrackClosed()))
            closed = True
        except asyncio.CancelledError:
            if self._record is None or self._record.key not in self._server.refused:
                raise
            self.responses.put_nowait(PreconditionError("fenced", "SESSION_TAKEN_OVER"))
        except FencedError as e:
            self.responses.put_nowait(PreconditionError(str(e), "SESSION_TAKEN_OVER"))
        except service_errors.ServiceError as e:
            self.responses.put_nowait(_as_client_sees(e))
        finally:
            if self._record is not None and not self._server.dead:
                if self._server.streams.get(self._record.key) is self.task:
                    del self._server.streams[self._record.key]
                leave = store.delete(self._record) if closed else store.release(self._record, "caller")
                await asyncio.shield(asyncio.create_task(leave))

    async def _admitted(self) -> SessionRecord:
        store, config = self._server.store, self._config
        await self._server.turn()
        name = config.session_id
        if not config.resume_token:
            if await store.kept_for(name) is not None:
                raise service_errors.SessionExistsError("there is one")
            state = _state(b"", b"")
            record = SessionRecord(
                name, hashlib.sha256(name.encode()).digest()[:SECRET_BYTES], "b", b"", state, state_hash(state)
            )
            try:
                await store.create(record)
            except FencedError as e:
                raise service_errors.SessionExistsError("there is one") from e
            return record
        token = ResumeToken.decode(config.resume_token)
        options: Any = _Options(b"", config.resends_after if config.HasField("resends_after") else None)
        found = check_record(token, options, await store.get(name, (token.epoch, token.frame)))
        old = self._server.streams.get(name)
        claimed = await store.claim(name, token.secret, found.epoch)
        self._record = claimed
        if old is not None:
            old.cancel()
            await asyncio.wait([old])
        return check_record(token, options, claimed)

    async def _answer(self, request: service_pb2.TrackVideoRequest) -> None:
        record = self._record
        assert record is not None
        if request.HasField("ack"):
            await self._keep(record.acknowledged(request.ack.acked_frame))
            return
        if not request.HasField("frame"):
            await self._say(Response(heartbeat=request.heartbeat))
            return
        index = request.frame.frame_index
        if request.frame.HasField("acked_frame"):
            record = record.acknowledged(request.frame.acked_frame)
        if index <= record.frame:
            kept = record.result_of(index)
            assert kept is not None, "a frame was sent that is neither new nor kept"
            await self._say(Response.FromString(kept))
            return
        state = _state(record.state, b"%d" % index)
        changed = replace(record, state=state, state_hash=state_hash(state), frame=index)
        result = track_pb2.FrameResult(frame_index=index, resume_token=changed.token(Keys()))  # type: ignore[arg-type]
        message = Response(result=result).SerializeToString()
        await self._server.turn()
        await self._keep(record.answered(changed, [message]))
        await self._say(Response.FromString(message))

    async def _keep(self, record: SessionRecord) -> None:
        self._record = record
        await self._server.store.put(record)

    async def _say(self, *messages: Response) -> None:
        for message in messages:
            await self._server.turn()
            if self._record is not None:
                durable = self._server.store.durable_frame(self._record)
                message.durable_frame = -1 if durable is None else durable
            self.responses.put_nowait(message)


@dataclass(frozen=True)
class _Options:
    """As much of `TrackOptions` as is asked."""

    fingerprint: bytes
    resends_after: int | None


def _state(before: bytes, frame: bytes) -> bytes:
    return hashlib.sha256(before + frame).digest()


def _as_client_sees(error: Exception) -> ExalignClientError:
    match error:
        case service_errors.PreconditionError():
            return PreconditionError(str(error), error.reason)
        case service_errors.SessionExistsError():
            return PreconditionError(str(error), "SESSION_EXISTS")
        case service_errors.SessionNotFoundError():
            return NotFoundError(str(error))
    return UnavailableError(str(error))
