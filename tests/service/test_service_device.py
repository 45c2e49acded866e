"""A GPU that is lost or full, as a caller, a load balancer and whoever restarts servers see it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, generate_latest

from exalign.v1 import service_pb2_grpc
from exalign_engine.runtime.divergence import Divergence
from exalign_engine.runtime.tensorrt.errors import DeviceLostError, DeviceMemoryError
from exalign_service.observability.model_metrics import export_divergence
from exalign_service.rpc.errors import status_of
from service_fakes import GOOD_BOX, PATIENCE, Running, encoded, request

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
    async with asyncio.timeout(PATIENCE):
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


async def test_the_command_exits_with_1_when_the_device_is_lost() -> None:
    program = """
import sys, tempfile
from pathlib import Path
from exalign_engine import Aligner
from exalign_engine.runtime.tensorrt.errors import DeviceLostError
from exalign_service import cli, server
from service_fakes import FakeDetector, FakeRuntime, tiny_bundle
class LostOnWhite(FakeRuntime):
    def infer(self, crops):
        if crops.min() == 255:  # warming up shows it grey crops
            raise DeviceLostError("cudaX", "cudaErrorY", "it fell out")
        return super().infer(crops)
aligner = Aligner(tiny_bundle(Path(tempfile.mkdtemp())), LostOnWhite(), {"mtcnn": FakeDetector()})
server.load_model = lambda config: server.LoadedModel(aligner)
sys.exit(cli.main())
"""
    white = np.full((48, 64, 3), 255, np.uint8)
    command = ("-c", program, "serve", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=HERE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(240):
            announced = await process.stdout.readline()
            if announced:
                async with grpc.aio.insecure_channel(json.loads(announced)["address"]) as channel:
                    stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
                    with pytest.raises(grpc.aio.AioRpcError, match="it fell out"):
                        await stub.PredictLandmarks(request(GOOD_BOX, data=encoded(white)))
            _, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1, log.decode()
    assert log.decode().strip().splitlines()[-1] == "exalign-server: GPU: cudaX failed: it fell out (cudaErrorY)"


def test_errors_of_the_device_have_statuses_that_say_whether_to_try_again() -> None:
    assert status_of(LOST, "id").code == grpc.StatusCode.UNAVAILABLE
    assert status_of(DeviceMemoryError("a", "b", "c"), "id").code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_how_far_the_runtime_is_from_the_reference_is_a_metric() -> None:
    registry = CollectorRegistry()
    export_divergence(Divergence(kl=0.001, landmarks=0.002, coverage=0.003), registry)
    text = generate_latest(registry).decode()
    for line in ('{measure="kl"} 0.001', '{measure="landmarks"} 0.002', '{measure="coverage"} 0.003'):
        assert f"exalign_engine_divergence{line}" in text
