# ruff: noqa: N815  # the names are CUDA's
"""A FAKE of TensorRT's runtime and of CUDA, on which the logic of our runtime is tested without a GPU.

It is not TensorRT: "device memory" is host memory, queued work runs when the stream is waited for, and the "engine" is
a few lines of numpy. That it has the surface of the real modules is checked by test_tensorrt_surface.py: every public
name here must exist there, with the same parameters.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

SIDE, CLASSES = 4, 6

#: Name → shape of a row, of what the fake engine gives.
OUTPUTS = {"scores": (CLASSES,), "embedding": (2,), "features": (1, 2, 2), "local": (1, 4, 4)}


def expected(crops: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """What the fake engine computes of a batch."""
    mean = crops.reshape(len(crops), -1).mean(axis=1, dtype=np.float64).astype(np.float32)
    return {
        name: (mean[:, None] + np.arange(np.prod(shape), dtype=np.float32)).reshape(len(crops), *shape)
        for name, shape in OUTPUTS.items()
    }


class CudaError(Enum):
    """The few of cudaError_t that are played."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900


class Stream:
    """Work that waits until it is synchronised, or is recorded."""

    def __init__(self, handle: int) -> None:
        self.handle, self.queued, self.recording = handle, list[Callable[[], None]](), False

    def __int__(self) -> int:
        return self.handle


class FakeCudart:
    """cuda.bindings.runtime: results are tuples that begin with an error; nothing is raised.

    Args:
        memory: bytes of "device memory".

    ``fail`` maps a function's name to the errors that its next calls return.
    """

    cudaError_t = CudaError
    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, memory: int = 1 << 20) -> None:
        self.memory = memory
        self.fail: dict[str, list[CudaError]] = {}
        self.blocks: dict[int, Any] = {}  # address → its buffer; what is left at the end has leaked
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: list[Any] = []
        self.calls: list[str] = []
        self.last = CudaError.cudaSuccess
        self.most_running = 0
        self.lock = threading.Lock()
        self._handles = 1000

    def _do(self, name: str, work: Callable[[], Any] | None = None) -> tuple[Any, ...]:
        with self.lock:
            self.calls.append(name)
            planned = self.fail.get(name)
            if planned:
                self.last = planned.pop(0)
                if self.last is not CudaError.cudaSuccess:
                    return (self.last, None)
            return (CudaError.cudaSuccess, work() if work is not None else None)

    def cudaSetDevice(self, device: int) -> tuple[Any, ...]:
        return self._do("cudaSetDevice")[:1]

    def cudaGetErrorString(self, error: CudaError) -> tuple[Any, ...]:
        return (CudaError.cudaSuccess, f"text of {error.name}".encode())

    def cudaGetLastError(self) -> tuple[Any, ...]:
        last, self.last = self.last, CudaError.cudaSuccess
        return (last,)

    def cudaMemGetInfo(self) -> tuple[Any, ...]:
        used = sum(map(len, self.blocks.values()))
        return (CudaError.cudaSuccess, self.memory - used, self.memory)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if sum(map(len, self.blocks.values())) + size > self.memory:
            return (CudaError.cudaErrorMemoryAllocation, None)
        return self._do("cudaMalloc", lambda: self._new(self.blocks, size))

    def cudaMallocHost(self, size: int) -> tuple[Any, ...]:
        return self._do("cudaMallocHost", lambda: self._new(self.pinned, size))

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        return self._do("cudaFree", lambda: self.blocks.pop(devPtr))[:1]

    def cudaFreeHost(self, ptr: int) -> tuple[Any, ...]:
        return self._do("cudaFreeHost", lambda: self.pinned.pop(ptr))[:1]

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: Any, stream: Stream) -> tuple[Any, ...]:
        return self._queue("cudaMemcpyAsync", stream, lambda: ctypes.memmove(dst, src, count))

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        def create() -> Stream:
            self._handles += 1
            self.streams[self._handles] = Stream(self._handles)
            return self.streams[self._handles]

        return self._do("cudaStreamCreateWithFlags", create)

    def cudaStreamDestroy(self, stream: Stream) -> tuple[Any, ...]:
        return self._do("cudaStreamDestroy", lambda: self.streams.pop(stream.handle))[:1]

    def cudaStreamSynchronize(self, stream: Stream) -> tuple[Any, ...]:
        def work() -> None:
            for step in stream.queued:
                step()
            stream.queued.clear()

        with self.lock:
            self.most_running = max(self.most_running, sum(bool(s.queued) for s in self.streams.values()))
        return self._do("cudaStreamSynchronize", work)[:1]

    def cudaStreamBeginCapture(self, stream: Stream, mode: Any) -> tuple[Any, ...]:
        def begin() -> None:
            assert not stream.queued, "work is pending"
            stream.recording = True

        return self._do("cudaStreamBeginCapture", begin)[:1]

    def cudaStreamEndCapture(self, stream: Stream) -> tuple[Any, ...]:
        steps, stream.queued, stream.recording = stream.queued, [], False
        return self._do("cudaStreamEndCapture", lambda: self._kept(steps))

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:
        return self._do("cudaGraphInstantiate", lambda: self._kept(list(graph)))

    def cudaGraphLaunch(self, graphExec: Any, stream: Stream) -> tuple[Any, ...]:
        return self._do("cudaGraphLaunch", lambda: stream.queued.extend(graphExec))[:1]

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:
        return self._do("cudaGraphDestroy", lambda: self._forget(graph))[:1]

    def cudaGraphExecDestroy(self, graphExec: Any) -> tuple[Any, ...]:
        return self._do("cudaGraphExecDestroy", lambda: self._forget(graphExec))[:1]

    def _queue(self, name: str, stream: Stream, step: Callable[[], Any]) -> tuple[Any, ...]:
        return self._do(name, lambda: stream.queued.append(step))[:1]

    def _new(self, where: dict[int, Any], size: int) -> int:
        block = (ctypes.c_uint8 * size)()
        where[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def _kept(self, graph: Any) -> Any:
        self.graphs.append(graph)
        return graph

    def _forget(self, graph: Any) -> None:
        self.graphs[:] = [g for g in self.graphs if g is not graph]


class ILogger:
    """Base of our logger."""

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class IExecutionContext:
    """Knows its shape and addresses, and queues the computation."""

    def __init__(self, api: FakeTensorRT) -> None:
        self._api, self._rows, self._addresses = api, 0, dict[str, int]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._rows = shape[0]
        return name == "image" and tuple(shape[1:]) == (SIDE, SIDE, 3) and shape[0] <= self._api.max_batch

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert memory in self._api.cudart.blocks, "not device memory"
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        api, stream = self._api, self._api.cudart.streams[stream_handle]
        if api.refuse:
            refuse = api.refuse.pop(0)
            if refuse == "always" or (refuse == "while recording" and stream.recording):
                api.log("ERROR", "the fake refuses")
                return False
        rows, addresses = self._rows, dict(self._addresses)

        def compute() -> None:
            size = rows * SIDE * SIDE * 3
            crops = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(addresses["image"]))
            for name, values in expected(crops.reshape(rows, SIDE, SIDE, 3)).items():
                flat = np.ascontiguousarray(values)
                ctypes.memmove(addresses[name], flat.ctypes.data, flat.nbytes)

        stream.queued.append(compute)
        return True


class ICudaEngine:
    """Names, types and shapes of one engine."""

    def __init__(self, api: FakeTensorRT) -> None:
        self._api = api

    @property
    def num_io_tensors(self) -> int:
        return len(self._api.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._api.tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self._api.TensorIOMode.INPUT if name == "image" else self._api.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self._api.tensors[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._api.tensors[name][1]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [(size, SIDE, SIDE, 3) for size in (1, self._api.max_batch, self._api.max_batch)]

    def create_execution_context(self) -> IExecutionContext | None:
        if self._api.contexts_left == 0:
            self._api.log("ERROR", "the fake has no memory for a context")
            return None
        self._api.contexts_left -= 1
        return IExecutionContext(self._api)


class Runtime:
    """Reads plans; the fake's is b"plan"."""

    def __init__(self, logger: ILogger) -> None:
        self._api = FakeTensorRT.current
        self._api.loggers.append(logger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if serialized_engine != b"plan":
            self._api.log("ERROR", "the fake cannot read it In read at /_src/fake.cpp:1)")
            return None
        return ICudaEngine(self._api)


class FakeTensorRT:
    """The module `tensorrt`, as far as it runs engines.

    Args:
        cudart: the fake device.
        max_batch: of the engine's profile.
    """

    current: FakeTensorRT
    ILogger, Runtime = ILogger, Runtime
    DataType = SimpleNamespace(UINT8="UINT8", FLOAT="FLOAT", HALF="HALF")
    TensorIOMode = SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")
    __version__ = "11.4.0"

    def __init__(self, cudart: FakeCudart, max_batch: int = 4) -> None:
        FakeTensorRT.current = self
        self.__name__ = "tensorrt"
        self.cudart, self.max_batch = cudart, max_batch
        self.tensors: dict[str, tuple[str, tuple[int, ...]]] = {"image": ("UINT8", (-1, SIDE, SIDE, 3))}
        self.tensors |= {name: ("FLOAT", (-1, *shape)) for name, shape in OUTPUTS.items()}
        self.refuse: list[str] = []  # what the next executions do: "always", "while recording" or ""
        self.contexts_left = 1000
        self.loggers: list[Any] = []

    def log(self, severity: str, text: str) -> None:
        self.loggers[-1].log(SimpleNamespace(name=severity), text)
