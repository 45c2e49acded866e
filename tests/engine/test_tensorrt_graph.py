"""Networks are rewritten for TensorRT without changing what they compute, and refused where that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'tensorrt' or 'train')")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import tensorrt_networks as networks
from exalign_engine.errors import BundleError, ExalignError
from exalign_engine.onnx_graph.errors import GraphError
from exalign_engine.runtime.tensorrt.precisions import prepare, stored_precision

F32 = NDArray[np.float32]


def run(network: bytes, crops: NDArray[np.uint8]) -> dict[str, F32]:
    """What ONNX Runtime computes on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, {"image": crops}), strict=True))


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    return networks.save(networks.tiny(), tmp_path / "network.onnx")


def test_fp32_computes_the_same_bits_with_the_cast_before_the_transposition(tiny_file: Path) -> None:
    prepared = prepare(tiny_file, "fp32")
    graph = onnx.load_from_string(prepared.onnx).graph
    assert [node.op_type for node in graph.node[:2]] == ["Cast", "Transpose"]
    crops = networks.crops(3)
    before, after = run(tiny_file.read_bytes(), crops), run(prepared.onnx, crops)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_every_output_of_the_file_is_kept_with_its_shape(tiny_file: Path) -> None:
    for precision in ("fp32", "fp16"):
        outputs = prepare(tiny_file, precision).outputs
        assert outputs == {"scores": (50,), "embedding": (8,), "features": (8, 8, 8), "local": (4, 16, 16)}


def test_fp16_holds_half_weights_and_gives_float32(tiny_file: Path) -> None:
    model = onnx.load_from_string(prepare(tiny_file, "fp16").onnx)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds["stem_half"] == kinds["head_half"] == TensorProto.FLOAT16
    assert kinds["scales"] == TensorProto.FLOAT  # Resize takes its scales in nothing else
    assert "stem" not in kinds
    assert all(o.type.tensor_type.elem_type == TensorProto.FLOAT for o in model.graph.output)


def test_fp16_stays_near_fp32(tiny_file: Path) -> None:
    crops = networks.crops(3)
    full, half = run(tiny_file.read_bytes(), crops), run(prepare(tiny_file, "fp16").onnx, crops)
    for name, values in full.items():
        np.testing.assert_allclose(half[name], values, atol=2e-2, rtol=2e-3)
        assert not np.array_equal(half[name], values)


def test_fp16_keeps_a_softmax_in_float32(tmp_path: Path) -> None:
    model = networks.tiny()
    model.graph.node.append(helper.make_node("Softmax", ["scores"], ["p"], name="node_p"))
    model.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, ["batch", 50]))
    prepared = prepare(networks.save(model, tmp_path / "network.onnx"), "fp16")
    softmax = networks.find(onnx.load_from_string(prepared.onnx), "node_p")
    assert (softmax.input[0], softmax.output[0]) == ("scores", "p")
    p = run(prepared.onnx, networks.crops(2))["p"]
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)


def test_an_int8_file_is_taken_as_it_is(tmp_path: Path) -> None:
    file = networks.save(networks.quantised(), tmp_path / "int8.onnx")
    prepared = prepare(file, "int8")
    crops = networks.crops(3)
    before, after = run(file.read_bytes(), crops), run(prepared.onnx, crops)
    np.testing.assert_array_equal(before["scores"], after["scores"])
    full = run(networks.tiny().SerializeToString(), crops)
    assert 0 < np.abs(after["scores"] - full["scores"]).max() < 0.5  # it is quantised, and the same network


def _double(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.float64([1.0]), "wide"))


def _infinite(model: onnx.ModelProto) -> None:
    networks.weight_of(model, "stem_bias").CopyFrom(
        numpy_helper.from_array(np.full(4, np.inf, np.float32), "stem_bias")
    )


def _too_large(model: onnx.ModelProto) -> None:
    networks.weight_of(model, "stem_bias").CopyFrom(numpy_helper.from_array(np.full(4, 1e5, np.float32), "stem_bias"))


def _float_image(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.node.remove(networks.find(model, "node_float"))
    networks.find(model, "node_scaled").input[0] = "planes"


def _unsigned(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), "middle"))
    networks.quantise_input(model, "node_stem_out", "normal", 0.03, "middle")


def _off_centre(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.int8(3), "three"))
    networks.quantise_input(model, "node_stem_out", "normal", 0.03, "three")


def _bytes_pooled(model: onnx.ModelProto) -> None:
    model.graph.node.insert(
        1, helper.make_node("MaxPool", ["planes"], ["pooled"], name="node_pooled", kernel_shape=[1, 1])
    )
    networks.find(model, "node_float").input[0] = "pooled"


@pytest.mark.parametrize(
    ("spoil", "precision", "message"),
    [
        pytest.param(_double, "fp32", "wide: is float64", id="double"),
        pytest.param(_infinite, "fp32", "stem_bias: holds a weight that is not finite", id="infinite weight"),
        pytest.param(_too_large, "fp16", "stem_bias: holds 100000; half precision ends at 65504", id="beyond half"),
        pytest.param(_float_image, "fp32", "image: is FLOAT", id="image is not bytes"),
        pytest.param(_unsigned, "int8", "quantises to UINT8; TensorRT takes symmetric int8", id="u8 QDQ"),
        pytest.param(_off_centre, "int8", "zero point other than 0", id="zero point"),
        pytest.param(_bytes_pooled, "fp32", "of the uint8 image", id="bytes are pooled"),
        pytest.param(
            lambda m: None, "int8", "precision: is int8, and network.onnx holds float32 weights", id="not quantised"
        ),
        pytest.param(lambda m: None, "bf16", "is 'bf16', must be one of fp32, fp16, int8", id="unknown precision"),
    ],
)
def test_what_cannot_be_rewritten_is_named(
    spoil: Callable[[onnx.ModelProto], None], precision: str, message: str, tmp_path: Path
) -> None:
    model = networks.tiny()
    spoil(model)
    with pytest.raises(GraphError, match=message):
        prepare(networks.save(model, tmp_path / "network.onnx"), precision)


def test_other_precisions_of_an_int8_file_have_its_weights_and_round_no_activations(tmp_path: Path) -> None:
    file = networks.save(networks.quantised(), tmp_path / "network.onnx")
    crops = networks.crops(3)
    full, half = (run(prepare(file, precision).onnx, crops)["scores"] for precision in ("fp32", "fp16"))
    np.testing.assert_allclose(full, half, atol=2e-2)
    original = run(networks.tiny().SerializeToString(), crops)["scores"]
    assert 0 < np.abs(full - original).max() < 0.2
    assert stored_precision(file) == "int8"
    assert stored_precision(networks.save(networks.tiny(), tmp_path / "float.onnx")) == "fp16"


def test_a_file_that_is_no_network_is_a_bundle_error(tmp_path: Path) -> None:
    file = tmp_path / "network.onnx"
    with pytest.raises(BundleError, match=r"network\.onnx: cannot be read: No such file"):
        prepare(file, "fp32")
    for content in (b"not a network", b""):
        file.write_bytes(content)
        with pytest.raises(BundleError, match=r"network\.onnx: is not an ONNX network"):
            prepare(file, "fp32")


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = networks.tiny()
    networks.weight_of(model, "head").CopyFrom(numpy_helper.from_array(np.zeros((50, 9), np.float32), "head"))
    with pytest.raises(ExalignError, match="node_scores"):
        prepare(networks.save(model, tmp_path / "network.onnx"), "fp32")
