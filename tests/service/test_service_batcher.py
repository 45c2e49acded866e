"""The batcher, with a network that does what it is told."""

from __future__ import annotations

import asyncio
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batcher_fakes import Network, Observer, answered, batcher, crop, held, until
from exalign_service.inference.batcher import Batcher
from exalign_service.inference.fair_queue import Claim
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError, QueueFullError
from properties import examples
from service_fakes import PATIENCE


@examples(40)
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 6),  # crops
            st.sampled_from([None, "a", "b"]),  # key
            st.sampled_from(["stays", "stays", "cancels", "expired", "soon"]),
        ),
        max_size=20,
    ),
    workers=st.integers(1, 3),
    max_batch=st.integers(1, 5),
    max_queue=st.integers(1, 30),
    failing=st.booleans(),
    drain=st.booleans(),
)
def test_nothing_is_lost_nothing_is_answered_twice_and_every_row_gets_its_own(
    calls: list[tuple[int, str | None, str]], workers: int, max_batch: int, max_queue: int, failing: bool, drain: bool
) -> None:
    network = Network(delay=0.0005)
    network.fails_on = (lambda batch: sum(batch) % 3 == 0) if failing else network.fails_on
    it = Batcher(network, workers=workers, max_batch=max_batch, max_queue=max_queue)
    expired: set[int] = set()

    async def one(numbered: list[int], key: str | None, fate: str) -> str:
        deadline = {"expired": time.monotonic() - 1, "soon": time.monotonic() + 0.001}.get(fate, math.inf)
        if fate == "expired":
            expired.update(numbered)
        try:
            claim = None if key is None else Claim(key=key)
            rows = await it.infer([crop(n) for n in numbered], claim=claim, deadline=deadline)
        except (QueueFullError, DeadlineExpiredError, NotServingError, RuntimeError) as e:
            return type(e).__name__
        assert answered(rows) == numbered
        return "answered"

    async def everyone() -> None:
        tasks, first = [], 1
        for count, key, fate in calls:
            task = asyncio.create_task(one(list(range(first, first + count)), key, fate))
            tasks.append((task, fate))
            first += count
            if fate == "cancels":
                await asyncio.sleep(0)
                task.cancel()
        closing = None
        if not drain:
            await asyncio.sleep(0.001)
            closing = asyncio.create_task(asyncio.to_thread(it.close, drain=False))
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        for outcome, (_, fate) in zip(outcomes, tasks, strict=True):
            allowed = {"answered", "QueueFullError"} | ({"RuntimeError"} if failing else set())
            allowed |= {"DeadlineExpiredError"} if fate in ("expired", "soon") else set()
            allowed |= set() if drain else {"NotServingError"}
            assert outcome in allowed or (fate == "cancels" and isinstance(outcome, asyncio.CancelledError))
        if closing is not None:
            await closing

    asyncio.run(everyone())
    it.close()
    # What has failed together is seen once more, alone.
    answered_here = [n for batch in network.batches if not network.fails_on(batch) for n in batch]
    assert len(answered_here) == len(set(answered_here))
    together = [n for batch in network.batches if not (failing and len(batch) == 1) for n in batch]
    assert len(together) == len(set(together))
    assert not expired & set(network.seen)
    assert all(1 <= len(batch) <= max_batch for batch in network.batches)
    assert it.depth == 0


async def test_takes_what_is_queued_and_never_waits_for_more() -> None:
    network = Network()
    with batcher(network) as it:
        assert answered(await it.infer([crop(1)])) == [1]
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        others = [asyncio.create_task(it.infer([crop(n)])) for n in range(10, 16)]
        await until(lambda: it.depth == 6)
        network.gate.set()
        await asyncio.gather(first, *others)
    assert network.batches == [[1], [999], [10, 11, 12, 13], [14, 15]]


async def test_keys_take_turns() -> None:
    network = Network()
    with batcher(network) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        greedy = asyncio.create_task(it.infer([crop(n) for n in range(10, 20)], claim=Claim(key="greedy")))
        await until(lambda: it.depth == 10)
        modest = [asyncio.create_task(it.infer([crop(n)], claim=Claim(key=f"modest {n}"))) for n in (50, 51)]
        await until(lambda: it.depth == 12)
        network.gate.set()
        await asyncio.gather(first, greedy, *modest)
    assert network.batches[1] == [10, 50, 51, 11]
    assert [n for n in network.seen if n < 50] == list(range(10, 20))  # one key's crops stay in order


@examples(30)
@given(backlogs=st.lists(st.integers(1, 8), min_size=2, max_size=6), max_batch=st.integers(1, 5))
def test_nobody_is_served_twice_while_another_waits(backlogs: list[int], max_batch: int) -> None:
    network = Network()
    owner: dict[int, int] = {}

    async def everyone() -> None:
        with batcher(network, max_batch=max_batch) as it:
            tasks = [held(network, it)]
            await until(lambda: [999] in network.batches)
            for key, count in enumerate(backlogs):
                mine = [100 * key + i for i in range(count)]
                owner.update(dict.fromkeys(mine, key))
                tasks.append(asyncio.create_task(it.infer([crop(n) for n in mine], claim=Claim(key=key))))
            await until(lambda: it.depth == sum(backlogs))
            network.gate.set()
            await asyncio.gather(*tasks)

    asyncio.run(everyone())
    served = [owner[n] for n in network.seen if n != 999]
    for turn in range(max(backlogs)):
        alive = [key for key, count in enumerate(backlogs) if count > turn]
        assert served[: len(alive)] == alive
        served = served[len(alive) :]


async def test_a_full_queue_refuses_with_a_hint_and_goes_on() -> None:
    network = Network()
    with batcher(network, max_queue=3) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        waiting = asyncio.create_task(it.infer([crop(1), crop(2)]))
        await until(lambda: it.depth == 2)
        with pytest.raises(QueueFullError) as caught:
            await it.infer([crop(3), crop(4)])  # all of them or none
        assert (caught.value.waiting, caught.value.bound) == (2, 3)
        assert 0.01 <= caught.value.retry_after <= 5
        network.gate.set()
        await first
        assert answered(await waiting) == [1, 2]
        assert answered(await it.infer([crop(5)])) == [5]
    assert set(network.seen) == {999, 1, 2, 5}


async def test_what_nobody_waits_for_makes_room() -> None:
    network, now = Network(), [0.0]
    with batcher(network, max_queue=2, clock=lambda: now[0]) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        gone = asyncio.create_task(it.infer([crop(1)]))
        late = asyncio.create_task(it.infer([crop(2)], deadline=1.0))
        await until(lambda: it.depth == 2)
        gone.cancel()
        now[0] = 1.0
        await asyncio.sleep(0)
        welcome = asyncio.create_task(it.infer([crop(3), crop(4)]))
        with pytest.raises(DeadlineExpiredError):
            await late
        network.gate.set()
        await first
        assert answered(await welcome) == [3, 4]
    assert set(network.seen) == {999, 3, 4}


async def test_expired_crops_never_reach_the_network() -> None:
    network, now = Network(), [0.0]
    with batcher(network, clock=lambda: now[0]) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        late = asyncio.create_task(it.infer([crop(1)], deadline=2.0))  # then, not after it
        timely = asyncio.create_task(it.infer([crop(2)], deadline=3.0))
        await until(lambda: it.depth == 2)
        now[0] = 2.0
        network.gate.set()
        with pytest.raises(DeadlineExpiredError):
            await late
        await asyncio.gather(first, timely)
    assert network.seen == [999, 2]


async def test_cancelled_crops_never_reach_the_network() -> None:
    network = Network()
    with batcher(network) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        gone = asyncio.create_task(it.infer([crop(1), crop(2)]))
        await until(lambda: it.depth == 2)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        network.gate.set()
        await first
        await it.infer([crop(3)])
    assert network.seen == [999, 3]


async def test_a_failing_batch_fails_its_own_callers_only() -> None:
    network = Network()
    network.fails_on = lambda batch: 1 in batch
    with batcher(network, max_batch=1) as it:
        bad, good = await asyncio.gather(it.infer([crop(1)]), it.infer([crop(2)]), return_exceptions=True)
        assert isinstance(bad, RuntimeError)
        assert isinstance(good, list)
        assert answered(good) == [2]


async def test_a_row_that_fails_its_batch_fails_alone() -> None:
    network = Network()
    network.fails_on = lambda batch: 1 in batch
    with batcher(network) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        calls = asyncio.gather(*(it.infer([crop(n)]) for n in range(3)), return_exceptions=True)
        await until(lambda: it.depth == 3)
        network.gate.set()
        zero, one, two = await calls
        await first
    assert network.batches == [[999], [0, 1, 2], [0], [1], [2]]
    assert isinstance(one, RuntimeError)
    assert [answered(rows) for rows in (zero, two) if isinstance(rows, list)] == [[0], [2]]


async def test_it_says_for_how_long_its_oldest_batch_has_been_running() -> None:
    network, now = Network(), 100.0
    with batcher(network, clock=lambda: now, workers=2, max_batch=1) as it:
        assert it.oldest_running() is None
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        now = 107.0
        second = asyncio.create_task(it.infer([crop(1)]))
        await until(lambda: [1] in network.batches)
        now = 109.0
        assert it.oldest_running() == 9.0
        network.gate.set()
        await asyncio.gather(first, second)
        await until(lambda: it.oldest_running() is None)


async def test_close_answers_what_waits() -> None:
    network = Network()
    with batcher(network) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        waiting = asyncio.create_task(it.infer([crop(n) for n in range(6)]))
        await until(lambda: it.depth == 6)
        closing = asyncio.create_task(asyncio.to_thread(it.close))
        await until(lambda: it.closed)
        with pytest.raises(NotServingError):
            await it.infer([crop(7)])
        network.gate.set()
        await closing
        await first
        assert answered(await waiting) == list(range(6))


async def test_close_without_draining_fails_what_waits() -> None:
    network = Network()
    with batcher(network) as it:
        running = held(network, it)
        await until(lambda: [999] in network.batches)
        waiting = asyncio.create_task(it.infer([crop(1)]))
        await until(lambda: it.depth == 1)
        closing = asyncio.create_task(asyncio.to_thread(it.close, drain=False))
        with pytest.raises(NotServingError):
            await waiting
        network.gate.set()
        await closing
        assert answered(await running) == [999]
    assert network.seen == [999]


async def test_several_workers_run_at_once() -> None:
    network = Network()
    network.gate.clear()
    with batcher(network, workers=2, max_batch=1) as it:
        tasks = [asyncio.create_task(it.infer([crop(n)])) for n in range(3)]
        await until(lambda: len(network.batches) == 2)
        assert it.depth == 1
        network.gate.set()
        await asyncio.gather(*tasks)


async def test_an_observer_hears_of_every_batch_and_of_the_depth() -> None:
    network, observer = Network(), Observer()
    with batcher(network, observer=observer) as it:
        await it.infer([crop(n) for n in range(6)])
        assert sum(observer.sizes) == 6
        assert max(observer.depths) == 6
        assert observer.depths[-1] == 0
