"""TensorRT and TensorRT-RTX as runtimes that are chosen by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime.registry import RuntimeOptions, RuntimeSpec
from exalign_engine.runtime.tensorrt.modules import FLAVOURS
from exalign_engine.runtime.tensorrt.runtime import open_tensorrt


def _spec(name: str, label: str, auto: str | None) -> RuntimeSpec:
    def load(network: Path, options: RuntimeOptions) -> Runtime:
        gpu = options.gpu if options.precision == "auto" else replace(options.gpu, precision=options.precision)
        return open_tensorrt(name, network, streams=options.streams, options=gpu, reason=options.reason)

    return RuntimeSpec(name, label, load, FLAVOURS[name].install, auto, on_gpu=True)


SPECS = (
    _spec("tensorrt", "TensorRT", "TensorRT is installed and sees a GPU"),
    _spec("tensorrt-rtx", "TensorRT-RTX", None),
)
