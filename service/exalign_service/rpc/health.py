"""The health service of gRPC, `grpc.health.v1`: Check, Watch and List.

The library's own answers no List. Its Watch sends under the lock that a change of status needs: a watcher that takes
nothing any more would hold up the server's end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:  # generic in the stubs only
    Context = grpc.aio.ServicerContext[Any, Any]


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # its stubs have no types
    """The status of each service by its full name; "" is the server. For the event loop's thread only."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        #: Set, and replaced by another, at every change.
        self._changed = asyncio.Event()
        self._ending = False

    async def set(self, service: str, status: int) -> None:
        """Change the status of a service; nothing happens after `enter_graceful_shutdown`."""
        if not self._ending:
            self._statuses[service] = status
            self._tell()

    async def enter_graceful_shutdown(self) -> None:
        """From now on every service is NOT_SERVING."""
        self._ending = True
        self._statuses = dict.fromkeys(self._statuses, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._tell()

    async def Check(  # noqa: N802  # the contract's name
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status of one service; NOT_FOUND where there is none of the name."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "service: there is none of this name")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(  # noqa: N802
        self, request: health_pb2.HealthListRequest, context: Context
    ) -> health_pb2.HealthListResponse:
        """The status of every service."""
        answer = health_pb2.HealthListResponse()
        for name, status in self._statuses.items():
            answer.statuses[name].status = status
        return answer

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> None:
        """The status of one service now, and whenever it has changed; without end."""
        sent = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != sent:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                sent = status
            else:
                await changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
