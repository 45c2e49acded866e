"""Sessions that any server can take over: who may write, what is written, and what happens while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from exalign_engine.tracking import StateError
from exalign_service.rpc.errors import StoreUnavailableError
from exalign_service.stores.encoding import entry_bytes, head_bytes, record_of
from exalign_service.stores.shared_store import TOUCH_EVERY, SharedStore
from exalign_service.track.record import SessionRecord
from exalign_service.track.resume_token import state_hash
from exalign_service.track.store import FencedError
from manual_clock import ManualClock, settle
from store_fakes import FakeLink, FakeRedis, Observed, Switch
from test_service_track_store import Counter, memory_store, record

SECRET = b"s" * 16


@dataclass
class Replica:
    """A server's store, and all around it."""

    store: SharedStore
    link: FakeLink
    clock: ManualClock
    observed: Observed
    fenced: list[str]
    counter: Counter

    def sent(self) -> list[tuple[str, int, int, list[int], list[int]]]:
        """Each write: its kind, epoch and number, and the entries that go and come."""
        return [(w.kind, w.epoch, w.number, list(w.gone), [n for n, _ in w.added]) for w in self.link.writes]


def replica(redis: FakeRedis, switch: Switch | None = None, **options: Any) -> Replica:
    clock, observed, fenced, counter = ManualClock(), Observed(), list[str](), Counter()
    link = FakeLink(redis, switch) if switch is not None else FakeLink(redis)
    wanted = {"prefix": "x", "retention": 60.0, "before": False, "every": 1, "interval": 0.2, "max_bytes": 10_000}
    local = memory_store(clock=clock, counter=counter)
    store = SharedStore(local, link, **{**wanted, **options}, observer=observed, clock=clock)
    store.watch(fenced.append)
    return Replica(store, link, clock, observed, fenced, counter)


def answered(before: SessionRecord, frame: int, *revisions: bytes) -> SessionRecord:
    state = b"state after %d" % frame
    changed = replace(before, frame=frame, state=state, state_hash=state_hash(state))
    return before.answered(changed, [b"result %d" % frame, *revisions])


async def put(one: Replica, *records: SessionRecord) -> None:
    """Store records, each with a round trip of its own."""
    for made in records:
        await one.store.put(made)
        await settle()


@asynccontextmanager
async def closing(*all_of_them: Replica) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for one in all_of_them:
            await one.store.close()


def test_a_record_comes_back_as_it_was() -> None:
    one = answered(answered(record("a", owner="o\nx", recording="r"), 3, b"revision"), 4)
    one = replace(one.acknowledged(3), size=(480, 640), boxes=((1, (0.5, 1.0, 2.0, 3.25)),), epoch=7)
    entries = [entry_bytes(entry) for entry in one.retained]
    assert record_of(head_bytes(one), one.state, entries, 7) == one


@pytest.mark.parametrize("cut", [0, 3, 4, 20])
def test_a_damaged_record_is_refused(cut: int) -> None:
    one = answered(record(), 1)
    with pytest.raises(StateError):
        record_of(head_bytes(one)[:cut], one.state, [], 1)
    with pytest.raises(StateError):
        record_of(head_bytes(one), one.state, [entry_bytes(one.retained[0])[:cut]], 1)


async def test_another_server_goes_on_where_the_first_one_stood() -> None:
    redis = FakeRedis()
    one, two = replica(redis), replica(redis)
    async with closing(one, two):
        first = record()
        await one.store.create(first)
        once = answered(first, 0)
        newest = answered(once, 1, b"revision of 0")
        await put(one, once, newest)
        assert one.store.durable_frame(newest) == 1
        assert await two.store.get("a") == newest
        taken = await two.store.claim("a", SECRET)
        assert taken == replace(newest, epoch=2)
        assert taken is not None
        assert two.store.durable_frame(taken) == 1
        assert two.counter.bundles == {"b" * 64: 1}  # which keeps its bundle there
        await put(two, answered(taken, 2))
        # What the first one had sent is not written again.
        assert two.sent() == [("more", 2, 4, [], [4])]
        assert [n for n, _ in redis.sessions["x:a"].session.entries] == [1, 2, 3, 4]


async def test_a_paused_server_is_refused_and_told() -> None:
    redis = FakeRedis()
    one, two = replica(redis), replica(redis)
    async with closing(one, two):
        first = record()
        await one.store.create(first)
        await put(one, answered(first, 0))
        taken = await two.store.claim("a", SECRET)
        assert taken is not None
        await put(two, answered(taken, 1))
        await put(one, answered(answered(first, 0), 1))
        assert one.fenced == ["a"]
        assert len(one.store) == 0
        with pytest.raises(FencedError):
            await one.store.put(answered(answered(first, 0), 2))
        assert one.observed.outcomes[-1] == "fenced"
        await put(two, answered(answered(taken, 1), 2))
        assert (await two.store.get("a") or first).version == (2, 2)
        assert two.fenced == []


async def test_a_claim_that_comes_late_takes_nothing_from_whom_the_session_belongs_to() -> None:
    redis = FakeRedis()
    one, two, three = replica(redis), replica(redis), replica(redis)
    async with closing(one, two, three):
        await one.store.create(record())
        found = await three.store.get("a")
        assert found is not None
        assert await two.store.claim("a", SECRET, found.epoch) is not None
        with pytest.raises(FencedError):
            await three.store.claim("a", SECRET, found.epoch)
        with pytest.raises(FencedError):
            await one.store.claim("a", SECRET, 7)


async def test_before_a_result_waits_for_its_checkpoint_and_says_who_has_the_session() -> None:
    redis, gate = FakeRedis(), asyncio.Event()
    one, two = replica(redis, before=True), replica(redis)

    async def wait(what: str) -> None:
        await gate.wait()

    async with closing(one, two):
        first = record()
        await one.store.create(first)
        one.link.before = wait
        putting = asyncio.create_task(one.store.put(answered(first, 0)))
        await settle()
        assert not putting.done()
        gate.set()
        await putting
        assert one.store.durable_frame(first) == 0
        assert await two.store.claim("a", SECRET) is not None
        with pytest.raises(FencedError):
            await one.store.put(answered(answered(first, 0), 1))


async def test_acknowledgements_travel_with_the_next_frame_and_what_is_kept_is_appended() -> None:
    one = replica(FakeRedis())
    async with closing(one):
        first = record()
        await one.store.create(first)
        once = answered(first, 0)
        twice = answered(once, 1)
        await put(one, once, twice, twice.acknowledged(0), answered(twice.acknowledged(0), 2))
        assert one.sent() == [
            ("first", 1, 1, [], []),
            ("more", 1, 2, [], [1]),
            ("more", 1, 3, [], [2]),
            ("more", 1, 4, [1], [3]),
        ]


async def test_while_a_write_is_under_way_only_the_newest_record_waits() -> None:
    redis, gate = FakeRedis(), asyncio.Event()
    one = replica(redis)

    async def wait(what: str) -> None:
        await gate.wait()

    async with closing(one):
        newest = record()
        await one.store.create(newest)
        one.link.before = wait
        for index in range(10):
            newest = answered(newest, index)
            await put(one, newest)
        assert one.store.durable_frame(newest) == -1
        gate.set()
        await settle()
        assert one.store.durable_frame(newest) == 9
        assert [w.number for w in one.link.writes] == [1, 2, 3]
        assert redis.sessions["x:a"].session.state == newest.state
        assert one.observed.behind == 0


async def test_several_frames_make_one_checkpoint_or_the_time_does() -> None:
    one = replica(FakeRedis(), every=3)
    async with closing(one):
        newest = record()
        await one.store.create(newest)
        for index in range(4):
            newest = answered(newest, index)
            await put(one, newest)
        await one.clock.advance(0.15)
        assert one.store.durable_frame(newest) == 2
        await one.clock.advance(0.1)
        assert one.store.durable_frame(newest) == 3
        assert len(one.link.writes) == 3


async def test_while_the_store_is_away_sessions_go_on_and_are_written_when_it_answers() -> None:
    redis, switch = FakeRedis(), Switch()
    one, two = replica(redis, switch, before=True), replica(redis)
    async with closing(one, two):
        first = record()
        await one.store.create(first)
        switch.reason = "full"
        newest = first
        for index in range(3):
            newest = answered(newest, index)
            await put(one, newest)  # nobody waits for it
        assert one.store.durable_frame(newest) == -1
        assert not one.observed.up
        # A session begins and is resumed here; another server's cannot be.
        await one.store.create(record("b"))
        assert await one.store.claim("b", SECRET) is not None
        with pytest.raises(StoreUnavailableError):
            await one.store.get("c")
        switch.reason = ""
        await one.clock.advance(5)
        assert one.observed.up
        assert one.store.durable_frame(newest) == 2
        assert await two.store.get("a") == newest
        assert (await two.store.get("b") or first).epoch == 2


@pytest.mark.parametrize("gone", ["all", "half"])
async def test_a_store_that_has_forgotten_is_told_everything_again(gone: str) -> None:
    redis = FakeRedis()
    one = replica(redis)
    async with closing(one):
        first = record()
        await one.store.create(first)
        one_frame = answered(first, 0)
        await put(one, one_frame)
        old = replace(redis.sessions["x:a"])
        two_frames = answered(one_frame, 1)
        await put(one, two_frames)
        if gone == "all":
            redis.sessions.clear()
        else:
            redis.sessions["x:a"] = old  # as after a restart from a file of before
        newest = answered(two_frames.acknowledged(0), 2)
        await put(one, newest)
        assert [kind for kind, *_ in one.sent()] == ["first", "more", "more", "more", "all"]
        assert await one.store.get("a") == newest
        assert [n for n, _ in redis.sessions["x:a"].session.entries] == [2, 3]


async def test_a_session_without_frames_is_kept_by_touching_it() -> None:
    redis = FakeRedis()
    one = replica(redis)
    async with closing(one):
        await one.store.create(record())
        redis.sessions.clear()
        await one.clock.advance(TOUCH_EVERY + 1)
        assert "x:a" in redis.sessions


async def test_one_name_is_one_session_whichever_servers_are_asked() -> None:
    redis = FakeRedis()
    one, two = replica(redis), replica(redis)
    async with closing(one, two):
        first = record()
        await one.store.create(first)
        assert await two.store.kept_for("a") == 60
        with pytest.raises(FencedError):
            await two.store.create(record(secret=b"t" * 16))
        assert len(two.store) == 0
        assert two.fenced == []
        await one.store.delete(first)
        await settle()
        # It has ended: its name is free, and who has not heard of the end may still ask again.
        assert await two.store.kept_for("a") is None
        assert await two.store.claim("a", SECRET) is not None
        other = record("a", secret=b"t" * 16)
        await two.store.delete(replace(first, epoch=2))
        await settle()
        await one.store.create(other)
        assert (await two.store.get("a") or first).secret == other.secret


async def test_names_of_owners_are_not_shown_in_the_store() -> None:
    redis = FakeRedis()
    one = replica(redis)
    async with closing(one):
        for owner in ("somebody", "somebody else"):
            await one.store.create(record(owner=owner))
        assert len(redis.sessions) == 2
        assert not any("somebody" in key for key in redis.sessions)


async def test_what_is_too_large_stays_here() -> None:
    one = replica(FakeRedis(), max_bytes=500)
    async with closing(one):
        await one.store.create(record(size=600))
        assert one.observed.outcomes == ["too_large"]
        assert one.store.durable_frame(record()) == -1
