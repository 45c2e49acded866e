"""Of a request that has been answered, nothing stays, also without the collection of cycles."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import grpc
import pytest

from exalign_service.methods.faces import FacesMethods
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
