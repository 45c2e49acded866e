"""A GPU that is lost or full, as a caller, a load balancer and whoever restarts servers see it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, generate_latest

from exalign_engine.runtime.equivalence import Divergence
from exalign_engine.runtime.tensorrt.errors import DeviceLostError, DeviceMemoryError
from exalign_service.observability.calibration_metrics import export_divergence
from exalign_service.rpc.errors import answer_to
from service_fakes import GOOD_BOX, Running, request

HERE = Path(__file__).parent
LOST = DeviceLostError("cudaStreamSynchronize", "cudaErrorIllegalAddress", "an illegal memory access was encountered")


async def test_a_lost_device_ends_the_service_in_words(live: Running) -> None:
    health = health_pb2_grpc.HealthStub(live.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    live.runtime.error = LOST
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError, match="illegal memory access") as e:
            await live.stub.PredictLandmarks(request(GOOD_BOX))
        assert e.value.code() == grpc.StatusCode.UNAVAILABLE
    async with asyncio.timeout(5):
        while (
            await health.Check(health_pb2.HealthCheckRequest())
        ).status != health_pb2.HealthCheckResponse.NOT_SERVING:
            await asyncio.sleep(0.01)
    assert live.server.failure is LOST
    assert not live.server.lifecycle.serving


async def test_a_full_device_fails_one_call_and_the_next_is_answered(live: Running) -> None:
    live.runtime.error = DeviceMemoryError("cudaMalloc", "cudaErrorMemoryAllocation", "out of memory")
    with pytest.raises(grpc.aio.AioRpcError) as e:
        await live.stub.PredictLandmarks(request(GOOD_BOX))
    assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    live.runtime.error = None
    await live.stub.PredictLandmarks(request(GOOD_BOX))
    assert live.server.failure is None
    assert live.server.lifecycle.serving


def test_the_command_exits_with_1_when_the_device_is_lost() -> None:
    program = """
import asyncio, sys, tempfile, threading
from pathlib import Path
from exalign_engine import Aligner
from exalign_engine.tensorrt.errors import DeviceLostError
from exalign_service import cli, server
from service_fakes import FakeDetector, FakeRuntime, tiny_bundle
runtime = FakeRuntime()
aligner = Aligner(tiny_bundle(Path(tempfile.mkdtemp())), runtime, {"mtcnn": FakeDetector()})
server.load_model = lambda config: server.LoadedModel(aligner)
def announce(running):
    loop = asyncio.get_running_loop()
    loop.call_soon(running._fail, DeviceLostError("cudaX", "cudaErrorY", "it fell out"))
cli._announce = announce
sys.exit(cli.main())
"""
    result = subprocess.run(
        [sys.executable, "-c", program, "serve", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=HERE,
    )
    assert result.returncode == 1, result.stderr
    assert result.stderr.strip().splitlines()[-1] == "exalign-server: GPU: cudaX failed: it fell out (cudaErrorY)"


def test_errors_of_the_device_have_statuses_that_say_whether_to_try_again() -> None:
    assert answer_to(LOST, "id").code == grpc.StatusCode.UNAVAILABLE
    assert answer_to(DeviceMemoryError("a", "b", "c"), "id").code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_how_far_the_runtime_is_from_the_reference_is_a_metric() -> None:
    registry = CollectorRegistry()
    export_divergence(Divergence(kl=0.001, landmarks=0.002, coverage=0.003), registry)
    text = generate_latest(registry).decode()
    for line in ('{measure="kl"} 0.001', '{measure="landmarks"} 0.002', '{measure="coverage"} 0.003'):
        assert f"exalign_engine_divergence{line}" in text
