"""Engines on a real GPU: built, read back, executed, and right. Skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.network.outputs import Outputs
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.equivalence import BOUNDS, create_verified_runtime, measure, probe_batch
from exalign_engine.runtime.tensorrt.cuda import Cuda
from exalign_engine.runtime.tensorrt.errors import DeviceMemoryError, EngineFileError
from exalign_engine.runtime.tensorrt.probe import Device
from exalign_engine.runtime.tensorrt.runtime import GpuOptions, TensorRTRuntime

PRECISIONS = ("fp32", "fp16", "int8")
BUCKETS = (1, 2, 4, 8)

#: Device memory that may be missing after many calls, bytes: the allocator's own grain.
GRAIN = 2 << 20

OpenRuntime = Callable[..., TensorRTRuntime]


@pytest.fixture(scope="session")
def crops(bundle: Bundle) -> NDArray[np.uint8]:
    """32 crops: drawn faces and noise."""
    size = bundle.manifest.input_size
    noise = np.random.default_rng(0).integers(0, 256, (24, size, size, 3), dtype=np.uint8)
    return np.concatenate([probe_batch(bundle), noise])


def assert_same_bits(a: Outputs, b: Outputs) -> None:
    for name, values in vars(a).items():
        np.testing.assert_array_equal(values, getattr(b, name), err_msg=name)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_is_built_and_executed_at_every_bucket(
    open_runtime: OpenRuntime, crops: NDArray[np.uint8], precision: str, report: dict[str, Any]
) -> None:
    runtime = open_runtime(precision)
    for n in BUCKETS:
        out = runtime.infer(crops[:n])
        assert len(out.scores) == n
        assert np.isfinite(out.scores).all()
    report.setdefault("recorded_graphs", {})[precision] = list(runtime.recorded)
    assert runtime.recorded == BUCKETS


@pytest.mark.parametrize("precision", PRECISIONS)
def test_posteriors_are_those_of_onnx_runtime(
    open_runtime: OpenRuntime, bundle: Bundle, precision: str, report: dict[str, Any]
) -> None:
    """In float32, as a server compares them; and the sums over the exemplars with the host's, of the same scores."""
    runtime = open_runtime(precision)
    divergence = measure(create_runtime("onnxruntime", bundle.network, precision="fp32"), runtime, bundle)
    report.setdefault("divergence", {})[precision] = asdict(divergence)
    assert divergence.beyond(BOUNDS[runtime.precision]) == []
    assert divergence.sums > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_replayed_graph_gives_the_bits_of_eager_execution(
    open_runtime: OpenRuntime, crops: NDArray[np.uint8], precision: str
) -> None:
    replayed, eager = open_runtime(precision), open_runtime(precision, record=False)
    assert eager.recorded == ()
    for n in (1, 2, 3, 4, 7, 8, 19):
        assert_same_bits(replayed.infer(crops[:n]), eager.infer(crops[:n]))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_rows_outputs_do_not_depend_on_its_batch(
    open_runtime: OpenRuntime, crops: NDArray[np.uint8], precision: str, report: dict[str, Any]
) -> None:
    """Where this fails, LOSSLESS video must be served at batch 1; the report says by how much."""
    runtime = open_runtime(precision)
    alone = [runtime.infer(crops[i : i + 1]) for i in range(len(crops))]
    worst = {}
    for name in ("scores", "sums"):
        right, worst[name] = np.concatenate([getattr(out, name) for out in alone]), 0.0
        for n in (2, 3, 5, 8, 32):
            for batch, rows in ((crops[:n], right[:n]), (crops[:n][::-1], right[:n][::-1])):
                found = getattr(runtime.infer(np.ascontiguousarray(batch)), name)
                worst[name] = max(worst[name], float(np.abs(found - rows).max()))
    report.setdefault("batch_dependence", {})[precision] = worst
    assert worst == {"scores": 0, "sums": 0}


def test_ten_thousand_calls_do_not_take_device_memory(
    open_runtime: OpenRuntime, crops: NDArray[np.uint8], cuda: Cuda, report: dict[str, Any]
) -> None:
    runtime = open_runtime("fp16")
    for n in range(1, 17):
        runtime.infer(crops[:n])
    before = cuda.free_memory()
    for i in range(10_000):
        runtime.infer(crops[: 1 + i % 16])
    lost = before - cuda.free_memory()
    report["device_memory_lost_in_10000_calls_bytes"] = lost
    assert lost <= GRAIN


def test_opening_and_closing_gives_all_device_memory_back(open_runtime: OpenRuntime, cuda: Cuda) -> None:
    open_runtime("fp16").close()  # what the libraries take once and keep
    before = cuda.free_memory()
    for _ in range(5):
        open_runtime("fp16").close()
    assert before - cuda.free_memory() <= GRAIN


def test_a_damaged_plan_is_refused(open_runtime: OpenRuntime, engines: Callable[[str], Any]) -> None:
    plan = engines("fp16").plan
    for damaged in (b"", b"not a plan", plan[: len(plan) // 2], b"\0" * 64 + plan[64:]):
        with pytest.raises(EngineFileError):
            open_runtime("fp16", plan=damaged)


def test_an_engine_of_another_profile_is_refused(open_runtime: OpenRuntime) -> None:
    with pytest.raises(EngineFileError, match="takes batches of 8 at most, must take 16"):
        open_runtime("fp16", max_batch=16)


def test_a_full_device_is_said_and_recovered_from(
    open_runtime: OpenRuntime, crops: NDArray[np.uint8], cuda: Cuda
) -> None:
    taken, size = [], cuda.free_memory()
    try:
        while size >= 1 << 20:
            try:
                taken.append(cuda.allocate(size))
            except DeviceMemoryError:
                cuda.forget_error()
                size //= 2
        # Reading an engine takes memory too: TensorRT then says so in its own words.
        with pytest.raises((DeviceMemoryError, EngineFileError)):
            open_runtime("fp32")
    finally:
        for address in taken:
            cuda.free(address)
    assert np.isfinite(open_runtime("fp32").infer(crops[:3]).scores).all()


def test_the_servers_own_way_to_a_runtime_works(
    bundle: Bundle, device: Device, runtime_name: str, tmp_path: Path
) -> None:
    for _ in range(2):  # built, then found in the cache
        verified = create_verified_runtime(runtime_name, bundle, streams=2, gpu=GpuOptions(cache=tmp_path))
        assert verified.runtime.name == runtime_name
        assert verified.runtime.device == str(device)
        verified.runtime.close()
    (engine,) = tmp_path.glob("*.engine")
    engine.write_bytes(engine.read_bytes()[:-1])
    try:
        verified = create_verified_runtime(runtime_name, bundle, gpu=GpuOptions(cache=tmp_path))
    except RuntimeUnavailableError as e:
        pytest.fail(f"a truncated engine was not built anew: {e}")
    verified.runtime.close()
