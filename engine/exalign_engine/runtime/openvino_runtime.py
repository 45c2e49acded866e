"""OpenVINO on the CPU: the embedded default."""

from __future__ import annotations

import io
import logging
import queue
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import BundleError
from exalign_engine.libraries.no_telemetry import switch_off_telemetry
from exalign_engine.network.outputs import Outputs, known_outputs
from exalign_engine.runtime.precision import LoadedNetwork, load_network
from exalign_engine.runtime.processor import int8_is_exact
from exalign_engine.runtime.registry import RuntimeOptions, RuntimeSpec
from exalign_engine.runtime.surroundings import digest, surroundings
from exalign_engine.tables.store import Tables

if TYPE_CHECKING:
    import openvino

_log = logging.getLogger(__name__)


class OpenVinoRuntime:
    """See `exalign_engine.runtime.Runtime`.

    The precision is always set: left alone, OpenVINO silently computes in bf16 where the processor can. Of a file with
    int8 weights, it is what is not quantised that is computed in float32; all of it where int8 is not exact
    (`exalign_engine.runtime.processor`), unless int8 is asked for.

    Args:
        network: the bundle's network.onnx.
        threads: threads of one call.
        streams: calls that may run at once; a further caller waits.
        reason: one sentence for logs and GetModel.
        precision: see `exalign_engine.runtime.PRECISIONS`.
        tables: where the compiled network is kept: to read it takes a fourth of the time, and its weights are mapped.

    Raises:
        BundleError: the file is not a network that OpenVINO accepts.
        RuntimeUnavailableError: the file does not have this precision, or onnx is not installed, which derives float32.
    """

    name = "openvino"
    device = "CPU"

    def __init__(
        self,
        network: Path,
        threads: int = 1,
        streams: int = 1,
        reason: str = "asked for",
        *,
        precision: str = "auto",
        tables: Tables | None = None,
    ) -> None:
        # Imported only when chosen: it costs about 0.2 s and 50 MB.
        switch_off_telemetry()
        import openvino

        self.version: str = openvino.__version__.split("-")[0]
        loaded = load_network(network, precision)
        if precision == "auto" and loaded.precision == "int8" and not int8_is_exact():
            loaded = load_network(network, "fp32")
            reason = f"{reason}; this processor lacks VNNI, and its int8 products saturate"
        self.precision = loaded.precision
        self.reason = loaded.reason(reason)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": str(threads * streams),
            # Pinned threads of two servers on one machine would share a core and leave another idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        try:
            self._compiled, self._weights = _compiled(openvino.Core(), loaded, settings, tables or Tables())
        except RuntimeError as e:
            raise BundleError(network, f"OpenVINO cannot load it: {str(e).strip().splitlines()[-1]}") from e
        names = [output.any_name for output in self._compiled.outputs]
        self._outputs = {name: names.index(name) for name in known_outputs(network, names)}
        # The last one that was used first: what it works with is still in the caches.
        self._requests: queue.LifoQueue[openvino.InferRequest] = queue.LifoQueue()
        for _ in range(streams):
            self._requests.put(self._compiled.create_infer_request())

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """See `Runtime.infer`."""
        request = self._requests.get()
        try:
            # The input may be read in place: it outlives the call. The outputs must be copied out of the request, once.
            request.infer({"image": np.ascontiguousarray(crops)}, share_inputs=True, share_outputs=True)
            # By their places: to be found by name, each takes as long as to be copied.
            return Outputs(**{name: request.get_output_tensor(at).data.copy() for name, at in self._outputs.items()})
        finally:
            self._requests.put(request)

    def close(self) -> None:
        """Nothing is held beyond the compiled model itself."""


def _compiled(
    core: openvino.Core, loaded: LoadedNetwork, settings: dict[str, str], tables: Tables
) -> tuple[openvino.CompiledModel, openvino.Tensor | None]:
    """The network for this processor, as it was kept or compiled anew: the same bits.

    Returns:
        It, and what it is read from where it is used, as long as it is.

    Raises:
        RuntimeError: OpenVINO does not accept it.
    """
    import openvino

    compiled: list[openvino.CompiledModel] = []

    def compile_now() -> openvino.CompiledModel:
        compiled.append(core.compile_model(core.read_model(io.BytesIO(loaded.onnx)), "CPU", settings))
        return compiled[0]

    def exported() -> bytes:
        stream = io.BytesIO()
        compile_now().export_model(stream)
        return stream.getvalue()

    key = surroundings("onnx_graph", "runtime") | settings | {"precision": loaded.precision}
    kept = tables.block(f"openvino-{digest(key)}", exported)
    if kept is None:
        return compiled[0] if compiled else compile_now(), None
    compiled.clear()
    try:
        weights = openvino.Tensor(kept, shared_memory=True)
        return core.import_model(weights, "CPU", settings), weights
    except RuntimeError as e:
        _log.warning("a compiled network that was kept cannot be read: %s", str(e).strip().splitlines()[-1])
        return compile_now(), None


def _open(network: Path, options: RuntimeOptions) -> OpenVinoRuntime:
    return OpenVinoRuntime(
        network,
        options.threads,
        options.streams,
        options.reason,
        precision=options.precision,
        tables=options.tables,
    )


SPEC = RuntimeSpec("openvino", "OpenVINO", _open, auto="OpenVINO is installed")
