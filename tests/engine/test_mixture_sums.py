"""The sums that a graph makes over the exemplars are those of the host, and of plain float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'tensorrt' or 'train')")

import tensorrt_networks as networks
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.network.outputs import Runtime
from exalign_engine.onnx_graph.errors import GraphError
from exalign_engine.onnx_graph.onnx_file import read_network, write_network
from exalign_engine.onnx_graph.sums import with_sums
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.device_sums import WIDTH, MixtureSums
from exalign_engine.posterior.posterior import Measurement, Posterior, PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.equivalence import measure, probe_batch
from exalign_engine.runtime.tensorrt.precisions import prepare

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

RUNTIMES = ("openvino", "onnxruntime")
K = networks.CLASSES

#: How far the sums may differ from the host's, box sides and box sides².
PARITY = 1e-4


def tables(seed: int, temperature: float, cut: float, reach: float) -> MixtureTables:
    """K random faces about one mean."""
    rng = np.random.default_rng(seed)
    shapes = rng.uniform(0, 1, (1, N_LANDMARKS, 2)) + rng.normal(0, 0.05, (K, 1, 2)) + rng.normal(0, 0.02, (K, 68, 2))
    exemplars = Exemplars(
        shapes=shapes.astype(np.float32),
        variance=rng.uniform(1e-4, 1e-3, K).astype(np.float32),
        mirror_of=np.arange(K, dtype=np.int32),
        source=np.zeros(K, np.int32),
        source_ids=("a",),
    )
    return MixtureTables(exemplars, Calibration(temperature=temperature, kernel_scale=0.3), cut, reach)


def twin(scores: NDArray[np.float32], t: MixtureTables, r: F64) -> dict[str, Any]:
    """Everything in float64, exemplar by exemplar, moments by their definition."""
    s = scores.astype(np.float64) / t.calibration.temperature
    p = np.exp(s - s.max())
    p /= p.sum()
    p[p < t.cut / K] = 0
    kept = p.sum()
    p /= kept
    shapes = t.exemplars.shapes.astype(np.float64)
    mean = np.tensordot(p, shapes, 1)
    w = np.exp(-np.square(shapes - mean).sum(axis=2).mean(axis=1) / (2 * t.reach**2))
    moved = shapes + w[:, None, None] * r
    place = np.tensordot(p, moved, 1)

    def spread(points: F64, about: F64) -> F64:
        d = points - about
        return np.stack([p @ (d[..., a] * d[..., b]) for a, b in ((0, 0), (0, 1), (1, 1))])

    return {
        "kept_mass": kept,
        "mean": mean,
        "covariance": spread(shapes, mean),
        "mean_share": p @ w,
        "mean_squared_share": p @ w**2,
        "displacement_covariance": np.tensordot(p * w, shapes - mean, 1),
        "kernel_variance": p @ (t.calibration.kernel_scale * t.exemplars.variance.astype(np.float64)),
        "displaced": (place.T, spread(moved, place)),
    }


def summing(folder: Path, t: MixtureTables, name: str) -> Runtime:
    file = folder / "network.onnx"
    file.write_bytes(write_network(with_sums(networks.tiny(), t)))
    return create_runtime(name, file)


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize(
    ("temperature", "cut", "reach"),
    [
        pytest.param(1.0, 0.0, 0.1, id="plain"),
        pytest.param(0.02, 1e-3, 0.05, id="one exemplar has it all"),
        pytest.param(50.0, 0.999, 0.05, id="all alike, half are cut"),
        pytest.param(0.3, 1e-3, 0.01, id="hardly any is near"),
        pytest.param(0.3, 1e-3, 100.0, id="all are displaced as one"),
    ],
)
def test_sums_are_those_of_float64(temperature: float, cut: float, reach: float, name: str, tmp_path: Path) -> None:
    for seed in range(4):
        t = tables(seed, temperature, cut, reach)
        out = summing(tmp_path, t, name).infer(networks.crops(3))
        for row in out.rows():
            assert row.sums is not None
            sums, r = MixtureSums.of(row.sums), np.random.default_rng(seed).normal(0, 0.02, (N_LANDMARKS, 2))
            expected = twin(row.scores, t, r)
            displaced = expected.pop("displaced")
            for field, value in expected.items():
                np.testing.assert_allclose(getattr(sums, field), value, rtol=1e-4, atol=1e-6, err_msg=field)
            for ours, its in zip(sums.displaced(r), displaced, strict=True):
                np.testing.assert_allclose(ours, its, rtol=1e-4, atol=1e-6)


def test_the_network_itself_stays_as_it_is() -> None:
    model = networks.tiny()
    before = model.SerializeToString()
    more = with_sums(model, tables(0, 1.0, 0.0, 0.1))
    assert model.SerializeToString() == before
    assert [o.name for o in more.graph.output] == [*(o.name for o in model.graph.output), "sums"]
    assert list(more.graph.node)[: len(model.graph.node)] == list(model.graph.node)
    onnx.checker.check_model(more, full_check=True)


def test_arrays_lie_in_memory_as_the_hosts_do(tmp_path: Path) -> None:
    """Otherwise numba would compile every kernel once more, for the first caller."""
    t = tables(3, 0.5, 1e-3, 0.05)
    row = summing(tmp_path, t, "onnxruntime").infer(networks.crops(1)).row(0)
    model = PosteriorModel(t.exemplars, t.calibration)
    summed, by_host = (model.posterior(row.scores, sums=sums) for sums in (row.sums, None))
    for ours, its in zip(
        (summed.mixture_mean, *summed._moments), (by_host.mixture_mean, *by_host._moments), strict=True
    ):
        assert (ours.dtype, ours.strides) == (its.dtype, its.strides)


def test_what_cannot_be_summed_is_named(tmp_path: Path) -> None:
    t, model = tables(0, 1.0, 0.0, 0.1), networks.tiny(classes=K + 1)
    with pytest.raises(ValueError, match="scores has K = 51, there are 50 exemplars"):
        with_sums(model, t)
    with pytest.raises(GraphError, match=r"network\.onnx: scores has K = 51"):
        prepare(networks.save(model, tmp_path / "network.onnx"), "fp32", t)
    nameless = networks.tiny()
    nameless.graph.output[0].name = "logits"
    with pytest.raises(ValueError, match="has no float32 output 'scores' to sum by; its outputs: logits, "):
        with_sums(nameless, t)
    with pytest.raises(ValueError, match=rf"sums have shape \(7,\), must be \({WIDTH},\)"):
        MixtureSums.of(np.zeros(7, np.float32))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_precision_of_a_network_sums_in_float32(precision: str, tmp_path: Path) -> None:
    t = tables(1, 0.5, 1e-3, 0.05)
    prepared = prepare(networks.save(networks.quantised(), tmp_path / "network.onnx"), precision, t)
    assert prepared.outputs["sums"] == (WIDTH,)
    model = onnx.load_from_string(prepared.onnx)
    kinds = {c.data_type for c in model.graph.initializer if c.name.startswith("sums.")}
    assert kinds == {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    file = tmp_path / "prepared.onnx"
    file.write_bytes(prepared.onnx)
    for row in create_runtime("onnxruntime", file).infer(networks.crops(3)).rows():
        assert row.sums is not None
        expected = twin(row.scores, t, np.zeros((N_LANDMARKS, 2)))
        np.testing.assert_allclose(MixtureSums.of(row.sums).mean, expected["mean"], atol=1e-5)


def test_evidence_that_moves_or_measures_is_summed_by_the_host(tmp_path: Path) -> None:
    t = tables(2, 0.5, 1e-3, 0.05)
    row = summing(tmp_path, t, "onnxruntime").infer(networks.crops(1)).row(0)
    assert row.sums is not None
    model, wrong = PosteriorModel(t.exemplars, t.calibration), MixtureSums.of(np.ones_like(row.sums))
    p = model.posterior(row.scores).probabilities
    for given in ({"box_shift": np.zeros((K, 3), np.float32)}, {"measured": {30: Measurement(0.5, 0.5, 1e-4)}}):
        with_it, without = (Posterior(model, p, 1.0, sums=s, **given) for s in (wrong, None))  # type: ignore[arg-type]
        np.testing.assert_array_equal(with_it.mean, without.mean)
        np.testing.assert_array_equal(with_it.covariance, without.covariance)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module", params=RUNTIMES)
def default_summing(
    request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Runtime:
    file = tmp_path_factory.mktemp("sums") / "network.onnx"
    file.write_bytes(write_network(with_sums(read_network(bundle.network), MixtureTables.of(bundle))))
    runtime = create_runtime(request.param, file)
    file.unlink()  # 225 MB
    return runtime


def assert_parity(bundle: Bundle, runtime: Runtime, crops: U8) -> None:
    """Both ways of reading one network's outputs give the same face."""
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    for crop in crops:
        row = runtime.infer(crop[None]).row(0)
        assert row.sums is not None
        summed, by_host = (model.posterior(row.scores, row.image, s, whole=True) for s in (row.sums, None))
        assert np.abs(by_host.displacement).max() > 1e-4  # the residual has something to say
        for field in ("mixture_mean", "displacement", "mean", "covariance", "confidence"):
            np.testing.assert_allclose(getattr(summed, field), getattr(by_host, field), rtol=0, atol=PARITY)
        # A covariance is of the order of 1e-4 itself.
        own = by_host.covariance[:, [0, 2]]
        np.testing.assert_allclose(summed.covariance[:, [0, 2]], own, rtol=0.01)
        sums = MixtureSums.of(row.sums)
        assert sums.kept_mass == pytest.approx(1 - by_host.cut_mass, abs=1e-5)


def test_the_default_bundle_summed_by_its_graph_answers_as_by_the_host(
    bundle: Bundle, default_summing: Runtime, astronaut_crop: U8
) -> None:
    grey = np.full_like(astronaut_crop, 128)  # no face: the posterior is wide
    faces = np.stack([astronaut_crop, astronaut_crop[:, ::-1], grey])
    assert_parity(bundle, default_summing, np.concatenate([faces, probe_batch(bundle)]))


def test_faces_summed_by_the_graph_are_answered_as_by_the_host(
    bundle: Bundle, default_summing: Runtime, val_crops: U8
) -> None:
    assert_parity(bundle, default_summing, val_crops)


def test_sums_do_not_depend_on_the_batch(bundle: Bundle, default_summing: Runtime) -> None:
    crops = probe_batch(bundle)
    together = default_summing.infer(crops).sums
    assert together is not None
    for i in (0, 3, len(crops) - 1):
        np.testing.assert_array_equal(together[i : i + 1], default_summing.infer(crops[i : i + 1]).sums)


def test_a_runtime_that_sums_is_compared_with_the_host_when_it_is_loaded(
    bundle: Bundle, default_summing: Runtime
) -> None:
    divergence = measure(create_runtime("onnxruntime", bundle.network), default_summing, bundle)
    assert 0 < divergence.sums < PARITY / 10
