"""What the interceptor asks about callers: see `exalign_service.access.gate`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import grpc

from exalign_service.rpc.errors import AccessError


class Gate(Protocol):
    """Decides who may call. For the event loop's thread."""

    def admit(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """Decide about a call, from its full name, "service/method", and its metadata.

        Returns:
            Who calls; empty where the connection may say it.

        Raises:
            AccessError: the call is denied.
        """

    def certified(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Who calls, by the connection; empty where it does not say."""

    def denied(self, error: AccessError, request_id: str, method: str, peer: str) -> None:
        """Count and log a call that was denied."""
