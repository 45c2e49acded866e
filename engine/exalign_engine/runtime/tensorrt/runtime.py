"""TensorRT, and behind the same door TensorRT-RTX: executes an engine on a GPU.

Bytes go up, the network normalises them there, float32 comes down. Never executed where this was written: see
docs/gpu.md for what was verified, and tests/gpu for what is to be.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import ExalignError, RuntimeUnavailableError
from exalign_engine.network.outputs import Outputs, known_outputs
from exalign_engine.runtime.tensorrt.api_log import engine_log
from exalign_engine.runtime.tensorrt.cuda import Cuda
from exalign_engine.runtime.tensorrt.errors import DeviceError, DeviceLostError, EngineFileError
from exalign_engine.runtime.tensorrt.lane import Lane, Tensors
from exalign_engine.runtime.tensorrt.modules import FLAVOURS, load_module
from exalign_engine.runtime.tensorrt.probe import require_device

if TYPE_CHECKING:
    import tensorrt as trt

    from exalign_engine.onnx_graph.sums_tables import MixtureTables

_log = logging.getLogger(__name__)


#: Fewer would leave the copies of one batch nothing to overlap with.
MIN_LANES = 2

#: What other runtimes call the same precision.
_SHORT = {"fp32": "f32", "fp16": "f16", "int8": "int8"}


@dataclass(frozen=True)
class GpuOptions:
    """How a network is brought onto a GPU.

    Attributes:
        precision: "fp32", "fp16", "int8", or "auto": int8 where the file is quantised, fp16 otherwise.
        max_batch: largest batch of one launch; larger ones are cut.
        cache: where engines are kept; None: ~/.cache/exalign/engines.
        record: launch recorded CUDA graphs; False queues every copy and kernel by itself.
        tables: of the bundle, for a network that also sums over the exemplars on the device; None: it only scores.
    """

    precision: str = "auto"
    max_batch: int = 4
    cache: Path | None = None
    record: bool = True
    tables: MixtureTables | None = None


class TensorRTRuntime:
    """See `exalign_engine.runtime.Runtime`.

    Args:
        api: the module `tensorrt` or `tensorrt_rtx`.
        cuda: the device, which must exist: without a driver, TensorRT crashes.
        plan: a serialised engine.
        network: the file it was built from, for errors.
        tensors: what the engine must take and give.
        lanes: batches in flight at once; a further caller waits.
        precision: of the engine.
        device: in words.
        reason: one sentence for logs and GetModel.
        record: see `GpuOptions`.

    Raises:
        EngineFileError: the engine cannot be read here, or is not of this network.
        DeviceMemoryError: it does not fit.
        DeviceError: the device refused it.
    """

    def __init__(
        self,
        api: Any,
        cuda: Cuda,
        plan: bytes,
        network: Path,
        tensors: Tensors,
        *,
        lanes: int = MIN_LANES,
        precision: str = "fp16",
        device: str = "GPU",
        reason: str = "asked for",
        record: bool = True,
    ) -> None:
        self.name = next(name for name, flavour in FLAVOURS.items() if flavour.module == api.__name__)
        self.version = str(api.__version__)
        self.precision, self.device, self.reason = _SHORT[precision], device, reason
        self._cuda, self._tensors = cuda, tensors
        self._names = known_outputs(network, list(tensors.outputs))
        self._lost: DeviceLostError | None = None
        self._closed = False
        self._lanes: list[Lane] = []
        self._idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        cuda.use()
        log = engine_log(api)
        log.clear()
        # The runtime must outlive its engine, and the engine its contexts.
        self._runtime: trt.Runtime | None = api.Runtime(log.handler)
        self._engine: trt.ICudaEngine | None = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            cuda.raise_last_error("deserialize_cuda_engine")
            raise EngineFileError(log.first_error() or "TensorRT cannot read it and gave no reason")
        _check_engine(api, self._engine, tensors)
        try:
            for _ in range(max(lanes, MIN_LANES)):
                self._lanes.append(Lane(cuda, self._engine, tensors, log, record=record))
                self._idle.put(self._lanes[-1])
        except ExalignError:
            self.close()
            raise

    @property
    def recorded(self) -> tuple[int, ...]:
        """Batch sizes that run as a CUDA graph on every lane."""
        return tuple(b for b in self._tensors.buckets if all(b in lane.graphs for lane in self._lanes))

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """See `Runtime.infer`.

        Raises:
            ValueError: the crops are not of the network's size and type.
            DeviceLostError: the device is gone, now or since an earlier call.
            DeviceError: this batch failed; later ones may not.
        """
        t = self._tensors
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (t.side, t.side, 3) or len(crops) == 0:
            raise ValueError(f"crops are {crops.dtype} of {crops.shape}, must be uint8 of (B, {t.side}, {t.side}, 3)")
        if self._lost is not None:
            raise DeviceLostError(self._lost.call, self._lost.code, self._lost.text)
        if self._closed:
            raise RuntimeUnavailableError(f"runtime {self.name} is closed")
        outputs = {name: np.empty((len(crops), *shape), np.float32) for name, shape in t.outputs.items()}
        running: deque[tuple[Lane, slice]] = deque()

        def finish_oldest() -> None:
            lane, rows = running[0]
            lane.finish({name: values[rows] for name, values in outputs.items()})
            running.popleft()
            self._idle.put(lane)

        try:
            self._cuda.use()
            for start in range(0, len(crops), t.max_batch):
                rows = slice(start, min(start + t.max_batch, len(crops)))
                lane = self._take(wait=not running)
                while lane is None:
                    finish_oldest()
                    lane = self._take(wait=not running)
                running.append((lane, rows))
                lane.launch(crops[rows])
            while running:
                finish_oldest()
        except DeviceLostError as e:
            self._lost = e
            raise
        finally:
            # After an error: the buffers of what still runs must not be used before it has ended.
            for lane, _ in running:
                lane.drain()
                self._idle.put(lane)
        return Outputs(**{name: outputs[name] for name in self._names})

    def close(self) -> None:
        """Wait for what runs, then free everything. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._cuda.use()
        except DeviceError as e:
            _log.debug("while closing: %s", e)
        for _ in self._lanes:
            self._idle.get()  # running calls put their lanes back, whatever becomes of them
        for lane in self._lanes:
            lane.free()
        self._lanes.clear()
        self._engine = None
        self._runtime = None

    def _take(self, *, wait: bool) -> Lane | None:
        """An idle lane; None if there is none and ``wait`` is False. Waiting while holding lanes could last forever."""
        try:
            return self._idle.get(block=wait)
        except queue.Empty:
            return None


def open_tensorrt(name: str, network: Path, *, streams: int, options: GpuOptions, reason: str) -> TensorRTRuntime:
    """Find a device, obtain an engine for it, and load that.

    Args:
        name: "tensorrt" or "tensorrt-rtx".
        network: the bundle's network.onnx.
        streams: calls that may run at once.
        options: see `GpuOptions`.
        reason: one sentence for logs and GetModel.

    Raises:
        RuntimeUnavailableError: package, driver or device are missing; nothing of TensorRT was touched.
        ExalignError: the network was refused, or the engine does not fit the device
        (`exalign_engine.runtime.tensorrt.errors`).
    """
    device = require_device(name)
    flavour = FLAVOURS[name]
    api = load_module(flavour)
    # Later than the probe: without its packages these cannot be imported.
    from cuda.bindings import runtime as cudart

    from exalign_engine.onnx_graph.checks import INPUT
    from exalign_engine.runtime.tensorrt.builder import BuildOptions
    from exalign_engine.runtime.tensorrt.cache import EngineCache
    from exalign_engine.runtime.tensorrt.engine import default_cache, obtain_engine
    from exalign_engine.runtime.tensorrt.precisions import stored_precision

    precision = stored_precision(network) if options.precision == "auto" else options.precision

    engine = obtain_engine(
        api,
        flavour,
        network,
        precision,
        BuildOptions(max_batch=options.max_batch, opt_batch=options.max_batch),
        EngineCache(options.cache or default_cache()),
        device,
        _Reporter(),
        tables=options.tables,
    )
    tensors = Tensors(INPUT, engine.network.side, engine.network.outputs, options.max_batch)
    return TensorRTRuntime(
        api,
        Cuda(cudart, device.index),
        engine.plan,
        network,
        tensors,
        lanes=streams,
        precision=precision,
        device=str(device),
        reason=reason,
        record=options.record,
    )


class _Reporter:
    """Tells the log of a build's progress, in steps of 10 %."""

    def __init__(self) -> None:
        self._next = 0.1

    def __call__(self, phase: str, share: float) -> None:
        if share >= self._next:
            _log.info("building the engine: %d %%", round(100 * share))
            self._next = share + 0.1


def _check_engine(api: Any, engine: trt.ICudaEngine, tensors: Tensors) -> None:
    """Refuse an engine of another network or batch size, with everything that is wrong."""
    found: dict[str, tuple[bool, Any, tuple[int, ...]]] = {}
    for i in range(engine.num_io_tensors):
        name = engine.get_tensor_name(i)
        is_input = engine.get_tensor_mode(name) == api.TensorIOMode.INPUT
        shape: Any = engine.get_tensor_shape(name)  # Dims: a sequence, which its own signature does not say
        found[name] = (is_input, engine.get_tensor_dtype(name), tuple(shape))
    wanted: dict[str, tuple[bool, Any, tuple[int, ...]]] = {}
    wanted[tensors.image] = (True, api.DataType.UINT8, (-1, tensors.side, tensors.side, 3))
    wanted |= {name: (False, api.DataType.FLOAT, (-1, *shape)) for name, shape in tensors.outputs.items()}
    problems = [f"has {name} besides" for name in found if name not in wanted]
    for name, (is_input, dtype, shape) in wanted.items():
        if name not in found:
            problems.append(f"has no {name}")
        elif found[name] != (is_input, dtype, shape):
            problems.append(f"{name} is {found[name][1]} of {found[name][2]}, must be {dtype} of {shape}")
    if not problems:
        largest = engine.get_tensor_profile_shape(tensors.image, 0)[2][0]
        if largest < tensors.max_batch:
            problems.append(f"takes batches of {largest} at most, must take {tensors.max_batch}")
    if problems:
        raise EngineFileError("; ".join(problems))
