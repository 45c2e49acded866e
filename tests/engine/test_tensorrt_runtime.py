"""The logic of the TensorRT runtime, on a FAKE of TensorRT and CUDA (tensorrt_fake): nothing here ran on a GPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tensorrt_fake as fake
from exalign_engine.errors import BundleError, ExalignError, RuntimeUnavailableError
from exalign_engine.runtime.tensorrt import api_log
from exalign_engine.runtime.tensorrt.cuda import LOST, Cuda
from exalign_engine.runtime.tensorrt.errors import DeviceError, DeviceLostError, DeviceMemoryError, EngineFileError
from exalign_engine.runtime.tensorrt.lane import Tensors
from exalign_engine.runtime.tensorrt.runtime import TensorRTRuntime

BUCKETS = (1, 2, 4)


@pytest.fixture(autouse=True)
def a_log_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process has one logger for good; the fake gets a new one for each test."""
    monkeypatch.setattr(api_log, "_logs", {})


@pytest.fixture
def cudart() -> fake.FakeCudart:
    return fake.FakeCudart()


@pytest.fixture
def api(cudart: fake.FakeCudart) -> fake.FakeTensorRT:
    return fake.FakeTensorRT(cudart)


def start(api: fake.FakeTensorRT, plan: bytes = b"plan", outputs: Any = None, **settings: Any) -> TensorRTRuntime:
    tensors = Tensors("image", fake.SIDE, fake.OUTPUTS if outputs is None else outputs, 4)
    return TensorRTRuntime(api, Cuda(api.cudart, 0), plan, Path("network.onnx"), tensors, **settings)


@pytest.fixture
def runtime(api: fake.FakeTensorRT) -> Iterator[TensorRTRuntime]:
    runtime = start(api)
    yield runtime
    runtime.close()


def crops(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, fake.SIDE, fake.SIDE, 3), dtype=np.uint8)


def assert_right(runtime: TensorRTRuntime, batch: NDArray[np.uint8]) -> None:
    out = runtime.infer(batch)
    for name, values in fake.expected(batch).items():
        np.testing.assert_array_equal(getattr(out, name), values)


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 23])
def test_every_row_of_every_size_of_batch_is_answered(api: fake.FakeTensorRT, n: int, record: bool) -> None:
    runtime = start(api, record=record)
    assert_right(runtime, crops(n))
    runtime.close()


def test_sums_of_the_graph_come_back_with_the_rest(cudart: fake.FakeCudart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fake.OUTPUTS, "sums", (5,))
    runtime, batch = start(fake.FakeTensorRT(cudart)), crops(7)
    assert_right(runtime, batch)
    sums = runtime.infer(batch).row(6).sums
    assert sums is not None
    np.testing.assert_array_equal(sums, fake.expected(batch)["sums"][6])
    runtime.close()


def test_a_network_that_does_not_sum_has_none(runtime: TensorRTRuntime) -> None:
    assert runtime.infer(crops(1)).sums is None


def test_a_row_of_a_batch_that_is_filled_up_does_not_see_what_was_there(runtime: TensorRTRuntime) -> None:
    assert_right(runtime, crops(4, seed=1))
    assert_right(runtime, crops(3, seed=2))
    assert_right(runtime, crops(4, seed=3)[::-1])  # not contiguous


def test_answers_are_the_callers_own(runtime: TensorRTRuntime) -> None:
    batch = crops(2)
    first = runtime.infer(batch).scores
    runtime.infer(255 - batch)
    np.testing.assert_array_equal(first, fake.expected(batch)["scores"])


def test_every_bucket_is_warm_and_recorded_before_the_first_call(
    runtime: TensorRTRuntime, cudart: fake.FakeCudart
) -> None:
    assert runtime.recorded == BUCKETS
    assert cudart.calls.count("cudaStreamEndCapture") == 2 * len(BUCKETS)  # two lanes
    cudart.calls.clear()
    assert_right(runtime, crops(4))
    assert cudart.calls == ["cudaSetDevice", "cudaGraphLaunch", "cudaStreamSynchronize"]


def test_a_large_batch_is_cut_and_two_pieces_are_in_flight(runtime: TensorRTRuntime, cudart: fake.FakeCudart) -> None:
    cudart.calls.clear()
    cudart.most_running = 0
    assert_right(runtime, crops(11))
    assert cudart.calls.count("cudaGraphLaunch") == 3
    assert cudart.calls[1:3] == ["cudaGraphLaunch", "cudaGraphLaunch"]  # the second before the first is waited for
    assert cudart.most_running == 2


def test_callers_from_many_threads_are_answered_alike(runtime: TensorRTRuntime) -> None:
    batches = [crops(1 + i % 7, seed=i) for i in range(40)]
    with ThreadPoolExecutor(6) as pool:
        for batch, out in zip(batches, pool.map(runtime.infer, batches), strict=True):
            np.testing.assert_array_equal(out.scores, fake.expected(batch)["scores"])


def test_it_says_what_it_is(runtime: TensorRTRuntime) -> None:
    assert (runtime.name, runtime.version, runtime.precision) == ("tensorrt", "11.4.0", "f16")


def test_outputs_come_from_the_file(api: fake.FakeTensorRT) -> None:
    outputs = {name: shape for name, shape in fake.OUTPUTS.items() if name != "local"}
    del api.tensors["local"]
    # The fake computes all four; an engine without it has no place to put it.
    api.tensors = {**api.tensors}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake, "OUTPUTS", outputs)
        runtime = start(api, outputs=outputs)
        assert runtime.infer(crops(2)).local is None
        runtime.close()


def test_a_network_without_scores_is_a_bundle_error(api: fake.FakeTensorRT) -> None:
    with pytest.raises(BundleError, match="has no output 'scores'"):
        start(api, outputs={"embedding": (2,)})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param({"image": ("FLOAT", (-1, 4, 4, 3))}, "image is FLOAT of", id="type"),
        pytest.param({"scores": ("FLOAT", (-1, 7))}, r"scores is FLOAT of \(-1, 7\), must be FLOAT", id="shape"),
        pytest.param({"scores": ("HALF", (-1, 6))}, "scores is HALF", id="half"),
        pytest.param({"extra": ("FLOAT", (-1, 6))}, "has extra besides", id="extra"),
        pytest.param({"scores": None}, "has no scores", id="missing"),
    ],
)
def test_an_engine_of_another_network_is_refused(api: fake.FakeTensorRT, spoil: dict[str, Any], message: str) -> None:
    api.tensors = {name: value for name, value in {**api.tensors, **spoil}.items() if value is not None}
    with pytest.raises(EngineFileError, match=message):
        start(api)


def test_an_engine_for_smaller_batches_is_refused(cudart: fake.FakeCudart) -> None:
    with pytest.raises(EngineFileError, match="takes batches of 2 at most, must take 4"):
        start(fake.FakeTensorRT(cudart, max_batch=2))


def test_a_damaged_plan_is_refused_in_tensorrts_words(api: fake.FakeTensorRT) -> None:
    with pytest.raises(EngineFileError, match="the fake cannot read it") as e:
        start(api, plan=b"pla")
    assert "/_src/" not in str(e.value)


def test_wrong_crops_are_refused_before_they_are_copied(runtime: TensorRTRuntime) -> None:
    for wrong in (crops(0), crops(1)[:, :3], crops(1).astype(np.float32), crops(1)[0]):
        with pytest.raises(ValueError, match="must be uint8 of"):
            runtime.infer(wrong)


def test_buckets_that_cannot_be_recorded_run_eagerly(api: fake.FakeTensorRT, caplog: pytest.LogCaptureFixture) -> None:
    api.refuse = ["", "while recording"]  # of the first lane's first bucket: the first run, then the recording
    with caplog.at_level(logging.WARNING):
        runtime = start(api)
    assert runtime.recorded == (2, 4)
    assert "batches of 1 run without a CUDA graph" in caplog.text
    for n in (1, 1, 2, 4):
        assert_right(runtime, crops(n))
    runtime.close()


@pytest.mark.parametrize("call", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_failed_step_of_recording_leaves_the_bucket_eager(
    api: fake.FakeTensorRT, cudart: fake.FakeCudart, call: str
) -> None:
    cudart.fail[call] = [fake.CudaError.cudaErrorStreamCaptureUnsupported]
    runtime = start(api)
    assert runtime.recorded == (2, 4)
    assert cudart.last is fake.CudaError.cudaSuccess  # or the next failure would be told wrongly
    assert_right(runtime, crops(1))
    runtime.close()
    assert not cudart.graphs


def test_too_little_memory_is_said_and_everything_given_back(cudart: fake.FakeCudart) -> None:
    for memory in (100, 500, 900):
        cudart.memory = memory
        with pytest.raises(DeviceMemoryError, match="cudaMalloc failed: text of cudaErrorMemoryAllocation"):
            start(fake.FakeTensorRT(cudart))
        assert (cudart.blocks, cudart.pinned, cudart.streams, cudart.graphs) == ({}, {}, {}, [])


def test_no_pinned_memory_is_out_of_memory_too(api: fake.FakeTensorRT, cudart: fake.FakeCudart) -> None:
    cudart.fail["cudaMallocHost"] = [fake.CudaError.cudaSuccess, fake.CudaError.cudaErrorMemoryAllocation]
    with pytest.raises(DeviceMemoryError, match="cudaMallocHost"):
        start(api)
    assert (cudart.blocks, cudart.pinned, cudart.streams) == ({}, {}, {})


def test_no_context_is_out_of_memory(api: fake.FakeTensorRT, cudart: fake.FakeCudart) -> None:
    api.contexts_left = 4
    with pytest.raises(DeviceMemoryError, match="create_execution_context failed: the fake has no memory"):
        start(api)
    assert (cudart.blocks, cudart.pinned, cudart.streams, cudart.graphs) == ({}, {}, {}, [])


def test_a_lost_device_fails_this_call_and_all_later_ones_at_once(
    runtime: TensorRTRuntime, cudart: fake.FakeCudart
) -> None:
    cudart.fail["cudaStreamSynchronize"] = [fake.CudaError.cudaErrorIllegalAddress]
    with pytest.raises(DeviceLostError, match="cudaErrorIllegalAddress"):
        runtime.infer(crops(3))
    cudart.calls.clear()
    with pytest.raises(DeviceLostError, match="cudaErrorIllegalAddress"):
        runtime.infer(crops(3))
    assert cudart.calls == []


def test_another_error_fails_one_call_only(runtime: TensorRTRuntime, cudart: fake.FakeCudart) -> None:
    for call in ("cudaGraphLaunch", "cudaStreamSynchronize"):
        cudart.fail[call] = [fake.CudaError.cudaErrorInvalidValue]
        with pytest.raises(DeviceError, match=f"{call} failed: text of cudaErrorInvalidValue"):
            runtime.infer(crops(9))
        assert_right(runtime, crops(9))


def test_a_refused_execution_is_told_in_tensorrts_words(api: fake.FakeTensorRT) -> None:
    runtime = start(api, record=False)
    api.refuse = ["always"]
    with pytest.raises(DeviceError, match="execute_async_v3 failed: the fake refuses"):
        runtime.infer(crops(1))
    assert_right(runtime, crops(1))
    runtime.close()


def test_closing_gives_everything_back_and_may_be_repeated(api: fake.FakeTensorRT, cudart: fake.FakeCudart) -> None:
    runtime = start(api, lanes=3)
    runtime.infer(crops(9))
    for _ in range(2):
        runtime.close()
    assert (cudart.blocks, cudart.pinned, cudart.streams, cudart.graphs) == ({}, {}, {}, [])
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        runtime.infer(crops(1))


def test_closing_waits_for_the_call_that_runs(api: fake.FakeTensorRT, cudart: fake.FakeCudart) -> None:
    runtime = start(api)
    inside, go_on = threading.Event(), threading.Event()
    wait = cudart.cudaStreamSynchronize

    def slow(stream: fake.Stream) -> tuple[Any, ...]:
        inside.set()
        assert go_on.wait(60)
        return wait(stream)

    cudart.cudaStreamSynchronize = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(runtime.infer, crops(2))
        assert inside.wait(60)
        closing = pool.submit(runtime.close)
        assert not closing.done()
        go_on.set()
        np.testing.assert_array_equal(answer.result(60).scores, fake.expected(crops(2))["scores"])
        closing.result(60)
    assert cudart.blocks == {}


def test_closing_a_lost_device_does_not_raise(api: fake.FakeTensorRT, cudart: fake.FakeCudart) -> None:
    runtime = start(api)
    gone = [fake.CudaError.cudaErrorIllegalAddress] * 50
    for call in ("cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphExecDestroy", "cudaSetDevice"):
        cudart.fail[call] = list(gone)
    runtime.close()
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        runtime.infer(crops(1))


def test_many_calls_do_not_grow_anything(runtime: TensorRTRuntime, cudart: fake.FakeCudart) -> None:
    def held() -> tuple[int, ...]:
        return len(cudart.blocks), len(cudart.pinned), len(cudart.streams), len(cudart.graphs)

    before, batch = held(), crops(5)
    for _ in range(2000):
        runtime.infer(batch)
    assert held() == before


def test_every_error_of_ours_is_one_of_the_engines() -> None:
    for kind in (DeviceError, DeviceLostError, DeviceMemoryError, EngineFileError):
        assert issubclass(kind, ExalignError)
    assert "cudaErrorMemoryAllocation" not in LOST
