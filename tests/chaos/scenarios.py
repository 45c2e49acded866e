"""What happens to a cluster while videos go through it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from cluster import Cluster
from redis.asyncio import Redis
from videos import BOX, PICTURES

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, service_pb2_grpc, track_pb2
from service_fakes import channel_to, details_of


@dataclass
class Trouble:
    """One run of a scenario.

    Attributes:
        cluster: to which it happens.
        seconds: for which videos are sent.
        times: of each disturbance.
        notes: what else was seen.
        wrong: what should not be.
        over: all videos have ended.
    """

    cluster: Cluster
    seconds: float
    times: list[float] = field(default_factory=list)
    notes: dict[str, float | str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    over: bool = False

    def disturb(self) -> None:
        """Something happens now."""
        self.times.append(time.monotonic())

    def check(self, what: str, good: bool) -> None:
        """Note what should not be."""
        if not good:
            self.wrong.append(what)

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until all videos have ended."""
        until = time.monotonic() + seconds
        while not self.over and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def until(self, what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that must happen."""
        until = time.monotonic() + seconds
        while not await asyncio.to_thread(condition):
            if time.monotonic() > until:
                self.wrong.append(f"never came: {what}")
                return
            await asyncio.sleep(0.1)

    async def redis(self, *command: str) -> Any:
        """Tell Redis something."""
        async with Redis(port=self.cluster.redis_port) as one:
            return await one.execute_command(*command)


@dataclass(frozen=True)
class Scenario:
    """What happens, and under which settings.

    Attributes:
        run: makes it happen.
        timeout: of the videos' callers: silence, and time to come back, seconds.
        durability: of the servers; empty: as the command line says.
        redis_options: of redis-server.
        rollout: the last frames of some videos allow another bundle.
        namespace: the first server is in a network of its own.
    """

    run: Callable[[Trouble], Awaitable[None]]
    timeout: float = 30.0
    durability: str = ""
    redis_options: tuple[str, ...] = ()
    rollout: bool = False
    namespace: bool = False


async def _kill(trouble: Trouble, index: int) -> None:
    """End a server as a crash does, and start it again."""
    replica = trouble.cluster.replicas[index]
    trouble.disturb()
    await replica.kill()
    replica.start()
    await replica.until_ready()


async def kill(trouble: Trouble) -> None:
    """Servers are killed one after the other, each when the one before answers again."""
    index = 0
    while not trouble.over:
        await _kill(trouble, index % len(trouble.cluster.replicas))
        index += 1
        await trouble.pause(2.0)


async def pause(trouble: Trouble) -> None:
    """A server stops, its sessions go on elsewhere, and it wakes: it is refused, and what it answers reaches nobody."""
    cluster, index = trouble.cluster, 0
    fenced = 0.0
    while not trouble.over:
        replica = cluster.replicas[index % len(cluster.replicas)]
        trouble.disturb()
        replica.send(signal.SIGSTOP)
        await trouble.pause(8.0)
        replica.send(signal.SIGCONT)
        await replica.until_ready()
        await trouble.pause(3.0)
        fenced = max(fenced, await asyncio.to_thread(cluster.total, "exalign_checkpoints_total", "fenced"))
        index += 1
    trouble.notes["fenced_checkpoints"] = fenced


async def redis_forgets(trouble: Trouble) -> None:
    """Redis is killed and comes back empty; what servers have goes there again, and then one of them is killed."""
    await _restart_redis(trouble, signal.SIGKILL)


async def redis_restarts(trouble: Trouble) -> None:
    """Redis is ended and comes back with what it has on disk, and then a server is killed."""
    await _restart_redis(trouble, signal.SIGTERM)


async def _restart_redis(trouble: Trouble, how: signal.Signals) -> None:
    cluster, index = trouble.cluster, 0
    while not trouble.over:
        trouble.disturb()
        cluster.redis.send(how)
        await cluster.redis.ended()
        await trouble.pause(0.5)
        cluster.redis.start()
        await cluster.redis.until_ready()
        await _store_is_back(trouble)
        await trouble.pause(1.0)  # a frame of every video: what is in memory is in the store again
        await _kill(trouble, index % len(cluster.replicas))
        index += 1
        await trouble.pause(2.0)


async def _store_is_back(trouble: Trouble) -> None:
    cluster = trouble.cluster
    await trouble.until(
        "servers find the store again",
        lambda: trouble.over or cluster.total("exalign_store_up") == len(cluster.replicas),
    )
    await trouble.until(
        "servers have written what they have",
        lambda: trouble.over or cluster.total("exalign_sessions_behind") <= len(cluster.replicas),
    )


async def redis_away(trouble: Trouble) -> None:
    """Redis answers nothing for 10 s; then servers catch up, and one of them is killed."""
    cluster = trouble.cluster
    trouble.disturb()
    cluster.redis.send(signal.SIGSTOP)
    await trouble.until("servers find the store away", lambda: cluster.total("exalign_store_up") == 0)
    await trouble.pause(10.0)
    cluster.redis.send(signal.SIGCONT)
    await _store_is_back(trouble)
    trouble.check("videos ended before the store was back", not trouble.over)
    await _kill(trouble, 0)


async def redis_full(trouble: Trouble) -> None:
    """Redis has no memory left for a while; then servers catch up, and one of them is killed."""
    cluster = trouble.cluster
    trouble.disturb()
    await trouble.redis("CONFIG", "SET", "maxmemory", "100kb")
    await trouble.until("servers find the store full", lambda: cluster.total("exalign_store_up") == 0)
    await trouble.pause(5.0)
    await trouble.redis("CONFIG", "SET", "maxmemory", "0")
    await _store_is_back(trouble)
    trouble.check("videos ended before the store was back", not trouble.over)
    await _kill(trouble, 1)


async def proxy_reload(trouble: Trouble) -> None:
    """The proxy is reloaded: streams stay with its old process. Then a server is killed."""
    index = 0
    while not trouble.over:
        trouble.disturb()
        trouble.cluster.proxy.send(signal.SIGUSR2)
        await trouble.pause(2.0)
        await _kill(trouble, index % len(trouble.cluster.replicas))
        index += 1
        await trouble.pause(2.0)


async def proxy_killed(trouble: Trouble) -> None:
    """The proxy is killed and started again: every stream breaks at once, and all servers live."""
    proxy = trouble.cluster.proxy
    while not trouble.over:
        trouble.disturb()
        await proxy.kill()
        proxy.start()
        await proxy.until_ready()
        await trouble.pause(8.0)


async def rolling(trouble: Trouble) -> None:
    """All servers are restarted in good order: each drains, its sessions go on elsewhere."""
    for _ in range(2):
        for replica in trouble.cluster.replicas:
            if trouble.over:
                return
            trouble.disturb()
            replica.send(signal.SIGTERM)
            code = await replica.ended()
            trouble.check(f"a server ended with {code}", code == 0)
            replica.start()
            await replica.until_ready()
            await trouble.pause(1.0)


async def two_clients(trouble: Trouble) -> None:
    """Two clients claim one session, in two servers: the later one has it, the earlier one is told, at once."""
    rounds = 0
    while not trouble.over and rounds < 10:
        rounds += 1
        trouble.disturb()
        await _claimed_twice(trouble, f"claimed-{rounds}")
    trouble.notes["claims"] = rounds


async def _claimed_twice(trouble: Trouble, name: str) -> None:
    ports = trouble.cluster.ports
    async with channel_to(f"127.0.0.1:{ports[0][0]}") as here, channel_to(f"127.0.0.1:{ports[1][0]}") as there:
        first, second = (_open(channel) for channel in (here, there))
        await first.write(_config(name, b""))
        await _answer(first, "opened")
        await first.write(_frame(0))
        token = (await _answer(first, "result")).resume_token
        await second.write(_config(name, token))
        opened = await _answer(second, "opened")
        trouble.check("the second claim has no later epoch", opened.epoch == 2)
        await second.write(_frame(1))
        reason = ""
        try:
            await first.write(_frame(1))
            while await asyncio.wait_for(first.read(), 30) is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError as e:
            reason = details_of(e).reason
        trouble.check(f"the first client was told {reason!r}", reason == "SESSION_TAKEN_OVER")
        answered = [await _answer(second, "result")]
        if answered[0].frame_index == 0:  # it was never acknowledged
            answered.append(await _answer(second, "result"))
        trouble.check("the second client is not answered", answered[-1].frame_index == 1)
        await second.done_writing()
        await _answer(second, "closed")


def _open(channel: grpc.aio.Channel) -> Any:
    stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
    return stub.TrackVideo()


def _config(name: str, token: bytes) -> service_pb2.TrackVideoRequest:
    config = track_pb2.TrackConfig(session_id=name, resume_token=token)
    if token:
        config.resends_after = -1
    return service_pb2.TrackVideoRequest(config=config)


def _frame(index: int) -> service_pb2.TrackVideoRequest:
    x0, y0, x1, y1 = BOX
    box = track_pb2.TrackBox(box=geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1))
    image = image_pb2.Image(encoded=PICTURES[index])
    frame = track_pb2.VideoFrame(frame_index=index, image=image, boxes=[] if index else [box])
    return service_pb2.TrackVideoRequest(frame=frame)


async def _answer(call: Any, kind: str) -> Any:
    message = await asyncio.wait_for(call.read(), 30)
    if message is grpc.aio.EOF:
        raise RuntimeError(f"{await call.code()}: {await call.details()}")
    if message.WhichOneof("message") != kind:
        raise RuntimeError(f"{message.WhichOneof('message')} came, not {kind}")
    return getattr(message, kind)


async def network_cut(trouble: Trouble) -> None:
    """A server's network is cut off from all others while it works on; its sessions go on elsewhere; it is mended."""
    namespace = trouble.cluster.namespace
    assert namespace is not None
    while not trouble.over:
        trouble.disturb()
        await asyncio.to_thread(namespace.cut)
        await trouble.pause(10.0)
        await asyncio.to_thread(namespace.mend)
        await trouble.cluster.replicas[0].until_ready()
        await trouble.pause(6.0)
    fenced = await asyncio.to_thread(trouble.cluster.total, "exalign_checkpoints_total", "fenced")
    trouble.notes["fenced_checkpoints"] = fenced


async def rollout(trouble: Trouble) -> None:
    """Half of the servers get another bundle; sessions of the first one stay with the others, until they may move."""
    cluster = trouble.cluster
    begin = time.monotonic()
    for index in (2, 3):
        trouble.disturb()
        cluster.replicas[index].send(signal.SIGTERM)
        await cluster.replicas[index].ended()
        cluster.switch(index, 1)
        cluster.replicas[index].start()
        await cluster.replicas[index].until_ready()
    await _kill(trouble, 0)  # its sessions must go to the one other server that has their bundle
    for index in (0, 1):
        cluster.switch(index, 1)
    await trouble.until(
        "both bundles live in the first servers",
        lambda: (
            trouble.over or all(cluster.sample(i, "exalign_bundle_sessions", cluster.bundle_id(1)) >= 0 for i in (0, 1))
        ),
    )
    trouble.notes["rolled_out_after_seconds"] = round(time.monotonic() - begin, 1)
    trouble.check("videos ended before both bundles were there", not trouble.over)


SCENARIOS = {
    "kill": Scenario(kill),
    "pause": Scenario(pause, timeout=3.0),
    "redis-forgets": Scenario(redis_forgets),
    "redis-restarts": Scenario(redis_restarts, redis_options=("--appendonly", "yes", "--appendfsync", "always")),
    "redis-away": Scenario(redis_away),
    "redis-full": Scenario(redis_full, redis_options=("--maxmemory-policy", "noeviction")),
    "proxy-reload": Scenario(proxy_reload),
    "proxy-killed": Scenario(proxy_killed),
    "rolling": Scenario(rolling),
    "two-clients": Scenario(two_clients),
    "rollout": Scenario(rollout, rollout=True),
    "network-cut": Scenario(network_cut, timeout=3.0, namespace=True),
}
