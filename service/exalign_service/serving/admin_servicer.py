"""The ModelAdminService: which model answers."""

from __future__ import annotations

import time

from exalign.v1 import admin_pb2, admin_pb2_grpc
from exalign_service.serving.swap import ModelSwap


class ModelAdminServicer(admin_pb2_grpc.ModelAdminServiceServicer):
    """Handlers raise; the interceptor turns exceptions into statuses.

    Args:
        swap: does it.
    """

    def __init__(self, swap: ModelSwap) -> None:
        self._swap = swap

    async def SwapModel(  # noqa: N802  # the contract's name
        self, request: admin_pb2.SwapModelRequest, context: object
    ) -> admin_pb2.SwapModelResponse:
        """See admin.proto."""
        start = time.monotonic()
        done = await self._swap.by_name(request.bundle)
        answer = admin_pb2.SwapModelResponse(bundle_id=done.bundle_id, previous_bundle_id=done.previous_bundle_id)
        answer.elapsed.FromNanoseconds(round((time.monotonic() - start) * 1e9))
        return answer
