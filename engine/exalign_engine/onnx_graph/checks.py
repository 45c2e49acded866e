"""The bundle's ONNX file made ready for TensorRT: what it must not hold, the image's cast, and how it is quantised.

TensorRT takes uint8 as the input of a network, but of no operator except a cast; the exported graph transposes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exalign.cli_support import first_line
from exalign_engine.errors import BundleError
from exalign_engine.onnx_graph.errors import GraphError
from exalign_engine.onnx_graph.onnx_file import read_network

#: The network's one input: (B, S, S, 3) uint8.
INPUT = "image"

#: Operators that put tensors in other places and change no value.
MOVES = ("Transpose", "Slice", "Concat", "Reshape", "Identity")

_QUANTISE = ("QuantizeLinear", "DequantizeLinear")


def read_graph(path: Path) -> onnx.ModelProto:
    """Read a network, with the types of all its tensors.

    Raises:
        BundleError: see `read_network`; or shapes within it do not fit.
        GraphError: see `check`.
    """
    model = read_network(path)
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as e:
        raise BundleError(path, f"is not an ONNX network: {first_line(e)}") from e
    check(model)
    return model


def check(model: onnx.ModelProto) -> None:
    """Refuse what TensorRT would take and compute otherwise than it is written, or refuse without a reason.

    Raises:
        GraphError: a tensor is float64 (TensorRT narrows it in silence), the input is not the image that runtimes give,
            or a quantisation is not symmetric int8.
    """
    inputs = [i for i in model.graph.input if i.name not in {t.name for t in model.graph.initializer}]
    if [i.name for i in inputs] != [INPUT]:
        raise GraphError("inputs", f"are {', '.join(i.name for i in inputs) or 'none'}; must be {INPUT}")
    kind = inputs[0].type.tensor_type
    sides = [d.dim_value for d in kind.shape.dim]
    if kind.elem_type != TensorProto.UINT8 or len(sides) != 4 or sides[0] != 0 or sides[1] != sides[2] or sides[3] != 3:
        name = TensorProto.DataType.Name(kind.elem_type)
        raise GraphError(INPUT, f"is {name} of shape {sides}; must be UINT8 of (batch, S, S, 3), with an open batch")
    for name, type_ in tensor_types(model).items():
        if type_ == TensorProto.DOUBLE:
            raise GraphError(name, "is float64, which TensorRT would narrow in silence; export the network in float32")
    _check_quantisation(model)


def _check_quantisation(model: onnx.ModelProto) -> None:
    constants = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in _QUANTISE:
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None:
            if node.op_type == "QuantizeLinear":  # its default is uint8
                raise GraphError(node.name, "quantises to uint8; TensorRT takes symmetric int8")
            continue
        if zero.data_type != TensorProto.INT8:
            kind = TensorProto.DataType.Name(zero.data_type)
            raise GraphError(node.name, f"quantises to {kind}; TensorRT takes symmetric int8")
        if numpy_helper.to_array(zero).any():
            raise GraphError(node.name, "has a zero point other than 0; TensorRT takes symmetric int8")


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether the file says itself where to compute in int8."""
    return any(node.op_type in _QUANTISE for node in model.graph.node)


def tensor_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor whose type is known, by name."""
    types = {t.name: int(t.data_type) for t in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        types[value.name] = int(value.type.tensor_type.elem_type)
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                types[node.output[0]] = int(attribute.t.data_type)
            elif attribute.name in ("value_float", "value_floats"):
                types[node.output[0]] = TensorProto.FLOAT
    return types


def cast_first(model: onnx.ModelProto) -> None:
    """Cast the uint8 image before it is moved about instead of after; the result is the same, bit for bit.

    Raises:
        GraphError: something reads the image's bytes that neither moves nor casts them.
    """
    graph = model.graph
    readers = list(_readers(graph, INPUT))
    if readers and all(node.op_type == "Cast" for node in readers):
        return
    if not readers:
        raise GraphError(INPUT, "is read by nothing")
    between = f"{INPUT}_as_float"
    moved, renamed, kept = (
        {INPUT},
        {INPUT: between},
        [helper.make_node("Cast", [INPUT], [between], to=TensorProto.FLOAT)],
    )
    for node in graph.node:
        reads_bytes = any(name in moved for name in node.input)
        if reads_bytes and node.op_type == "Cast":
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
            continue
        if reads_bytes and node.op_type not in (*MOVES, "Shape"):
            raise GraphError(
                node.name, f"is a {node.op_type} of the uint8 image; TensorRT only takes a cast of it next"
            )
        for k, name in enumerate(node.input):
            node.input[k] = renamed.get(name, name)
        if reads_bytes and node.op_type != "Shape":
            moved.update(node.output)
        kept.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)
    for value in [v for v in graph.value_info if v.name in moved or v.name in renamed]:
        graph.value_info.remove(value)


def output_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of one row of every output, by name, in the file's order.

    Raises:
        GraphError: a shape has an open dimension beside the batch.
    """
    shapes = {}
    for output in model.graph.output:
        row = tuple(int(d.dim_value) for d in output.type.tensor_type.shape.dim)[1:]
        if not row or 0 in row:
            raise GraphError(output.name, f"has a shape with open sides, (batch, {', '.join(map(str, row))})")
        shapes[output.name] = row
    return shapes


def input_side(model: onnx.ModelProto) -> int:
    """S: the side of the crop, pixels."""
    image = next(i for i in model.graph.input if i.name == INPUT)
    return int(image.type.tensor_type.shape.dim[1].dim_value)


def weights_finite(model: onnx.ModelProto) -> None:
    """Refuse weights that are not numbers.

    Raises:
        GraphError: names the tensor.
    """
    for tensor in model.graph.initializer:
        is_real = tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
        if is_real and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise GraphError(tensor.name, "holds a weight that is not finite")


def _readers(graph: onnx.GraphProto, name: str) -> Iterator[onnx.NodeProto]:
    return (node for node in graph.node if name in node.input)
