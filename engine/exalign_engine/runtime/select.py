"""Which runtime to use, and why."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from exalign_engine.errors import ExalignError, RuntimeUnavailableError
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime.tensorrt.runtime import GpuOptions, open_tensorrt

_log = logging.getLogger(__name__)

#: What `--runtime` takes.
RUNTIMES = ("auto", "tensorrt", "tensorrt-rtx", "openvino", "onnxruntime")


def create_runtime(
    name: str,
    network: Path,
    *,
    threads: int = 1,
    streams: int = 1,
    gpu: GpuOptions | None = None,
    precision: str = "auto",
) -> Runtime:
    """Load a network into the runtime called ``name``.

    Args:
        name: one of `RUNTIMES`; "auto" takes TensorRT where package and device are there and it accepts the network,
            then OpenVINO, then ONNX Runtime; its ``reason`` says what stood in the way of those before.
        network: the bundle's network.onnx.
        threads: threads of one call, on a CPU.
        streams: calls that may run at once.
        gpu: for the TensorRT runtimes; None is `GpuOptions`' defaults.
        precision: one of `exalign_engine.runtime.PRECISIONS`; "auto" is what the file holds, and on a GPU what ``gpu``
            says.

    Raises:
        RuntimeUnavailableError: the name is unknown, what it needs is not on this machine, or the file does not have
            the precision.
        BundleError: the runtime refuses the network.
        ExalignError: TensorRT refuses the network or the device (`exalign_engine.runtime.tensorrt.errors`).
    """
    options = gpu or GpuOptions()
    if precision != "auto":
        options = replace(options, precision=precision)
    if name == "auto":
        return _auto(network, threads, streams, options, precision)
    if name in ("tensorrt", "tensorrt-rtx"):
        return open_tensorrt(name, network, streams=streams, options=options, reason="asked for")
    if name == "openvino":
        try:
            return _openvino(network, threads, streams, precision, "asked for")
        except ImportError as e:
            raise RuntimeUnavailableError(f"runtime openvino: {e}; pip install 'exalign[serve]'") from e
    if name == "onnxruntime":
        try:
            return _onnxruntime(network, threads, precision, "asked for")
        except ImportError as e:
            raise RuntimeUnavailableError(f"runtime onnxruntime: {e}; pip install 'exalign[serve]'") from e
    raise RuntimeUnavailableError(f"runtime {name!r} is unknown; known: {', '.join(RUNTIMES)}")


def _auto(network: Path, threads: int, streams: int, options: GpuOptions, precision: str) -> Runtime:
    """The first that works, with what kept the others from it."""
    try:
        return open_tensorrt(
            "tensorrt", network, streams=streams, options=options, reason="auto: TensorRT is installed and sees a GPU"
        )
    except RuntimeUnavailableError as e:
        obstacle = str(e).removeprefix("runtime tensorrt: ").partition(";")[0]
        why = f"no TensorRT ({obstacle})"
    except ExalignError as e:  # a GPU is there, and this network or its memory is not for it
        _log.warning("TensorRT cannot serve this network: %s", e)
        why = f"TensorRT failed ({e})"
    if precision == "fp16":
        raise RuntimeUnavailableError(f"precision fp16: {why}, and a CPU takes fp32 or int8")
    try:
        return _openvino(network, threads, streams, precision, f"auto: {why}; OpenVINO is installed")
    except ImportError:
        return _onnxruntime(network, threads, precision, f"auto: {why}; OpenVINO is not installed")


# Imported only when chosen: each of the two costs about 0.2 s and 50 MB.
def _openvino(network: Path, threads: int, streams: int, precision: str, reason: str) -> Runtime:
    from exalign_engine.runtime.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(network, threads, streams, reason, precision=precision)


def _onnxruntime(network: Path, threads: int, precision: str, reason: str) -> Runtime:
    from exalign_engine.runtime.onnx_runtime import OnnxRuntime

    return OnnxRuntime(network, threads, reason, precision=precision)
