"""The memory that decoded pictures take: its bound, a caller's share of it, turns, deadlines and cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign_service.decoding.budget import DecodedBytesBudget
from exalign_service.rpc.errors import DeadlineExpiredError
from manual_clock import ManualClock, settle
from properties import examples


class Callers:
    """Callers that hold memory, each named by a letter and a number, until they are told to let it go."""

    def __init__(self, total: int) -> None:
        self.clock = ManualClock()
        self.seen: list[tuple[int, int]] = []
        self.budget = DecodedBytesBudget(total, self, self.clock)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.inside: list[str] = []

    def decoded_bytes_changed(self, held: int, waiting: int) -> None:
        self.seen.append((held, waiting))

    async def hold(self, name: str, size: int, deadline: float = float("inf"), shrunk: int | None = None) -> None:
        gate = self.gates[name] = asyncio.Event()

        async def run() -> None:
            async with self.budget.hold(size, name[0], deadline) as held:
                self.inside.append(name)
                if shrunk is not None:
                    held.shrink(shrunk)
                await gate.wait()

        self.tasks[name] = asyncio.create_task(run())
        await settle()

    async def let_go(self, name: str) -> None:
        self.gates[name].set()
        await self.tasks[name]
        await settle()


@asynccontextmanager
async def callers(total: int) -> AsyncIterator[Callers]:
    made = Callers(total)
    try:
        yield made
    finally:
        for task in made.tasks.values():
            task.cancel()
        await asyncio.gather(*made.tasks.values(), return_exceptions=True)
    assert (made.budget.held, made.budget.waiting) == (0, 0)
    assert (made.seen or [(0, 0)])[-1] == (0, 0)


async def test_what_finds_no_room_waits_for_it() -> None:
    async with callers(100) as made:
        await made.hold("a1", 60)
        await made.hold("b1", 50)
        assert made.inside == ["a1"]
        assert made.seen[-1] == (60, 50)
        await made.let_go("a1")
        assert made.inside == ["a1", "b1"]
        assert made.seen[-1] == (50, 0)


async def test_a_caller_has_half_and_always_one_picture() -> None:
    async with callers(100) as made:
        await made.hold("a1", 30)
        await made.hold("a2", 30)
        await made.hold("b1", 40)
        await made.hold("c1", 20)
        assert made.inside == ["a1", "b1", "c1"]
        await made.let_go("a1")
        assert made.inside[-1] == "a2"


async def test_a_picture_larger_than_all_is_admitted_alone() -> None:
    async with callers(100) as made:
        await made.hold("a1", 10)
        await made.hold("b1", 500)
        await made.hold("c1", 10)
        assert made.inside == ["a1"]
        await made.let_go("a1")
        assert made.inside == ["a1", "b1"]
        await made.let_go("b1")
        assert made.inside == ["a1", "b1", "c1"]


async def test_callers_take_turns() -> None:
    async with callers(100) as made:
        await made.hold("x1", 100)
        for name in ("a1", "a2", "a3", "b1", "c1"):
            await made.hold(name, 80)
        for name in ("x1", "a1", "b1", "c1", "a2"):
            await made.let_go(name)
        assert made.inside == ["x1", "a1", "b1", "c1", "a2", "a3"]


async def test_what_decoding_no_longer_needs_is_given_back() -> None:
    async with callers(100) as made:
        await made.hold("a1", 90, shrunk=30)
        await made.hold("b1", 70)
        assert made.inside == ["a1", "b1"]
        assert made.budget.held == 100


async def test_a_deadline_ends_waiting_alone() -> None:
    async with callers(100) as made:
        await made.hold("a1", 90, made.clock.now() + 1.0)
        await made.hold("b1", 90, made.clock.now() + 1.0)
        await made.hold("c1", 10)
        await made.clock.advance(1.0)
        with pytest.raises(DeadlineExpiredError, match="waiting for memory"):
            await made.tasks["b1"]
        assert made.inside == ["a1", "c1"]  # which b1 was in front of
        assert not made.tasks["a1"].done()


async def test_who_is_cancelled_holds_nothing_and_keeps_nobody_waiting() -> None:
    async with callers(100) as made:
        await made.hold("a1", 90)
        await made.hold("b1", 90)
        await made.hold("c1", 10)
        made.tasks["b1"].cancel()
        await settle()
        assert made.inside == ["a1", "c1"]
        assert made.budget.held == 100


async def test_who_is_cancelled_in_the_moment_of_admission_gives_the_room_back() -> None:
    async with callers(100) as made:
        await made.hold("a1", 90)
        await made.hold("b1", 90)
        made.gates["a1"].set()
        made.tasks["a1"].add_done_callback(lambda _: made.tasks["b1"].cancel())
        await settle()
        assert made.tasks["b1"].cancelled()
        assert made.budget.held == 0


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 150), st.sampled_from(["hold", "let go", "cancel"])), max_size=40
)


@examples(100)
@given(STEPS)
def test_the_bound_holds_and_somebody_is_always_admitted(steps: list[tuple[str, int, str]]) -> None:
    async def run() -> None:
        async with callers(100) as made:
            for number, (caller, size, what) in enumerate(steps):
                if what == "hold":
                    await made.hold(f"{caller}{number}", size)
                inside = [name for name in made.inside if name[0] == caller and not made.tasks[name].done()]
                if what == "let go" and inside:
                    await made.let_go(inside[0])
                elif what == "cancel" and made.tasks:
                    list(made.tasks.values())[size % len(made.tasks)].cancel()
                    await settle()
                live = [name for name in made.tasks if not made.tasks[name].done()]
                assert made.budget.held <= 100 or len(live) - made.budget.waiting == 1
                assert not live or made.budget.held

    asyncio.run(run())
