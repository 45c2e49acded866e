"""The blocking and the asyncio client behind one way of calling them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from exalign_client import AsyncClient, Client

#: ``call("predict", address, *arguments, **options)`` with a client of its own.
Call = Callable[..., Any]


def call_sync(method: str, address: str, *arguments: Any, **options: Any) -> Any:
    with Client(address) as client:
        return getattr(client, method)(*arguments, **options)


def call_async(method: str, address: str, *arguments: Any, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(address) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(run())
