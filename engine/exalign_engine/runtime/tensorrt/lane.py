"""One batch in flight: a stream, buffers on both sides, and for each batch size a context and a recorded graph.

While one lane computes, another copies: that is the double buffering. A context remembers the shape that it was given,
and a recorded graph holds only for that shape, so that every bucket has a context of its own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32
from exalign_engine.errors import ExalignError
from exalign_engine.runtime.tensorrt.api_log import EngineLog
from exalign_engine.runtime.tensorrt.cuda import Cuda, pinned_array
from exalign_engine.runtime.tensorrt.errors import DeviceError, DeviceLostError, DeviceMemoryError, EngineFileError

if TYPE_CHECKING:
    import tensorrt as trt

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tensors:
    """What an engine takes and gives, a row each.

    Attributes:
        image: name of the input.
        side: S: a row of it is (S, S, 3) uint8.
        outputs: shape of a row by name; all float32.
        max_batch: rows at most.
    """

    image: str
    side: int
    outputs: dict[str, tuple[int, ...]]
    max_batch: int

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes that are prepared: powers of two, and the largest. A batch is filled up to the next one."""
        sizes = {1 << i for i in range(self.max_batch.bit_length())} | {self.max_batch}
        return tuple(sorted(size for size in sizes if size <= self.max_batch))

    def bucket(self, rows: int) -> int:
        """The smallest prepared size that holds ``rows``."""
        return next(size for size in self.buckets if size >= rows)


class _Block:
    """Pinned and device memory of one tensor."""

    def __init__(self, cuda: Cuda, size: int) -> None:
        self._cuda, self.size = cuda, size
        self.device = cuda.allocate(size)
        try:
            self.host = cuda.allocate_pinned(size)
        except DeviceError:
            cuda.free(self.device)
            raise
        self.array = pinned_array(self.host, size)

    def free(self) -> None:
        self.array = np.empty(0, np.uint8)
        self._cuda.free(self.device)
        self._cuda.free_pinned(self.host)


class Lane:
    """Runs one batch at a time; one thread at a time may use it.

    Args:
        cuda: the device; it must be the calling thread's.
        engine: a deserialised engine.
        tensors: of that engine.
        log: TensorRT's words, for errors.
        record: False computes eagerly, without CUDA graphs.

    Raises:
        DeviceError: memory, streams or contexts cannot be had.
        EngineFileError: the engine does not take these batches.
    """

    def __init__(
        self, cuda: Cuda, engine: trt.ICudaEngine, tensors: Tensors, log: EngineLog, *, record: bool = True
    ) -> None:
        self._cuda, self._tensors, self._log = cuda, tensors, log
        self._stream: Any = None
        self._blocks: dict[str, _Block] = {}
        self._contexts: dict[int, trt.IExecutionContext] = {}
        #: Recorded graphs by batch size; a size that is not there runs eagerly.
        self.graphs: dict[int, Any] = {}
        try:
            self._stream = cuda.create_stream()
            rows = {tensors.image: tensors.side**2 * 3, **{n: 4 * prod(s) for n, s in tensors.outputs.items()}}
            for name, size in rows.items():
                self._blocks[name] = _Block(cuda, size * tensors.max_batch)
            self._blocks[tensors.image].array[:] = 128
            for bucket in tensors.buckets:
                self._contexts[bucket] = self._create_context(engine, bucket)
            for bucket in tensors.buckets:
                self._queue(bucket)  # the first run allocates what a recording must not
                cuda.synchronize(self._stream)
                if record:
                    self._record(bucket)
        except ExalignError:
            self.free()
            raise

    def launch(self, crops: NDArray[np.uint8]) -> None:
        """Queue a batch; returns before it is done.

        Args:
            crops: (B, S, S, 3) uint8, B ≤ the largest batch.

        Raises:
            DeviceError: it could not be queued.
        """
        self._blocks[self._tensors.image].array[: crops.size] = crops.reshape(-1)
        bucket = self._tensors.bucket(len(crops))
        graph = self.graphs.get(bucket)
        if graph is None:
            self._queue(bucket)
        else:
            self._cuda.launch(graph, self._stream)

    def finish(self, into: dict[str, F32]) -> None:
        """Wait for the batch, and copy its rows out of the lane's buffers.

        Args:
            into: by name of the output, (B, …) float32, as many rows as were launched.

        Raises:
            DeviceError: what went wrong since `launch`.
        """
        self._cuda.synchronize(self._stream)
        for name, values in into.items():
            values[...] = self._blocks[name].array.view(np.float32)[: values.size].reshape(values.shape)

    def drain(self) -> None:
        """Wait until nothing is queued, whatever became of it."""
        try:
            self._cuda.synchronize(self._stream)
        except DeviceError as e:
            _log.debug("while draining: %s", e)

    def free(self) -> None:
        """Give everything back. What a lost device does not take back goes with the process."""
        for graph in self.graphs.values():
            self._quietly(self._cuda.destroy_graph, graph)
        self.graphs.clear()
        self._contexts.clear()  # TensorRT frees a context when the last reference goes
        for block in self._blocks.values():
            self._quietly(block.free)
        self._blocks.clear()
        if self._stream is not None:
            self._quietly(self._cuda.destroy_stream, self._stream)
            self._stream = None

    def _create_context(self, engine: trt.ICudaEngine, bucket: int) -> trt.IExecutionContext:
        self._log.clear()
        context: trt.IExecutionContext | None = engine.create_execution_context()
        if context is None:
            self._cuda.raise_last_error("create_execution_context")
            text = self._log.first_error() or "TensorRT gave no reason"
            raise DeviceMemoryError("create_execution_context", "no context", text)
        t = self._tensors
        ok = context.set_input_shape(t.image, (bucket, t.side, t.side, 3))
        for name, block in self._blocks.items():
            ok = ok and context.set_tensor_address(name, block.device)
        if not ok:
            raise EngineFileError(f"does not take a batch of {bucket}: {self._log.first_error()}")
        return context

    def _queue(self, bucket: int) -> None:
        """Upload, compute, download."""
        cuda, t = self._cuda, self._tensors
        image = self._blocks[t.image]
        cuda.to_device(image.device, image.host, bucket * t.side**2 * 3, self._stream)
        self._log.clear()
        if not self._contexts[bucket].execute_async_v3(int(self._stream)):
            cuda.raise_last_error("execute_async_v3")
            raise DeviceError("execute_async_v3", "refused", self._log.first_error() or "TensorRT gave no reason")
        for name, shape in t.outputs.items():
            block = self._blocks[name]
            cuda.to_host(block.host, block.device, 4 * bucket * prod(shape), self._stream)

    def _record(self, bucket: int) -> None:
        """Record `_queue`; where that cannot be, the bucket stays eager."""
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._queue(bucket)
            except DeviceError:
                self._cuda.abandon_capture(self._stream)
                raise
            self.graphs[bucket] = self._cuda.end_capture(self._stream)
        except DeviceLostError:
            raise
        except DeviceError as e:
            self._cuda.forget_error()
            _log.warning("batches of %d run without a CUDA graph: %s", bucket, e)

    @staticmethod
    def _quietly(free: Any, *arguments: Any) -> None:
        try:
            free(*arguments)
        except DeviceError as e:
            _log.debug("while freeing: %s", e)
