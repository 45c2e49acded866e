"""What a shared store is told and asked, and when: batches, pauses, ends; and what is said while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from exalign_service.rpc.errors import StoreUnavailableError
from exalign_service.stores.checkpoints import Checkpoints
from exalign_service.stores.owned import OwnedSession
from exalign_service.stores.script import Reply, Write
from exalign_service.stores.shared_store import TOUCH_EVERY
from exalign_service.track.record import SessionRecord
from manual_clock import ManualClock, settle
from service_fakes import PATIENCE
from store_fakes import FakeLink, FakeRedis, Observed, Switch
from test_service_shared_store import SECRET, Replica, answered, closing, put, replica
from test_service_track_store import record


class Counted(FakeLink):
    """Notes how many sessions went with each round trip; none is answered before the gate opens."""

    def __init__(self) -> None:
        super().__init__(FakeRedis())
        self.trips: list[int] = []
        self.gate = asyncio.Event()

    async def write(self, writes: Sequence[Write]) -> list[Reply]:
        self.trips.append(len(writes))
        await self.gate.wait()
        return await super().write(writes)


def checkpoints(link: FakeLink, observed: Observed, clock: ManualClock, max_bytes: int = 10**7) -> Checkpoints:
    """The writing task alone."""
    nothing = lambda owned: None  # noqa: E731
    return Checkpoints(link, 60.0, 15.0, max_bytes, observed, clock, nothing, lambda owned: True)


def owned(name: str, size: int = 100, *, wanted: bool = True, due: float | None = None) -> OwnedSession:
    """A session of which the store knows nothing."""
    return OwnedSession(name, record(name, size), wanted=wanted, due=due)


@pytest.mark.parametrize(("count", "size", "trips"), [(70, 10, [1, 64, 6]), (4, 1_500_000, [1, 3, 1])])
async def test_a_round_trip_takes_so_many_sessions_and_bytes_and_the_rest_goes_with_the_next(
    count: int, size: int, trips: list[int]
) -> None:
    link, observed, clock = Counted(), Observed(), ManualClock()
    them = checkpoints(link, observed, clock)
    them.add(owned("first"))
    await settle()
    them.add(owned("later", wanted=False, due=clock.now() + 1))
    for number in range(count):
        them.add(owned(str(number), size))
    await settle()
    assert observed.behind == count + 2
    link.gate.set()
    await settle()
    assert link.trips == trips
    assert observed.behind == 1
    await clock.advance(1.0)
    assert observed.behind == 0
    await them.close(PATIENCE)


async def test_one_session_that_is_too_large_holds_no_other_up() -> None:
    link, observed = Counted(), Observed()
    them = checkpoints(link, observed, ManualClock(), max_bytes=1000)
    link.gate.set()
    for name, size in (("large", 1001), ("small", 1000)):
        them.add(owned(name, size))
    await settle()
    assert list(link.redis.sessions) == ["small"]
    assert observed.outcomes == ["too_large", "written"]
    assert observed.seconds[0] == 0.0
    await them.close(PATIENCE)


async def test_the_end_waits_for_what_is_to_be_written_and_no_longer() -> None:
    link, observed = Counted(), Observed()
    link.gate.set()
    them = checkpoints(link, observed, ManualClock())
    them.add(owned("later", wanted=False, due=10**9))
    for number in range(70):  # more than go with one round trip
        them.add(owned(str(number)))
    async with asyncio.timeout(PATIENCE):
        await them.close(1e6)
    assert len(link.redis.sessions) == 71
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_does_not_wait_for_a_store_that_is_away() -> None:
    switch = Switch()
    switch.reason = "away"
    them = checkpoints(FakeLink(FakeRedis(), switch), Observed(), ManualClock())
    them.add(owned("a"))
    await settle()
    async with asyncio.timeout(PATIENCE):
        await them.close(1e6)


async def test_a_store_that_is_away_is_asked_soon_again_then_every_second_and_not_by_all_at_once() -> None:
    asked: list[float] = []
    switch, clock = Switch(), ManualClock()
    switch.reason = "away"

    async def ask(what: str) -> None:
        asked.append(clock.now())
        await switch(what)

    them = checkpoints(FakeLink(FakeRedis(), ask), Observed(), clock)
    them.add(owned("a"))
    await settle()
    await clock.advance(30)
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert sum(pauses[:4]) <= 0.05 + 0.1 + 0.2 + 0.4 + 1e-6
    assert all(0.5 - 1e-6 <= pause <= 1.0 + 1e-6 for pause in pauses[5:])
    assert len({round(pause, 6) for pause in pauses[5:]}) > 1
    switch.reason = ""
    await clock.advance(1.0)
    await them.close(PATIENCE)


async def test_a_fault_of_ours_is_logged_and_the_sessions_go_on(caplog: pytest.LogCaptureFixture) -> None:
    one = replica(FakeRedis())
    async with closing(one):
        first = record()
        await one.store.create(first)

        async def wrong(what: str) -> None:
            raise ZeroDivisionError

        one.link.before, working = wrong, one.link.before
        with caplog.at_level(logging.ERROR):
            await put(one, answered(first, 0))
        assert "ZeroDivisionError" in caplog.text
        assert not one.observed.up
        one.link.before = working
        await one.clock.advance(1.0)
        assert one.store.durable_frame(first) == 0


async def answered_while_away(one: Replica, switch: Switch) -> SessionRecord:
    """A session that the store knows, and that has answered its third frame since the store went away."""
    first = record()
    await one.store.create(first)
    switch.reason = "away"
    newest = answered(first, 3)
    await put(one, newest)
    return newest


async def test_what_is_here_answers_while_the_store_is_away_unless_there_was_something_newer() -> None:
    switch = Switch()
    one = replica(FakeRedis(), switch)
    async with closing(one):
        newest = await answered_while_away(one, switch)
        for seen in (None, (1, 2), (1, 3)):
            assert await one.store.get("a", seen) == newest
        with pytest.raises(StoreUnavailableError):
            await one.store.get("a", (1, 4))
        assert one.store.durable_frame(record("nobody's")) == -1
        assert one.store.durable_frame(replace(newest, epoch=2)) == -1
        # What has no stream is remembered as long as it can be resumed here.
        await one.store.release(newest, "one")
        assert await one.store.kept_for("a") == pytest.approx(60)
        await one.clock.advance(30)
        assert await one.store.claim("a", SECRET) is not None
        await one.store.release(replace(newest, epoch=2), "one")
        await one.clock.advance(61)
        assert await one.store.kept_for("a") is None
        with pytest.raises(StoreUnavailableError):
            await one.store.claim("a", SECRET)
        assert one.observed.behind == 0
        switch.reason = ""


async def test_what_has_lost_its_stream_while_the_store_was_away_is_written_when_it_answers() -> None:
    redis, switch = FakeRedis(), Switch()
    one = replica(redis, switch)
    async with closing(one):
        newest = await answered_while_away(one, switch)
        await one.store.release(newest, "one")
        await one.clock.advance(5)
        switch.reason = ""
        await one.clock.advance(5)
        assert redis.sessions["x:a"].session.state == newest.state


async def test_of_two_sessions_that_began_while_the_store_was_away_one_hears_that_it_is_not_the_one() -> None:
    redis, switch = FakeRedis(), Switch()
    one, two = replica(redis, switch), replica(redis)
    async with closing(one, two):
        switch.reason = "away"
        await one.store.create(record())
        await two.store.create(record(secret=b"t" * 16))
        switch.reason = ""
        await one.clock.advance(5)
        assert (one.fenced, two.fenced) == (["a"], [])
        assert len(one.store) == 0


async def test_of_two_servers_that_took_a_session_over_the_one_that_the_store_knows_has_it() -> None:
    redis, switch = FakeRedis(), Switch()
    one, two = replica(redis, switch), replica(redis)
    async with closing(one, two):
        first = record()
        await one.store.create(first)
        switch.reason = "away"
        here = await one.store.claim("a", SECRET)
        there = await two.store.claim("a", SECRET)
        assert here is not None
        assert there is not None
        assert here.epoch == there.epoch == 2
        await put(two, answered(there, 4))
        switch.reason = ""
        await one.clock.advance(5)
        found = await one.store.get("a")
        assert found is not None
        assert found.version == (2, 4)


async def test_a_frame_waits_for_its_own_checkpoint_and_not_for_a_later_one() -> None:
    permits = asyncio.Semaphore(1)

    async def one_at_a_time(what: str) -> None:
        await permits.acquire()

    one = replica(FakeRedis(), before=True)
    one.link.before = one_at_a_time
    first = record()
    await one.store.create(first)
    once = answered(first, 0)
    sooner = asyncio.create_task(one.store.put(once))
    await settle()
    later = asyncio.create_task(one.store.put(answered(once, 1)))
    await settle()
    permits.release()
    await settle()
    assert (sooner.done(), later.done()) == (True, False)
    permits.release()
    await later
    for _ in range(9):
        permits.release()
    await one.store.close()


async def test_a_session_that_loses_its_stream_or_its_server_is_written_at_once() -> None:
    redis = FakeRedis()
    one, two = replica(redis, every=100, interval=1000.0), replica(redis, every=100, interval=1000.0)
    async with closing(one):
        async with closing(two):
            ends = record("ends")
            await two.store.create(ends)
            await put(two, answered(ends, 0))
            assert two.store.durable_frame(ends) == -1
        assert redis.sessions["x:ends"].session.state == answered(ends, 0).state
        cut = record("cut")
        await one.store.create(cut)
        newest = answered(cut, 0)
        await put(one, newest)
        assert one.store.durable_frame(cut) == -1
        await one.store.release(newest, "one")
        await settle()
        assert redis.sessions["x:cut"].session.state == newest.state


async def test_who_resumes_a_session_before_its_last_checkpoint_is_written_loses_nothing() -> None:
    one, gate = replica(FakeRedis(), every=100, interval=1000.0), asyncio.Event()

    async def written_later(what: str) -> None:
        if what == "write":
            await gate.wait()

    async with closing(one):
        first = record()
        await one.store.create(first)
        one.link.before = written_later
        newest = answered(first, 0)
        await put(one, newest)
        await one.store.release(newest, "one")
        await settle()
        assert await one.store.claim("a", SECRET) == replace(newest, epoch=2)
        gate.set()


async def test_who_takes_a_session_over_writes_as_seldom_as_who_began_it() -> None:
    redis = FakeRedis()
    one, two = replica(redis), replica(redis, every=2)
    async with closing(one, two):
        await one.store.create(record())
        taken = await two.store.claim("a", SECRET)
        assert taken is not None
        once = answered(taken, 0)
        await put(two, once)
        assert two.store.durable_frame(taken) == -1
        await put(two, answered(once, 1))
        assert two.store.durable_frame(taken) == 1


async def test_sessions_are_touched_also_after_a_time_without_any() -> None:
    redis = FakeRedis()
    one = replica(redis)
    async with closing(one):
        await one.store.create(record())
        await one.store.delete(record())
        await one.clock.advance(2 * TOUCH_EVERY)
        await one.store.create(record("b"))
        redis.sessions.clear()
        await one.clock.advance(TOUCH_EVERY + 1)
        assert "x:b" in redis.sessions
