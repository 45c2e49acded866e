"""A small network of one fixed input, on one thread a call: OpenVINO, or ONNX Runtime where that is absent."""

from __future__ import annotations

import importlib.util
import os
import queue
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from exalign_engine.arrays import F32, U8
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.libraries.no_telemetry import switch_off_telemetry

if TYPE_CHECKING:
    import openvino

#: (S, S, 3) uint8 RGB → scores (A,) and regressions (A, 16). Thread safe.
Network = Callable[[U8], tuple[F32, F32]]

#: Most calls that may run at once in OpenVINO, one for two cores; a further caller waits a millisecond or two. Each
#: takes 5 MB of each network (docs/decisions/memory.md), and a call has other work for most of its time.
_MOST_STREAMS = 8


def open_network(path: Path) -> Network:
    """Load a network that `engine/make_blazeface.py` made.

    Raises:
        RuntimeUnavailableError: the file is missing or damaged, or there is neither OpenVINO nor ONNX Runtime.
    """
    if not path.is_file():
        raise RuntimeUnavailableError(f"detector blazeface: there is no file {path}")
    switch_off_telemetry()
    try:
        if importlib.util.find_spec("openvino") is not None:
            return by_openvino(path)
        return by_onnx_runtime(path)
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        raise RuntimeUnavailableError(f"detector blazeface cannot load {path}: {error}") from error


def by_openvino(path: Path) -> Network:
    """On the CPU in float32, one thread a call."""
    import openvino

    streams = min(max((os.cpu_count() or 1) // 2, 1), _MOST_STREAMS)
    settings = {
        # Left alone, OpenVINO computes in bf16 where the processor can: slower here, and less exact.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(streams),
        "ENABLE_CPU_PINNING": "NO",
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    requests: queue.SimpleQueue[openvino.InferRequest] = queue.SimpleQueue()
    for _ in range(streams):
        requests.put(compiled.create_infer_request())

    def run(canvas: U8) -> tuple[F32, F32]:
        request = requests.get()
        try:
            found = request.infer({"image": canvas[None]}, share_inputs=True)
            return found["scores"][0].copy(), found["regressors"][0].copy()
        finally:
            requests.put(request)

    return run


def by_onnx_runtime(path: Path) -> Network:
    """On the calling thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(canvas: U8) -> tuple[F32, F32]:
        scores, regressors = session.run(["scores", "regressors"], {"image": canvas[None]})
        return scores[0], regressors[0]

    return run
