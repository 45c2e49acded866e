"""Runtimes agree with torch and with one another, and a row does not know its company."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data import open_faces
from exalign_engine.errors import BundleError, RuntimeUnavailableError
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime import create_runtime, openvino_runtime
from exalign_engine.runtime.processor import int8_is_exact

#: The reference first, then what is compared with it.
RUNTIMES = ("onnxruntime", "openvino")
PRECISIONS = ("f32", "int8")
NETWORK = "network.onnx"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module")
def networks(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By precision: the bundle's own network, which is int8, and float32 made of it."""
    pytest.importorskip("onnx", reason="needs onnx (extra 'train')")
    from exalign_engine.onnx_graph.onnx_file import dequantise, read_network, write_network

    other = tmp_path_factory.mktemp("other") / NETWORK
    other.write_bytes(write_network(dequantise(read_network(bundle.network))))
    return {"f32": other, "int8": bundle.network}


@pytest.fixture(scope="module")
def crops(bundle: Bundle, faces_folder: Path) -> NDArray[np.uint8]:
    """At most 64 crops of val."""
    faces = open_faces(faces_folder, "val")
    rows = np.linspace(0, len(faces) - 1, min(64, len(faces))).astype(int)
    m = bundle.manifest
    return np.stack(
        [
            extract_crop(faces.image(int(i)), BoxFrame.from_box(tight_box(faces.landmarks[i])), m.margin, m.input_size)
            for i in rows
        ]
    )


@pytest.fixture(scope="module")
def noise(bundle: Bundle) -> NDArray[np.uint8]:
    size = bundle.manifest.input_size
    return np.random.default_rng(3).integers(0, 256, (8, size, size, 3), dtype=np.uint8)


@pytest.fixture(
    scope="module", params=[(name, precision) for name in RUNTIMES for precision in PRECISIONS], ids="-".join
)
def runtime(request: pytest.FixtureRequest, networks: dict[str, Path]) -> Runtime:
    name, precision = request.param
    return create_runtime(name, networks[precision], threads=1, streams=1)


def log_p(scores: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    s = scores.astype(np.float64) / temperature
    s = s - s.max(axis=1, keepdims=True)
    return np.asarray(s - np.log(np.exp(s).sum(axis=1, keepdims=True)))


def worst_difference(a: NDArray[np.float32], b: NDArray[np.float32], temperature: float) -> float:
    """max |Δ log p| over the classes that hold the top 99.9 % of the mass."""
    la, lb = log_p(a, temperature), log_p(b, temperature)
    worst = 0.0
    for x, y in zip(la, lb, strict=True):
        order = np.argsort(-x)
        top = order[: int(np.searchsorted(np.cumsum(np.exp(x[order])), 0.999)) + 1]
        worst = max(worst, float(np.abs(x[top] - y[top]).max()))
    return worst


def test_runtimes_agree_with_torch_on_faces(
    bundle: Bundle, networks: dict[str, Path], crops: NDArray[np.uint8]
) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra 'train')")
    from benchmarks.gpu.graph import TorchGraph

    graph = TorchGraph(pytest.importorskip("onnx").load(networks["f32"]), "cpu")
    torch_scores = graph(torch.from_numpy(crops))["scores"].numpy()
    t = bundle.calibration.temperature
    for name in RUNTIMES:
        scores = create_runtime(name, bundle.network, precision="fp32").infer(crops).scores
        assert worst_difference(torch_scores, scores, t) <= 1e-4, name


def test_runtimes_agree_with_one_another_on_noise(bundle: Bundle, noise: NDArray[np.uint8]) -> None:
    a, *others = (create_runtime(name, bundle.network, precision="fp32").infer(noise) for name in RUNTIMES)
    for b in others:
        assert worst_difference(a.scores, b.scores, bundle.calibration.temperature) <= 1e-4
        np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-3)
        np.testing.assert_allclose(a.features, b.features, atol=1e-3)


@pytest.mark.parametrize(
    "arrange",
    [
        pytest.param(lambda x: x, id="batch of 8"),
        pytest.param(lambda x: x[:5], id="batch of 5"),
        pytest.param(lambda x: x[::-1], id="other places"),
        pytest.param(lambda x: np.concatenate([x[:1], 255 - x[1:]]), id="other company"),
        pytest.param(lambda x: np.concatenate([x] * 4), id="batch of 32"),
    ],
)
def test_a_rows_scores_do_not_depend_on_its_batch(
    runtime: Runtime, noise: NDArray[np.uint8], arrange: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    batch = np.ascontiguousarray(arrange(noise))
    together = runtime.infer(batch)
    for i in {0, len(batch) // 2, len(batch) - 1}:
        alone = runtime.infer(batch[i : i + 1])
        for field in fields(together):
            ours, its = getattr(together, field.name), getattr(alone, field.name)
            if ours is not None:  # a network without a residual has no local map
                np.testing.assert_array_equal(ours[i], its[0])


def test_streams_of_one_runtime_answer_at_once_and_alike(bundle: Bundle, noise: NDArray[np.uint8]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    runtime = create_runtime("openvino", bundle.network, threads=1, streams=2)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: runtime.infer(noise[i % 8 : i % 8 + 1]).scores[0], range(32)))
    for i, scores in enumerate(answers):
        np.testing.assert_array_equal(scores, answers[i % 8])


def test_the_graph_takes_bytes_and_says_nothing_of_where_it_was_made(bundle: Bundle) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(bundle.network))
    assert [i.name for i in model.graph.input] == ["image"]
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [o.name for o in model.graph.output][:3] == ["scores", "embedding", "features"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert not any(node.metadata_props for node in model.graph.node)
    del model.graph.initializer[:]  # weights may spell anything
    head = model.SerializeToString()
    for word in (b"site-packages", b".py", b"/home/", b"engine/exalign"):
        assert word not in head


def test_an_unknown_or_absent_runtime_is_one_clear_error(bundle: Bundle) -> None:
    with pytest.raises(RuntimeUnavailableError, match="'tpu' is unknown; known: auto, tensorrt"):
        create_runtime("tpu", bundle.network)
    with pytest.raises(RuntimeUnavailableError, match=r"^runtime tensorrt: "):
        create_runtime("tensorrt", bundle.network)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_damaged_network_is_a_bundle_error(name: str, tmp_path: Path) -> None:
    broken = tmp_path / "network.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"network\.onnx"):
        create_runtime(name, broken)


def test_the_runtime_says_what_it_is_and_why(networks: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_runtime, "int8_is_exact", lambda: True)
    for precision in PRECISIONS:
        runtime = create_runtime("auto", networks[precision])
        assert (runtime.name, runtime.precision, runtime.device) == ("openvino", precision, "CPU")
        assert runtime.reason.startswith("auto: ")
        assert runtime.reason.endswith("int8 as the bundle stores it") == (precision == "int8")


def test_openvino_computes_in_float32_where_int8_saturates_unless_int8_is_asked_for(
    networks: dict[str, Path], noise: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "int8_is_exact", lambda: False)
    runtime = create_runtime("auto", networks["int8"])
    assert runtime.precision == "f32"
    assert "int8 products saturate; fp32 derived from the int8 weights" in runtime.reason
    explicit = create_runtime("openvino", networks["int8"], precision="fp32")
    np.testing.assert_array_equal(runtime.infer(noise).scores, explicit.infer(noise).scores)
    assert create_runtime("openvino", networks["int8"], precision="int8").precision == "int8"
    assert "saturate" not in create_runtime("auto", networks["f32"]).reason


@pytest.mark.parametrize("name", RUNTIMES)
def test_fp32_of_an_int8_file_is_its_dequantised_network_and_the_runtime_says_so(
    name: str, networks: dict[str, Path], noise: NDArray[np.uint8], tmp_path: Path
) -> None:
    from exalign_engine.onnx_graph.onnx_file import dequantise, read_network, write_network

    expected = tmp_path / NETWORK
    expected.write_bytes(write_network(dequantise(read_network(networks["int8"]))))
    derived = create_runtime(name, networks["int8"], precision="fp32")
    assert derived.precision == "f32"
    assert derived.reason == "asked for; fp32 derived from the int8 weights that the bundle stores"
    # A runtime that multiplies the head's int8 weights as it reads them may add in another order.
    np.testing.assert_allclose(
        derived.infer(noise).scores,
        create_runtime(name, expected, precision="fp32").infer(noise).scores,
        rtol=1e-5,
        atol=1e-4,
    )
    stored = create_runtime(name, networks["int8"], precision="int8")
    assert stored.precision == "int8"
    assert (stored.infer(noise).scores != derived.infer(noise).scores).any()


@pytest.mark.skipif(not int8_is_exact(), reason="needs a processor with VNNI")
def test_int8_of_two_runtimes_differs_by_little(
    bundle: Bundle, networks: dict[str, Path], noise: NDArray[np.uint8]
) -> None:
    """Not by nothing: sums that differ in the last bit may fall to either side of the middle between two levels."""
    a, *others = (create_runtime(name, networks["int8"]).infer(noise) for name in RUNTIMES)
    spread = a.embedding.std()
    for b in others:
        assert worst_difference(a.scores, b.scores, bundle.calibration.temperature) <= 1
        assert np.sqrt(np.square(a.embedding - b.embedding).mean()) <= 0.05 * spread


def test_a_precision_that_is_not_there_is_one_clear_error(networks: dict[str, Path]) -> None:
    for name in RUNTIMES:
        with pytest.raises(RuntimeUnavailableError, match=r"precision int8: .*network\.onnx holds float32 weights"):
            create_runtime(name, networks["f32"], precision="int8")
        with pytest.raises(RuntimeUnavailableError, match="precision 'fp8' is unknown; known: auto, fp32, fp16, int8"):
            create_runtime(name, networks["f32"], precision="fp8")
        assert create_runtime(name, networks["f32"], precision="fp32").reason == "asked for"


def test_half_precision_is_for_a_gpu_and_a_cpu_says_so_in_one_line(bundle: Bundle) -> None:
    for name in RUNTIMES:
        with pytest.raises(RuntimeUnavailableError) as e:
            create_runtime(name, bundle.network, precision="fp16")
        assert str(e.value) == "precision fp16: is for runtimes tensorrt and tensorrt-rtx; a CPU takes fp32 or int8"


def test_an_int8_file_of_another_making_is_a_bundle_error(networks: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(networks["int8"]))
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            node.op_type = "Cast"
            node.attribute.append(onnx.helper.make_attribute("to", onnx.TensorProto.INT8))
            del node.input[1:]
    odd = tmp_path / NETWORK
    onnx.save(model, str(odd))
    with pytest.raises(BundleError, match="dequantises what is neither a constant nor quantised"):
        create_runtime("openvino", odd, precision="fp32")
