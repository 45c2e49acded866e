"""The access log: one line a call, but for those that are refused by the hundred."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path

import grpc
import pytest

from service_fakes import GOOD_BOX, Running, config, request, running, until

SERVICE = "exalign.v1.FaceAlignmentService"


async def refused(live: Running) -> grpc.StatusCode:
    """The status of a call about a face that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictLandmarks(request(GOOD_BOX))
    return caught.value.code()


async def test_every_call_leaves_one_line_in_the_log(live: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="exalign_service")
    call = live.stub.PredictLandmarks(request(GOOD_BOX), metadata=[("x-request-id", "mine_1")])
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine_1"
    with pytest.raises(grpc.aio.AioRpcError):
        await live.stub.PredictLandmarks(request(data=b""), metadata=[("x-request-id", "not fit for a log!")])
    good, bad = (r.__dict__["fields"] for r in caplog.records if r.getMessage() == "call")
    assert good["request_id"] == "mine_1"
    assert (good["method"], good["code"]) == ("PredictLandmarks", "OK")
    assert good["seconds"] > 0
    assert good["peer"].startswith("ipv4:127.0.0.1:")
    assert re.fullmatch(r"[0-9a-f]{32}", bad["request_id"])
    assert bad["code"] == "InvalidArgument"
    assert "image.encoded: is empty" in bad["message"]


async def test_of_many_calls_refused_for_overload_few_leave_a_line_and_all_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="exalign_service")
    async with running(tmp_path, config(queue=1, max_faces=1, network_calls=1, max_batch=1)) as live:
        live.runtime.gate.clear()
        task = asyncio.ensure_future(live.stub.PredictLandmarks(request(GOOD_BOX)))
        await until(lambda: live.runtime.held == 1)
        began = time.monotonic()
        for _ in range(60):
            assert await refused(live) == grpc.StatusCode.RESOURCE_EXHAUSTED
        lines = [r.__dict__["fields"] for r in caplog.records if r.getMessage() == "call"]
        assert 1 <= len(lines) <= 1 + 20 * (time.monotonic() - began)
        assert len(lines) + sum(line.get("left_out", 0) for line in lines) <= 60
        labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "PredictLandmarks"}
        assert live.sample("grpc_server_handled_total", **labels, grpc_code="ResourceExhausted") == 60
        live.runtime.gate.set()
        await task
