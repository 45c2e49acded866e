"""Asks CUDA which devices there are, and prints the answer as JSON. Run by path, in a process of its own.

It imports nothing of ours: a driver that crashes or hangs here takes nobody with it.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any


def look() -> dict[str, Any]:
    """What `probe.find_devices` reads: ``{"devices": [...]}`` or ``{"problem": "…"}``."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {"problem": "no NVIDIA driver (libcuda.so.1 cannot be loaded)"}
    try:
        from cuda.bindings import runtime as cudart
    except ImportError as e:
        return {"problem": f"cuda-bindings cannot be imported: {e}"}
    code, count = cudart.cudaGetDeviceCount()
    if code != cudart.cudaError_t.cudaSuccess:
        return {"problem": f"{_text(cudart, code)} ({code.name})"}
    if count == 0:
        return {"problem": "no CUDA device is visible"}
    devices = []
    for index in range(count):
        code, properties = cudart.cudaGetDeviceProperties(index)
        if code != cudart.cudaError_t.cudaSuccess:
            return {"problem": f"device {index}: {_text(cudart, code)} ({code.name})"}
        devices.append(
            {
                "index": index,
                "name": properties.name.split(b"\0")[0].decode(),
                "compute_capability": [properties.major, properties.minor],
                "memory": properties.totalGlobalMem,
            }
        )
    return {"devices": devices}


def _text(cudart: Any, code: Any) -> str:
    return str(cudart.cudaGetErrorString(code)[1].decode())


if __name__ == "__main__":
    json.dump(look(), sys.stdout)
