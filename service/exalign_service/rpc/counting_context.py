"""What a handler reads and writes is counted on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from grpc.aio import EOF  # type: ignore[attr-defined]  # the stubs lack it
from prometheus_client import Counter

from exalign_service.rpc.handlers import read

if TYPE_CHECKING:  # generic in the stubs only
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class CountingContext:
    """A servicer context that counts and parses what passes through ``read`` and ``write``.

    Args:
        context: gRPC's.
        parse: a message from its bytes; counts it.
        sent: counts what is written.
    """

    def __init__(self, context: Context, parse: Callable[[bytes], Any], sent: Counter) -> None:
        self._context, self._parse, self._sent = context, parse, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """The next message, or `grpc.aio.EOF`."""
        raw = await read(self._context)
        return raw if raw is EOF else self._parse(raw)

    async def write(self, message: Any) -> None:
        """Send a message."""
        await self._context.write(message)
        self._sent.inc()
