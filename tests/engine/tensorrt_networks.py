"""Small networks for the tests of the TensorRT path, in float32 and in int8 (S8S8 QDQ), and spoiled ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, CLASSES, EMBEDDING = 32, 50, 8


def tiny(*, classes: int = CLASSES) -> onnx.ModelProto:
    """Like the bundle's network, with all four outputs, a Resize and a Constant; random weights."""
    rng = np.random.default_rng(5)

    def weight(name: str, *shape: int, scale: float = 0.3) -> TensorProto:
        return numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name)

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes)

    weights = [
        numpy_helper.from_array(np.float32(1 / 64), "sixty_fourth"),
        numpy_helper.from_array(np.float32(2), "two"),
        weight("stem", 4, 3, 3, 3),
        weight("stem_bias", 4),
        weight("deep", 8, 4, 3, 3),
        weight("deep_bias", 8),
        weight("lateral", 4, 8, 1, 1),
        weight("embed", EMBEDDING, 8 * 8 * 8, scale=0.05),
        weight("embed_bias", EMBEDDING),
        weight("head", classes, EMBEDDING),
        weight("head_bias", classes),
        numpy_helper.from_array(np.array([0, 512], np.int64), "flat"),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32))
    nodes = [
        node("Transpose", ["image"], "planes", perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], "float", to=TensorProto.FLOAT),
        node("Mul", ["float", "sixty_fourth"], "scaled"),
        node("Sub", ["scaled", "two"], "normal"),
        node("Conv", ["normal", "stem", "stem_bias"], "stem_out", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["stem_out"], "stem_relu"),
        node("Conv", ["stem_relu", "deep", "deep_bias"], "deep_out", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", ["deep_out"], "features"),
        node("Conv", ["features", "lateral"], "coarse"),
        node("Constant", [], "scales", value=scales),
        helper.make_node("Resize", ["coarse", "", "scales"], ["fine"], name="node_fine", mode="nearest"),
        node("Add", ["fine", "stem_relu"], "local"),
        node("Reshape", ["features", "flat"], "flattened"),
        node("Gemm", ["flattened", "embed", "embed_bias"], "embedding", transB=1),
        node("Gemm", ["embedding", "head", "head_bias"], "scores", transB=1),
    ]
    outputs = [
        _value("scores", "batch", classes),
        _value("embedding", "batch", EMBEDDING),
        _value("features", "batch", 8, 8, 8),
        _value("local", "batch", 4, 16, 16),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])
    graph = helper.make_graph(nodes, "tiny", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def quantised() -> onnx.ModelProto:
    """`tiny` with symmetric int8 QuantizeLinear and DequantizeLinear about both operands of two layers."""
    model = tiny()
    zero = numpy_helper.from_array(np.int8(0), "zero")
    model.graph.initializer.append(zero)
    for name, operand, filters in (("node_stem_out", "normal", "stem"), ("node_deep_out", "stem_relu", "deep")):
        quantise_input(model, name, operand, 4 / 127, "zero")
        quantise_weight(model, name, filters)
    return model


def quantise_input(model: onnx.ModelProto, node: str, tensor: str, scale: float, zero: str) -> None:
    """Put a QuantizeLinear and a DequantizeLinear in front of one input of a node."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(scale), f"{tensor}_scale"))
    reader = find(model, node)
    pair = [
        helper.make_node(
            "QuantizeLinear", [tensor, f"{tensor}_scale", zero], [f"{tensor}_q"], name=f"{tensor}_quantise"
        ),
        helper.make_node(
            "DequantizeLinear", [f"{tensor}_q", f"{tensor}_scale", zero], [f"{tensor}_dq"], name=f"{tensor}_dequantise"
        ),
    ]
    reader.input[list(reader.input).index(tensor)] = f"{tensor}_dq"
    at = list(graph.node).index(reader)
    for step in reversed(pair):
        graph.node.insert(at, step)


def quantise_weight(model: onnx.ModelProto, node: str, name: str) -> None:
    """Store a convolution's filters as int8, one scale an output channel."""
    graph = model.graph
    values = numpy_helper.to_array(weight_of(model, name))
    scale = (np.abs(values).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    stored = np.round(values / scale[:, None, None, None]).astype(np.int8)
    weight_of(model, name).CopyFrom(numpy_helper.from_array(stored, name))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    graph.initializer.append(numpy_helper.from_array(np.zeros(len(scale), np.int8), f"{name}_zero"))
    reader = find(model, node)
    reader.input[1] = f"{name}_dq"
    at = list(graph.node).index(reader)
    inputs = [name, f"{name}_scale", f"{name}_zero"]
    graph.node.insert(
        at, helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], name=f"{name}_dequantise", axis=0)
    )


def crops(n: int, side: int = SIDE) -> NDArray[np.uint8]:
    """(n, side, side, 3) noise."""
    return np.random.default_rng(11).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def find(model: onnx.ModelProto, node: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == node)


def weight_of(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


def _value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
