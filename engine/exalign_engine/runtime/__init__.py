"""Runtimes: what executes the network. ONNX Runtime is the reference, OpenVINO the embedded default."""

from exalign_engine.runtime import onnx_runtime, openvino_runtime, tensorrt_runtimes
from exalign_engine.runtime.precision import PRECISIONS
from exalign_engine.runtime.registry import RUNTIMES, RuntimeOptions, RuntimeSpec, runtime_names
from exalign_engine.runtime.select import create_runtime

__all__ = ["PRECISIONS", "RUNTIMES", "RuntimeOptions", "RuntimeSpec", "create_runtime", "runtime_names"]

# In the order in which "auto" tries them.
for _spec in (*tensorrt_runtimes.SPECS, openvino_runtime.SPEC, onnx_runtime.SPEC):
    RUNTIMES.register(_spec)
