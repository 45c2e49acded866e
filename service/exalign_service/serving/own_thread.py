"""Work in a thread that nobody waits for at the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[..., T], *args: object) -> T:
    """Run something in a thread of its own: the loop's own threads would be waited for when it ends.

    A cancellation ends the wait, not the thread.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on it cannot be cancelled

    def run() -> None:
        try:
            result = work(*args)
        except Exception as e:  # noqa: BLE001  # raised where it is waited for
            future.set_exception(e)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="own", daemon=True).start()
    return await asyncio.wrap_future(future)
