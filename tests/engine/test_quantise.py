"""The quantiser: every rounding against a float64 twin, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from properties import examples

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
from tiny_onnx import constant, crops_of, tiny_network

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

TINY = np.finfo(np.float32).tiny
finite = st.floats(-1e6, 1e6, width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=finite)
vectors = hnp.arrays(np.float32, st.integers(1, 200), elements=finite)
scales = st.floats(2.0**-20, 2.0**10, width=32)


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


def test_large_weights_may_stay_int8_and_are_the_same_values() -> None:
    model = tiny_network(3)
    quantised, crops = quantise(model, measure_scales(model, crops_of(0))), crops_of(1)
    whole, kept = dequantise(quantised), dequantise(quantised, largest=100)
    stored = {tensor.name: tensor.data_type for tensor in kept.graph.initializer}
    assert stored["head.weight.int8"] == TensorProto.INT8
    assert "QuantizeLinear" not in {node.op_type for node in kept.graph.node}
    for a, b in zip(run(whole, crops), run(kept, crops), strict=True):
        np.testing.assert_array_equal(a, b)


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
