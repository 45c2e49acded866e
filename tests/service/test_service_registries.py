"""A detector and a runtime that are added by a file of their own, and used by name."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, service_pb2_grpc
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.detect import DETECTORS, BoxAffine, create_detector
from exalign_engine.errors import InvalidInputError
from exalign_engine.face.aligner import Aligner
from exalign_engine.runtime import RUNTIMES, create_runtime, runtime_names
from exalign_service import Server
from exalign_service.config.schema import ConfigError
from exalign_service.config.sources import SCHEMA
from service_fakes import encoded, picture

#: Everything that a new detector and a new runtime are.
OWN = '''
from pathlib import Path
import numpy as np
from exalign_engine.detect import DETECTORS, DetectorSpec, RawDetection
from exalign_engine.runtime import RUNTIMES, RuntimeSpec
from exalign_engine.runtime.onnx_runtime import OnnxRuntime

class OwnDetector:
    """Finds the box that its model file states."""
    name, min_score = "own", 0.5

    def __init__(self, model):
        self.box = np.array(model.read_text().split(), dtype=np.float64)

    def detect(self, image):
        return [RawDetection(self.box, 0.9)]

class OwnRuntime(OnnxRuntime):
    """ONNX Runtime under a name of its own."""
    name = "mine"

def load(network, options):
    return OwnRuntime(network, options.threads, options.reason, precision=options.precision)

DETECTORS.register(DetectorSpec("own", OwnDetector, model="text file with a box"))
RUNTIMES.register(RuntimeSpec("mine", "My Runtime", load))
'''


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """The detector's model file; the file above has been imported."""
    file = tmp_path / "own.py"
    file.write_text(OWN)
    spec = importlib.util.spec_from_file_location("own", file)
    assert spec is not None
    assert spec.loader is not None
    model = tmp_path / "box.txt"
    model.write_text("10 10 40 40")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        yield model
    finally:
        DETECTORS.unregister("own")
        RUNTIMES.unregister("mine")


@pytest.fixture
def bundle(toy_bundle_copy: Path) -> Path:
    """A bundle that understands the boxes of the detector."""
    manifest = Bundle.load(toy_bundle_copy).manifest
    affine = {"affine": BoxAffine(0.0, 0.0, 1.0).to_dict()}
    (toy_bundle_copy / "detectors.json").write_text(json.dumps({"own": affine}))
    seal(toy_bundle_copy, manifest)
    return toy_bundle_copy


def test_an_aligner_uses_them_by_name(own: Path, bundle: Path) -> None:
    loaded = Bundle.load(bundle)
    aligner = Aligner(loaded, create_runtime("mine", loaded.network), {"own": create_detector("own", own)})
    (face,) = aligner.align(picture(), detector="own")
    assert aligner.runtime.name == "mine"
    assert face.located.source == "own"


async def test_a_server_uses_them_by_the_names_in_its_settings(own: Path, bundle: Path) -> None:
    flags = {"detector": "own", "own_model": str(own), "address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0"}
    loaded = SCHEMA.load(flags, {"EXALIGN_RUNTIME": "mine", "EXALIGN_BUNDLE": str(bundle)})
    assert f'own_model = "{own}"  # flag --own-model: text file with a box' in loaded.to_toml()
    server = Server(loaded.config)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: service_pb2_grpc.FaceAlignmentServiceAsyncStub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
            request = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=encoded()))
            (face,) = (await stub.PredictLandmarks(request)).faces
            model = await stub.GetModel(service_pb2.GetModelRequest())
        assert face.source_box == geometry_pb2.Box(x0=10, y0=10, x1=40, y1=40, detector="own")
        assert model.runtime.name == "mine"
    finally:
        await server.stop(0)


def test_their_names_and_limits_are_in_messages(own: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        SCHEMA.load({"detector": "haar", "runtime": "tpu"}, {})
    for names, ours in ((DETECTORS.names(), "own"), (runtime_names(), "mine")):
        assert names[-1] == ours
        assert f"must be one of {', '.join(names)} (" in str(caught.value)
    with pytest.raises(ConfigError, match="detector is 'own', must not be without own_model"):
        SCHEMA.load({"detector": "own"}, {})
    with pytest.raises(InvalidInputError, match="own_model: is not set, detector own needs its model file"):
        create_detector("own")


def test_a_name_is_registered_once(own: Path) -> None:
    spec = DETECTORS.get("own")
    assert spec is not None
    with pytest.raises(ValueError, match="'own' is registered already"):
        DETECTORS.register(spec)


def test_without_their_file_they_are_unknown() -> None:
    with pytest.raises(ConfigError, match="own_model is not a setting"):
        SCHEMA.assemble({}, {}, {"model": {"own_model": "x"}}, "file x")
