"""How fast it is, beside trtexec and beside what the memory allows. Measured and reported; only absurd values fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle import Bundle
from exalign_engine.runtime.equivalence import probe_batch
from exalign_engine.runtime.tensorrt_runtime import TensorRTRuntime
from exalign_engine.tensorrt.cuda import Cuda
from exalign_engine.tensorrt.probe import Device

OpenRuntime = Callable[..., TensorRTRuntime]

#: Bytes of a head weight; int8's head may be kept in another type, so that its bound is a bound from below.
WEIGHT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}

CALLS = 500


def percentiles(runtime: TensorRTRuntime, crops: NDArray[np.uint8]) -> tuple[float, float]:
    """p50 and p99 of one call, ms, copies included."""
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        runtime.infer(crops)
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.percentile(times, 50)), float(np.percentile(times, 99))


def faces_per_second(runtime: TensorRTRuntime, crops: NDArray[np.uint8], callers: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: runtime.infer(crops), range(CALLS)))
    return CALLS * len(crops) / (time.perf_counter() - start)


def bytes_per_second(cuda: Cuda) -> float | None:
    """Of the device's memory, by its clock and width; None where the driver does not tell."""
    attributes = cuda.api.cudaDeviceAttr
    code, clock = cuda.api.cudaDeviceGetAttribute(attributes.cudaDevAttrMemoryClockRate, cuda.device)
    width_code, width = cuda.api.cudaDeviceGetAttribute(attributes.cudaDevAttrGlobalMemoryBusWidth, cuda.device)
    if code.name != "cudaSuccess" or width_code.name != "cudaSuccess" or not clock or not width:
        return None
    return float(2 * clock * 1e3 * width / 8)


def trtexec_ms(plan: bytes, batch: int, side: int, folder: Path) -> float | None:
    """Median GPU compute time of a batch by NVIDIA's own tool; None where it is not installed or does not say."""
    tool = shutil.which("trtexec") or shutil.which("tensorrt_rtx")
    if tool is None:
        return None
    file = folder / "engine.plan"
    file.write_bytes(plan)
    command = [
        tool,
        f"--loadEngine={file}",
        f"--shapes=image:{batch}x{side}x{side}x3",
        "--useCudaGraph",
        "--duration=3",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"GPU Compute Time:.*?median = ([\d.]+) ms", result.stdout)
    return float(found.group(1)) if found else None


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_latency_and_throughput(
    open_runtime: OpenRuntime,
    engines: Callable[[str], Any],
    bundle: Bundle,
    cuda: Cuda,
    device: Device,
    precision: str,
    report: dict[str, Any],
    tmp_path: Path,
) -> None:
    runtime, engine = open_runtime(precision), engines(precision)
    eager = open_runtime(precision, record=False)
    embedding = engine.network.outputs["embedding"][0]
    head = bundle.exemplars.count * embedding * WEIGHT_BYTES[precision]
    bandwidth = bytes_per_second(cuda)
    bound = None if bandwidth is None else 1e3 * head / bandwidth
    crops = probe_batch(bundle)
    rows = []
    for batch in (1, 2, 4, 8):
        p50, p99 = percentiles(runtime, crops[:batch])
        official = trtexec_ms(engine.plan, batch, engine.network.side, tmp_path)
        rows.append(
            {
                "batch": batch,
                "p50_ms": p50,
                "p99_ms": p99,
                "eager_p50_ms": percentiles(eager, crops[:batch])[0],
                "faces_per_second_2_callers": faces_per_second(runtime, crops[:batch], 2),
                "trtexec_gpu_ms": official,
                "ratio_to_trtexec": p50 / official if official else None,
                "head_memory_bound_ms": bound,
                "ratio_to_head_bound": p50 / bound if bound else None,
            }
        )
    report.setdefault("speed", {})[precision] = rows
    assert all(0 < row["p50_ms"] < 1000 for row in rows)  # type: ignore[operator]
