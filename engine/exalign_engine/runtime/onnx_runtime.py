"""ONNX Runtime on the CPU: the reference that other runtimes are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign.cli_support import first_line
from exalign_engine.errors import BundleError
from exalign_engine.libraries.no_telemetry import switch_off_telemetry
from exalign_engine.network.outputs import Outputs, known_outputs
from exalign_engine.runtime.precision import load_network
from exalign_engine.runtime.registry import RuntimeOptions, RuntimeSpec


class OnnxRuntime:
    """See `exalign_engine.runtime.Runtime`.

    Int8 is computed in float32 over the rounded weights and activations (docs/decisions/int8.md).

    Args:
        network: the bundle's network.onnx.
        threads: threads of one call; several calls may run at once.
        reason: one sentence for logs and GetModel.
        precision: see `exalign_engine.runtime.PRECISIONS`.

    Raises:
        BundleError: the file is not a network that ONNX Runtime accepts.
        RuntimeUnavailableError: the file does not have this precision.
    """

    name = "onnxruntime"
    device = "CPU"

    def __init__(self, network: Path, threads: int = 1, reason: str = "asked for", *, precision: str = "auto") -> None:
        # Imported only when chosen: it costs about 0.2 s and 50 MB.
        switch_off_telemetry()
        import onnxruntime

        self.version: str = onnxruntime.__version__
        loaded = load_network(network, precision)
        self.precision = loaded.precision
        self.reason = loaded.reason(reason)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = onnxruntime.InferenceSession(
                loaded.onnx, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as e:  # its exceptions share no base class but Exception
            raise BundleError(network, f"ONNX Runtime cannot load it: {first_line(e)}") from e
        self._outputs = known_outputs(network, [output.name for output in self._session.get_outputs()])

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """See `Runtime.infer`."""
        return Outputs(**dict(zip(self._outputs, self._session.run(self._outputs, {"image": crops}), strict=True)))

    def close(self) -> None:
        """Nothing is held beyond the session itself."""


def _open(network: Path, options: RuntimeOptions) -> OnnxRuntime:
    return OnnxRuntime(network, options.threads, options.reason, precision=options.precision)


SPEC = RuntimeSpec("onnxruntime", "ONNX Runtime", _open, auto="", reference=True)
