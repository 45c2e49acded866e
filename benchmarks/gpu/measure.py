"""How long calls take on a device, how fast its memory is, and whether a process takes more and more of it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: Device memory that may be missing after many calls, bytes: the allocator's own grain.
DEVICE_GRAIN = 2 << 20

#: Likewise of the host: a heap that is used for other things too.
HOST_GRAIN = 32 << 20

#: Looks at the memory while calls are made, and the share of the calls that warms up before the first one.
LOOKS, WARM_SHARE = 10, 0.1


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call: median and 99th percentile, and how many were timed."""

    p50_ms: float
    p99_ms: float
    calls: int


def timed(
    call: Callable[[], object], calls: int, device: torch.device, before: Callable[[], object] | None = None
) -> Times:
    """Time calls one by one, the device idle before and after each.

    On CUDA by its events, which leave out what the host takes to start it; elsewhere by the wall clock.

    Args:
        call: what is timed.
        calls: how many, after two that are not.
        device: that it runs on.
        before: made before each call, not timed.
    """
    found = []
    for i in range(calls + 2):
        if before is not None:
            before()
        seconds = _one(call, device)
        if i >= 2:
            found.append(1e3 * seconds)
    return Times(round(statistics.median(found), 4), round(float(np.percentile(found, 99)), 4), calls)


def _one(call: Callable[[], object], device: torch.device) -> float:
    """Seconds."""
    if device.type != "cuda":
        started = time.perf_counter()
        call()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    start.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return float(start.elapsed_time(end)) / 1e3


def wall(call: Callable[[], object], calls: int) -> Times:
    """Time calls that end when they are done, by the wall clock."""
    return timed(call, calls, torch.device("cpu"))


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second of a device's memory, read and written together.

    Attributes:
        copied: by copying from one place of it to another.
        nominal: its clock times its width; None where the driver does not tell.
        copy_bytes: size of what was copied.
    """

    copied: float
    nominal: float | None
    copy_bytes: int


def bandwidth(device: torch.device, copy_bytes: int, calls: int = 10) -> Bandwidth:
    """Copy so many bytes to and fro; they should be many times what its caches hold."""
    source = torch.zeros(copy_bytes, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    times = timed(lambda: target.copy_(source), calls, device)
    return Bandwidth(2e3 * copy_bytes / times.p50_ms, _nominal(device), copy_bytes)


def _nominal(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    clock, width = (getattr(properties, name, 0) for name in ("memory_clock_rate", "memory_bus_width"))
    return 2e3 * clock * width / 8 or None


class Flush:
    """Empties a device's caches of what was read before, by writing something large.

    Args:
        device: whose.
        size: bytes; more than its caches hold.
    """

    def __init__(self, device: torch.device, size: int) -> None:
        self._memory = torch.zeros(size, dtype=torch.uint8, device=device)

    def __call__(self) -> None:
        """Write all of it."""
        self._memory.add_(1)


def memory(device: torch.device) -> dict[str, int]:
    """Bytes: resident in this process, and on a GPU what is taken of the device and what torch holds of that."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if device.type != "cuda":
        return {"host_resident": resident}
    free, total = torch.cuda.mem_get_info(device)
    held = {"device_taken": total - free, "torch_reserved": torch.cuda.memory_reserved(device)}
    return {"host_resident": resident, **held, "torch_allocated": torch.cuda.memory_allocated(device)}


def endured(call: Callable[[int], object], iterations: int, device: torch.device) -> dict[str, Any]:
    """Make many calls and look at the memory in between.

    Args:
        call: is told its number.
        iterations: at least `LOOKS`.
        device: whose memory is looked at, beside the host's.

    Returns:
        The looks; growth from the first, after a tenth of the calls, to the last; and whether that is growth.
    """
    looks, started = [], time.monotonic()
    due = {round(x) for x in np.linspace(iterations * WARM_SHARE, iterations, LOOKS)}
    for i in range(1, iterations + 1):
        call(i)
        if i in due:
            looks.append({"calls": i, **memory(device)})
    growth = {name: looks[-1][name] - looks[0][name] for name in looks[0] if name != "calls"}
    bounds = {name: HOST_GRAIN if name == "host_resident" else DEVICE_GRAIN for name in growth}
    grew = sorted(name for name in growth if growth[name] > bounds[name])
    seconds = round(time.monotonic() - started, 1)
    return {"iterations": iterations, "seconds": seconds, "growth_bytes": growth, "grew": grew, "looks": looks}


def as_row(times: Times, faces: int) -> dict[str, float]:
    """Times as a row of the report, with faces a second."""
    return {**asdict(times), "faces_per_second": round(1e3 * faces / times.p50_ms, 1)}
