"""The CUDA calls that a runtime makes, with their errors turned into ours. cuda-bindings only: no pycuda, no torch."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.runtime.tensorrt.errors import DeviceError, DeviceLostError, DeviceMemoryError

#: After these nothing works in this process any more: CUDA reports them for every later call too.
LOST = frozenset(
    {
        "cudaErrorNoDevice",
        "cudaErrorDevicesUnavailable",
        "cudaErrorECCUncorrectable",
        "cudaErrorNvlinkUncorrectable",
        "cudaErrorIllegalAddress",
        "cudaErrorHardwareStackError",
        "cudaErrorIllegalInstruction",
        "cudaErrorMisalignedAddress",
        "cudaErrorInvalidAddressSpace",
        "cudaErrorInvalidPc",
        "cudaErrorLaunchFailure",
        "cudaErrorLaunchTimeout",
        "cudaErrorAssert",
        "cudaErrorContextIsDestroyed",
        "cudaErrorSystemNotReady",
        "cudaErrorUnknown",
    }
)

_OUT_OF_MEMORY = "cudaErrorMemoryAllocation"


class Cuda:
    """One device, seen through ``cuda.bindings.runtime``.

    Args:
        api: that module.
        device: index of the device.
    """

    def __init__(self, api: Any, device: int) -> None:
        self.api, self.device = api, device

    def use(self) -> None:
        """Make the device the calling thread's; each thread has to."""
        self._check("cudaSetDevice", self.api.cudaSetDevice(self.device))

    def allocate(self, size: int) -> int:
        """Device memory: its address."""
        return int(self._check("cudaMalloc", self.api.cudaMalloc(size)))

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._check("cudaFree", self.api.cudaFree(address))

    def allocate_pinned(self, size: int) -> int:
        """Page-locked host memory, which copies need to run beside the CPU: its address."""
        return int(self._check("cudaMallocHost", self.api.cudaMallocHost(size)))

    def free_pinned(self, address: int) -> None:
        """Give page-locked memory back; no array may look at it any more."""
        self._check("cudaFreeHost", self.api.cudaFreeHost(address))

    def free_memory(self) -> int:
        """Bytes of device memory that nobody holds."""
        code, free, _ = self.api.cudaMemGetInfo()
        self._check("cudaMemGetInfo", (code,))
        return int(free)

    def to_device(self, target: int, source: int, size: int, stream: Any) -> None:
        """Queue a copy from pinned memory."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check("cudaMemcpyAsync", self.api.cudaMemcpyAsync(target, source, size, kind, stream))

    def to_host(self, target: int, source: int, size: int, stream: Any) -> None:
        """Queue a copy to pinned memory."""
        kind = self.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check("cudaMemcpyAsync", self.api.cudaMemcpyAsync(target, source, size, kind, stream))

    def create_stream(self) -> Any:
        """A stream that does not wait for the default one."""
        return self._check(
            "cudaStreamCreateWithFlags", self.api.cudaStreamCreateWithFlags(self.api.cudaStreamNonBlocking)
        )

    def destroy_stream(self, stream: Any) -> None:
        """Free a stream."""
        self._check("cudaStreamDestroy", self.api.cudaStreamDestroy(stream))

    def synchronize(self, stream: Any) -> None:
        """Wait for everything queued; errors of queued work come out here."""
        self._check("cudaStreamSynchronize", self.api.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: Any) -> None:
        """From now on what is queued is recorded, not run. Only this thread is watched for forbidden calls."""
        mode = self.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check("cudaStreamBeginCapture", self.api.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: Any) -> Any:
        """The recorded graph, ready to launch."""
        graph = self._check("cudaStreamEndCapture", self.api.cudaStreamEndCapture(stream))
        try:
            return self._check("cudaGraphInstantiate", self.api.cudaGraphInstantiate(graph, 0))
        finally:
            self._check("cudaGraphDestroy", self.api.cudaGraphDestroy(graph))

    def abandon_capture(self, stream: Any) -> None:
        """End a recording that failed, and forget its error; the stream can be used again."""
        code, graph = self.api.cudaStreamEndCapture(stream)
        if code.name == "cudaSuccess":
            self._check("cudaGraphDestroy", self.api.cudaGraphDestroy(graph))
        self.forget_error()

    def forget_error(self) -> None:
        """Clear what a failed call left behind, so that the next one is not blamed for it."""
        self.api.cudaGetLastError()

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue a recorded graph."""
        self._check("cudaGraphLaunch", self.api.cudaGraphLaunch(graph, stream))

    def destroy_graph(self, graph: Any) -> None:
        """Free a recorded graph."""
        self._check("cudaGraphExecDestroy", self.api.cudaGraphExecDestroy(graph))

    def raise_last_error(self, call: str) -> None:
        """Raise what a call that only says "no" left behind; nothing happens if it left nothing."""
        self._check(call, self.api.cudaGetLastError())

    def _check(self, call: str, result: tuple[Any, ...]) -> Any:
        """The value of a call's result tuple.

        Raises:
            DeviceMemoryError: there is no memory left.
            DeviceLostError: the device will not answer any more.
            DeviceError: anything else.
        """
        code = result[0]
        if code.name == "cudaSuccess":
            return result[1] if len(result) > 1 else None
        text = self.api.cudaGetErrorString(code)[1].decode()
        if code.name == _OUT_OF_MEMORY:
            raise DeviceMemoryError(call, code.name, text)
        if code.name in LOST:
            raise DeviceLostError(call, code.name, text)
        raise DeviceError(call, code.name, text)


def pinned_array(address: int, size: int) -> NDArray[np.uint8]:
    """Page-locked memory as an array of bytes; it does not own the memory."""
    return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(address)), np.uint8)
