"""Threads of the batcher and of the stages go on whatever is raised in them, and nobody waits for ever."""

from __future__ import annotations

import sys

import pytest

from exalign_engine.network.outputs import Outputs
from exalign_service.inference.stage_pool import StagePool
from exalign_service.inference.workers import start_workers
from service_fakes import U8, until
from test_service_batcher import Network, answered, batcher, crop


async def test_what_ends_a_thread_is_an_error_of_its_batch_and_the_thread_goes_on() -> None:
    class Ended(Network):
        def __call__(self, crops: U8) -> Outputs:
            if (crops == 1).any():
                raise SystemExit
            return super().__call__(crops)

    with batcher(Ended()) as it:
        for _ in range(3):  # more often than there are threads
            with pytest.raises(RuntimeError, match="a worker was ended by SystemExit"):
                await it.infer([crop(1)])
        await until(lambda: it.oldest_running() is None)
        assert answered(await it.infer([crop(2)])) == [2]


async def test_an_observer_that_fails_costs_its_batch_alone() -> None:
    class Observer:
        launched = 0

        def batch_launched(self, size: int) -> None:
            self.launched += 1
            if self.launched == 1:
                raise MemoryError

        def queue_changed(self, depth: int) -> None: ...

    with batcher(Network(), observer=Observer()) as it:
        with pytest.raises(MemoryError):
            await it.infer([crop(1)])
        assert answered(await it.infer([crop(2)])) == [2]


async def test_what_would_end_a_thread_is_an_error_of_its_job() -> None:
    pool = StagePool(1)
    try:
        for _ in range(3):
            with pytest.raises(RuntimeError, match="a worker was ended by SystemExit"):
                await pool.run(sys.exit)
        assert await pool.run(lambda: 7) == 7
    finally:
        pool.close()


def test_workers_go_on_whatever_is_raised_in_them_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    raised = iter((MemoryError("first"), SystemExit()))

    def step() -> bool:
        if (error := next(raised, None)) is not None:
            raise error
        return False

    (worker,) = start_workers("worker", 1, step)
    worker.join(60)
    assert not worker.is_alive()
    assert [(r.getMessage(), str(r.exc_info and r.exc_info[1])) for r in caplog.records] == [
        ("a worker failed", "first")
    ]
