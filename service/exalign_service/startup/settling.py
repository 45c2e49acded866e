"""What a server does once all is warm: garbage as usual, and memory that is not needed any more goes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from exalign_service.models.freed_memory import give_freed_back, give_memory_back
from exalign_service.rpc.clock import Clock
from exalign_service.serving.own_thread import in_own_thread
from exalign_service.startup.garbage import collect_as_usual

#: What was freed goes back so often, seconds. Each time takes four milliseconds of a busy server, and what is needed
#: again is cleared anew by the system: together two thousandths of a core at most (docs/decisions/memory.md).
EVERY = 5.0


class Warming(Protocol):
    """A server that warms up."""

    async def warm(self) -> None:
        """Return once all is warm."""


async def settle(
    server: Warming,
    collected: tuple[int, int, int],
    clock: Clock,
    give_back: Callable[[], Awaitable[None]] = lambda: in_own_thread(give_freed_back),
) -> None:
    """Until cancelled: once all is warm, collect garbage as usual and give back what the start needed.

    From then on what callers needed at once, and nobody needs now, is given back from time to time: the C library keeps
    it otherwise, in holes between what is still in use.

    Args:
        server: see `Warming`.
        collected: `gc.get_threshold` as it was before the start.
        clock: by which time goes on.
        give_back: gives back what was freed.
    """
    await server.warm()
    collect_as_usual(collected)
    give_memory_back()
    while True:
        await clock.sleep(EVERY)
        await give_back()
