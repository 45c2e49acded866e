"""The GPU's benchmark on a CPU, with a toy model: what it reports is right, and what grows or differs is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra 'train')")
from benchmarks.gpu import measure, run
from benchmarks.gpu.graph import TorchGraph
from benchmarks.gpu.runtime import TorchRuntime

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.tensorrt.precisions import prepare


@pytest.fixture(scope="module")
def report(toy_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("gpu") / "report.json"
    sizes = ["--batches", "1", "3", "--calls", "3", "--iterations", "40", "--copy-mb", "1", "--flush-mb", "1"]
    ended = run.main(["--bundle", str(toy_bundle), "--device", "cpu", *sizes, "--json", str(out)])
    found: dict[str, Any] = json.loads(out.read_text())
    assert ended == (0 if found["right"] else 1)
    return found


def test_every_variant_is_within_the_bounds_of_its_precision(report: dict[str, Any]) -> None:
    assert [v["variant"] for v in report["variants"]] == list(run.VARIANTS)
    for v in report["variants"]:
        assert v["beyond_bounds"] == []
        assert (v["divergence"]["sums"] > 0) == ("+sums" in v["variant"])
        assert not v["recorded"]  # no CUDA here, whatever the machine has: it was asked for the CPU
    assert report["device"]["type"] == "cpu"


def test_the_bytes_of_the_head_are_those_of_its_arrays(report: dict[str, Any], toy_bundle: Path) -> None:
    k, d, looks = Bundle.load(toy_bundle).exemplars.count, 8, 1
    by_name = {v["variant"]: v for v in report["variants"]}
    for name, width in (("fp32", 4), ("fp16", 2)):
        weights = width * k * (d + 1)
        assert by_name[name]["bytes_by_class"] == weights
        for head in by_name[name]["head"]:
            assert head["rows"] == looks * head["batch"]
            assert head["bytes"] == weights + width * head["rows"] * (d + k)
    assert by_name["fp32+sums"]["bytes_by_class"] > by_name["fp32"]["bytes_by_class"]


def test_memory_is_looked_at_ten_times(report: dict[str, Any]) -> None:
    for v in report["variants"]:
        assert [look["calls"] for look in v["memory"]["looks"]] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]


def test_the_runtime_answers_any_number_of_crops_as_the_reference(toy_bundle: Path) -> None:
    bundle = Bundle.load(toy_bundle)
    prepared = prepare(bundle.network, "fp32")
    import onnx

    graph = TorchGraph(onnx.load_from_string(prepared.onnx), "cpu")
    runtime = TorchRuntime(graph, prepared.side, (2, 4), "f32")
    reference = create_runtime("onnxruntime", bundle.network)
    crops = np.random.default_rng(4).integers(0, 256, (7, prepared.side, prepared.side, 3), dtype=np.uint8)
    for n in (1, 2, 3, 4, 7):
        found, right = runtime.infer(crops[:n]), reference.infer(crops[:n])
        np.testing.assert_allclose(found.scores, right.scores, rtol=1e-4, atol=1e-4)
        assert found.local is not None
        assert len(found.features) == len(found.local) == n


def test_what_grows_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter(range(0, 1_000 << 20, 40 << 20))
    monkeypatch.setattr(measure, "memory", lambda device: {"host_resident": next(taken), "device_taken": 5})
    found = measure.endured(lambda i: None, 100, torch.device("cpu"))
    assert found["grew"] == ["host_resident"]
    assert found["growth_bytes"] == {"host_resident": 9 * (40 << 20), "device_taken": 0}


def test_an_answer_beyond_its_bound_is_no_success(toy_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure", lambda *_: run.BOUNDS["int8"])
    sizes = [
        "--batches",
        "1",
        "--calls",
        "1",
        "--iterations",
        "10",
        "--copy-mb",
        "1",
        "--flush-mb",
        "1",
        "--variants",
        "fp32",
    ]
    assert run.main(["--bundle", str(toy_bundle), "--device", "cpu", *sizes]) == 1
