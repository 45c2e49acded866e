"""An exported graph executed by torch, operation by operation: an independent reading of network.onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch.nn import functional


def run(network: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores (B, K) of crops (B, S, S, 3), in float32."""
    graph = onnx.load(str(network)).graph
    values = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
    values["image"] = torch.from_numpy(crops)
    with torch.no_grad():
        for node in graph.node:
            x = [values[name] for name in node.input if name]
            a = {p.name: onnx.helper.get_attribute_value(p) for p in node.attribute}
            values[node.output[0]] = _apply(node.op_type, x, a)
    return values["scores"].numpy()


def _apply(op: str, x: list[torch.Tensor], a: dict[str, object]) -> torch.Tensor:
    match op:
        case "Transpose":
            return x[0].permute(*a["perm"])  # type: ignore[misc]
        case "Cast":
            assert a["to"] == onnx.TensorProto.FLOAT
            return x[0].float()
        case "Constant":
            return torch.from_numpy(numpy_helper.to_array(a["value"]).copy())
        case "Mul":
            return x[0] * x[1]
        case "Sub":
            return x[0] - x[1]
        case "Add":
            return x[0] + x[1]
        case "Relu":
            return torch.relu(x[0])
        case "Conv":
            top, left, bottom, right = a["pads"]  # type: ignore[misc]
            assert (top, left) == (bottom, right)
            bias = x[2] if len(x) > 2 else None
            return functional.conv2d(x[0], x[1], bias, tuple(a["strides"]), (top, left))  # type: ignore[call-overload]
        case "Reshape":
            shape = [x[0].shape[i] if n == 0 else int(n) for i, n in enumerate(x[1].tolist())]
            return x[0].reshape(shape)
        case "Flatten":
            return x[0].flatten(int(a.get("axis", 1)))  # type: ignore[call-overload]
        case "MatMul":
            return x[0] @ x[1]
        case "Resize":
            assert a["mode"] == b"nearest"
            assert x[1].tolist()[:2] == [1, 1]  # its other inputs are empty
            return functional.interpolate(x[0], scale_factor=tuple(x[1].tolist()[2:]))
        case "Shape":
            start, end = int(a.get("start", 0)), a.get("end")  # type: ignore[call-overload]
            return torch.tensor(x[0].shape[start:end], dtype=torch.int64)  # type: ignore[misc]
        case "Concat":
            return torch.cat(x, dim=int(a["axis"]))  # type: ignore[call-overload]
        case "Slice":
            starts, ends, axes, steps = (v.tolist() for v in x[1:5])
            out = x[0]
            for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
                index = np.arange(out.shape[axis])[slice(start, end if end >= -out.shape[axis] else None, step)]
                out = out.index_select(axis, torch.from_numpy(index.copy()))
            return out
        case "Gemm":
            weight = x[1].T if a.get("transB") else x[1]
            return x[0] @ weight + x[2] if len(x) > 2 else x[0] @ weight
        case "BatchNormalization":
            eps = float(a.get("epsilon", 1e-5))  # type: ignore[arg-type]
            return functional.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=eps)
    raise AssertionError(f"the graph holds an operation that this reading does not know: {op}")
