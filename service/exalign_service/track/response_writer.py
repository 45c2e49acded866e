"""Responses of one stream, and for how long its client has been idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from exalign.v1 import service_pb2
from exalign_service.rpc.clock import Clock


class ResponseSink(Protocol):
    """Where responses go: gRPC's context of a call."""

    async def write(self, message: Any) -> None:
        """Send a message; waits for the client's flow control."""


class ResponseWriter:
    """Writes the responses of one stream, one at a time, and measures how long its client has been idle.

    Args:
        sink: where responses go.
        clock: measures idle time.
    """

    def __init__(self, sink: ResponseSink, clock: Clock) -> None:
        self._sink, self._clock, self._lock = sink, clock, asyncio.Lock()
        self._last_activity = clock.now()
        #: Says which frame is the newest whose state outlives this process; None: none ever does.
        self.durable: Callable[[], int | None] = lambda: None
        #: Since when the server has been working for the client; None while it waits for it.
        self._active_since: float | None = None

    async def write(self, *messages: service_pb2.TrackVideoResponse | bytes) -> None:
        """Send messages, or what they were serialized to, with nothing between them."""
        async with self._lock:
            for message in messages:
                await self._sink.write(self._marked(message))
                self.touch()

    def _marked(self, message: service_pb2.TrackVideoResponse | bytes) -> service_pb2.TrackVideoResponse | bytes:
        """With the newest durable frame; a kept result is never changed by that."""
        frame = self.durable()
        if frame is None:
            return message
        if isinstance(message, bytes):
            return message + service_pb2.TrackVideoResponse(durable_frame=frame).SerializeToString()
        message.durable_frame = frame
        return message

    def touch(self) -> None:
        """Note that the client has just sent or taken a message."""
        self._last_activity = self._clock.now()

    @contextmanager
    def active(self) -> Iterator[None]:
        """While the server works for the client, the client is not idle."""
        self._active_since = self._clock.now()
        try:
            yield
        finally:
            self._active_since = None
            self.touch()

    @property
    def idle_seconds(self) -> float:
        """For how long the server has waited for the client; 0 while the client waits for the server."""
        return 0.0 if self._active_since is not None else self._clock.now() - self._last_activity

    @property
    def busy_seconds(self) -> float:
        """For how long the client has waited for the server; 0 while the server waits for the client."""
        return 0.0 if self._active_since is None else self._clock.now() - self._active_since
