"""Runtimes: what executes the network. ONNX Runtime is the reference, OpenVINO the embedded default."""

from exalign_engine.runtime.precision import PRECISIONS
from exalign_engine.runtime.select import RUNTIMES, create_runtime

__all__ = ["PRECISIONS", "RUNTIMES", "create_runtime"]
