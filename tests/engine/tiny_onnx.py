"""A network of two layers as ONNX, small enough to compute by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


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


def crops_of(seed: int, count: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
