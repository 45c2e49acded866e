"""gRPC loses memory with each read that is cancelled; so no read of ours is."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from exalign_service.rpc.handlers import read


class SlowContext:
    """A servicer context whose read ends when it is told to."""

    def __init__(self) -> None:
        self.started, self.end, self.ended_by = asyncio.Event(), asyncio.Event(), ""

    async def read(self) -> Any:
        self.started.set()
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.ended_by = "cancelled"
            raise
        self.ended_by = "itself"
        raise RuntimeError("the call is over")


async def test_a_read_goes_on_without_its_handler_and_nobody_sees_its_error() -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    context = SlowContext()
    handler = asyncio.create_task(read(context))  # type: ignore[arg-type]  # all that is used of one
    await context.started.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler
    assert context.ended_by == ""
    context.end.set()
    while not context.ended_by:
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the error reaches its task
    gc.collect()
    assert context.ended_by == "itself"
    assert errors == []


async def test_an_error_of_a_read_reaches_its_handler() -> None:
    context = SlowContext()
    context.end.set()
    with pytest.raises(RuntimeError, match="the call is over"):
        await read(context)  # type: ignore[arg-type]  # all that is used of one
