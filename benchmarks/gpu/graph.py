"""An exported ONNX graph executed by torch, operator by operator, on any device.

No library does it for us: of those that turn ONNX into torch, onnx2torch (ENOT-AutoDL) reads where to cut from tensors
while it runs, for which a device must be waited for, so that nothing can be recorded. Our graphs use some twenty
operators (`benchmarks.gpu.operators`). What they do not know is refused before anything runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx
import torch
from benchmarks.gpu.operators import ON_HOST, OPERATORS, attributes_of
from onnx import numpy_helper
from torch import Tensor

INPUT = "image"


class TorchGraph:
    """One graph with its constants on a device.

    Args:
        model: with the one input ``image``, uint8 (B, S, S, 3).
        device: as torch names it.

    Attributes:
        model: as given.
        device: see above.
        outputs: names, in the order of the file.

    Raises:
        ValueError: the graph holds an operator or an attribute that is not known; the message names the node.
    """

    def __init__(self, model: onnx.ModelProto, device: str) -> None:
        self.model, self.device = model, torch.device(device)
        self.outputs = [output.name for output in model.graph.output]
        nodes = list(model.graph.node)
        for node in nodes:
            _refuse_unknown(node)
        self._nodes = [(node, attributes_of(node)) for node in nodes]
        asked = {node.input[i] for node in nodes for i in ON_HOST.get(node.op_type, ()) if i < len(node.input)}
        #: What says where and how large, as NumPy arrays: whole numbers, and the scales of a Resize.
        self._host: dict[str, Any] = {}
        self.constants: dict[str, Tensor] = {}
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if tensor.name in asked or values.dtype == np.int64:
                self._host[tensor.name] = values
            else:
                self.constants[tensor.name] = _placed(torch.from_numpy(values.copy()), self.device)

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        """uint8 (B, S, S, 3) on the device → the outputs by name."""
        return self.evaluate(image, self.outputs)

    def evaluate(self, image: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """Like a call, for any tensors of the graph; one is freed after its last reader, unless it is named here."""
        last = {name: i for i, (node, _) in enumerate(self._nodes) for name in node.input}
        values: dict[str, Any] = {INPUT: image}
        with torch.inference_mode():
            for i, (node, attributes) in enumerate(self._nodes):
                given = [self._value(values, name) for name in node.input]
                made = OPERATORS[node.op_type](*given, **attributes)
                values.update(zip(node.output, made if isinstance(made, tuple) else (made,), strict=True))
                for name in node.input:
                    if last[name] == i and name not in names:
                        values.pop(name, None)
        return {name: values[name] for name in names}

    def _value(self, values: dict[str, Any], name: str) -> Any:
        if not name:  # an optional input that is absent
            return None
        return next(known[name] for known in (self._host, self.constants, values) if name in known)


def _refuse_unknown(node: onnx.NodeProto) -> None:
    name = f"{node.name or node.output[0]!r} ({node.op_type})"
    if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
        raise ValueError(f"{name} is an operator that is not known here")
    try:
        inspect.signature(OPERATORS[node.op_type]).bind(*node.input, **attributes_of(node))
    except TypeError as e:
        raise ValueError(f"{name}: {e}") from e


def _placed(values: Tensor, device: torch.device) -> Tensor:
    """On the device; kernels of convolutions in the order of memory that the image's own layout leads to."""
    layout = torch.channels_last if values.ndim == 4 else torch.contiguous_format
    return values.to(device, memory_format=layout)
