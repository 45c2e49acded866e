"""Reading and writing a network's ONNX file, and its float32 form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from exalign.cli_support import first_line
from exalign_engine.arrays import F32
from exalign_engine.errors import BundleError


def read_network(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        BundleError: it is none.
    """
    try:
        model = onnx.load_from_string(path.read_bytes())
        onnx.checker.check_model(model)
    except OSError as e:
        raise BundleError(path, f"cannot be read: {e.strerror}") from e
    except Exception as e:
        # protobuf's DecodeError; its class has moved between the versions that onnx admits
        if not isinstance(e, onnx.checker.ValidationError) and type(e).__name__ != "DecodeError":
            raise
        raise BundleError(path, f"is not an ONNX network: {first_line(e)}") from e
    return model


def write_network(model: onnx.ModelProto) -> bytes:
    """Equal networks give equal bytes."""
    return bytes(model.SerializeToString(deterministic=True))


def dequantise(model: onnx.ModelProto, *, largest: float = math.inf) -> onnx.ModelProto:
    """The float32 network behind a quantised one: its weights' rounded values, its activations not rounded.

    Of what `quantise` made, the nodes are those that it was given.

    Args:
        model: quantised.
        largest: weights with more values stay int8, and are multiplied by their scale where they are read: a runtime
            that knows how reads a fourth of the bytes. The values are the same.

    Raises:
        ValueError: a DequantizeLinear reads neither a constant nor a QuantizeLinear, or nothing is quantised.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    source: dict[str, str] = {}
    weights: dict[str, tuple[str, F32]] = {}
    whole: set[str] = set()
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        if node.input[0] in constants:
            if math.prod(constants[node.input[0]].dims) > largest:
                whole.add(node.output[0])
                continue
            weights[node.input[0]] = node.output[0], _dequantised(node, constants)
        elif node.input[0] in rounded:
            source[node.output[0]] = rounded[node.input[0]]
        else:
            raise ValueError(f"{node.name!r} dequantises what is neither a constant nor quantised in this graph")
    if not weights and not whole:
        raise ValueError("holds no int8 weights")
    left_out = ("QuantizeLinear", "DequantizeLinear")
    nodes = [node for node in graph.node if node.op_type not in left_out or node.output[0] in whole]
    for node in nodes:
        node.input[:] = [source.get(name, name) for name in node.input]
    read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    kept: list[TensorProto] = []
    for tensor in graph.initializer:
        if tensor.name in weights:
            name, values = weights[tensor.name]
            kept.append(numpy_helper.from_array(values, name))
        elif tensor.name in read:
            kept.append(tensor)
    _replace(graph, nodes, kept)
    return out


def _dequantised(node: onnx.NodeProto, constants: Mapping[str, TensorProto]) -> F32:
    """The values of a DequantizeLinear of a constant."""
    levels, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    if len(node.input) > 2 and numpy_helper.to_array(constants[node.input[2]]).any():
        raise ValueError(f"{node.name!r} has a zero point other than 0")
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim:
        scale = scale.reshape([-1 if i == axis else 1 for i in range(levels.ndim)])
    return np.asarray(levels.astype(np.float32) * scale, dtype=np.float32)


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], constants: list[TensorProto]) -> None:
    """Give a graph other nodes and constants, which may be its own."""
    fresh = onnx.GraphProto()
    fresh.node.extend(nodes)
    fresh.initializer.extend(constants)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(fresh.node)
    graph.initializer.extend(fresh.initializer)
