"""What a server gives back once it is warm, and from then on."""

from __future__ import annotations

import asyncio
import gc

import pytest

import manual_clock
from exalign_service.startup import settling
from exalign_service.startup.arenas import arenas
from exalign_service.startup.garbage import collect_rarely
from exalign_service.startup.settling import EVERY, settle
from manual_clock import ManualClock


class Server:
    """Warm when it is told to be."""

    def __init__(self) -> None:
        self.is_warm = asyncio.Event()

    async def warm(self) -> None:
        await self.is_warm.wait()


async def test_memory_goes_back_once_all_is_warm_and_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(settling, "give_memory_back", lambda: done.append("what was read of files, too"))

    async def give_back() -> None:
        done.append("what was freed")

    server, clock, threshold = Server(), ManualClock(), gc.get_threshold()
    collect_rarely()
    task = asyncio.create_task(settle(server, threshold, clock, give_back))
    try:
        await clock.advance(10 * EVERY)
        assert done == []
        assert gc.get_threshold() != threshold
        server.is_warm.set()
        await manual_clock.settle()
        assert gc.get_threshold() == threshold
        assert done == ["what was read of files, too"]
        await clock.advance(EVERY / 2)
        assert len(done) == 1
        await clock.advance(2 * EVERY)
        assert done[1:] == ["what was freed"] * 2
    finally:
        task.cancel()
        gc.unfreeze()
        gc.set_threshold(*threshold)


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 1), (7, 1), (8, 2), (128, 2)])
def test_threads_share_an_arena_or_two(cores: int, count: int) -> None:
    assert arenas(cores) == count
