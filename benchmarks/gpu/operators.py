"""The ONNX operators that our graphs use, in torch, by the letter of their specification.

A tensor lies on the device. What a graph computes with shapes and places (int64) are NumPy arrays on the host: on a
GPU nothing then waits for the device, and a call can be recorded as a CUDA graph. An operator takes its inputs in the
order of ONNX, an absent one as None, and its attributes by name; one that it does not name is refused with a TypeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

#: Whole numbers of the host.
Places = NDArray[Any]
Operator = Callable[..., Any]

_TYPES = {TensorProto.FLOAT: torch.float32, TensorProto.FLOAT16: torch.float16}


def _require(true: bool, problem: str) -> None:
    if not true:
        raise ValueError(problem)


def _cast(x: Tensor, *, to: int, saturate: int = 1) -> Tensor:
    _require(to in _TYPES, f"to type {to}, must be float32 or float16")
    return x.to(_TYPES[to])


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    pads: Sequence[int] = (0, 0, 0, 0),
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
    group: int = 1,
    kernel_shape: Sequence[int] | None = None,
    auto_pad: bytes = b"NOTSET",
) -> Tensor:
    top, left, bottom, right = pads
    _require(auto_pad == b"NOTSET" and (top, left) == (bottom, right), f"pads {pads} by {auto_pad!r}")
    return functional.conv2d(x, weight, bias, tuple(strides), (top, left), tuple(dilations), group)


def _reshape(x: Tensor, shape: Places, *, allowzero: int = 0) -> Tensor:
    sizes = [x.shape[i] if n == 0 and not allowzero else int(n) for i, n in enumerate(shape)]
    return x.reshape(sizes)


def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _resize(
    x: Tensor,
    roi: Places | None,
    scales: Places,
    *,
    mode: bytes = b"nearest",
    coordinate_transformation_mode: bytes = b"half_pixel",
    nearest_mode: bytes = b"round_prefer_floor",
    antialias: int = 0,
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: bytes = b"stretch",
) -> Tensor:
    """Every pixel repeated; attributes of other modes are read and change nothing."""
    how = (mode, coordinate_transformation_mode, nearest_mode)
    _require(how == (b"nearest", b"asymmetric", b"floor") and not antialias, f"resizes by {how}")
    _require(tuple(scales[:2]) == (1, 1) and all(s == int(s) for s in scales), f"resizes by {scales}")
    return functional.interpolate(x, scale_factor=tuple(float(s) for s in scales[2:]), mode="nearest")


def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Places:
    return np.array(tuple(x.shape)[start:end], np.int64)


def _concat(*parts: Any, axis: int) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts, axis)
    return torch.cat(parts, axis)


def _slice(x: Any, starts: Places, ends: Places, axes: Places | None = None, steps: Places | None = None) -> Any:
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    for start, end, axis, step in zip(*(v.tolist() for v in (starts, ends, axes, steps)), strict=True):
        size, axis = x.shape[axis], axis % x.ndim
        # Of a negative step an end below −size is in front of the first element, which Python writes as None.
        places = range(size)[slice(start, None if step < 0 and end < -size else end, step)]
        backwards = places.step < 0 and len(places) > 0
        places = places[::-1] if backwards else places
        cut = slice(places.start, places.start + len(places) * places.step, places.step) if places else slice(0, 0)
        x = x[(slice(None),) * axis + (cut,)]
        if backwards:
            x = np.flip(x, axis) if isinstance(x, np.ndarray) else x.flip(axis)
    return x


def _split(x: Tensor, sizes: Places, *, axis: int = 0) -> tuple[Tensor, ...]:
    return torch.split_with_sizes(x, [int(n) for n in sizes], axis)


def _gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    a, b = a.T if transA else a, b.T if transB else b
    return alpha * (a @ b) if c is None else torch.addmm(c, a, b, alpha=alpha, beta=beta)


def _batch_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensor:
    _require(not training_mode, "normalises as in training")
    return functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


#: By ONNX's names.
OPERATORS: Mapping[str, Operator] = {
    "Add": lambda a, b: a + b,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Concat": _concat,
    "Conv": _conv,
    "Div": lambda a, b: a / b,
    "Exp": lambda x: x.exp(),
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda x: x,
    "Less": lambda a, b: a < b,
    "MatMul": lambda a, b: a @ b,
    "Mul": lambda a, b: a * b,
    "Relu": lambda x: x.relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": lambda x, *, axis=-1: x.softmax(axis),
    "Split": _split,
    "Sub": lambda a, b: a - b,
    "Transpose": lambda x, *, perm: x.permute(tuple(perm)),
    "Where": lambda condition, a, b: torch.where(condition, a, b),
}

#: Inputs that say where and how large: they stay on the host.
ON_HOST: Mapping[str, range] = {
    "Reshape": range(1, 2),
    "Resize": range(1, 4),
    "Slice": range(1, 5),
    "Split": range(1, 2),
}


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
