"""ONNX Runtime on the CPU: the reference that other runtimes are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from exalign_engine.errors import BundleError
from exalign_engine.runtime.base import Outputs, known_outputs


class OnnxRuntime:
    """See `exalign_engine.runtime.Runtime`.

    Args:
        network: the bundle's network.onnx.
        threads: threads of one call; several calls may run at once.
        reason: one sentence for logs and GetModel.

    Raises:
        BundleError: the file is not a network that ONNX Runtime accepts.
    """

    name = "onnxruntime"
    version: str = onnxruntime.__version__
    precision = "f32"
    device = "CPU"

    def __init__(self, network: Path, threads: int = 1, reason: str = "asked for") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.reason = reason
        try:
            self._session = onnxruntime.InferenceSession(
                str(network), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # its exceptions share no base class but Exception
            raise BundleError(network, f"ONNX Runtime cannot load it: {_first_line(e)}") from e
        self._outputs = known_outputs(network, [output.name for output in self._session.get_outputs()])

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """See `Runtime.infer`."""
        return Outputs(**dict(zip(self._outputs, self._session.run(self._outputs, {"image": crops}), strict=True)))

    def close(self) -> None:
        """Nothing is held beyond the session itself."""


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
