"""The quantiser: every rounding against a float64 twin, what it refuses, and the way back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from properties import examples
from toy_faces import MakePrepared

onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'train')")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from exalign_engine.onnx_graph.int8 import (
    LEAST,
    MOST,
    choose_scale,
    measure_scales,
    quantise,
    round_activation,
    round_weight,
    rounded_tensors,
    widest_scale,
)
from exalign_engine.onnx_graph.onnx_file import dequantise, write_network

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TINY = np.finfo(np.float32).tiny
finite = st.floats(-1e6, 1e6, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=finite)
vectors = hnp.arrays(np.float32, st.integers(1, 200), elements=finite)
scales = st.floats(2.0**-20, 2.0**10, width=32)


def tiny_network(seed: int = 0, side: int = 4) -> Any:
    """uint8 (B, S, S, 3) → x/64 − 2 → 3×3 convolution → ReLU → flat → Gemm: "scores"; and the ReLU's as "features"."""
    rng = np.random.default_rng(seed)
    constants = {
        "by": np.float32(1 / 64),
        "off": np.float32(2),
        "conv.weight": rng.normal(size=(5, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.normal(size=5).astype(np.float32),
        "head.weight": rng.normal(size=(7, 5 * side * side)).astype(np.float32),
        "head.bias": rng.normal(size=7).astype(np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["moved"], "move", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["moved"], ["bytes"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", "by"], ["scaled"], "mul"),
        helper.make_node("Sub", ["scaled", "off"], ["x"], "sub"),
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["y"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["features"], "relu"),
        helper.make_node("Flatten", ["features"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "head.weight", "head.bias"], ["scores"], "head", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", side, side, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 7]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 5, side, side]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def constant(model: Any, name: str) -> NDArray[Any]:
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def run(model: Any, crops: NDArray[np.uint8]) -> tuple[F32, F32]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(write_network(model), options, providers=["CPUExecutionProvider"])
    scores, features = session.run(["scores", "features"], {"image": crops})
    return scores, features


def rounded64(values: F64, scale: float) -> F64:
    """Twin of the activations' rounding; a value that float32 might round to another level voids the example."""
    steps = values / scale
    assume(np.abs(np.abs(steps - np.floor(steps)) - 0.5).min() > 1e-3)
    return np.clip(np.rint(steps), LEAST, MOST) * scale


def weight64(weight: F32) -> F64:
    """Twin of a weight's rounding."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    scale = np.float32(np.abs(rows).max(axis=1) / MOST).astype(np.float64)[:, None]
    return (np.clip(np.rint(rows / scale), -MOST, MOST) * scale).reshape(weight.shape)


def twin(model: Any, crops: NDArray[np.uint8], chosen: dict[str, np.float32]) -> tuple[F64, F64]:
    """The quantised tiny network, in float64 and without ONNX."""
    x = crops.transpose(0, 3, 1, 2) / 64.0 - 2
    padded = np.pad(rounded64(x, float(chosen["x"])), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    y = np.einsum("bcijuv,ocuv->boij", windows, weight64(constant(model, "conv.weight")))
    features = np.maximum(y + constant(model, "conv.bias")[:, None, None], 0)
    flat = rounded64(features.reshape(len(features), -1), float(chosen["flat"]))
    return flat @ weight64(constant(model, "head.weight")).T + constant(model, "head.bias"), features


def crops_of(seed: int, count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


@given(matrices)
def test_a_weight_is_rounded_to_the_nearest_of_255_levels_a_channel(weight: F32) -> None:
    levels, scale = round_weight(weight)
    assert levels.dtype == np.int8
    assert scale.dtype == np.float32
    assert scale.shape == (len(weight),)
    for row, q, s in zip(weight.astype(np.float64), levels.astype(np.float64), scale.astype(np.float64), strict=True):
        largest = np.abs(row).max()
        if largest / MOST < TINY:
            assert s == 1
            assert not q.any()
            continue
        assert s == np.float32(largest / MOST)
        assert np.abs(q).max() == MOST
        assert np.abs(row - s * q).max() <= s / 2 * (1 + 1e-6)


def test_channels_of_zeros_and_of_subnormals_become_zero() -> None:
    weight = np.array([[0, 0], [1e-42, -1e-42], [3, -1.5]], np.float32)
    levels, scale = round_weight(weight)
    assert levels.tolist() == [[0, 0], [0, 0], [127, -64]]
    assert scale[:2].tolist() == [1, 1]


@given(vectors, scales)
def test_an_activation_is_rounded_half_to_even_and_saturates(values: F32, scale: float) -> None:
    got = round_activation(values, np.float32(scale))
    assert got.dtype == np.float32
    # The quotient is float32, as in QuantizeLinear; all else is exact.
    quotient = (values / np.float32(scale)).astype(np.float64)
    np.testing.assert_array_equal(got, (np.clip(np.rint(quotient), -128, 127) * scale).astype(np.float32))


def test_halves_go_to_even_levels_and_the_ends_saturate() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 1e9, -128.4, -128.5, -1e9], np.float32)
    expected = [0, 2, 2, 0, -2, 126, 127, 127, -128, -128, -128]
    assert round_activation(values, np.float32(1)).tolist() == expected


@given(vectors, scales)
@examples(20)
def test_onnx_runtime_rounds_activations_alike(values: F32, scale: float) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["a", "s", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "zero"], ["b"]),
    ]
    graph = helper.make_graph(
        nodes,
        "rounding",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(np.float32(scale), "s"), numpy_helper.from_array(np.int8(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = onnxruntime.InferenceSession(write_network(model), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"a": values})[0], round_activation(values, np.float32(scale)))


@given(vectors)
def test_the_chosen_scale_is_no_worse_than_the_one_that_saturates_nothing(values: F32) -> None:
    def error(scale: np.float32) -> float:
        return float(np.square(round_activation(values, scale) - values).mean(dtype=np.float64))

    widest = widest_scale(min(float(values.min()), 0.0), max(float(values.max()), 0.0))
    chosen = choose_scale(values, widest)
    assert 0 < chosen <= widest
    assert error(chosen) <= error(widest)
    assert np.abs(round_activation(values, widest) - values).max() <= widest * (0.5 + 1e-4)


def test_a_scale_gives_up_a_rare_outlier_and_keeps_an_exact_grid() -> None:
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(size=200_000), 12.0].astype(np.float32)
    assert choose_scale(values, widest_scale(-4, 12)) < 0.7 * 12 / 127
    grid = ((np.arange(256) - 128) / 64).astype(np.float32)  # the network's own input
    scale = choose_scale(grid, widest_scale(-2, 127 / 64))
    assert scale == 1 / 64
    np.testing.assert_array_equal(round_activation(grid, scale), grid)
    assert widest_scale(0.0, 0.0) == 1


@given(st.integers(0, 2**32 - 1))
@examples(25)
def test_the_int8_file_computes_what_the_float64_twin_computes(seed: int) -> None:
    model = tiny_network(seed % 97)
    crops = crops_of(seed)
    chosen = measure_scales(model, crops)
    expected = twin(model, crops, chosen)
    for got, right in zip(run(quantise(model, chosen), crops), expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-4, atol=1e-4)


def test_weights_are_stored_as_int8_and_outputs_are_not_rounded() -> None:
    model = tiny_network()
    assert rounded_tensors(model) == ["x", "flat"]
    out = quantise(model, measure_scales(model, crops_of(0)))
    onnx.checker.check_model(out, full_check=True)
    kinds = {t.name: t.data_type for t in out.graph.initializer}
    assert kinds["conv.weight.int8"] == kinds["head.weight.int8"] == TensorProto.INT8
    assert "conv.weight" not in kinds
    assert kinds["conv.bias"] == kinds["head.bias"] == TensorProto.FLOAT
    assert constant(out, "head.weight.scale").shape == (7,)
    makers = {name: node.op_type for node in out.graph.node for name in node.output}
    assert makers["scores"] == "Gemm"
    assert makers["features"] == "Relu"
    zeros = [constant(out, node.input[2]) for node in out.graph.node if node.op_type == "QuantizeLinear"]
    assert [(z.dtype, int(z)) for z in zeros] == [(np.int8, 0)] * 2


def test_a_layer_that_is_kept_stays_float() -> None:
    model = tiny_network()
    assert rounded_tensors(model, keep=["conv.weight"]) == ["flat"]
    out = quantise(model, {"flat": np.float32(0.1)}, keep=["conv.weight"])
    np.testing.assert_array_equal(constant(out, "conv.weight"), constant(model, "conv.weight"))
    with pytest.raises(ValueError, match="no Conv or Gemm has a weight called 'stem'"):
        rounded_tensors(model, keep=["stem"])


def test_dequantising_gives_the_nodes_back_and_the_rounded_weights() -> None:
    model = tiny_network(3)
    back = dequantise(quantise(model, measure_scales(model, crops_of(0))))
    assert list(back.graph.node) == list(model.graph.node)
    assert [t.name for t in back.graph.initializer] == [t.name for t in model.graph.initializer]
    for tensor in model.graph.initializer:
        got, was = constant(back, tensor.name), numpy_helper.to_array(tensor)
        if tensor.name in ("conv.weight", "head.weight"):
            levels, scale = round_weight(was)
            shape = (-1, *[1] * (was.ndim - 1))
            np.testing.assert_array_equal(got, levels.astype(np.float32) * scale.reshape(shape))
            assert (got != was).any()
        else:
            np.testing.assert_array_equal(got, was)
    # Once rounded, the weights stay as they are.
    again = quantise(back, measure_scales(back, crops_of(0)))
    np.testing.assert_array_equal(constant(dequantise(again), "head.weight"), constant(back, "head.weight"))


def test_equal_inputs_give_equal_bytes() -> None:
    def made() -> bytes:
        model = tiny_network(5)
        return write_network(quantise(model, measure_scales(model, crops_of(1, 40))))

    assert made() == made()


def test_the_given_network_is_left_as_it_was() -> None:
    model = tiny_network()
    before = write_network(model)
    out = quantise(model, measure_scales(model, crops_of(0)))
    assert write_network(model) == before
    middle = write_network(out)
    dequantise(out)
    assert write_network(out) == middle


def retyped(name: str) -> Callable[[Any], object]:
    def damage(model: Any) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), name))

    return damage


def opset(domain: str, version: int) -> Callable[[Any], object]:
    def damage(model: Any) -> None:
        if not domain:
            del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid(domain, version))

    return damage


def added(*args: Any, **attributes: Any) -> Callable[[Any], object]:
    return lambda model: model.graph.node.append(helper.make_node(*args, **attributes))


def cast_to_double(model: Any) -> None:
    model.graph.node[1].attribute[0].i = TensorProto.DOUBLE


def double_output(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def without_layers(model: Any) -> None:
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            node.op_type = "Identity"


def transposed_head(model: Any) -> None:
    del model.graph.node[-1].attribute[:]


DAMAGES = {
    "double weight": (retyped("conv.bias"), "'conv.bias' is float64"),
    "double cast": (cast_to_double, "'bytes' is float64"),
    "double output": (double_output, "'scores' is float64"),
    "old operators": (opset("", 12), "operator set 12, must be 13 to"),
    "unknown operators": (opset("", 99), "operator set 99, must be 13 to"),
    "foreign operators": (opset("com.microsoft", 1), "operators of 'com.microsoft'"),
    "no layer": (without_layers, "has no Conv or Gemm to quantise"),
    "transposed head": (transposed_head, "'head' has its weight transposed"),
    "quantised": (added("QuantizeLinear", ["flat", "by"], ["q"], "late"), "'late' is there: the network is quantised"),
    "inner graph": (
        added("If", ["by"], ["z"], "branch", then_branch=helper.make_graph([], "a", [], [])),
        "'branch' holds a graph",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_it_would_not_understand_is_refused(name: str) -> None:
    damage, message = DAMAGES[name]
    model = tiny_network()
    damage(model)
    with pytest.raises(ValueError, match=message):
        rounded_tensors(model)
    with pytest.raises(ValueError, match=message):
        quantise(model, {"x": np.float32(1), "flat": np.float32(1)})


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"scale of 'flat' is .*, must be a finite number above 0"):
        quantise(tiny_network(), {"x": np.float32(1), "flat": np.float32(bad)})
    with pytest.raises(ValueError, match="scale of 'x' is None"):
        quantise(tiny_network(), {"flat": np.float32(1)})


def test_a_weight_that_is_not_finite_is_refused() -> None:
    model = tiny_network()
    weight = constant(model, "head.weight").copy()
    weight[2, 3] = np.inf
    next(t for t in model.graph.initializer if t.name == "head.weight").CopyFrom(
        numpy_helper.from_array(weight, "head.weight")
    )
    with pytest.raises(ValueError, match=r"'head\.weight' holds a weight that is not finite"):
        quantise(model, {"x": np.float32(1), "flat": np.float32(1)})


def test_nothing_to_measure_on_is_refused() -> None:
    with pytest.raises(ValueError, match="no crops"):
        measure_scales(tiny_network(), np.zeros((0, 4, 4, 3), np.uint8))


def test_dequantising_refuses_what_quantise_did_not_make() -> None:
    with pytest.raises(ValueError, match="holds no int8 weights"):
        dequantise(tiny_network())
    model = quantise(tiny_network(), {"x": np.float32(1), "flat": np.float32(1)})
    added("DequantizeLinear", ["moved", "by"], ["odd"], "odd")(model)
    with pytest.raises(ValueError, match="'odd' dequantises what is neither"):
        dequantise(model)


def test_the_command_writes_an_int8_bundle_and_says_what_it_cost(
    toy_bundle: Path, make_prepared: MakePrepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path / "faces", ["train"] * 4 + ["val"] * 3)
    before = Bundle.load(toy_bundle)
    outs = [tmp_path / "a", tmp_path / "b"]
    for out in outs:
        assert (
            main(
                [
                    "quantise",
                    "--bundle",
                    str(toy_bundle),
                    "--data",
                    str(tmp_path / "faces"),
                    "--out",
                    str(out),
                    "--json",
                ]
            )
            == 0
        )
        figures = json.loads(capsys.readouterr().out)
    a, b = (Bundle.load(out) for out in outs)
    assert a.network.read_bytes() == b.network.read_bytes()
    assert a.id == b.id
    assert a.manifest.derived == (*before.manifest.derived, "network.onnx")
    assert a.manifest.metrics == before.manifest.metrics | {"precision": figures}
    assert figures["f32"]["sha256"] == before.manifest.files["network.onnx"]
    assert figures["int8"]["sha256"] == a.manifest.files["network.onnx"]
    assert figures["f32"]["n"] == figures["int8"]["n"] == 3
    assert figures["int8"]["bytes"] == a.network.stat().st_size
    assert abs(figures["f32"]["nrmse_mean"] - figures["int8"]["nrmse_mean"]) < 0.01
    assert Bundle.load(toy_bundle).id == before.id
    others = set(before.manifest.files) - {"network.onnx"}
    assert {n: a.manifest.files[n] for n in others} == {n: before.manifest.files[n] for n in others}


def test_the_command_changes_a_bundle_in_place_but_once(
    toy_bundle_copy: Path, make_prepared: MakePrepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path / "faces", ["train"] * 2 + ["val"] * 2)
    args = ["quantise", "--bundle", str(toy_bundle_copy), "--data", str(tmp_path / "faces")]
    assert main(args) == 0
    printed = capsys.readouterr()
    assert "int8" in printed.out
    assert "to be calibrated next" in printed.err
    bundle = Bundle.load(toy_bundle_copy)
    assert bundle.manifest.derived == ("network.onnx",)
    assert main(args) == 1
    assert "the network is quantised already" in capsys.readouterr().err
    assert Bundle.load(toy_bundle_copy).id == bundle.id
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "faces"]
    assert main([*args, "--out", str(toy_bundle_copy)]) == 1
    assert "--out" in capsys.readouterr().err
