"""Work behind the others leaves a processor to those in front, whichever pool it is in."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import ExitStack

import pytest

from batcher_fakes import U8, Network, answered, batcher, crop
from exalign_engine.network.outputs import Outputs
from exalign_service.inference.fair_queue import Claim
from exalign_service.inference.rear import Rear
from exalign_service.inference.stage_pool import StagePool
from service_fakes import until
from test_service_fair_queue import for_call


@pytest.mark.parametrize(("cores", "most"), [({0}, 1), ({0, 1}, 1), ({0, 2, 3, 5}, 3)])
def test_one_processor_is_left_to_those_in_front(monkeypatch: pytest.MonkeyPatch, cores: set[int], most: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    rear = Rear.of_this_machine()
    with ExitStack() as stack:
        for _ in range(most):
            stack.enter_context(rear.turn())  # at once
        one_more = threading.Thread(target=lambda: rear.turn().__enter__())
        one_more.start()
        one_more.join(0.01)
        assert one_more.is_alive()
    one_more.join()


async def test_turns_are_given_in_the_order_of_coming() -> None:
    rear, order = Rear(1), list[int]()

    def work(number: int) -> None:
        with rear.turn():
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    with rear.turn():
        for coming, thread in enumerate(threads, 1):
            thread.start()
            await until(lambda coming=coming: rear.waiting == coming)
    for thread in threads:
        thread.join()
    assert order == [*range(5)]


def test_a_turn_ends_with_an_error_too() -> None:
    rear = Rear(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"), rear.turn():
            raise ValueError("no")


async def test_who_works_behind_in_one_pool_waits_for_the_other_and_others_do_not() -> None:
    now, rear, network = [0.0], Rear(1), Network()
    stages = StagePool(2, clock=lambda: now[0], rear=rear)

    async def stage(caller: str, takes: float = 0.0) -> None:
        await asyncio.create_task(for_call(stages, caller, lambda: now.append(now.pop() + takes)))

    with batcher(network, clock=lambda: now[0], rear=rear, workers=2) as batches:

        async def batch(caller: str, number: int) -> list[int]:
            return answered(await batches.infer([crop(number)], claim=Claim(caller)))

        try:
            await stage("polite", 0.1)
            await stage("greedy", 1.0)  # from now on it works behind in this pool
            with rear.turn():  # somebody works behind elsewhere
                greedy = asyncio.create_task(stage("greedy", 1.0))
                await until(lambda: rear.waiting == 1)
                await stage("polite", 0.1)
                assert await batch("greedy", 1) == [1]  # in this pool it took nothing yet
                assert not greedy.done()
            await greedy
        finally:
            assert await asyncio.to_thread(stages.close)


class Slow(Network):
    """Each batch takes half a second of a clock of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def __call__(self, crops: U8) -> Outputs:
        self.now += 0.5
        return super().__call__(crops)


async def test_batches_behind_the_others_wait_for_their_turn_as_well() -> None:
    rear, network = Rear(1), Slow()
    with batcher(network, clock=lambda: network.now, rear=rear, workers=2) as batches:
        for caller in ("greedy", "polite", "greedy", "greedy"):
            await batches.infer([crop(1)], claim=Claim(caller))
            # It is counted after it is answered: with the next one's time on the clock it would be another share.
            await until(lambda: batches.oldest_running() is None)
        with rear.turn():
            greedy = asyncio.create_task(batches.infer([crop(2)], claim=Claim("greedy")))
            await until(lambda: rear.waiting == 1)
            assert answered(await batches.infer([crop(3)], claim=Claim("polite"))) == [3]
            assert not greedy.done()
        assert answered(await greedy) == [2]
