"""Of a request that has been answered, nothing stays, also without the collection of cycles."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Any

import grpc
import pytest

from exalign_service.methods.faces import FacesMethods
from exalign_service.rpc.interceptor import _RpcHandler
from service_fakes import GOOD_BOX, Running, encoded, request, until


class Witness:
    """Stands in a frame beside a request, for a message cannot be watched itself."""


@pytest.mark.parametrize("data", [encoded(), b"no picture", b""], ids=["answered", "refused late", "refused at once"])
async def test_a_request_is_let_go_with_its_answer(live: Running, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    witnesses: list[weakref.ref[Witness]] = []
    landmarks = FacesMethods.landmarks

    async def watched(self: FacesMethods, request: Any) -> Any:
        witness = Witness()
        witnesses.append(weakref.ref(witness))
        return await landmarks(self, request)

    monkeypatch.setattr(FacesMethods, "landmarks", watched)
    gc.collect()
    gc.disable()
    try:
        call = live.stub.PredictLandmarks(request(GOOD_BOX, data=data))
        if data == encoded():
            await call
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        await until(lambda: [witness() for witness in witnesses] == [None])
    finally:
        gc.enable()


async def test_while_a_call_goes_on_nobody_keeps_the_bytes_that_it_came_in(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[bytes] = []
    references: list[int] = []
    parse, landmarks = _RpcHandler._parse, FacesMethods.landmarks

    def seen(self: _RpcHandler, raw: bytes) -> Any:
        came.append(raw)
        return parse(self, raw)

    async def watched(self: FacesMethods, request: Any) -> Any:
        await asyncio.sleep(0)  # the event loop itself keeps what a task was woken with until it waits again
        references.append(sys.getrefcount(came[0]))
        return await landmarks(self, request)

    monkeypatch.setattr(_RpcHandler, "_parse", seen)
    monkeypatch.setattr(FacesMethods, "landmarks", watched)
    await live.stub.PredictLandmarks(request(GOOD_BOX))
    assert references == [2]  # our list, and the question
