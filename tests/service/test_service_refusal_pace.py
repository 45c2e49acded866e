"""Who is refused again and again is told more slowly, and nobody else."""

from __future__ import annotations

import math

import pytest

from exalign_engine.errors import InvalidInputError, Violation
from exalign_service.rpc.call_context import Call
from exalign_service.rpc.clock import LoopClock
from exalign_service.rpc.errors import DeadlineExpiredError, OverloadedError
from exalign_service.rpc.refusal_pace import RefusalPace

MIB = 2**20


class Paced(LoopClock):
    """A pace by a clock that sleeping moves."""

    def __init__(self) -> None:
        self.time, self.pauses = 100.0, list[float]()
        self.pace = RefusalPace(self)

    def now(self) -> float:
        """See `Clock`."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        self.pauses.append(seconds)
        self.time += seconds

    async def refuse(
        self, caller: str, times: int, error: Exception | None = None, size: int = 100, left: float = math.inf
    ) -> list[float]:
        """One call after another; the pauses."""
        self.pauses.clear()
        for _ in range(times):
            call = Call("", self.time + left, "", caller, size=size)
            await self.pace.wait(call, OverloadedError(3.0, 2.0, "until its deadline", 0.1) if error is None else error)
        return list(self.pauses)


async def test_a_caller_that_is_refused_too_often_waits() -> None:
    paced = Paced()
    assert sum(await paced.refuse("hostile", 49)) == 0.0  # a burst
    pauses = await paced.refuse("hostile", 300)
    assert sum(pauses) == pytest.approx(300 / 50, rel=0.05)  # fifty a second
    assert await paced.refuse("polite", 40) == []
    paced.time += 60.0
    assert await paced.refuse("hostile", 40) == []


async def test_bytes_that_are_refused_count() -> None:
    paced = Paced()
    wrong = InvalidInputError([Violation("image", "is no picture")])
    assert await paced.refuse("small", 800, wrong, size=30_000) == []
    assert await paced.refuse("largest", 1, wrong, size=1024 * MIB) == []
    pauses = await paced.refuse("large", 40, wrong, size=8 * MIB)
    assert sum(pauses) == pytest.approx((40 * 16 - 50) / 50, rel=0.05)


async def test_faults_of_the_server_are_told_at_once() -> None:
    paced = Paced()
    for error in (DeadlineExpiredError("late"), RuntimeError("ours")):
        assert await paced.refuse("caller", 100, error, size=8 * MIB) == []


async def test_no_pause_is_long_nor_beyond_half_of_the_time_left() -> None:
    paced = Paced()
    at_once = list[float]()
    for _ in range(300):  # at once, not one after the other
        before = paced.time
        at_once += await paced.refuse("many", 1)
        paced.time = before
    assert max(at_once) == pytest.approx(300 / 50 - 1.0, abs=0.02)
    at_once.clear()
    for _ in range(600):
        before = paced.time
        at_once += await paced.refuse("hurried", 1, left=1.0)
        paced.time = before
    assert max(at_once) == 0.5
