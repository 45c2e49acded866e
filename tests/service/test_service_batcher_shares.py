"""The batcher: what it says and allows by what crops have cost, and what is left when a call or the server ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from batcher_fakes import U8, Network, Observer, answered, batcher, crop, held, numbers, until
from exalign_engine.network.outputs import Outputs
from exalign_service.inference.batcher import Batcher, Row
from exalign_service.inference.fair_queue import Claim
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError, QueueFullError
from service_fakes import PATIENCE


class Timed(Network):
    """A network that takes so many seconds a batch, by a clock of its own; ``gates`` hold single crops."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.now, self.seconds = 100.0, seconds
        self.gates: dict[int, threading.Event] = {}

    def __call__(self, crops: U8) -> Outputs:
        seconds = self.seconds
        answer = super().__call__(crops)
        for number in numbers(crops):
            assert self.gates.get(number, self.gate).wait(PATIENCE)
        self.now += seconds
        return answer

    async def busy(self, it: Batcher, *claims: Claim) -> list[asyncio.Task[list[Row]]]:
        """A thread works for each of these, in this order, until `let` is called; they add no time of their own."""
        seconds, self.seconds, tasks = self.seconds, 0.0, []
        for claim in claims:
            number = 900 + len(self.gates)
            self.gates[number] = threading.Event()
            tasks.append(asyncio.create_task(it.infer([crop(number)], claim=claim)))
            await until(lambda number=number: [number] in self.batches)  # type: ignore[misc]
        self.seconds = seconds
        return tasks

    def let(self, *places: int) -> None:
        """Some of them end, by their places."""
        for place in places:
            self.gates[900 + place].set()


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
        for number in (10, 11):
            tasks.append(asyncio.create_task(it.infer([crop(number)], claim=Claim("modest"))))
            await until(lambda number=number: it.depth == number - 5)  # type: ignore[misc]
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


@pytest.mark.parametrize(("workers", "frames_first"), [(1, False), (2, True)])
async def test_frames_go_before_calls_until_they_have_had_their_share_of_the_threads(
    workers: int, frames_first: bool
) -> None:
    """Half of them by default: of the last second .5 s with one thread and 1 s with two. They have had .8 s."""
    network = Timed(0.8)
    video, call = Claim("watcher", "video", live=True), Claim("caller", "call")
    with batcher(network, workers=workers, clock=lambda: network.now) as it:
        running = await network.busy(it, Claim("a", live=True))
        await it.infer([crop(1), crop(2)], claim=video)
        network.seconds = 0.5
        await it.infer([crop(3)], claim=call)
        network.seconds = 0.0
        running += await network.busy(it, Claim("b"))  # no thread is free
        waiting = [asyncio.create_task(it.infer([crop(n)], claim=claim)) for n, claim in ((10, call), (20, video))]
        await until(lambda: it.depth == 2)
        network.let(0)
        await asyncio.gather(*waiting)
        network.let(1)
        await asyncio.gather(*running)
    assert network.batches[-1] == ([20, 10] if frames_first else [10, 20])


async def test_what_expires_while_it_waits_costs_its_caller_nothing() -> None:
    network = Timed(0.0)
    with batcher(network, clock=lambda: network.now) as it:
        running = await network.busy(it, Claim("a", live=True), Claim("b"))
        late = asyncio.create_task(it.infer([crop(1)], claim=Claim("one", 1), deadline=network.now + 1))
        await until(lambda: it.depth == 1)
        others = [asyncio.create_task(it.infer([crop(n)], claim=Claim(c, n))) for c, n in (("one", 2), ("two", 3))]
        await until(lambda: it.depth == 3)
        network.now += 1.0  # its deadline has come
        network.let(0, 1)
        with pytest.raises(DeadlineExpiredError):
            await late
        await asyncio.gather(*running, *others)
    assert network.batches[-1] == [2, 3]  # "one" is still first, as if it had asked for nothing before


async def test_whoever_comes_beside_a_caller_that_had_all_the_time_is_served() -> None:
    network = Timed(1.0)
    with batcher(network, clock=lambda: network.now) as it:
        for caller in ("greedy", "modest", "greedy"):
            assert answered(await it.infer([crop(1)], claim=Claim(caller))) == [1]


class Ended(BaseException):
    """Raised by whatever ends a thread."""


async def test_what_ends_a_thread_is_told_to_its_caller_and_costs_it_nothing() -> None:
    network = Timed(0.0)

    def fails(batch: list[int]) -> bool:
        if 1 in batch:
            raise Ended
        return False

    network.fails_on = fails
    with batcher(network, workers=2, clock=lambda: network.now) as it:
        running = await network.busy(it, Claim("a", live=True))
        with pytest.raises(RuntimeError, match="a worker was ended by Ended"):
            await it.infer([crop(1)], claim=Claim("one"))
        running += await network.busy(it, Claim("b"))
        others = [asyncio.create_task(it.infer([crop(n)], claim=Claim(c))) for c, n in (("one", 2), ("two", 3))]
        await until(lambda: it.depth == 2)
        network.let(0, 1)
        await asyncio.gather(*running, *others)
    assert network.batches[-1] == [2, 3]


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
