"""The pool's order: turns between callers, shares, deadlines and idle decoders; its decoders do what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from exalign_engine.arrays import U8
from exalign_engine.geometry.image import DecodePlan
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_service.decoding.pool import DecoderPool, is_dear
from exalign_service.decoding.wire import Job
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError
from manual_clock import ManualClock, settle

PLAN = DecodePlan("PNG", 1, 1, 3, 10, 1.0, True)


class Decoder:
    """See `DecoderProcess`."""

    def __init__(self, work: Work) -> None:
        self._work, self._over = work, asyncio.Event()

    @property
    def alive(self) -> bool:
        return not self._over.is_set()

    async def decode(self, job: Job, data: bytes) -> U8:
        gate = self._work.gates[data.decode()] = asyncio.Event()
        self._work.given.append(data.decode())
        await gate.wait()
        return np.zeros((1, 1, 3), np.uint8)

    def close(self) -> None:
        self._over.set()

    def kill(self) -> None:
        self._work.killed += 1
        self._over.set()

    async def ended(self) -> int:
        await self._over.wait()
        return 0


class Work:
    """What the decoders were given, and what holds them."""

    def __init__(self) -> None:
        self.started, self.killed = 0, 0
        self.given: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.processes, self.jobs = 0, (0, 0)

    async def start(self) -> Decoder:
        self.started += 1
        return Decoder(self)

    def decoders_changed(self, processes: int) -> None:
        self.processes = processes

    def decode_jobs_changed(self, waiting: int, running: int) -> None:
        self.jobs = waiting, running

    def decoder_failed(self, reason: str) -> None:
        raise AssertionError(reason)


class Calls:
    """Calls of callers, each named by its caller and a number."""

    def __init__(self, processes: int) -> None:
        self.work, self.clock = Work(), ManualClock()
        self.pool = DecoderPool(
            processes, 5.0, start=self.work.start, idle_seconds=30.0, observer=self.work, clock=self.clock
        )
        self.tasks: dict[str, asyncio.Task[U8]] = {}

    async def call(self, *names: str, **keywords: Any) -> None:
        for name in names:
            decode = self.pool.decode(name.encode(), PLAN, ImageLimits(), caller=name[0], **keywords)
            self.tasks[name] = asyncio.create_task(decode)
        await settle()

    async def finish(self, name: str) -> None:
        self.work.gates[name].set()
        await self.tasks[name]
        await settle()


@asynccontextmanager
async def calls(processes: int) -> AsyncIterator[Calls]:
    made = Calls(processes)
    try:
        yield made
    finally:
        for task in made.tasks.values():
            task.cancel()
        await asyncio.gather(*made.tasks.values(), return_exceptions=True)
        await made.pool.close()
    assert made.work.processes == 0
    assert made.work.jobs == (0, 0)


async def test_callers_take_turns_and_a_callers_pictures_keep_their_order() -> None:
    async with calls(1) as made:
        await made.call("a1", "a2", "a3", "b1", "c1", "b2")
        for name in ("a1", "a2", "b1", "c1", "a3", "b2"):
            await made.finish(name)
        assert made.work.given == ["a1", "a2", "b1", "c1", "a3", "b2"]
        assert made.work.started == 1


async def test_one_caller_has_half_of_the_decoders_at_most() -> None:
    async with calls(4) as made:
        await made.call("a1", "a2", "a3", "a4")
        assert made.work.given == ["a1", "a2"]
        assert made.work.jobs == (2, 2)
        await made.call("b1", "c1")
        assert made.work.given == ["a1", "a2", "b1", "c1"]
        await made.finish("b1")
        assert made.work.jobs == (2, 3)


async def test_what_is_cancelled_while_it_waits_costs_nothing() -> None:
    async with calls(1) as made:
        await made.call("a1", "b1", "c1")
        made.tasks["b1"].cancel()
        await settle()
        assert made.work.jobs == (1, 1)
        await made.finish("a1")
        assert made.work.given == ["a1", "c1"]
        assert made.work.killed == 0


async def test_a_deadline_ends_waiting_and_a_decoder_that_works_for_nobody() -> None:
    async with calls(1) as made:
        await made.call("a1", "b1", deadline=made.clock.now() + 2.0)
        await made.call("c1")
        await made.clock.advance(1.9)
        assert made.work.jobs == (2, 1)
        await made.clock.advance(0.1)
        for name in ("a1", "b1"):
            with pytest.raises(DeadlineExpiredError):
                await made.tasks[name]
        assert made.work.killed == 1
        assert made.work.given == ["a1", "c1"]


async def test_a_decoder_that_never_answers_is_ended_where_there_is_no_deadline() -> None:
    async with calls(1) as made:
        await made.call("a1")
        await made.clock.advance(149.0)
        assert made.work.killed == 0
        await made.clock.advance(1.0)
        with pytest.raises(DeadlineExpiredError):
            await made.tasks["a1"]
        assert made.work.killed == 1


async def test_decoders_without_work_end_after_a_while() -> None:
    async with calls(2) as made:
        await made.call("a1")
        await made.finish("a1")
        await made.clock.advance(29.0)
        assert made.work.processes == 1
        await made.call("a2")
        await made.clock.advance(29.0)
        await made.finish("a2")
        assert (made.work.processes, made.work.started) == (1, 1)
        await made.clock.advance(30.0)
        assert (made.work.processes, made.work.killed) == (0, 0)


async def test_a_closed_pool_answers_nobody() -> None:
    async with calls(1) as made:
        await made.call("a1", "b1")
        await made.pool.close()
        await made.call("c1")
        for task in made.tasks.values():
            with pytest.raises(NotServingError):
                await task
        assert made.work.processes == 0


@pytest.mark.parametrize(
    ("cpu_ms", "bounded", "dear"), [(99.0, True, False), (101.0, True, True), (0.1, False, True)], ids=str
)
def test_what_takes_long_or_may_is_dear(cpu_ms: float, bounded: bool, dear: bool) -> None:
    assert is_dear(DecodePlan("PNG", 1, 1, 3, 10, cpu_ms, bounded)) is dear
