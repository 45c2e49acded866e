"""Work in threads ends where nobody waits for it any more."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.responses import face_views
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.errors import DeadlineExpiredError
from service_fakes import GOOD_BOX, Running, request


def pipeline(stages: StagePool) -> Pipeline:
    """Only its threads."""
    nothing = cast(Any, SimpleNamespace())
    return Pipeline(nothing, nothing, stages, nothing, nothing, nothing, nothing, nothing)


def test_a_check_passes_until_the_calls_deadline() -> None:
    for deadline, passes in ((math.inf, True), (time.monotonic() + 3600, True), (time.monotonic() - 1, False)):
        token = current_call.set(Call("one", deadline))
        clock = StageClock()
        current_call.reset(token)
        if passes:
            clock.check()
        else:
            with pytest.raises(DeadlineExpiredError):
                clock.check()


async def test_work_whose_call_is_cancelled_ends_at_its_next_check() -> None:
    started, cancelled, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        cancelled.wait(60)
        try:
            clock.check()
        except DeadlineExpiredError:
            ended.set()
            raise

    clock = StageClock()
    with closing(StagePool(1)) as stages:
        task = asyncio.create_task(pipeline(stages).run_stage(clock, "posterior", work))
        await asyncio.to_thread(started.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()
        assert await asyncio.to_thread(ended.wait, 60)


async def test_the_stages_of_a_call_hand_its_check_to_the_engine(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call whose face is being read when its check says stop is answered DEADLINE_EXCEEDED."""
    plain = face_views.heatmaps

    def stopped(*arguments: Any) -> Any:
        check = arguments[-1]
        check.__self__.stop()
        return plain(*arguments)

    monkeypatch.setattr(face_views, "heatmaps", stopped)
    asked = request(GOOD_BOX)
    asked.heatmaps.width = 8
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictLandmarks(asked)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
