"""The fair queue and the threads behind it: who goes first, and who waits for whom."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_service.inference.crew import NICE
from exalign_service.inference.fair_queue import Claim, FairQueue
from exalign_service.inference.running import Running
from exalign_service.inference.stage_pool import StagePool
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError
from properties import examples
from service_fakes import PATIENCE

FOREVER = float("inf")


class Served:
    """A queue whose items are (claim, seconds), and one thread that works them off."""

    def __init__(self, live_share: float = 0.0) -> None:
        self.now = 0.0
        self.queue = FairQueue[tuple[Claim, float]](live_share, lambda: self.now)

    def put(self, claim: Claim, seconds: float, times: int = 1, *, fresh: bool = False) -> None:
        for _ in range(times):
            self.queue.put(claim, (claim, seconds), fresh=fresh)

    def serve(self) -> Claim:
        taken = self.queue.take(0.01)
        assert taken is not None
        claim, seconds = taken
        self.now += seconds
        self.queue.charge(claim, seconds, 0.01)
        return claim


@examples(60)
@given(
    costs=st.lists(st.integers(1, 64).map(lambda n: n / 64), min_size=2, max_size=5),
    turns=st.integers(20, 60),
)
def test_callers_who_always_wait_are_given_the_same_time_within_two_jobs(costs: list[float], turns: int) -> None:
    served = Served()
    given_time = dict.fromkeys(range(len(costs)), 0.0)
    for i, seconds in enumerate(costs):
        served.put(Claim(str(i)), seconds, turns)
    for _ in range(turns):
        claim = served.serve()
        given_time[int(claim.caller)] += costs[int(claim.caller)]
    assert max(given_time.values()) - min(given_time.values()) <= 2 * max(costs) + 1e-9


def test_who_comes_late_waits_for_one_job_and_has_saved_nothing_up() -> None:
    served = Served()
    served.put(Claim("greedy"), 1.0, 20)
    for _ in range(10):
        served.serve()
    served.put(Claim("late"), 1.0, 10)
    order = [served.serve().caller for _ in range(6)]
    assert order[0] == "late"
    assert all(a != b for a, b in pairwise(order))  # not ten in a row, for the ten that it did not have


def test_what_was_given_before_everybody_left_counts_no_more() -> None:
    served = Served()
    served.put(Claim("a"), 10.0)
    served.serve()
    for caller in "ab":
        served.put(Claim(caller), 1.0, 3)
    assert {served.serve().caller for _ in range(2)} == {"a", "b"}


def test_the_calls_and_streams_of_one_caller_take_turns() -> None:
    served = Served()
    served.put(Claim("one", key="many"), 1.0, 5)
    served.put(Claim("one", key="few"), 1.0, 2)
    assert [served.serve().key for _ in range(5)] == ["many", "few", "many", "few", "many"]


def test_a_call_that_has_begun_is_finished_before_the_next_begins() -> None:
    served = Served()
    for key in "abc":
        served.put(Claim("one", key=key), 1.0, fresh=True)
    assert served.serve().key == "a"
    served.put(Claim("one", key="a"), 1.0)  # its next stage
    assert [served.serve().key for _ in range(3)] == ["a", "b", "c"]
    served.put(Claim("one", key="d", live=True), 1.0, fresh=True)
    served.put(Claim("one", key="e"), 1.0, fresh=True)
    served.put(Claim("other", key="f"), 1.0, fresh=True)
    assert len(served.queue) == 3
    assert (served.queue.callers, served.queue.waiting("one")) == (2, 2)
    assert len(served.queue.drop(lambda item: item[0].key == "e")) == 1
    assert sorted(str(served.serve().key) for _ in range(2)) == ["d", "f"]


def test_frames_go_before_calls_up_to_their_share() -> None:
    served = Served(live_share=2.0)
    served.put(Claim("calls"), 1.0, 8)
    served.put(Claim("stream", live=True), 1.0, 8)
    order = [served.serve().caller for _ in range(10)]
    # One bucket of two seconds, and as much again for each second that passes; the queue serves one a second.
    assert order == ["stream"] * 8 + ["calls"] * 2

    greedy = Served(live_share=0.5)
    greedy.put(Claim("calls"), 1.0, 20)
    greedy.put(Claim("stream", live=True), 1.0, 20)
    callers = [greedy.serve().caller for _ in range(20)]
    assert callers[0] == "stream"
    assert 8 <= callers.count("calls") <= 12  # beyond its share it waits like the others


def test_a_caller_who_calls_and_streams_has_its_own_frames_served_first() -> None:
    served = Served(live_share=1.0)
    served.put(Claim("one", key="call"), 1.0, 2)
    served.put(Claim("one", key="stream", live=True), 1.0)
    assert [served.serve().key for _ in range(3)] == ["stream", "call", "call"]


def test_what_is_dropped_is_not_there_any_more() -> None:
    queue = FairQueue[int](0.0)
    for i in range(6):
        queue.put(Claim(str(i % 2)), i)
    assert sorted(queue.drop(lambda i: i < 3)) == [0, 1, 2]
    assert (len(queue), queue.waiting("1"), queue.callers) == (3, 2, 2)
    assert sorted(queue.drop(lambda i: True)) == [3, 4, 5]
    assert queue.take(0.0) is None


def test_many_callers_that_have_gone_are_forgotten() -> None:
    served = Served()
    for i in range(5000):
        served.put(Claim(str(i)), 0.001)
        served.serve()
    assert served.queue.remembered <= 300


@pytest.mark.parametrize(
    ("running", "caller", "allowed"),
    [
        ([], "a", True),
        (["a"], "a", True),
        (["a", "a"], "a", False),
        (["a", "a"], "b", True),  # the thread that stands by
        (["a", "b"], "c", False),
        (["ab", "a"], "a", False),
        (["ab", "a"], "b", True),
        (["ab", "cd"], "e", False),
        (["a", "a", "b"], "c", False),
    ],
)
def test_one_more_thread_works_while_one_caller_has_all_others(running: list[str], caller: str, allowed: bool) -> None:
    it = Running(2, lambda: 0.0)
    for i, callers in enumerate(running):
        it.begin(i, [Claim(name) for name in callers])
    assert it.allows(caller, live=False) is allowed


def test_one_more_thread_works_for_a_frame_while_all_others_work_for_calls() -> None:
    it = Running(2, lambda: 0.0)
    it.begin(0, [Claim("a")])
    it.begin(1, [Claim("b")])
    assert it.allows("c", live=True)
    assert not it.allows("c", live=False)
    it.end(1)
    it.begin(1, [Claim("b"), Claim("d", live=True)])
    assert not it.allows("c", live=True)


@pytest.mark.parametrize(
    ("running", "around", "allowed"),
    [
        (["a"], "a", True),  # alone: all threads
        (["a"], "ab", False),  # not alone: one is left to others
        ([], "ab", True),
        (["ab"], "ab", True),  # half of a batch
        (["ab", "ab"], "ab", False),
    ],
)
def test_each_leaves_a_thread_to_others_who_are_around(running: list[str], around: str, allowed: bool) -> None:
    now = [0.0]
    it = Running(2, lambda: now[0])
    for i, callers in enumerate(running):
        it.begin(i, [Claim(name) for name in callers])
    for name in around:
        it.seen(name)
    assert it.allows("a", live=False) is allowed
    now[0] = 5.0  # nobody is around any more
    assert it.allows("a", live=False) is (len(running) < 2)


def test_the_age_of_the_oldest_work_is_known() -> None:
    now = [0.0]
    it = Running(2, lambda: now[0])
    assert it.oldest() is None
    it.begin("first", [Claim("a")])
    now[0] = 2.0
    it.begin("second", [Claim("b")])
    now[0] = 3.0
    assert it.oldest() == 3.0
    it.end("first")
    assert it.oldest() == 1.0


def worked(it: Running, now: list[float], given: dict[str, float]) -> None:
    """One piece of work after the other, so many seconds for each caller."""
    for caller, seconds in given.items():
        it.seen(caller)
        it.begin(caller, [Claim(caller)])
        now[0] += seconds
        it.end(caller)


@pytest.mark.parametrize(
    ("given", "behind"),
    [
        ({"a": 1.0}, ""),  # alone
        ({"a": 0.5, "b": 0.5}, ""),
        ({"a": 0.5, "b": 0.4}, ""),
        ({"b": 0.1, "a": 0.9}, "a"),
        ({"b": 0.1, "c": 0.2, "a": 0.9}, "a"),
        ({"a": 0.4, "b": 0.3, "c": 0.3}, ""),
        ({"": 1.0, "b": 0.1}, ""),  # nobody's work
    ],
)
def test_who_takes_most_of_the_time_while_others_are_around_works_behind_them(
    given: dict[str, float], behind: str
) -> None:
    now = [0.0]
    it = Running(2, lambda: now[0])
    worked(it, now, given)
    assert [name for name in given if it.behind(name)] == ([behind] if behind else [])
    for name in given:
        for place in (False, True):
            assert it.allows(name, live=False, behind=place) is ((name == behind != "") is place), (name, place)


def test_a_caller_works_in_front_again_when_it_takes_less_or_is_alone() -> None:
    now = [0.0]
    it = Running(2, lambda: now[0])
    worked(it, now, {"a": 1.0})
    assert not it.behind("a")
    assert it.seen("b")  # says that somebody else works behind now
    assert it.behind("a")
    assert not it.seen("b")
    worked(it, now, {"b": 0.8})
    assert not it.behind("a")
    worked(it, now, {"a": 3.0})
    now[0] += 5.0  # b is around no more
    assert not it.behind("a") or it.seen("a")
    assert not it.behind("a")


async def test_work_behind_the_others_has_a_lower_priority() -> None:
    now = [0.0]
    pool = StagePool(2, clock=lambda: now[0])

    def niceness(takes: float) -> int:
        now[0] += takes
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def done(caller: str, takes: float) -> int:
        found = await asyncio.create_task(for_call(pool, caller, lambda: niceness(takes)))
        assert isinstance(found, int)
        return found

    try:
        usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert await done("greedy", 1.0) == usual
        assert await done("polite", 0.1) == usual
        assert await done("greedy", 1.0) == min(usual + NICE, 19)
        assert await done("polite", 0.1) == usual
        now[0] += 5.0
        assert await done("greedy", 1.0) == usual
    finally:
        assert await asyncio.to_thread(pool.close)


class Gate:
    """Work that is held."""

    def __init__(self) -> None:
        self.open, self.started = threading.Event(), 0

    def __call__(self) -> None:
        self.started += 1
        assert self.open.wait(30)


async def for_call(pool: StagePool, caller: str, work: Callable[[], object], deadline: float = FOREVER) -> object:
    current_call.set(Call("id", deadline, "Method", caller))
    return await pool.run(work)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_caller_with_long_jobs_does_not_keep_others_waiting() -> None:
    pool, gate = StagePool(2), Gate()
    try:
        held = [asyncio.create_task(for_call(pool, "greedy", gate)) for _ in range(6)]
        await until(lambda: gate.started == 2 and pool.depth == 4)
        assert await asyncio.create_task(for_call(pool, "polite", lambda: "answered")) == "answered"
        assert gate.started == 2
        gate.open.set()
        await asyncio.gather(*held)
        assert gate.started == 6
    finally:
        gate.open.set()
        assert pool.close()


async def test_what_is_cancelled_or_late_before_its_turn_never_runs() -> None:
    now = [0.0]
    pool, gate, ran = StagePool(1, clock=lambda: now[0]), Gate(), list[str]()
    try:
        held = asyncio.create_task(for_call(pool, "a", gate))
        await until(lambda: gate.started == 1)
        gone = asyncio.create_task(for_call(pool, "a", lambda: ran.append("gone")))
        late = asyncio.create_task(for_call(pool, "a", lambda: ran.append("late"), deadline=1.0))
        await until(lambda: pool.depth == 2)
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone
        assert pool.depth == 1
        now[0] = 2.0
        gate.open.set()
        with pytest.raises(DeadlineExpiredError):
            await late
        await held
        assert ran == []
    finally:
        gate.open.set()
        pool.close()


async def test_errors_reach_who_waits_and_the_threads_go_on() -> None:
    pool = StagePool(1)
    try:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await pool.run(lambda: 1 // 0)
        assert await pool.run(lambda: 7) == 7
        assert pool.oldest_running() is None
    finally:
        pool.close()


async def test_closing_fails_what_waits_and_does_not_wait_for_ever() -> None:
    pool, gate = StagePool(1), Gate()
    held = asyncio.create_task(for_call(pool, "a", gate))
    await until(lambda: gate.started == 1)
    waiting = asyncio.create_task(for_call(pool, "a", lambda: None))
    await until(lambda: pool.depth == 1)
    assert not await asyncio.to_thread(pool.close, 0.0)
    with pytest.raises(NotServingError):
        await waiting
    with pytest.raises(NotServingError):
        await pool.run(lambda: None)
    gate.open.set()
    await held
    assert await asyncio.to_thread(pool.close)
