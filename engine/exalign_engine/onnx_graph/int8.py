"""Int8: a float32 network → the same network with explicit symmetric quantisation, and back.

Signed int8 on both sides (S8S8), zero points 0, which OpenVINO, ONNX Runtime and TensorRT all accept in one file:

    weight of Conv and Gemm    w ≈ s_c · q, q in −127 … 127, one s_c an output channel; q is what the file holds
    what goes into them        x → QuantizeLinear → DequantizeLinear, one s a tensor; −128 … 127, half to even
    biases, other operators    float32
    outputs of the network     float32, not rounded

Skip connections stay float (docs/decisions/int8.md). Needs onnx; measuring activations needs ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exalign_engine.arrays import F32, I8
from exalign_engine.libraries.no_telemetry import switch_off_telemetry
from exalign_engine.onnx_graph.onnx_file import _replace, write_network
from exalign_engine.progress import BATCH, Progress

#: Levels of an activation, and the largest of a weight (symmetric: −127 is the least).
LEAST, MOST = -128, 127

#: Operators whose weight and input are quantised: input 0 is the activation, input 1 the weight.
QUANTISED_OPS = ("Conv", "Gemm")

#: Versions of the operator set that this has been tried with; per-channel scales exist from 13 on.
OPSETS = range(13, 24)

#: Values of a tensor that its scale is chosen by.
SAMPLE = 1 << 19

#: Candidate scales, as shares of the one that saturates nothing.
SHARES = np.linspace(1.0, 0.25, 61)

_SAMPLE_SEED = 12
_ZERO = "int8.zero"


def round_weight(weight: F32) -> tuple[I8, F32]:
    """Symmetric int8 with one scale a channel; channels are axis 0.

    Args:
        weight: (C, …) float32, finite.

    Returns:
        Levels (C, …) int8 within ±127 and scales (C,) float32; a channel that is all but zero (below the least normal
        float32 times 127) has levels 0 and scale 1.

    Raises:
        ValueError: a value is not finite.
    """
    if not np.isfinite(weight).all():
        raise ValueError("holds a weight that is not finite")
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1).astype(np.float64)
    scale = (largest / MOST).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1
    levels = np.rint(weight.astype(np.float64) / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return np.clip(levels, -MOST, MOST).astype(np.int8), scale


def widest_scale(least: float, most: float) -> np.float32:
    """The smallest scale with which nothing from ``least`` to ``most`` saturates; 1 where both are all but 0."""
    scale = np.float32(max(-least / -LEAST, most / MOST))
    return scale if scale >= np.finfo(np.float32).tiny else np.float32(1)


def choose_scale(values: F32, widest: np.float32) -> np.float32:
    """The scale with the least mean squared error on a sample: what is gained inside pays for what saturates.

    Args:
        values: (N,) float32, the sample.
        widest: see `widest_scale`, of all values.
    """

    def error(scale: np.float32) -> float:
        return float(np.square(round_activation(values, scale) - values).mean(dtype=np.float64))

    return min((np.float32(share * widest) for share in SHARES), key=error)


def round_activation(values: F32, scale: np.float32) -> F32:
    """What QuantizeLinear and DequantizeLinear make of values: float32 → float32."""
    return np.asarray(np.clip(np.rint(values / scale), LEAST, MOST) * scale, dtype=np.float32)


def rounded_tensors(model: onnx.ModelProto, keep: Collection[str] = ()) -> list[str]:
    """The activations that `quantise` needs a scale for, in the order of the graph.

    Args:
        model: a float32 network.
        keep: names of weights whose operator stays float.

    Raises:
        ValueError: the network cannot be quantised; the message says where and why.
    """
    check(model)
    weights = {i.name for i in model.graph.initializer}
    known = {node.input[1] for node in model.graph.node if node.op_type in QUANTISED_OPS}
    if unknown := sorted(set(keep) - known):
        raise ValueError(f"no {' or '.join(QUANTISED_OPS)} has a weight called {unknown[0]!r}")
    found = list(dict.fromkeys(node.input[0] for node in _quantised_nodes(model, keep)))
    if not found:
        raise ValueError(f"has no {' or '.join(QUANTISED_OPS)} to quantise")
    if constants := [name for name in found if name in weights]:
        raise ValueError(f"{constants[0]!r} is a constant where an activation should be")
    return found


def check(model: onnx.ModelProto) -> None:
    """Refuse what `quantise` would not understand.

    Raises:
        ValueError: another operator set or version, a graph within a graph, a float64 tensor, or Q/DQ already there.
    """
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            raise ValueError(f"uses operators of {opset.domain!r}, must be ONNX's own")
        if opset.version not in OPSETS:
            raise ValueError(f"uses operator set {opset.version}, must be {OPSETS[0]} to {OPSETS[-1]}")
    if model.functions:
        raise ValueError(f"calls the function {model.functions[0].name!r}, must be one flat graph")
    graph = model.graph
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            raise ValueError(f"{node.name or node.op_type!r} is there: the network is quantised already")
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise ValueError(f"{node.name or node.op_type!r} holds a graph, must be one flat graph")
            casts = node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE
            if casts or (attribute.HasField("t") and attribute.t.data_type == TensorProto.DOUBLE):
                raise ValueError(f"{node.output[0]!r} is float64, must be float32")
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            raise ValueError(f"{value.name!r} is float64, must be float32")
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            raise ValueError(f"{tensor.name!r} is float64, must be float32")


def measure_scales(
    model: onnx.ModelProto, crops: NDArray[np.uint8], keep: Collection[str] = (), progress: Progress | None = None
) -> dict[str, np.float32]:
    """Run the float network over crops and choose every activation's scale (`choose_scale`).

    Args:
        model: see `quantise`.
        crops: (B, S, S, 3) uint8 RGB, of ``train``.
        keep: see `quantise`.
        progress: told after each batch how many crops are done.

    Raises:
        ValueError: see `rounded_tensors`; there are no crops, or a value is not finite.
    """
    switch_off_telemetry()
    import onnxruntime

    names = rounded_tensors(model, keep)
    if not len(crops):
        raise ValueError("no crops to measure activations on")
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # sums in one order: equal inputs, equal bytes
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(write_network(watched), options, providers=["CPUExecutionProvider"])
    samples: dict[str, list[F32]] = {name: [] for name in names}
    least, most = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    starts = range(0, len(crops), BATCH)
    for start in starts:
        rng = np.random.default_rng([_SAMPLE_SEED, start])
        batch = crops[start : start + BATCH]
        for name, values in zip(names, session.run(names, {model.graph.input[0].name: batch}), strict=True):
            if not np.isfinite(values).all():
                raise ValueError(f"{name!r} takes a value that is not finite")
            least[name], most[name] = min(least[name], float(values.min())), max(most[name], float(values.max()))
            samples[name].append(values.reshape(-1)[rng.integers(0, values.size, -(-SAMPLE // len(starts)))])
        if progress:
            progress(start + len(batch))
    return {name: choose_scale(np.concatenate(samples[name]), widest_scale(least[name], most[name])) for name in names}


def quantise(model: onnx.ModelProto, scales: Mapping[str, np.float32], keep: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of a network with int8 weights, and its activations rounded before they meet them.

    Args:
        model: float32, one flat graph.
        scales: of every tensor that `rounded_tensors` names, above 0.
        keep: names of weights whose operator stays float.

    Raises:
        ValueError: the network cannot be quantised, or a scale is missing or not above 0.
    """
    for name in rounded_tensors(model, keep):
        if name not in scales or not (np.isfinite(scales[name]) and scales[name] > 0):
            raise ValueError(f"scale of {name!r} is {scales.get(name)}, must be a finite number above 0")
    out = onnx.ModelProto()
    out.CopyFrom(model)
    graph = out.graph
    chosen = {node.output[0] for node in _quantised_nodes(out, keep)}
    weights = {node.input[1] for node in graph.node if node.output[0] in chosen}
    constants: list[TensorProto] = []
    for tensor in graph.initializer:
        if tensor.name not in weights:
            constants.append(tensor)
            continue
        try:
            levels, scale = round_weight(numpy_helper.to_array(tensor))
        except ValueError as e:
            raise ValueError(f"{tensor.name!r} {e}") from e
        constants.append(numpy_helper.from_array(levels, tensor.name + ".int8"))
        constants.append(numpy_helper.from_array(scale, tensor.name + ".scale"))
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        if node.output[0] in chosen:
            x, w = node.input[:2]
            if x not in done:
                constants.append(numpy_helper.from_array(np.float32(scales[x]), x + ".scale"))
                parts = [x + ".scale", _ZERO]
                nodes.append(helper.make_node("QuantizeLinear", [x, *parts], [x + ".int8"], x + ".quantise"))
                nodes.append(
                    helper.make_node("DequantizeLinear", [x + ".int8", *parts], [x + ".rounded"], x + ".dequantise")
                )
            if w not in done:
                inputs = [w + ".int8", w + ".scale"]
                nodes.append(helper.make_node("DequantizeLinear", inputs, [w], w + ".dequantise", axis=0))
            done |= {x, w}
            node.input[0] = x + ".rounded"
        nodes.append(node)
    constants.append(numpy_helper.from_array(np.int8(0), _ZERO))
    _replace(graph, nodes, constants)
    return out


def _quantised_nodes(model: onnx.ModelProto, keep: Collection[str]) -> Iterator[onnx.NodeProto]:
    """The operators that get int8 weights: those with a constant float32 weight whose channels are axis 0."""
    constants = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    for node in model.graph.node:
        if node.op_type not in QUANTISED_OPS or node.input[1] not in constants or node.input[1] in keep:
            continue
        flags = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Gemm" and not flags.get("transB"):
            raise ValueError(f"{node.name!r} has its weight transposed (transB = 0), must have channels first")
        yield node
