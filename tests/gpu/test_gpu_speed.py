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

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime.equivalence import probe_batch
from exalign_engine.runtime.tensorrt.cuda import Cuda
from exalign_engine.runtime.tensorrt.probe import Device
from exalign_engine.runtime.tensorrt.runtime import TensorRTRuntime

OpenRuntime = Callable[..., TensorRTRuntime]

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


def bytes_by_class(network: bytes, bundle: Bundle) -> int:
    """Of all constants that have a row for each of the K classes: the head, and the tables of the sums.

    Each batch must read them once at least; TensorRT may keep them in a wider type, or read one twice.
    """
    import onnx  # where there is no GPU, it may not be installed either

    model, k = onnx.load_from_string(network), bundle.exemplars.count
    return sum(len(t.raw_data) for t in model.graph.initializer if list(t.dims[:1]) == [k])


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
def test_what_summing_over_the_exemplars_costs_and_saves(
    open_runtime: OpenRuntime, bundle: Bundle, precision: str, report: dict[str, Any]
) -> None:
    """Time of a call with and without, and CPU time of the host's reading: what decides whether servers should sum."""
    summing, scoring = open_runtime(precision), open_runtime(precision, sums=False)
    model, crops = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual), probe_batch(bundle)
    row = summing.infer(crops[:1]).row(0)
    reading: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(100):
        for name, sums in (("with", row.sums), ("without", None)):
            start = time.process_time()
            posterior = model.posterior(row.scores, row.image, sums)
            _ = posterior.mean, posterior.covariance, posterior.confidence
            reading[name].append(1e3 * (time.process_time() - start))
    calls = [
        {"batch": n, "with_ms": percentiles(summing, crops[:n])[0], "without_ms": percentiles(scoring, crops[:n])[0]}
        for n in (1, 8)
    ]
    medians = {f"reading_{name}_cpu_ms": float(np.median(values)) for name, values in reading.items()}
    report.setdefault("sums", {})[precision] = {"calls": calls, **medians}
    assert row.sums is not None
    assert scoring.infer(crops[:1]).sums is None


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
    bandwidth = bytes_per_second(cuda)
    bound = None if bandwidth is None else 1e3 * bytes_by_class(engine.network.onnx, bundle) / bandwidth
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
                "memory_bound_ms": bound,
                "ratio_to_memory_bound": p50 / bound if bound else None,
            }
        )
    report.setdefault("speed", {})[precision] = rows
    assert all(0 < row["p50_ms"] < 1000 for row in rows)  # type: ignore[operator]
