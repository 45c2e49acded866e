"""Bodies of requests, bounded: each in bytes and in time, all together in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from exalign_gateway.errors import failure


@dataclass(frozen=True)
class Bounds:
    """What callers may take.

    Attributes:
        body_bytes: largest body.
        all_bytes: of all bodies that are here at once.
        body_seconds: longest time for one to arrive.
        call_seconds: deadline of a call that names none, and the longest one.
    """

    body_bytes: int = 32 * 2**20
    all_bytes: int = 8 * 32 * 2**20
    body_seconds: float = 60.0
    call_seconds: float = 30.0


class RefusedError(Exception):
    """A body is not taken.

    Attributes:
        response: what is answered.
    """

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__()


class Bodies:
    """All bodies that are here."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._held = bounds, 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request; it counts until the block ends.

        Raises:
            RefusedError: it is too large, there is no room, it comes too slowly, or its sender has gone.
        """
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._bounds.body_seconds):
                    async for chunk in request.stream():
                        self._take(body, chunk)
            except TimeoutError:
                text = f"the body did not arrive within {self._bounds.body_seconds:g} s"
                raise RefusedError(failure("deadline_exceeded", text, status=408)) from None
            except ClientDisconnect:
                raise RefusedError(failure("canceled", "the caller has gone")) from None
            yield bytes(body)
        finally:
            self._held -= len(body)

    def _take(self, body: bytearray, chunk: bytes) -> None:
        most = self._bounds.body_bytes
        if len(body) + len(chunk) > most:
            raise RefusedError(failure("resource_exhausted", f"the body is larger than {most} bytes", status=413))
        if self._held + len(chunk) > self._bounds.all_bytes:
            text = "too many bytes of other requests are here; try again"
            raise RefusedError(failure("resource_exhausted", text, headers={"Retry-After": "1"}))
        self._held += len(chunk)
        body += chunk
