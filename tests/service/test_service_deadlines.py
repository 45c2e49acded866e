"""Which status a cancelled call is counted by: gRPC cancels a handler and does not say why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from exalign_service.observability.metrics import Metrics
from exalign_service.rpc.interceptor import CallInterceptor
from exalign_service.rpc.services import SERVICES
from manual_clock import ManualClock, settle

TRACK = {
    "grpc_type": "bidi_stream",
    "grpc_service": "exalign.v1.FaceAlignmentService",
    "grpc_method": "TrackVideo",
}


class FakeContext:
    """As much of gRPC's context as a call needs that is cancelled."""

    def __init__(self, allowed: float | None) -> None:
        self._allowed = allowed

    def time_remaining(self) -> float | None:
        return self._allowed

    def set_trailing_metadata(self, metadata: object) -> None: ...

    def peer(self) -> str:
        return "nobody"


@pytest.mark.parametrize(
    ("allowed", "elapsed", "code"),
    [
        (5.0, 5.0, "DeadlineExceeded"),
        (5.0, 6.0, "DeadlineExceeded"),
        # Clients write deadlines down rounded up to two or three digits, and cancel at the exact time.
        (1.01, 1.001, "DeadlineExceeded"),
        (5.0, 4.9, "Canceled"),
        # gRPC cancels a little before our clock says so.
        (0.1, 0.0985, "DeadlineExceeded"),
        (0.1, 0.097, "Canceled"),
        (None, 1e6, "Canceled"),
    ],
)
async def test_a_cancelled_stream_is_counted_by_whether_its_deadline_was_met(
    allowed: float | None, elapsed: float, code: str
) -> None:
    clock, metrics = ManualClock(), Metrics(SERVICES, 8)
    interceptor = CallInterceptor(metrics, max_deadline=30.0, clock=clock)

    async def behaviour(requests: AsyncIterator[Any], context: Any) -> None:
        await asyncio.Event().wait()

    async def continuation(details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(behaviour)

    details: Any = SimpleNamespace(method="/exalign.v1.FaceAlignmentService/TrackVideo", invocation_metadata=())
    handler: Any = await interceptor.intercept_service(continuation, details)
    call = asyncio.create_task(handler.stream_stream(None, FakeContext(allowed)))
    await settle()
    await clock.advance(elapsed)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    value = metrics.registry.get_sample_value
    assert value("grpc_server_handled_total", {**TRACK, "grpc_code": code}) == 1
    assert value("grpc_server_handling_seconds_sum", TRACK) == pytest.approx(elapsed)
