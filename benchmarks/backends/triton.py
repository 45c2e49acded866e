"""Triton with its Python backend, as PyTriton's wheel carries both, about the float32 network of the default bundle."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
from benchmarks.backends.processes import Backend, CannotServeError, ended_by
from benchmarks.environments import Environment

from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.runtime.precision import load_network

HERE = Path(__file__).parent
ENVIRONMENT = Environment(HERE / "triton.txt", "python -m benchmarks.backends")

#: Copies of the model, each in a process of its own: one for each core of two, as our server has two threads.
COPIES = 2

#: Seconds that it is given to start.
STARTS = 120.0

CONFIG = f"""
name: "exalign"
backend: "python"
max_batch_size: 0
input [
  {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] }}
]
output [
  {{ name: "landmarks" data_type: TYPE_FP32 dims: [ -1, 68, 2 ] }},
  {{ name: "covariances" data_type: TYPE_FP32 dims: [ -1, 68, 2, 2 ] }}
]
instance_group [ {{ count: {COPIES} kind: KIND_CPU }} ]
"""


def write_model(repository: Path) -> None:
    """A repository of one model: `triton_model.py`, and what it loads."""
    folder = repository / "exalign" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(CONFIG)
    shutil.copyfile(HERE / "triton_model.py", folder / "model.py")
    bundle = Bundle.load(default_bundle_path())
    (folder / "network.onnx").write_bytes(load_network(bundle.path / "network.onnx", "fp32").onnx)
    np.save(folder / "shapes.npy", np.asarray(bundle.exemplars.shapes, np.float32))
    manifest = bundle.manifest
    said = {"size": manifest.input_size, "margin": manifest.margin, "temperature": bundle.calibration.temperature}
    (folder / "settings.json").write_text(json.dumps(said))


def _backends(packages: Path, folder: Path) -> Path:
    """Triton's folder of backends, with the stub for this version of Python where it looks for it."""
    shutil.copytree(packages / "pytriton" / "tritonserver" / "backends", folder)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = packages / "pytriton" / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise CannotServeError(f"PyTriton has no stub for Python {version}")
    # Beside its libraries, which it finds by its own place.
    (folder / "python" / stub.name).symlink_to(stub)
    return folder


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def triton() -> Iterator[Backend]:
    """Triton for the length of a ``with`` block.

    Raises:
        CannotServeError: it cannot be installed or started.
    """
    try:
        python = ENVIRONMENT.ready()
    except (subprocess.CalledProcessError, OSError) as e:
        raise CannotServeError(f"its environment cannot be made: {e}") from e
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    with tempfile.TemporaryDirectory() as temporary:
        folder, port = Path(temporary), _free_port()
        write_model(folder / "models")
        command = [str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver")]
        command += ["--model-repository", str(folder / "models"), "--grpc-port", str(port), "--grpc-address=127.0.0.1"]
        command += ["--allow-http=false", "--allow-metrics=false", "--log-info=false"]
        command += ["--backend-directory", str(_backends(packages, folder / "backends"))]
        env = {**os.environ, "PYTHONPATH": str(packages)}
        log = folder / "log"
        with log.open("wb") as written:
            process = subprocess.Popen(command, env=env, stdout=written, stderr=written)
        with ended_by(process, process.terminate):
            address = f"127.0.0.1:{port}"
            _wait(process, address, log)
            yield Backend(address, process.pid)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + STARTS
    with grpc.insecure_channel(address) as channel:
        stub = inference_pb2_grpc.GRPCInferenceServiceStub(channel)
        while process.poll() is None and time.monotonic() < until:
            try:
                if stub.ModelReady(inference_pb2.ModelReadyRequest(name="exalign"), timeout=5).ready:
                    return
            except grpc.RpcError:
                time.sleep(0.2)
    raise CannotServeError(f"it does not start: {log.read_text(errors='replace').strip()[-400:]}")
