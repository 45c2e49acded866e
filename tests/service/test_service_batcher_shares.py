"""The batcher: what it says and allows by what crops have cost, and what is left when a call or the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from batcher_fakes import U8, Network, Observer, answered, batcher, crop, held, until
from exalign_engine.network.outputs import Outputs
from exalign_service.inference.batcher import Batcher
from exalign_service.inference.fair_queue import Claim
from exalign_service.rpc.errors import NotServingError, QueueFullError


class Timed(Network):
    """A network that takes so many seconds a batch, by a clock of its own."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.now, self.seconds = 100.0, seconds

    def __call__(self, crops: U8) -> Outputs:
        answer = super().__call__(crops)
        self.now += self.seconds
        return answer


async def hint(it: Batcher) -> float:
    """What somebody hears for whom there is no room."""
    with pytest.raises(QueueFullError) as caught:
        await it.infer([crop(n) for n in range(1, 100)])
    return float(caught.value.retry_after)


@pytest.mark.parametrize(
    ("workers", "waiting", "seconds", "expected"),
    [
        (1, 3, None, 3 * 0.01),  # nothing was timed yet
        (2, 4, None, 4 * 0.01 / 2),
        (2, 1, None, 0.01),  # the least
        (1, 2, 1.01, 2 * 0.11),  # the newest batch counts a tenth
        (1, 2, 1000.0, 5.0),  # the most
    ],
)
async def test_the_hint_is_what_waits_by_what_a_crop_has_cost(
    workers: int, waiting: int, seconds: float | None, expected: float
) -> None:
    network = Timed(seconds or 0.0)
    with batcher(network, workers=workers, max_batch=1, max_queue=10, clock=lambda: network.now) as it:
        if seconds is not None:
            await it.infer([crop(1)])
        network.gate.clear()
        running = [asyncio.create_task(it.infer([crop(900 + n)])) for n in range(workers)]
        await until(lambda: len(network.batches) == workers + (seconds is not None))
        others = asyncio.create_task(it.infer([crop(n) for n in range(waiting)]))
        await until(lambda: it.depth == waiting)
        assert await hint(it) == pytest.approx(expected)
        network.gate.set()
        await asyncio.gather(*running, others)


async def test_a_row_says_when_its_batch_ran_and_its_share_of_that_time() -> None:
    network = Timed(2.0)
    with batcher(network, clock=lambda: network.now) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        both = asyncio.create_task(it.infer([crop(1), crop(2)]))
        await until(lambda: it.depth == 2)
        network.gate.set()
        await first
        assert [(row.started, row.finished, row.cost) for row in await both] == 2 * [(102.0, 104.0, 1.0)]


async def test_a_full_queue_has_room_for_a_caller_within_its_share() -> None:
    network = Network()
    with batcher(network, max_queue=4) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        second = asyncio.create_task(it.infer([crop(998)], claim=Claim("another")))  # the one more is busy too
        await until(lambda: [998] in network.batches)
        tasks = [asyncio.create_task(it.infer([crop(n) for n in range(4)], claim=Claim("greedy")))]
        await until(lambda: it.depth == 4)
        tasks.append(asyncio.create_task(it.infer([crop(10), crop(11)], claim=Claim("modest"))))
        await until(lambda: it.depth == 6)
        for caller in ("modest", "greedy"):
            with pytest.raises(QueueFullError):
                await it.infer([crop(12)], claim=Claim(caller))
        network.gate.set()
        await asyncio.gather(first, second, *tasks)


async def test_a_caller_leaves_a_thread_to_another_that_was_there_just_now() -> None:
    network, now = Network(), 100.0
    with batcher(network, workers=2, max_batch=1, clock=lambda: now) as it:
        await it.infer([crop(1)], claim=Claim("other"))
        network.gate.clear()
        greedy = [asyncio.create_task(it.infer([crop(n)], claim=Claim("greedy", key=n))) for n in (10, 11)]
        await until(lambda: len(network.batches) == 2)
        other = asyncio.create_task(it.infer([crop(2)], claim=Claim("other")))
        await until(lambda: len(network.batches) == 3)
        assert [2] in network.batches
        assert it.depth == 1  # the greedy one's second
        network.gate.set()
        await asyncio.gather(*greedy, other)


async def test_where_one_crop_of_a_call_fails_those_that_wait_never_reach_the_network() -> None:
    network = Network()

    def fails(batch: list[int]) -> bool:
        if 1 in batch:
            network.gate.clear()  # the next batch waits until the call has ended
        return 1 in batch

    network.fails_on = fails
    with batcher(network, max_batch=1) as it:
        with pytest.raises(RuntimeError):
            await it.infer([crop(1), crop(2), crop(3)])
        network.gate.set()
        await it.infer([crop(4)])
    assert 3 not in network.seen


@pytest.mark.parametrize("drain", [True, False])
async def test_when_it_is_closed_its_batches_have_ended(drain: bool) -> None:
    ended: list[list[int]] = []

    class Slow(Network):
        def __call__(self, crops: U8) -> Outputs:
            answer = super().__call__(crops)
            ended.append(self.batches[-1])
            return answer

    network = Slow(delay=0.05)
    with batcher(network) as it:
        running = asyncio.create_task(it.infer([crop(1)]))
        await until(lambda: [1] in network.batches)
        await asyncio.to_thread(it.close, drain=drain)
        assert ended == [[1]]
        assert answered(await running) == [1]


async def test_an_observer_hears_at_once_that_nothing_waits_where_what_waited_is_dropped() -> None:
    network, observer = Network(), Observer()
    with batcher(network, observer=observer) as it:
        running = held(network, it)
        await until(lambda: [999] in network.batches)
        waiting = asyncio.create_task(it.infer([crop(1)]))
        await until(lambda: it.depth == 1)
        empty: Callable[[], bool] = lambda: observer.depths[-1] == 0  # noqa: E731
        assert not empty()
        closing = asyncio.create_task(asyncio.to_thread(it.close, drain=False))
        with pytest.raises(NotServingError):
            await waiting
        assert empty()
        network.gate.set()
        await closing
        await running
