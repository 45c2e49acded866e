"""A runtime serves only if its posteriors are those of the reference; otherwise it is refused or replaced."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.posterior.device_sums import WIDTH
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.equivalence import (
    BOUNDS,
    PROBES,
    Divergence,
    create_verified_runtime,
    measure,
    probe_batch,
    verify,
)
from exalign_engine.runtime.tensorrt.runtime import GpuOptions


class Distorted:
    """The reference with its scores spoiled, under another name."""

    name, version, device, reason = "tensorrt", "0", "GPU 0", "asked for"

    def __init__(self, reference: Runtime, noise: float, precision: str = "f16") -> None:
        self._reference, self._noise, self.precision, self.closed = reference, noise, precision, False

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        out = self._reference.infer(crops)
        noise = np.random.default_rng(1).normal(0, 1, out.scores.shape).astype(np.float32)
        return replace(out, scores=out.scores + np.float32(self._noise) * noise)

    def close(self) -> None:
        self.closed = True


class Summing(Distorted):
    """The reference's scores, and sums over the exemplars that are off by ``noise``, box sides."""

    def __init__(self, reference: Runtime, bundle: Bundle, noise: float) -> None:
        super().__init__(reference, 0.0)
        self._model, self._off = PosteriorModel(bundle.exemplars, bundle.calibration), noise

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        out = super().infer(crops)
        sums = np.zeros((len(crops), WIDTH), np.float32)  # nothing is displaced: the rest may be 0
        for row, scores in zip(sums, out.scores, strict=True):
            p = self._model.posterior(scores, whole=True)
            row[:136] = (p.mean + self._off).T.reshape(-1)
            row[136:340] = (p.covariance - [1, 0, 1] * p.kernel_variance[:, None]).T.reshape(-1)
            row[-4] = p.kernel_variance.mean()
        return replace(out, sums=sums)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module")
def reference(bundle: Bundle) -> Runtime:
    return create_runtime("onnxruntime", bundle.network, precision="fp32")


def test_the_probe_batch_is_the_same_each_time_and_looks_like_faces(bundle: Bundle, reference: Runtime) -> None:
    crops = probe_batch(bundle)
    np.testing.assert_array_equal(crops, probe_batch(bundle))
    size = bundle.manifest.input_size
    assert (crops.shape, crops.dtype) == ((PROBES, size, size, 3), np.uint8)
    presence = [bundle.calibration.presence(row.scores) for row in reference.infer(crops).rows()]
    assert np.median(presence) > 0.9


def test_the_reference_does_not_differ_from_itself(bundle: Bundle, reference: Runtime) -> None:
    assert measure(reference, reference, bundle) == Divergence(0.0, 0.0, 0.0)


def test_openvino_is_well_within_its_bound(bundle: Bundle) -> None:
    verified = create_verified_runtime("openvino", bundle, precision="fp32")
    assert verified.runtime.name == "openvino"
    assert verified.divergence.kl < BOUNDS["f32"].kl / 10
    assert verified.divergence.landmarks < BOUNDS["f32"].landmarks / 10


def test_half_precision_is_well_within_its_bound(bundle: Bundle, reference: Runtime, tmp_path: Path) -> None:
    """Rounded weights, as ONNX Runtime computes them on a CPU: not half accumulation."""
    pytest.importorskip("onnx", reason="needs onnx (extra 'tensorrt' or 'train')")
    from exalign_engine.runtime.tensorrt.precisions import prepare

    half = tmp_path / "half.onnx"
    half.write_bytes(prepare(bundle.network, "fp16").onnx)
    divergence = measure(reference, create_runtime("onnxruntime", half), bundle)
    assert 0 < divergence.kl < BOUNDS["f16"].kl / 10
    assert 0 < divergence.landmarks < BOUNDS["f16"].landmarks / 2


def test_a_runtime_that_answers_otherwise_is_refused_with_every_measure(bundle: Bundle, reference: Runtime) -> None:
    wrong = Distorted(reference, noise=1.0)
    with pytest.raises(RuntimeUnavailableError) as e:
        verify(wrong, bundle, lambda: create_runtime("onnxruntime", bundle.network, precision="fp32"), None)
    assert wrong.closed
    for word in ("runtime tensorrt (f16) does not answer like ONNX Runtime: ", "KL ", "landmarks ", "at most 0.01"):
        assert word in str(e.value)


def test_a_gpu_is_asked_to_sum_over_the_bundles_own_exemplars(
    bundle: Bundle, reference: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exalign_engine.runtime import equivalence

    asked: list[GpuOptions] = []

    def create(name: str, *arguments: Any, gpu: GpuOptions | None = None, **settings: Any) -> Any:
        if gpu is not None:
            asked.append(gpu)
        return reference

    monkeypatch.setattr(equivalence, "create_runtime", create)
    create_verified_runtime("tensorrt", bundle, gpu=GpuOptions(max_batch=3), device_sums=True)
    create_verified_runtime("tensorrt", bundle)
    with_sums, without = asked
    assert with_sums.max_batch == 3
    assert with_sums.tables is not None
    assert with_sums.tables.exemplars is bundle.exemplars
    assert without.tables is None


def test_sums_that_are_not_those_of_the_scores_are_refused(bundle: Bundle, reference: Runtime) -> None:
    still = replace(bundle, residual=None)
    assert measure(reference, Summing(reference, still, 0.0), still).sums < 1e-6
    wrong = Summing(reference, still, 2e-4)
    with pytest.raises(RuntimeUnavailableError, match=r": sums 0\.0002 box sides \(at most 0\.0001\)$"):
        verify(wrong, still, lambda: create_runtime("onnxruntime", bundle.network, precision="fp32"), None)
    assert wrong.closed


def test_a_bound_is_looser_for_a_coarser_precision(bundle: Bundle, reference: Runtime) -> None:
    def outcome(precision: str) -> bool:
        runtime = Distorted(reference, 0.06, precision)
        try:
            verify(runtime, bundle, lambda: create_runtime("onnxruntime", bundle.network, precision="fp32"), None)
        except RuntimeUnavailableError:
            return False
        return True

    assert [outcome(precision) for precision in ("f32", "f16", "int8")] == [False, False, True]


def test_scores_that_are_not_numbers_are_refused(bundle: Bundle, reference: Runtime) -> None:
    with pytest.raises(RuntimeUnavailableError, match="nan"):
        verify(Distorted(reference, float("nan")), bundle, lambda: reference, None)


def test_with_a_fallback_it_is_replaced_and_the_reason_says_so(
    bundle: Bundle, reference: Runtime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exalign_engine.runtime import equivalence

    wrong = Distorted(reference, noise=1.0)

    def create(name: str, *arguments: Any, **settings: Any) -> Any:
        return wrong if name == "auto" else create_runtime(name, *arguments, **settings)

    monkeypatch.setattr(equivalence, "create_runtime", create)
    with caplog.at_level(logging.WARNING):
        verified = create_verified_runtime("auto", bundle, precision="fp32")
    assert wrong.closed
    assert verified.runtime.name == "openvino"
    assert verified.runtime.reason.startswith("auto: runtime tensorrt (f16) does not answer like ONNX Runtime: KL ")
    assert verified.divergence.beyond(BOUNDS["f32"]) == []
    assert "does not answer like ONNX Runtime" in caplog.text
