"""A server that has answered every RPC has loaded nothing that trains, fits or evaluates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from track_e2e import Talk, clip, config, frame

from exalign.v1 import evidence_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2, service_pb2_grpc
from exalign_service.startup.arenas import arenas
from import_graph import OFFLINE

#: Runs the server as its command does, and writes when it ends: the names of all modules, and how glibc keeps memory.
SERVER = """
import atexit, ctypes, json, pathlib, runpy, sys
modules = pathlib.Path(sys.argv.pop(1))
def write():
    modules.write_text(json.dumps(sorted(sys.modules)))
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_info"):
        libc.fopen.restype = ctypes.c_void_p
        file = ctypes.c_void_p(libc.fopen(str(modules.with_suffix(".xml")).encode(), b"w"))
        libc.malloc_info(0, file)
        libc.fclose(file)
atexit.register(write)
runpy.run_module("exalign_service.cli", run_name="__main__", alter_sys=True)
"""
ARGUMENTS = ["serve", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--exit-with-stdin"]


def answer_everything(stub: service_pb2_grpc.FaceAlignmentServiceStub, photo: bytes) -> set[str]:
    """Call every RPC with every view, kept and unkept; their names."""
    picture, heat, pose = image_pb2.Image(encoded=photo), heatmap_pb2.HeatmapOptions(), pose_pb2.PoseOptions()
    (face,) = stub.PredictLandmarks(service_pb2.PredictLandmarksRequest(image=picture, heatmaps=heat, pose=pose)).faces
    name = face.posterior_id
    x, y = face.landmarks.points[60:62]
    clicks = [evidence_pb2.Click(landmark=30, position=geometry_pb2.Point(x=x + 2, y=y), sigma=1.0)]
    evidence = evidence_pb2.Evidence(clicks=clicks)
    requests: dict[str, Any] = {
        "PredictHeatmaps": service_pb2.PredictHeatmapsRequest(posterior_id=name),
        "EstimatePose": service_pb2.EstimatePoseRequest(image=picture),
        "QueryConditional": service_pb2.QueryConditionalRequest(
            posterior_id=name, evidence=evidence, heatmaps=heat, pose=pose, include_prior=True
        ),
        "SuggestEvidence": service_pb2.SuggestEvidenceRequest(posterior_id=name),
        "GetModel": service_pb2.GetModelRequest(),
        "GetExemplars": service_pb2.GetExemplarsRequest(class_ids=[0, 1]),
    }
    for method, request in requests.items():
        assert getattr(stub, method)(request).ByteSize() > 0
    talk = Talk(stub)
    talk.open(config(smoothing_lag=2, path_frames=4, pose=pose, heatmaps=heat, suggestion={"max_suggestions": 1}))
    for index, one in enumerate(clip(photo, 5)):
        talk.say(frame=frame(index, None if index == 3 else one))
    assert talk.rest()[-1].WhichOneof("message") == "closed"
    return {"PredictLandmarks", "TrackVideo", *requests}


@pytest.fixture(scope="module")
def ended(astronaut: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a server that has answered everything has written, when it ended, what `SERVER` says."""
    modules = tmp_path_factory.mktemp("loaded") / "modules.json"
    command = [sys.executable, "-c", SERVER, str(modules), *ARGUMENTS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        with grpc.insecure_channel(address) as channel:
            called = answer_everything(service_pb2_grpc.FaceAlignmentServiceStub(channel), astronaut)
        assert called == set(service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"].methods_by_name)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return modules


@pytest.fixture
def loaded(ended: Path) -> list[str]:
    """Names of the modules that it had loaded."""
    return list(json.loads(ended.read_text()))


def test_the_threads_of_a_server_share_the_arenas_that_are_meant_for_them(ended: Path) -> None:
    said = ended.with_suffix(".xml")
    if not said.exists():
        pytest.skip("needs glibc")
    assert said.read_text().count("<heap ") <= arenas(len(os.sched_getaffinity(0)))


def test_a_server_that_answered_everything_has_loaded_nothing_offline(loaded: list[str]) -> None:
    assert "exalign_engine.tracking.session" in loaded
    offline = [name for name in loaded if name.startswith(tuple(f"exalign_engine.{room}" for room in OFFLINE))]
    assert not offline, f"a server loads none of {offline}: move what it needs to another room"


def test_a_server_that_answered_everything_has_loaded_no_torch_no_client_and_no_tracing(loaded: list[str]) -> None:
    foreign = {"torch", "matplotlib", "onnxscript", "exalign_client", "opentelemetry"}
    assert not foreign & {name.split(".")[0] for name in loaded}


def test_a_server_that_answered_everything_has_not_loaded_what_libraries_bring_for_others(loaded: list[str]) -> None:
    assert {"numba.core.typing.cffi_utils", "openvino._ov_api"} <= set(loaded)
    for_others = ("openvino.opset", "openvino.tools", "cffi", "pycparser", "scipy.linalg")
    assert not [name for name in loaded if name.startswith(for_others)]
