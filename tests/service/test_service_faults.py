"""Faults in a server, in short: `trust_faults` has them all. What other tests cover is not here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from exalign_engine.network.outputs import Outputs
from service_fakes import GOOD_BOX, U8, config, request, running, until
from test_service_lifecycle import get
from trust_faults import FAULTS, row


@pytest.mark.parametrize(
    ("kind", "alter"),
    [
        ("not_finite", lambda _, out: replace(out, scores=np.full_like(out.scores, np.nan))),
        ("shape", lambda _, out: replace(out, scores=out.scores[:, :5])),
    ],
)
async def test_a_network_whose_answers_are_wrong_again_and_again_is_not_serving_until_they_are_right(
    kind: str, alter: Callable[[U8, Outputs], Outputs], tmp_path: Path
) -> None:
    async with running(tmp_path, config(max_runtime_faults=2)) as live:
        plain, live.runtime.alter = live.runtime.alter, alter
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.PredictLandmarks(request(GOOD_BOX))
            assert caught.value.code() == grpc.StatusCode.INTERNAL
        await until(lambda: not live.server.lifecycle.serving)
        reason = "not serving: the network has failed 2 times in a row or more: RuntimeFaultError\n"
        assert await get(live.server, "/readyz") == (503, reason)
        assert live.sample("exalign_runtime_faults_total", kind=kind) >= 3
        live.runtime.alter = plain
        await until(lambda: live.server.lifecycle.serving)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: RLIMIT_DATA and /proc")
def test_too_little_memory_is_told_noticed_and_survived() -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == "little memory")
    assert row(fault).wrong == []
