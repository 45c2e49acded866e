"""inference.GRPCInferenceService: what it answers, and that it takes the way of PredictLandmarks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign_engine import Aligner
from exalign_service import Server
from exalign_service.config.schema import ModelConfig
from exalign_service.open_inference.request import read_infer
from exalign_service.open_inference.servicer import OpenInferenceServicer
from exalign_service.rpc.errors import NotServingError
from exalign_service.rpc.lifecycle import Lifecycle
from open_inference_requests import arrays, infer, pixels
from service_fakes import (
    GOOD_BOX,
    Details,
    FakeDetector,
    FakeRuntime,
    Running,
    config,
    details_of,
    picture,
    request,
    running,
    tiny_bundle,
    until,
)

OUTPUTS = ["boxes", "landmarks", "covariances", "confidences", "presence", "pose"]
BOXES = (GOOD_BOX, (20.0, 5.0, 60.0, 45.0))
NAME = "inference.GRPCInferenceService"
INFER = {"grpc_type": "unary", "grpc_service": NAME, "grpc_method": "ModelInfer"}


def stub_of(channel: grpc.aio.Channel) -> Any:
    return inference_pb2_grpc.GRPCInferenceServiceStub(channel)


async def fails(call: Awaitable[object]) -> tuple[grpc.StatusCode, Details]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), details_of(caught.value)


async def test_the_outputs_are_what_predict_landmarks_answers(live: Running) -> None:
    asked = infer(*BOXES)
    asked.id = "seven"
    got = await stub_of(live.channel).ModelInfer(asked)
    own = request(*BOXES)
    own.pose.histogram.yaw_bins = 0
    want = (await live.stub.PredictLandmarks(own)).faces
    assert (got.model_name, got.model_version, got.id) == ("exalign", "b" * 64, "seven")
    assert dict(got.parameters) == {}
    found = arrays(got)
    assert list(found) == OUTPUTS
    assert [v.shape for v in found.values()] == [(2, 4), (2, 68, 2), (2, 68, 2, 2), (2, 68), (2,), (2, 3)]
    for i, face in enumerate(want):
        box, mean = face.box, face.pose.mean
        assert found["boxes"][i].tolist() == [box.x0, box.y0, box.x1, box.y1]
        assert found["landmarks"][i].ravel().tolist() == list(face.landmarks.points)
        assert found["confidences"][i].tolist() == list(face.landmarks.confidences)
        assert found["presence"][i] == face.presence
        assert found["pose"][i].tolist() == [mean.yaw, mean.pitch, mean.roll]
        xx, xy, yy = np.array(face.landmarks.covariances, np.float32).reshape(68, 3).T
        assert np.array_equal(found["covariances"][i], np.stack([xx, xy, xy, yy], 1).reshape(68, 2, 2))


async def test_values_go_as_they_came_raw_or_by_type(live: Running) -> None:
    stub, image = stub_of(live.channel), picture()
    raw = arrays(await stub.ModelInfer(infer(*BOXES)))
    for other in (infer(*BOXES, raw=False), pixels(image, *BOXES), pixels(image, *BOXES, raw=False)):
        answer = await stub.ModelInfer(other)
        assert bool(answer.raw_output_contents) == bool(other.raw_input_contents)
        found = arrays(answer)
        assert list(found) == list(raw)
        for name, values in raw.items():
            assert np.array_equal(found[name], values), name


async def test_only_what_is_asked_for_comes_in_the_order_asked_for(live: Running) -> None:
    got = arrays(await stub_of(live.channel).ModelInfer(infer(GOOD_BOX, outputs=["presence", "landmarks"])))
    assert list(got) == ["presence", "landmarks"]
    assert got["landmarks"].shape == (1, 68, 2)


def test_the_pose_is_computed_only_where_it_is_wanted() -> None:
    assert read_infer(infer(), 4).predict.HasField("pose")
    assert read_infer(infer(outputs=["pose"]), 4).predict.HasField("pose")
    assert not read_infer(infer(outputs=["landmarks"]), 4).predict.HasField("pose")


@pytest.mark.parametrize("raw", [True, False])
async def test_without_boxes_faces_are_detected_and_none_is_no_error(live: Running, raw: bool) -> None:
    stub = stub_of(live.channel)
    none = await stub.ModelInfer(infer(raw=raw))
    assert [list(o.shape) for o in none.outputs] == [[0, 4], [0, 68, 2], [0, 68, 2, 2], [0, 68], [0], [0, 3]]
    assert all(values.size == 0 for values in arrays(none).values())
    live.detector.faces = [((10, 10, 40, 40), 0.9), ((20, 5, 60, 45), 0.8)]
    assert arrays(await stub.ModelInfer(infer(raw=raw)))["landmarks"].shape == (2, 68, 2)


async def test_faces_that_were_left_out_are_counted(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_faces=1)) as live:
        live.detector.faces = [((10, 10, 40, 40), 0.9), ((20, 5, 60, 45), 0.8), ((0, 0, 20, 20), 0.8)]
        got = await stub_of(live.channel).ModelInfer(infer())
        assert got.parameters["faces_left_out"].int64_param == 2
        assert arrays(got)["presence"].shape == (1,)


async def test_metadata_says_what_the_model_takes_and_gives(live: Running) -> None:
    stub = stub_of(live.channel)
    server = await stub.ServerMetadata(inference_pb2.ServerMetadataRequest())
    assert (server.name, list(server.extensions)) == ("exalign", ["model_configuration"])
    got = await stub.ModelMetadata(inference_pb2.ModelMetadataRequest(name="exalign"))
    assert (got.name, list(got.versions), got.platform) == ("exalign", ["b" * 64], "exalign")
    assert [(t.name, t.datatype, list(t.shape)) for t in got.inputs] == [
        ("image", "BYTES", [1]),
        ("boxes", "FP32", [-1, 4]),
    ]
    answered = await stub.ModelInfer(infer(GOOD_BOX))
    for stated, output in zip(got.outputs, answered.outputs, strict=True):
        assert (stated.name, stated.datatype, list(stated.shape)[1:]) == (
            *(output.name, output.datatype),
            list(output.shape)[1:],
        )
        assert stated.shape[0] == -1
    assert set(got.properties) == {"inputs.image", "inputs.boxes", *(f"outputs.{name}" for name in OUTPUTS)}
    configured = (await stub.ModelConfig(inference_pb2.ModelConfigRequest(name="exalign", version="b" * 64))).config
    assert (configured.name, configured.max_batch_size) == ("exalign", 0)
    assert {one.name: one.optional for one in configured.input} == {"image": False, "boxes": True}


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("", ""), ("exalign", "1")])
async def test_another_model_or_version_is_not_found(live: Running, name: str, version: str) -> None:
    stub, asked = stub_of(live.channel), infer(GOOD_BOX)
    asked.model_name, asked.model_version = name, version
    named = {"name": name, "version": version}
    for call in (
        stub.ModelInfer(asked),
        stub.ModelReady(inference_pb2.ModelReadyRequest(**named)),
        stub.ModelMetadata(inference_pb2.ModelMetadataRequest(**named)),
        stub.ModelConfig(inference_pb2.ModelConfigRequest(**named)),
    ):
        code, details = await fails(call)
        assert (code, details.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_the_name_of_the_model_is_a_setting(tmp_path: Path) -> None:
    async with running(tmp_path, config(model=ModelConfig(model_name="faces"))) as live:
        asked = infer(GOOD_BOX)
        asked.model_name = "faces"
        assert (await stub_of(live.channel).ModelInfer(asked)).model_name == "faces"


async def test_it_is_ready_when_the_server_serves_and_says_so_from_the_start(tmp_path: Path) -> None:
    runtime = FakeRuntime()
    server = Server(config(), Aligner(tiny_bundle(tmp_path), runtime, {"mtcnn": FakeDetector()}))
    runtime.gate.clear()  # it cannot become warm
    starting = asyncio.create_task(server.start())
    await until(lambda: runtime.held > 0)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = stub_of(channel)

        async def said() -> tuple[bool, bool, bool]:
            return (
                (await stub.ServerLive(inference_pb2.ServerLiveRequest())).live,
                (await stub.ServerReady(inference_pb2.ServerReadyRequest())).ready,
                (await stub.ModelReady(inference_pb2.ModelReadyRequest(name="exalign"))).ready,
            )

        assert await said() == (True, False, False)
        code, details = await fails(stub.ModelInfer(infer(GOOD_BOX)))
        assert (code, details.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_SERVING")
        runtime.gate.set()
        await starting
        assert await said() == (True, True, True)
        assert arrays(await stub.ModelInfer(infer(GOOD_BOX)))["presence"].shape == (1,)
        server.lifecycle.troubled("test", "something is wrong")
        assert await said() == (True, False, False)
        server.lifecycle.recovered("test")
        assert await said() == (True, True, True)
    await server.stop(0)


async def test_before_the_model_is_loaded_its_metadata_is_not_known() -> None:
    servicer = OpenInferenceServicer(Lifecycle(), "exalign", 4)
    with pytest.raises(NotServingError):
        await servicer.ModelMetadata(inference_pb2.ModelMetadataRequest(name="exalign"), None)
    with pytest.raises(NotServingError):
        await servicer.ModelInfer(infer(), None)


async def test_calls_are_admitted_and_have_deadlines_as_all_others(tmp_path: Path) -> None:
    async with running(tmp_path, config(queue=1, max_faces=1, network_calls=1, max_batch=1)) as live:
        stub = stub_of(live.channel)
        live.runtime.gate.clear()
        held = asyncio.ensure_future(stub.ModelInfer(infer(GOOD_BOX), timeout=20))
        await until(lambda: live.runtime.held == 1)
        code, details = await fails(stub.ModelInfer(infer(GOOD_BOX)))
        assert (code, details.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert details.retry_seconds
        assert live.sample("exalign_refused_calls_total", reason="calls") == 1
        live.runtime.gate.set()
        await held
    async with running(tmp_path, config(max_deadline=0.05)) as live:
        live.runtime.gate.clear()
        code, _ = await fails(stub_of(live.channel).ModelInfer(infer(GOOD_BOX)))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_calls_are_counted_by_their_own_name(live: Running) -> None:
    await stub_of(live.channel).ModelInfer(infer(GOOD_BOX))
    await until(lambda: live.sample("grpc_server_handled_total", **INFER, grpc_code="OK") == 1)
    assert live.sample("exalign_faces_total", method="ModelInfer") == 1
    assert live.sample("exalign_stage_seconds_count", stage="infer", method="ModelInfer") == 1
    assert live.sample("exalign_faces_total", method="PredictLandmarks") == 0


async def test_the_end_of_the_server_waits_for_its_calls(live: Running) -> None:
    stub = stub_of(live.channel)
    live.runtime.gate.clear()
    call = asyncio.ensure_future(stub.ModelInfer(infer(GOOD_BOX)))
    await until(lambda: live.runtime.held == 1)
    stopping = asyncio.create_task(live.server.stop(30))
    await until(lambda: live.server.lifecycle.draining)
    live.runtime.gate.set()
    assert arrays(await call)["presence"].shape == (1,)
    await stopping


async def test_a_call_that_waits_for_what_is_stuck_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, config(stuck_after=0.1)) as live:
        live.runtime.gate.clear()
        code, details = await fails(stub_of(live.channel).ModelInfer(infer(GOOD_BOX)))
        assert (code, details.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_SERVING")


@pytest.mark.parametrize("method", ["ModelStatistics", "RepositoryIndex", "ModelStreamInfer"])
async def test_extensions_that_there_are_not_are_unimplemented(live: Running, method: str) -> None:
    code, details = await fails(live.channel.unary_unary(f"/{NAME}/{method}")(b""))
    assert (code, details.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")


async def test_reflection_knows_the_service(live: Running) -> None:
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAME)
    listed = reflection_pb2.ServerReflectionRequest(list_services="")
    call = reflection_pb2_grpc.ServerReflectionStub(live.channel).ServerReflectionInfo(iter([asked, listed]))
    described, names = [answer async for answer in call]
    assert described.file_descriptor_response.file_descriptor_proto
    assert NAME in {one.name for one in names.list_services_response.service}
