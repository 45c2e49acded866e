"""A gateway that listens on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette


@asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an application that listens on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    serving = asyncio.ensure_future(server._serve())
    try:
        async with asyncio.timeout(60):
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await serving
