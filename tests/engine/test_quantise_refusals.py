"""What the quantiser refuses: networks that it would not understand, and scales and weights that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'train')")

from onnx import TensorProto, helper, numpy_helper

from exalign_engine.onnx_graph.int8 import measure_scales, quantise, rounded_tensors
from exalign_engine.onnx_graph.onnx_file import dequantise
from tiny_onnx import constant, tiny_network


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
