"""Which runtime to use, and why."""

from __future__ import annotations

from pathlib import Path

from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.runtime.base import Runtime

#: What `--runtime` takes.
RUNTIMES = ("auto", "tensorrt", "tensorrt-rtx", "openvino", "onnxruntime")


def create_runtime(name: str, network: Path, *, threads: int = 1, streams: int = 1) -> Runtime:
    """Load a network into the runtime called ``name``.

    Args:
        name: one of `RUNTIMES`; "auto" takes OpenVINO, and ONNX Runtime where OpenVINO is not installed.
        network: the bundle's network.onnx.
        threads: threads of one call.
        streams: calls that may run at once.

    Raises:
        RuntimeUnavailableError: the name is unknown, or what it needs is not on this machine.
        BundleError: the runtime refuses the network.
    """
    if name == "auto":
        try:
            return _openvino(
                network, threads, streams, "auto: no TensorRT runtime in this version; OpenVINO is installed"
            )
        except ImportError:
            return _onnxruntime(network, threads, "auto: neither TensorRT nor OpenVINO is installed")
    if name == "openvino":
        try:
            return _openvino(network, threads, streams, "asked for")
        except ImportError as e:
            raise RuntimeUnavailableError(f"runtime openvino: {e}; pip install 'exalign[serve]'") from e
    if name == "onnxruntime":
        try:
            return _onnxruntime(network, threads, "asked for")
        except ImportError as e:
            raise RuntimeUnavailableError(f"runtime onnxruntime: {e}; pip install 'exalign[serve]'") from e
    if name in RUNTIMES:
        raise RuntimeUnavailableError(f"runtime {name}: not in this version; use openvino or onnxruntime")
    raise RuntimeUnavailableError(f"runtime {name!r} is unknown; known: {', '.join(RUNTIMES)}")


# Imported only when chosen: each of the two costs about 0.2 s and 50 MB.
def _openvino(network: Path, threads: int, streams: int, reason: str) -> Runtime:
    from exalign_engine.runtime.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(network, threads, streams, reason)


def _onnxruntime(network: Path, threads: int, reason: str) -> Runtime:
    from exalign_engine.runtime.onnx_runtime import OnnxRuntime

    return OnnxRuntime(network, threads, reason)
