"""What is kept of a session: the record, the token, the store and its fences, the inbox."""

from __future__ import annotations

import asyncio
import collections
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign.v1 import track_pb2
from exalign_service.track.inbox import READ_AHEAD, HalfClosed, Inbox, ReceivedFrame
from exalign_service.track.record import SessionRecord
from exalign_service.track.requests import RequestedFrame
from exalign_service.track.resume_token import DamagedTokenError, ResumeToken, state_hash
from exalign_service.track.store import FencedError, MemoryStore
from manual_clock import ManualClock, ManualTimer, settle
from service_fakes import PATIENCE

NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=64)
DIGESTS = st.binary(min_size=16, max_size=16)
TOKENS = st.builds(
    ResumeToken,
    session=NAMES,
    secret=DIGESTS,
    epoch=st.integers(1, 2**32 - 1),
    frame=st.integers(-1, 2**63 - 1),
    bundle_id=st.text("0123456789abcdef", min_size=64, max_size=64),
    state_hash=DIGESTS,
    mac=DIGESTS,
)


def record(name: str = "a", size: int = 100, **changes: Any) -> SessionRecord:
    state = bytes(size)
    made = SessionRecord(name, b"s" * 16, "b" * 64, b"", state, state_hash(state))
    return replace(made, **changes)


def answered(before: SessionRecord, frame: int, *revisions: bytes) -> SessionRecord:
    digest = state_hash(b"%d" % frame)
    return before.answered(replace(before, frame=frame, state_hash=digest), [b"result %d" % frame, *revisions])


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.dropped: list[str] = []
        self.bundles = collections.Counter[str]()

    def detached_changed(self, count: int) -> None:
        self.count = count

    def detached_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def session_counted(self, bundle_id: str, change: int) -> None:
        self.bundles[bundle_id] += change


def memory_store(
    most: int = 10,
    max_bytes: int = 10_000,
    max_record: int = 10_000,
    counter: Counter | None = None,
    clock: ManualClock | None = None,
) -> MemoryStore:
    """A store that keeps sessions for a minute."""
    counter = counter or Counter()
    return MemoryStore(60, most, max_bytes, max_record, counter, clock or ManualClock(), counter)


async def leave(store: MemoryStore, name: str, caller: str = "one", size: int = 100) -> None:
    """A caller's session loses its stream."""
    await store.create(record(name, size))
    await store.release(record(name, size), caller)


async def kept(store: MemoryStore, names: str) -> str:
    """Those of these sessions that are there."""
    return "".join([name for name in names if await store.get(name) is not None])


@given(TOKENS)
def test_a_token_comes_back_as_it_was(token: ResumeToken) -> None:
    assert ResumeToken.decode(token.encode()) == token


@given(TOKENS, st.data())
def test_a_damaged_token_is_known_as_such(token: ResumeToken, data: st.DataObject) -> None:
    whole = token.encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]):
        with pytest.raises(DamagedTokenError):
            ResumeToken.decode(bad)


def resealed(body: bytes) -> bytes:
    """What is before a token's checksum, with one that fits."""
    return body + hashlib.sha256(body).digest()[:8]


@given(TOKENS, st.data())
def test_a_token_that_lacks_a_part_is_damaged_though_its_checksum_fits(token: ResumeToken, data: st.DataObject) -> None:
    body = token.encode()[:-8]
    assert resealed(body) == token.encode()
    for bad in (body[: data.draw(st.integers(3, len(body) - 1))], body + data.draw(st.binary(min_size=1, max_size=8))):
        with pytest.raises(DamagedTokenError, match="a part of it is missing"):
            ResumeToken.decode(resealed(bad))


def test_a_token_whose_name_is_no_text_is_damaged() -> None:
    with pytest.raises(DamagedTokenError):
        ResumeToken.decode(resealed(b"XT2" + bytes([5]) + bytes([255] * 31)))


def test_a_token_of_another_form_is_said_to_be_one() -> None:
    token = ResumeToken("a", b"s" * 16, 1, 0, "b" * 64, b"h" * 16)
    with pytest.raises(DamagedTokenError, match="as this version of the server gives them"):
        ResumeToken.decode(resealed(b"XT3" + token.encode()[3:-8]))


def test_an_acknowledged_result_is_forgotten_and_its_revisions_with_the_next() -> None:
    kept = answered(answered(record(), 3, b"revision of 1"), 5)
    assert kept.unacked == 2
    first = kept.acknowledged(4)  # there is no such frame: 3 is what it covers
    assert (first.acked, first.unacked) == (3, 1)
    assert first.result_of(3) is None
    assert first.result_of(5) == b"result 5"
    assert [r.messages for r in answered(record(), 3, b"revision of 1").acknowledged(3).retained] == [
        (b"revision of 1",)
    ]
    last = kept.acknowledged(1000)
    assert (last.acked, last.retained) == (5, ())
    assert last.acknowledged(7) is last
    assert last.hash_at(5) == state_hash(b"5")
    assert last.hash_at(3) is None


def test_a_later_revision_by_evidence_takes_the_place_of_an_earlier_one() -> None:
    before = answered(record(), 3)
    once = before.revised(b"x", b"h", [((2, 1), b"old"), ((3, 1), b"other")])
    twice = once.revised(b"y", b"h", [((2, 1), b"new")])
    assert [k.messages[0] for k in twice.retained] == [b"result 3", b"other", b"new"]
    assert twice.acknowledged(3).unacked == 0
    assert len(twice.acknowledged(3).retained) == 2


async def test_writes_of_an_earlier_stream_are_refused() -> None:
    store = memory_store()
    first = record()
    await store.create(first)
    await store.put(answered(first, 1))
    with pytest.raises(FencedError):
        await store.put(first)  # an older frame
    second = await store.claim("a", first.secret)
    assert second is not None
    assert second.version == (2, 1)
    with pytest.raises(FencedError):
        await store.put(answered(first, 7))
    await store.put(answered(second, 2))
    # Nor can the earlier one release or delete what is not its own any more.
    await store.release(first, "one")
    await store.delete(first)
    assert (await store.get("a") or first).version == (2, 2)
    await store.delete(second)
    assert await store.get("a") is None
    with pytest.raises(FencedError):
        await store.put(second)


async def test_only_the_right_secret_takes_a_session_over() -> None:
    store = memory_store()
    await store.create(record())
    assert await store.claim("a", b"x" * 16) is None
    assert await store.claim("b", b"s" * 16) is None
    with pytest.raises(FencedError):
        await store.put(record(frame=9, secret=b"t" * 16))
    # Nor does a name alone: what is there stays.
    with pytest.raises(FencedError):
        await store.create(record(secret=b"t" * 16))
    assert await store.get("a") == record()


async def test_what_a_caller_left_first_goes_first() -> None:
    counter = Counter()
    store = memory_store(2, 350, counter=counter)
    for name in "abc":
        await leave(store, name)
    assert (await kept(store, "abc"), counter.count, counter.dropped) == ("bc", 2, ["no_room"])
    # By bytes, too.
    await leave(store, "d", size=300)
    assert (await kept(store, "bcd"), counter.count) == ("d", 1)


async def test_a_state_larger_than_one_callers_share_is_not_kept_and_moves_nobody() -> None:
    counter = Counter()
    store = memory_store(10, 1000, max_record=500, counter=counter)
    for name in "abc":
        await leave(store, name, caller=name)
    await leave(store, "d", "d", size=501)
    assert (await kept(store, "abcd"), counter.count, counter.dropped) == ("abc", 3, ["too_large"])
    await leave(store, "e", "e", size=500)
    assert await kept(store, "abce") == "abce"


async def test_the_caller_that_left_most_gives_way() -> None:
    counter = Counter()
    store = memory_store(100, 1000, max_record=500, counter=counter)
    await leave(store, "a", "polite")
    for name in "bcdefghijklmnop":
        await leave(store, name, "greedy")
    assert await kept(store, "abcdefghijklmnop") == "ahijklmnop"
    # Half of the room is its own: nobody else takes it.
    await leave(store, "q", "polite", size=400)
    assert await kept(store, "ahijklmnopq") == "almnopq"
    assert set(counter.dropped) == {"no_room"}
    # By number where that is what is full: bytes do not matter then.
    store = memory_store(4, 3400)  # never more
    await leave(store, "a", "polite", size=3000)
    for name in "bcdef":
        await leave(store, name, "greedy")
    assert await kept(store, "abcdef") == "adef"


async def test_how_long_a_session_is_kept_is_known_until_it_is_gone() -> None:
    clock = ManualClock()
    store = memory_store(clock=clock)
    assert await store.kept_for("a") is None
    await leave(store, "a")
    await clock.advance(20)
    assert await store.kept_for("a") == pytest.approx(40)
    assert await store.claim("a", b"s" * 16) is not None
    assert await store.kept_for("a") is None


class Late(ManualClock):
    """Its timers never run: the loop has other things to do."""

    def call_later(self, seconds: float, callback: Callable[..., object], *args: object) -> ManualTimer:
        return ManualTimer(self.now() + seconds, lambda: None, [])


async def test_what_has_expired_is_gone_though_nobody_came_to_remove_it() -> None:
    clock = Late()
    store = memory_store(clock=clock)
    await leave(store, "a")
    await clock.advance(60)
    assert await store.kept_for("a") is None
    assert await store.get("a") is None


async def test_nothing_waits_for_a_session_that_was_taken_over() -> None:
    clock = ManualClock()
    store = memory_store(clock=clock)
    await leave(store, "a")
    assert clock.waits(60)
    assert await store.claim("a", b"s" * 16) is not None
    assert not clock.waits(60)


async def test_what_is_taken_over_does_not_expire() -> None:
    counter, clock = Counter(), ManualClock()
    store = memory_store(counter=counter, clock=clock)
    for name in "ab":
        await leave(store, name)
    assert counter.count == 2
    assert await store.claim("a", b"s" * 16) is not None
    await clock.advance(59)
    assert await store.get("b") is not None
    await clock.advance(1)
    assert counter.count == 0
    assert await store.get("a") is not None
    assert await store.get("b") is None
    await store.close()
    assert len(store) == 0


def received(index: int, *, fresh: bool = True, size: int = 10) -> ReceivedFrame:
    return ReceivedFrame(RequestedFrame(index, None, None, {}, (), size, track_pb2.VideoFrame()), fresh)


async def taken(inbox: Inbox) -> ReceivedFrame:
    item = await asyncio.wait_for(inbox.take(), PATIENCE)
    assert isinstance(item, ReceivedFrame)
    return item


async def test_reading_stops_a_few_messages_ahead_and_goes_on_with_room() -> None:
    inbox = Inbox(False, lambda: False, 64, 1000)
    for index in range(READ_AHEAD):
        assert not inbox.full
        inbox.put(received(index))
    assert inbox.full
    waiting = asyncio.create_task(inbox.wait_for_room())
    await settle()
    assert not waiting.done()
    assert (await taken(inbox)).requested.index == 0
    await asyncio.wait_for(waiting, PATIENCE)


@pytest.mark.parametrize(("most_frames", "most_bytes", "held"), [(8, 1000, 8), (64, 100, 10)])
async def test_while_stalled_reading_goes_on_up_to_a_bound(most_frames: int, most_bytes: int, held: int) -> None:
    stalled = True
    inbox = Inbox(False, lambda: stalled, most_frames, most_bytes)
    count = 0
    while not inbox.full:
        inbox.put(received(count))
        count += 1
    assert count == held
    taking = asyncio.create_task(taken(inbox))
    await settle()
    assert not taking.done()
    stalled = False
    inbox.notify()
    assert (await taking).requested.index == 0


async def test_live_keeps_the_newest_fresh_frame_and_everything_else() -> None:
    inbox = Inbox(True, lambda: False, 64, 1000)
    for item in (received(1), received(0, fresh=False), received(2), received(4)):
        inbox.put(item)
    inbox.put(HalfClosed())
    assert (await taken(inbox)).requested.index == 0
    newest = await taken(inbox)
    assert (newest.requested.index, newest.skipped) == (4, (1, 2))
    assert isinstance(await inbox.take(), HalfClosed)


async def test_sessions_are_counted_by_bundle_until_they_end_or_move() -> None:
    counter, clock = Counter(), ManualClock()
    store = memory_store(counter=counter, clock=clock)
    for name in ("closed", "moved", "broken"):
        await store.create(record(name))
    assert counter.bundles == {"b" * 64: 3}
    await store.delete(record("closed"))
    await store.put(record("moved", frame=1, bundle_id="c" * 64))
    assert counter.bundles == {"b" * 64: 1, "c" * 64: 1}
    await store.release(record("broken"), "one")
    assert counter.bundles["b" * 64] == 1
    await clock.advance(61)
    assert counter.bundles["b" * 64] == 0
    await store.close()
    assert counter.bundles["c" * 64] == 0
