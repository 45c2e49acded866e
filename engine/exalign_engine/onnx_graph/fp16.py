"""A network in half precision, by rewriting its graph: weights and activations in fp16, outputs in fp32.

The crop's normalisation, byte ÷ 64 − 2, is exact in fp16. What sums over all K classes or takes exponentials stays in
fp32: a softmax in half precision is wrong by 0.6 % at K = 140,000, in fp32 over half scores by 0.012 %.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exalign_engine.onnx_graph.checks import is_quantised, tensor_types, weights_finite
from exalign_engine.onnx_graph.errors import GraphError

#: Operators that are computed in fp32.
FULL_PRECISION = frozenset(
    {"Softmax", "LogSoftmax", "Exp", "Log", "ReduceSum", "ReduceLogSumExp", "ReduceSumSquare", "LayerNormalization"}
)

_HALF_LIMIT = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float32 network that computes in half precision; inputs and outputs keep their types.

    Args:
        model: with the types of its tensors inferred (`graph.read_graph`).

    Raises:
        GraphError: a weight does not fit, an operator has no half-precision form, or the file is quantised.
    """
    if is_quantised(model):
        raise GraphError("precision", "the file is quantised to int8, must be float32 to be made fp16")
    weights_finite(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Rewriter(result).run()
    return onnx.shape_inference.infer_shapes(result, strict_mode=True)


class _Rewriter:
    """Walks the nodes in order; every float32 tensor becomes half where its reader may read half."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._opset = next(o.version for o in model.opset_import if o.domain == "")
        self._types = tensor_types(model)
        self._weights = {t.name: t for t in model.graph.initializer}
        self._outputs = {o.name for o in model.graph.output}
        self._half: dict[str, str] = {}  # float32 tensor → its half twin
        self._full: dict[str, str] = {}  # float32 tensor that is made as half → its float32 twin
        self._nodes: list[onnx.NodeProto] = []
        self._new_weights: list[TensorProto] = []

    def run(self) -> None:
        for node in self._graph.node:
            if node.op_type == "Constant" and self._types.get(node.output[0]) == TensorProto.FLOAT:
                self._weights[node.output[0]] = _constant(node)
                self._new_weights.append(self._weights[node.output[0]])
            else:
                self._rewrite(node)
        used = {name for node in self._nodes for name in node.input} | self._outputs
        kept = [t for t in (*self._graph.initializer, *self._new_weights) if t.name in used]
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend(kept)

    def _rewrite(self, original: onnx.NodeProto) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute):
            raise GraphError(node.name, f"{node.op_type} holds a graph of its own, which is not rewritten")
        floats_out = [i for i, name in enumerate(node.output) if self._types.get(name) == TensorProto.FLOAT]
        if node.op_type in FULL_PRECISION:
            for i, name in enumerate(node.input):
                node.input[i] = self._as_full(name)
            self._nodes.append(node)
            return
        admits = self._inputs_that_admit_half(node)
        for i, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                node.input[i] = self._as_half(name) if i in admits else self._as_full(name)
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
        elif floats_out and not admits:
            raise GraphError(node.name, f"{node.op_type} makes float32 and has no half-precision form")
        for i in floats_out:
            name = node.output[i]
            node.output[i] = self._half[name] = f"{name}_half"
        self._nodes.append(node)
        for i in floats_out:
            name = original.output[i]
            if name in self._outputs:
                self._nodes.append(_cast(self._half[name], name, TensorProto.FLOAT))
                self._full[name] = name

    def _inputs_that_admit_half(self, node: onnx.NodeProto) -> set[int]:
        """Places of a node's inputs whose type may be fp16, by the operator's schema."""
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opset, node.domain)
        except onnx.defs.SchemaError as e:
            raise GraphError(node.name, f"{node.op_type} is no ONNX operator of version {self._opset}") from e
        admits = set()
        for i in range(len(node.input)):
            formal = schema.inputs[min(i, len(schema.inputs) - 1)]
            if "tensor(float16)" in formal.types:
                admits.add(i)
        return admits

    def _as_half(self, name: str) -> str:
        if name not in self._half:
            self._half[name] = f"{name}_half"
            if name in self._weights:
                values = numpy_helper.to_array(self._weights[name])
                largest = float(np.abs(values).max(initial=0.0))
                if largest > _HALF_LIMIT:
                    raise GraphError(name, f"holds {largest:g}; half precision ends at {_HALF_LIMIT:g}")
                self._new_weights.append(numpy_helper.from_array(values.astype(np.float16), self._half[name]))
            else:  # computed in full precision, or an input
                self._nodes.append(_cast(name, self._half[name], TensorProto.FLOAT16))
        return self._half[name]

    def _as_full(self, name: str) -> str:
        """The float32 form of a tensor, for those that only take that; other tensors are left as they are."""
        if self._types.get(name) != TensorProto.FLOAT or name in self._weights or name not in self._half:
            return name
        if name not in self._full:
            self._full[name] = f"{name}_full"
            self._nodes.append(_cast(self._half[name], self._full[name], TensorProto.FLOAT))
        return self._full[name]


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}_cast", to=to)


def _constant(node: onnx.NodeProto) -> TensorProto:
    """A float32 Constant node as a weight."""
    value = helper.get_attribute_value(node.attribute[0])  # a tensor, a float or a list of floats
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value, np.float32)
    return numpy_helper.from_array(array, node.output[0])
