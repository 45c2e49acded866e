"""The blocking and the asyncio client behind one way of calling them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from exalign_client import AsyncClient, Client

#: ``ask("predict", address, *arguments, **options)`` with a client of its own.
Ask = Callable[..., Any]


def ask_sync(method: str, address: str, *arguments: Any, **options: Any) -> Any:
    with Client(address) as client:
        return getattr(client, method)(*arguments, **options)


def ask_async(method: str, address: str, *arguments: Any, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncClient(address) as client:
            return await getattr(client, method)(*arguments, **options)

    return asyncio.run(ask())
