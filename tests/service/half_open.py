"""A way to a server that may go dead, and gRPC's options at a fiftieth of their times."""

from __future__ import annotations

import asyncio
from typing import Any


class HalfOpen:
    """Carries connections to a port. After `die` both sides stay open, and nothing moves any more."""

    def __init__(self, port: int) -> None:
        self._port, self._alive = port, asyncio.Event()
        self._alive.set()
        self._moving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> HalfOpen:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._moving:
            task.cancel()
        await asyncio.gather(*self._moving, return_exceptions=True)

    def die(self) -> None:
        self._alive.clear()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._moving.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(self._move(reader, to_server), self._move(beyond, writer))
        finally:
            to_server.close()
            writer.close()

    async def _move(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._alive.wait()
            writer.write(data)


def hurried(options: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Options at a fiftieth of their times."""
    return [(name, value // 50 if name.endswith("_ms") else value) for name, value in options]
